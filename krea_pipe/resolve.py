"""One combination of axis values becomes one request: fields by precedence, templates rendered, values checked.

Low to high: `defaults`, stage fields, a row's fields, axes named like a field.
"""

import operator
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from krea_pipe.fields import (
    DEFAULTS,
    LISTS,
    MAX_MOODBOARDS,
    MAX_STYLE_REFERENCES,
    STRENGTHS,
    check_field,
    check_strength,
)
from krea_pipe.nodes import Json, shown
from krea_pipe.pipeline import AxisValue, Board, Pipeline, ReferenceSet, Stage, Value
from krea_pipe.references import Fingerprints
from krea_pipe.request import Request, Source, Weighted
from krea_pipe.sandbox import TemplateProblem, as_text
from krea_pipe.template import compile_template, is_template

Context = Mapping[str, object]
T = TypeVar("T")


class CellProblem(ValueError):
    """A cell can not be made; `trail` and `word` say where in the file the reason stands."""

    def __init__(
        self, code: str, message: str, trail: tuple[str | int, ...], *, word: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.trail, self.word, self.hint = code, trail, word, hint
        self.others: tuple[CellProblem, ...] = ()


class Resolver:
    """Makes the requests of one stage. What is the same in all its cells is resolved once."""

    def __init__(self, pipeline: Pipeline, stage: Stage, fingerprints: Fingerprints) -> None:
        self.pipeline, self.stage, self.fingerprints = pipeline, stage, fingerprints
        field_axes = [index for index, axis in enumerate(stage.axes) if axis.field]
        row_axes = [index for index, axis in enumerate(stage.axes) if not axis.field]
        self.setters = [i for i in (*row_axes, *field_axes) if any(value.sets for value in stage.axes[i].values)]
        self.names = [axis.name for axis in stage.axes]
        self.checked: dict[tuple[str, Json, type], Json] = {}
        self.lists: dict[str, tuple[Weighted, ...]] = {}
        self.rendered: dict[str, tuple[list[object], Json]] = {}
        set_by_axes = {name for i in self.setters for value in stage.axes[i].values for name in value.sets}
        self.varying = [name for name in DEFAULTS if name in set_by_axes or _is_dynamic(stage.fields.get(name))]
        base: dict[str, object] = {**pipeline.variables, "stage": stage.name, "pipeline": pipeline.name}
        fixed = [name for name in DEFAULTS if name not in self.varying]
        self.base = base | self._scalars(fixed, stage.fields, {})
        fixed = [kind for kind in LISTS if self._is_fixed(kind, set_by_axes)]
        self.varying_lists = [kind for kind in LISTS if kind not in fixed]
        self.fixed_lists = {kind: self._list(kind, stage.fields, {}) for kind in fixed}

    def request(self, values: Sequence[AxisValue]) -> tuple[Request, Context]:
        """The request of one combination, and the names that its templates may use.

        Raises:
            CellProblem: a template fails, or a value is not one that Krea documents.
        """
        fields = self.stage.fields
        if self.setters:
            fields = {**fields}
            for index in self.setters:
                fields.update(values[index].sets)
        context = self.base.copy()
        context.update(zip(self.names, [value.data for value in values], strict=True))
        if self.varying:
            context.update(self._scalars(self.varying, fields, context))
        lists = {kind: self._list(kind, fields, context) for kind in self.varying_lists if kind in fields}
        prompt = self.text(fields["prompt"], context)
        if not prompt:
            raise CellProblem("empty_prompt", "the prompt renders to nothing but white space", fields["prompt"].trail)
        parts: dict[str, Any] = {name: context[name] for name in DEFAULTS}
        return Request(prompt=prompt, **parts | self.fixed_lists | lists), context

    def text(self, value: Value, context: Context) -> str:
        """Render a value to text, runs of white space folded, composed (NFC)."""
        return cast("str", self._rendered(str(value.data), value, context, _folded))

    def _render(self, data: Json, value: Value, context: Context) -> Json:
        return self._rendered(data, value, context, _same) if isinstance(data, str) else data

    def _rendered(self, text: str, value: Value, context: Context, finish: Callable[[Json], Json]) -> Json:
        """Render a text, or return what it last gave if it reads the same values again.

        Values are compared by identity, because 1 and True are equal and do not read the same. The last axis varies
        fastest and is often the seed, which few prompts read.
        """
        try:
            template = compile_template(text)
            inputs = list(map(context.get, template.names))
            last = self.rendered.get(text)
            if last is None or not all(map(operator.is_, inputs, last[0])):
                last = self.rendered[text] = (inputs, finish(template.render(context)))
            return last[1]
        except TemplateProblem as error:
            raise CellProblem(error.code, str(error), value.trail, word=error.word, hint=error.hint) from error

    def _scalars(self, names: Sequence[str], fields: Mapping[str, Value], context: Context) -> dict[str, Json]:
        """Some fields of a cell; where several are wrong, the first problem carries the others."""
        found: dict[str, Json] = {}
        wrong: list[CellProblem] = []
        for name in names:
            try:
                found[name] = self._scalar(name, fields.get(name), context)
            except CellProblem as error:
                wrong.append(error)
        if wrong:
            wrong[0].others = tuple(wrong[1:])
            raise wrong[0]
        return found

    def _scalar(self, name: str, value: Value | None, context: Context) -> Json:
        if value is None:
            return DEFAULTS[name]
        data = self._render(value.data, value, context)
        if isinstance(data, (list, dict)):
            message = f"`{name}` must be one value, not {shown(data)}"
            raise CellProblem("wrong_type", message, value.trail)
        memo = (name, data, type(data))
        if memo not in self.checked:
            self.checked[memo] = _located(value, lambda: check_field(name, data))
        return self.checked[memo]

    def _list(self, kind: str, fields: Mapping[str, Value], context: Context) -> tuple[Weighted, ...]:
        value = fields[kind]
        if not value.data:
            return ()
        names = [self._name(one, value, context) for one in cast("list[Json]", value.data)]
        strengths = {name: self._strength(kind, name, fields, context) for name in dict.fromkeys(names)}
        memo = f"{kind} {strengths}"
        if memo not in self.lists:
            found = tuple(one for name in strengths for one in self._weighted(kind, name, strengths[name]))
            self.lists[memo] = self._limited(kind, found, value)
        return self.lists[memo]

    def _name(self, data: Json, value: Value, context: Context) -> str:
        return cast("str", self._rendered(str(data), value, context, as_text))

    def _is_fixed(self, kind: str, set_by_axes: set[str]) -> bool:
        """Whether all cells have the same references, moodboards or styles with the same strengths."""
        value, known = self.stage.fields.get(kind), self._named(kind)
        if value is None or any(name.partition(".")[0] == kind for name in set_by_axes):
            return False
        names = cast("list[Json]", value.data)
        strengths = [known[str(name)].strength for name in names if str(name) in known]
        return not any(is_template(name) for name in names) and not any(_is_dynamic(one) for one in strengths)

    def _strength(self, kind: str, name: str, fields: Mapping[str, Value], context: Context) -> float:
        item = self._definition(kind, name, fields[kind])
        value = fields.get(f"{kind}.{name}.strength") or item.strength
        if value is None:
            return STRENGTHS[kind].default
        data = self._render(value.data, value, context)
        return _located(value, lambda: check_strength(kind, data))

    def _definition(self, kind: str, name: str, value: Value) -> Board | ReferenceSet:
        known = self._named(kind)
        if name not in known:
            message = f"nothing is called {shown(name)} under `{kind}:`"
            raise CellProblem(
                "unknown_name", message, value.trail, hint=f"known: {', '.join(one for one in known if one[0] != '@')}"
            )
        return known[name]

    def _named(self, kind: str) -> Mapping[str, Board | ReferenceSet]:
        return cast("Mapping[str, Board | ReferenceSet]", getattr(self.pipeline, kind))

    def _weighted(self, kind: str, name: str, strength: float) -> list[Weighted]:
        item = self._named(kind)[name]
        if isinstance(item, Board):
            return [Weighted(item.id, strength)]
        texts = [str(image.data) for image in item.images]
        return [Weighted(image.source, strength) for text in texts for image in self.fingerprints.by_text[text]]

    def _limited(self, kind: str, found: tuple[Weighted, ...], value: Value) -> tuple[Weighted, ...]:
        if kind == "references" and len(found) > MAX_STYLE_REFERENCES:
            message = f"{len(found)} style references in one request; Krea takes at most {MAX_STYLE_REFERENCES}"
            raise CellProblem("too_many_references", message, value.trail, hint="name fewer images, or split the set")
        if kind == "moodboards" and len(found) > MAX_MOODBOARDS:
            message = f"{len(found)} moodboards in one request; Krea takes one"
            raise CellProblem("too_many_moodboards", message, value.trail)
        seen: set[str] = set()
        for one in found:
            if one.id in seen:
                image = self.fingerprints.by_source.get(Source(one.id))
                message = f"{image.label if image else one.id} is twice in the `{kind}` of one request"
                raise CellProblem("repeated_reference", message, value.trail, hint="leave one of the two out")
            seen.add(one.id)
        return found


def _is_dynamic(value: Value | None) -> bool:
    return value is not None and is_template(value.data)


def _same(rendered: Json) -> Json:
    return rendered


def _folded(rendered: Json) -> str:
    text = " ".join(as_text(rendered).split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _located(value: Value, check: Callable[[], T]) -> T:
    try:
        return check()
    except ValueError as error:
        raise CellProblem("invalid_value", str(error), value.trail) from error
