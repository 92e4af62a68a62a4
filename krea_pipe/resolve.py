"""One combination of axis values becomes one request: fields by precedence, templates rendered, values checked.

Low to high: `defaults`, stage fields, a row's fields, axes named like a field.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from krea_pipe.fields import (
    DEFAULTS,
    LISTS,
    MAX_MOODBOARDS,
    MAX_STYLE_REFERENCES,
    STRENGTHS,
    check_field,
    check_strength,
)
from krea_pipe.nodes import Json
from krea_pipe.pipeline import AxisValue, Board, Pipeline, ReferenceSet, Stage, Value
from krea_pipe.references import Fingerprints
from krea_pipe.request import Request, Weighted
from krea_pipe.template import TemplateProblem, compile_template

Context = Mapping[str, object]
T = TypeVar("T")


class CellProblem(ValueError):
    """A cell can not be made; `trail` and `word` say where in the file the reason stands."""

    def __init__(
        self, code: str, message: str, trail: tuple[str | int, ...], *, word: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.trail, self.word, self.hint = code, trail, word, hint


@dataclass(frozen=True, slots=True)
class _Lists:
    references: tuple[Weighted, ...]
    moodboards: tuple[Weighted, ...]
    styles: tuple[Weighted, ...]


class Resolver:
    """Makes the requests of one stage. Fields that are the same in many cells are checked once."""

    def __init__(self, pipeline: Pipeline, stage: Stage, fingerprints: Fingerprints) -> None:
        self.pipeline, self.stage, self.fingerprints = pipeline, stage, fingerprints
        self.field_axes = [index for index, axis in enumerate(stage.axes) if axis.field]
        self.row_axes = [index for index, axis in enumerate(stage.axes) if not axis.field]
        self.checked: dict[tuple[str, Json, type], Json] = {}
        self.lists: dict[str, tuple[Weighted, ...]] = {}
        self.base = {**pipeline.variables, "stage": stage.name, "pipeline": pipeline.name}

    def request(self, values: Sequence[AxisValue]) -> tuple[Request, Context]:
        """The request of one combination, and the names that its templates may use.

        Raises:
            CellProblem: a template fails, or a value is not one that Krea documents.
        """
        fields = dict(self.stage.fields)
        for index in (*self.row_axes, *self.field_axes):
            fields.update(values[index].sets)
        axes = {axis.name: value.data for axis, value in zip(self.stage.axes, values, strict=True)}
        context: dict[str, object] = {**self.base, **axes}
        scalars = {name: self._scalar(name, fields.get(name), context) for name in DEFAULTS}
        context |= scalars
        lists = {kind: self._list(kind, fields, context) for kind in LISTS}
        prompt = self.text(fields["prompt"], context) if "prompt" in fields else ""
        if not prompt:
            raise CellProblem("empty_prompt", "a cell has an empty prompt", self._prompt_trail(fields))
        return Request(prompt=prompt, **lists, **scalars), context  # type: ignore[arg-type]

    def text(self, value: Value, context: Context) -> str:
        """Render a value to text, runs of white space folded, composed (NFC)."""
        rendered = self._render(value.data, value, context)
        text = " ".join(str(rendered).split())
        return text if text.isascii() else unicodedata.normalize("NFC", text)

    def _prompt_trail(self, fields: Mapping[str, Value]) -> tuple[str | int, ...]:
        return fields["prompt"].trail if "prompt" in fields else self.stage.trail

    def _render(self, data: Json, value: Value, context: Context) -> Json:
        if not isinstance(data, str):
            return data
        try:
            return compile_template(data).render(context)
        except TemplateProblem as error:
            raise CellProblem(error.code, str(error), value.trail, word=error.word) from error

    def _scalar(self, name: str, value: Value | None, context: Context) -> Json:
        if value is None:
            return DEFAULTS[name]
        data = self._render(value.data, value, context)
        if isinstance(data, (list, dict)):
            raise CellProblem("wrong_type", f"`{name}` is one value, not a list or a mapping", value.trail)
        memo = (name, data, type(data))
        if memo not in self.checked:
            self.checked[memo] = _located(value, lambda: check_field(name, data))
        return self.checked[memo]

    def _list(self, kind: str, fields: Mapping[str, Value], context: Context) -> tuple[Weighted, ...]:
        value = fields.get(kind)
        if value is None or not value.data:
            return ()
        names = [str(self._render(one, value, context)) for one in cast("list[Json]", value.data)]
        strengths = {name: self._strength(kind, name, fields, context) for name in dict.fromkeys(names)}
        memo = f"{kind} {strengths}"
        if memo not in self.lists:
            found = tuple(one for name in strengths for one in self._weighted(kind, name, strengths[name]))
            self.lists[memo] = self._limited(kind, found, value)
        return self.lists[memo]

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
            raise CellProblem("unknown_name", f"nothing is called `{name}` under `{kind}:`", value.trail)
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
            raise CellProblem("too_many_references", message, value.trail)
        if kind == "moodboards" and len(found) > MAX_MOODBOARDS:
            raise CellProblem("too_many_moodboards", "Krea takes one moodboard a request", value.trail)
        if len({one.id for one in found}) < len(found):
            raise CellProblem("repeated_reference", f"the same image or id twice in `{kind}`", value.trail)
        return found


def _located(value: Value, check: Callable[[], T]) -> T:
    try:
        return check()
    except ValueError as error:
        raise CellProblem("invalid_value", str(error), value.trail) from error
