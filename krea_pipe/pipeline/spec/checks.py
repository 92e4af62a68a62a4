"""What only shows when a file is seen as a whole: names that nothing defines, and axes that nothing uses."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from krea_pipe.core.fields import DEFAULTS, FIELD_NAMES
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.model import Axis, Stage, Value
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.axes import UPSTREAM
from krea_pipe.pipeline.spec.hints import nearest, suggestion
from krea_pipe.pipeline.spec.library import PICTURE, Library
from krea_pipe.pipeline.spec.problems import Problems, words_of
from krea_pipe.pipeline.spec.uses import named, values_of
from krea_pipe.pipeline.template import TemplateProblem, near_word

_ROW_KEYS = ("id", "label", "note", "set", *FIELD_NAMES)
BUILT_IN = ("stage", "pipeline", "look", *DEFAULTS)
_NOT_VARIABLES = {
    **{name: f"`{name}` always names the cell's own {name}" for name in BUILT_IN},
    UPSTREAM: f"`{UPSTREAM}` is the upstream cell in templates",
    "env": "`env` holds the environment variables that `env:` declares",
}
_NOT_AXES = ("stage", "pipeline", "env", UPSTREAM)
SOURCE_FIELDS = ("id", "prompt", "image", "axes", "seed", "variant", "aspect_ratio", "creativity")


def check_variables(variables: Iterable[str], stages: Iterable[Stage], problems: Problems) -> None:
    """Refuse variables and axes that would hide one another."""
    names = set(variables)
    for name in sorted(names & _NOT_VARIABLES.keys()):
        problems.add_key("reserved_name", _NOT_VARIABLES[name], ("vars", name), "rename it")
    for stage in stages:
        for axis in (*stage.axes, *stage.fixed):
            if axis.name in names and axis.name not in _NOT_VARIABLES:
                message = f"the axis `{axis.name}` hides the variable of that name"
                problems.add_key("name_taken", message, axis.trail, "rename one of the two")
            elif axis.name in _NOT_AXES and axis.name != UPSTREAM:
                problems.add_key(
                    "reserved_name", f"`{axis.name}` is already known to templates", axis.trail, "rename it"
                )


def check_stages(
    stages: Iterable[Stage], variables: Mapping[str, Json], library: Library, overrides: Mapping[str, Value]
) -> None:
    """Refuse stages without a prompt, with unknown template names, or with an axis that changes nothing."""
    fields: dict[str, Collection[str]] = {name: data for name, data in variables.items() if isinstance(data, dict)}
    for stage in stages:
        _check_stage(stage, _Names(variables, fields, stage), library, overrides)


def _check_stage(stage: Stage, names: "_Names", library: Library, overrides: Mapping[str, Value]) -> None:
    problems = library.problems
    values = [*values_of(stage, library), *overrides.items()]
    _check_prompt(stage, values, library)
    _check_takes(stage, values, problems)
    _check_picture(values, problems)
    _check_strength(stage, values, problems)
    axes = (*stage.axes, *stage.fixed)
    reader = _Reader(names, problems)
    used = {one for name, value in values for one in reader.names(value, is_rule=name == "if")}
    used |= {name for matrix in stage.matrices for rule in matrix.exclude + matrix.patch for name in rule.matches}
    texts = [text for _, value in values for text in _texts(value)]
    for axis in axes:
        reader.check_rows(axis, texts)
    in_use = {f"{kind}.{one}.strength" for kind, names in named(values).items() for one in names}
    for axis in stage.axes:
        if {axis.name, axis.name.split(".")[0]} & {*problems.lost, *_NOT_AXES} or not axis.values:
            continue  # a problem of its own was noted
        _check_use(axis, used, in_use, library)
    for axis in stage.fixed:
        if not axis.field and axis.name not in used and not any(value.sets for value in axis.values):
            near = nearest(axis.name, FIELD_NAMES)
            hint = f"did you mean `{near}`?" if near else f"use {{{{ {axis.name} }}}} in the prompt, or remove it"
            problems.add_key("unused_axis", f"nothing uses `{axis.name}` of `with`", axis.trail, hint)


def _check_prompt(stage: Stage, values: Iterable[tuple[str, Value]], library: Library) -> None:
    if any(name == "prompt" for name, _ in values) or library.problems.has_lost("prompt"):
        return
    if stage.upstream is not None and stage.upstream.promotes:
        return
    hint = "set `prompt:` to a text" + (", or to a name under `prompts:`" if library.prompts else "")
    what = f"the stage `{stage.name}`" if stage.trail else "this pipeline"
    library.problems.add_key("no_prompt", f"{what} has no prompt", stage.trail, hint)


def _check_takes(stage: Stage, values: Iterable[tuple[str, Value]], problems: Problems) -> None:
    """Refuse takes of images with seeds: they would all be the same image."""
    trail = (*stage.trail, "takes")
    if not any(axis.trail == trail for axis in stage.axes) or problems.has_lost("seed"):
        return
    seeds = [value for name, value in values if name == "seed"]
    message = "`takes` tells images without a seed apart, and this stage has seeds"
    hint = "write `seed: null` beside it, or `matrix: {seed: {count: 4}}` for images with seeds"
    if not seeds:
        problems.add_key("takes_with_seed", message, trail, hint)
    for value in seeds:
        if value.data is not None:
            problems.add("takes_with_seed", message, value.trail, hint)
            return


def _check_picture(values: Iterable[tuple[str, Value]], problems: Problems) -> None:
    """Refuse the upstream picture where a text is meant."""
    for name, value in values:
        if name in ("prompt", "out", "if") and isinstance(value.data, str) and PICTURE.search(value.data):
            hint = 'use it as `image:`, or as a reference: {image: "{{ source.image }}"}'
            message = "`source.image` is a picture, and this is a text"
            problems.add_word("not_text", message, value.trail, word="source", hint=hint)


def _check_strength(stage: Stage, values: Iterable[tuple[str, Value]], problems: Problems) -> None:
    """Refuse a strength of a source picture where there is none."""
    found = {name: value for name, value in values if name in ("image", "strength")}
    promotes = stage.upstream is not None and stage.upstream.promotes
    if "strength" in found and "image" not in found and not promotes and not problems.has_lost("image"):
        hint = "set `image:` too; the strength of a reference stands in its set, or as an axis references.NAME.strength"
        message = "`strength` is of the source picture, and this stage has no `image`"
        problems.add_key("strength_without_image", message, found["strength"].trail, hint)


def _check_use(axis: Axis, used: Collection[str], in_use: Collection[str], library: Library) -> None:
    dynamic = any("{{" in name for name in in_use)
    if axis.field and "." in axis.name:
        kind, name, _ = axis.name.split(".")
        if axis.name not in in_use and not dynamic and name in library.names(kind):
            _unused(axis, f"use it with `{kind}: [{name}]` in the stage or under `defaults:`", library.problems)
    elif not axis.field and axis.name not in used and not any(value.sets for value in axis.values):
        _unused(axis, f"use {{{{ {axis.name} }}}} in the prompt, or remove the axis", library.problems)


def _unused(axis: Axis, hint: str, problems: Problems) -> None:
    message = f"nothing uses the axis `{axis.name}`, so it would multiply the bill and change nothing"
    problems.add_key("unused_axis", message, axis.trail, hint)


def _texts(value: Value) -> list[str]:
    return [one for one in (value.data if isinstance(value.data, list) else [value.data]) if isinstance(one, str)]


class _Names:
    """What the templates of a stage may read: variables, which are those of all stages, axes and its own fields."""

    def __init__(self, variables: Mapping[str, Json], fields: Mapping[str, Collection[str]], stage: Stage) -> None:
        self.variables, self.fields = variables, fields
        self.axes = {axis.name: axis for axis in (*stage.axes, *stage.fixed)}
        self.is_chained = stage.upstream is not None
        self.own = {*BUILT_IN, *self.axes, *((UPSTREAM,) if self.is_chained else ())}
        # A rule decides what a request is, so it cannot read its fields.
        self.in_rules = self.own - ({*DEFAULTS, "look"} - self.axes.keys())

    def has(self, name: str, *, is_rule: bool) -> bool:
        """Whether there is such a name."""
        return name in (self.in_rules if is_rule else self.own) or name in self.variables

    def given(self) -> Iterator[str]:
        """The names that the file gives."""
        yield from self.axes
        yield from self.variables

    def fields_of(self, name: str) -> Collection[str] | None:
        """What a name holds that has fields which are known from the start."""
        return SOURCE_FIELDS if name == UPSTREAM and self.is_chained else self.fields.get(name)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the templates of a stage: which names they use, and which of them are not there."""

    names_known: _Names
    problems: Problems
    keys: dict[str, Counter[str]] = field(default_factory=dict)
    """For each axis, how many of its values have a field."""
    said: set[tuple[str, str]] = field(default_factory=set)

    def names(self, value: Value, *, is_rule: bool = False) -> Iterator[str]:
        """The names that a value uses; where a name is wrong, also the one that was probably meant."""
        for text in _texts(value):
            if "{" in text:
                yield from self._names_in(text, value.trail, is_rule=is_rule)

    def _names_in(self, text: str, trail: Trail, *, is_rule: bool) -> Iterator[str]:
        try:
            template = self.problems.compiled(text)
        except TemplateProblem as error:
            message, hint = str(error), error.hint
            if is_rule and error.code == "template_syntax" and error.word is None:
                message, hint = "this expression cannot be read", "write it as in `surface == 'slate' and seed > 2`"
            self.problems.add_word(error.code, message, trail, word=error.word, hint=hint)
            yield from words_of(text)
            return
        known = self.names_known
        for name in sorted(name for name in template.required if not known.has(name, is_rule=is_rule)):
            yield from self._undefined(name, trail)
        for name, one in sorted(template.fields):
            if name in known.axes:
                self._check_field(known.axes[name], one, trail)
            elif (held := known.fields_of(name)) is not None:
                self._check_held(name, held, one, trail)
        yield from template.names

    def _undefined(self, name: str, trail: Trail) -> Iterator[str]:
        if self.problems.has_lost(name):
            return
        near = nearest(name, self.names_known.given()) or nearest(name, BUILT_IN)
        elsewhere = "define it under `vars:`, or as an axis under `matrix:`"
        if self.names_known.is_chained:
            elsewhere = f"an axis of the upstream cell is {{{{ source.axes.{name} }}}}"
        hint = f"did you mean `{near}`?" if near else elsewhere
        if name == UPSTREAM:
            hint = "it is the upstream cell of a stage with `for_each:`"
        if name == "env":
            hint = "declare what is read of the environment: `env: {SEASON: autumn}`"
        if name in BUILT_IN:
            hint = "a rule reads axes, variables and `source`, and no other fields of a request"
        message = f"the template uses `{name}`, which nothing defines"
        self.problems.add_word("undefined_variable", message, trail, word=name, hint=hint)
        if near:
            yield near

    def _check_held(self, name: str, held: Collection[str], field: str, trail: Trail) -> None:
        if field not in held and not self.problems.has_lost(field):
            hint = suggestion(field, held)
            self.problems.add_word("undefined_variable", f"`{name}` has no `{field}`", trail, word=field, hint=hint)

    def check_rows(self, axis: Axis, texts: Collection[str]) -> None:
        """Refuse a row's key that nothing reads and that is nearly a request field's name: it would set nothing."""
        near: dict[str, str | None] = dict.fromkeys(_ROW_KEYS)
        for value in axis.values:
            for key in value.data if isinstance(value.data, dict) else ():
                if key not in near:
                    meant = nearest(key, FIELD_NAMES, alike=0.8)
                    near[key] = None if meant and any(key in text for text in texts) else meant
                if meant := near[key]:
                    message = f"`{key}` of `{value.label}` sets nothing, and no template reads it"
                    self.problems.add_key("misspelt_field", message, (*value.trail, key), f"did you mean `{meant}`?")

    def _check_field(self, axis: Axis, field: str, trail: Trail) -> None:
        """Refuse `axis.field` where a value of the axis has no such field."""
        if axis.name not in self.keys:
            own = (value.data for value in axis.values if isinstance(value.data, dict))
            self.keys[axis.name] = Counter(chain.from_iterable(own))
        if self.keys[axis.name][field] == len(axis.values):
            return
        rows = [value.data for value in axis.values if isinstance(value.data, dict)]
        without = [value for value in axis.values if not isinstance(value.data, dict) or field not in value.data]
        if not rows:
            message = f"the values of `{axis.name}` are plain and have no field `{field}`"
            others = f", {field}: …" if field != "id" else ""
            hint = f"write {{{{ {axis.name} }}}}, or make them rows: {{id: …{others}}}"
            self.problems.add_word("undefined_variable", message, trail, word=field, hint=hint)
        elif len(without) == len(axis.values):
            hint = near_word(field, list(dict.fromkeys(key for row in rows for key in row)))
            message = f"no row of `{axis.name}` has a field `{field}`"
            self.problems.add_word("undefined_variable", message, trail, word=field, hint=hint)
        if len(without) == len(axis.values) or (axis.name, field) in self.said:
            return
        self.said.add((axis.name, field))
        for value in without:
            near = nearest(field, value.data) if isinstance(value.data, dict) else None
            hint = f"did you mean `{field}` by `{near}`?" if near else f"add `{field}:`, which other rows have"
            message = f"the value `{value.label}` of `{axis.name}` has no field `{field}`, which a template uses"
            self.problems.add("missing_field", message, value.trail, hint)
