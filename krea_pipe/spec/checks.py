"""What only shows when a file is seen as a whole: names that nothing defines, axes that nothing uses, secrets."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from krea_pipe.errors import Problem
from krea_pipe.fields import DEFAULTS, FIELD_NAMES, LISTS, STRENGTHS
from krea_pipe.nodes import Json
from krea_pipe.pipeline import Axis, Stage, Value
from krea_pipe.sandbox import TemplateProblem, near_word
from krea_pipe.source import Trail
from krea_pipe.spec.hints import RESERVED_AXES, nearest
from krea_pipe.spec.library import Library
from krea_pipe.spec.problems import Problems, words_of
from krea_pipe.template import compile_template

_ROW_KEYS = ("id", "label", "note", "set", *FIELD_NAMES)
BUILT_IN = ("stage", "pipeline", *DEFAULTS)

_SECRET = re.compile(
    r"\bBearer\s+[\w.~+/=-]{16,}"
    r"|\b(?:sk|rk|pk)[-_][A-Za-z0-9_-]{20,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:[A-Za-z0-9_-]{16,}"
)


def check_secrets(data: Json, problems: Problems, trail: Trail = ()) -> None:
    """Refuse values that look like keys: a pipeline lives in git."""
    if isinstance(data, dict):
        for key, item in data.items():
            check_secrets(item, problems, (*trail, key))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            check_secrets(item, problems, (*trail, index))
    elif isinstance(data, str) and len(data) >= 20 and not data.startswith("data:") and _SECRET.search(data):
        hint = "keys belong in the environment: set KREA_API_KEY; if this file was ever shared, revoke the key"
        problems.add("secret_in_file", "this value looks like a secret key", trail, hint)
        problems.secret = _SECRET


def check_variables(variables: Iterable[str], stages: Iterable[Stage], problems: Problems) -> None:
    """Refuse variables and axes that would hide one another."""
    names = set(variables)
    for name in sorted(names & set(BUILT_IN)):
        problems.add_key("reserved_name", f"`{name}` always names the cell's own {name}", ("vars", name), "rename it")
    for stage in stages:
        for axis in stage.axes:
            if axis.name in names:
                message = f"the axis `{axis.name}` hides the variable of that name"
                problems.add_key("name_taken", message, axis.trail, "rename one of the two")
            elif axis.name in ("stage", "pipeline"):
                problems.add_key(
                    "reserved_name", f"`{axis.name}` is already known to templates", axis.trail, "rename it"
                )


def check_stage(stage: Stage, variables: Iterable[str], library: Library) -> None:
    """Refuse a stage without a prompt, with unknown template names, or with an axis that changes nothing."""
    problems = library.problems
    values = list(_values(stage, library))
    if not any(name == "prompt" for name, _ in values) and not problems.has_lost("prompt"):
        hint = "set `prompt:` to a text" + (", or to a name under `prompts:`" if library.prompts else "")
        what = f"the stage `{stage.name}`" if stage.trail else "this pipeline"
        problems.add_key("no_prompt", f"{what} has no prompt", stage.trail, hint)
    known = {*variables, *BUILT_IN, *(axis.name for axis in stage.axes)}
    reader = _Reader(known, {axis.name: axis for axis in stage.axes}, problems)
    used = {name for _, value in values for name in reader.names(value)}
    used |= {name for rule in stage.exclude for name in rule.matches}
    for axis in stage.axes:
        reader.check_rows(axis, values)
    in_use = {f"{kind}.{one}.strength" for kind, names in _named(values).items() for one in names}
    dynamic = any("{{" in name for name in in_use)
    for axis in stage.axes:
        if axis.name in (*RESERVED_AXES, "stage", "pipeline") or {axis.name, axis.name.split(".")[0]} & problems.lost:
            continue
        if not axis.values:
            continue  # a problem of its own was noted
        if axis.field and "." in axis.name and axis.name not in in_use and not dynamic:
            kind, name, _ = axis.name.split(".")
            known_name = name in library.names(kind)
            hint = f"use it with `{kind}: [{name}]` in the stage or under `defaults:`"
            if known_name:
                _unused(axis, hint, problems)
        elif not axis.field and axis.name not in used and not any(value.sets for value in axis.values):
            _unused(axis, f"use {{{{ {axis.name} }}}} in the prompt, or remove the axis", problems)


def _unused(axis: Axis, hint: str, problems: Problems) -> None:
    message = f"nothing uses the axis `{axis.name}`, so it would multiply the bill and change nothing"
    problems.add_key("unused_axis", message, axis.trail, hint)


def strength_warnings(library: Library, stages: Iterable[Stage]) -> Iterator[Problem]:
    """Warn about strengths that only Krea's older guides allow, in definitions and in axes."""
    found = [(kind, item.strength) for kind in LISTS for item in library.names(kind).values() if item.strength]
    axes = [axis for stage in stages for axis in stage.axes if "." in axis.name]
    found += [(axis.name.partition(".")[0], value.sets[axis.name]) for axis in axes for value in axis.values]
    for kind, strength in found:
        low, high = STRENGTHS[kind].sure
        if isinstance(strength.data, (int, float)) and not low <= strength.data <= high:
            at = library.problems.document.place(strength.trail)
            message = f"the strength {strength.data:g} of {kind} is outside {low:g} to {high:g}"
            yield Problem("unsure_strength", message, at, "only Krea's older guides allow it; it may be refused")


def unused_warnings(library: Library, stages: Iterable[Stage]) -> Iterator[Problem]:
    """Warn about references, moodboards and styles that no stage uses: nothing of them would be sent."""
    used = _named(value for stage in stages for value in _values(stage, library))
    dynamic = any("{{" in name for names in used.values() for name in names)
    for kind in LISTS if not dynamic else ():
        for name in library.names(kind):
            if name not in used[kind]:
                at = library.problems.document.key_place((kind, name))
                hint = f"use it with `defaults: {{{kind}: [{name}]}}` or in a stage"
                yield Problem("unused_definition", f"no stage uses `{name}` of `{kind}:`", at, hint)


def _named(values: Iterable[tuple[str, Value]]) -> dict[str, set[str]]:
    """The names of references, moodboards and styles that some values use."""
    used = {kind: set[str]() for kind in LISTS}
    for name, value in values:
        if name in LISTS and isinstance(value.data, list):
            used[name].update(str(one) for one in value.data)
    return used


def _values(stage: Stage, library: Library) -> Iterator[tuple[str, Value]]:
    """Every value of a stage that ends in a request or a path, with the name of what it sets."""
    own = [*stage.fields.items(), *(one for axis in stage.axes for one in _axis_values(axis))]
    yield from own
    for kind, names in _named(own).items():
        strengths = (library.names(kind)[name].strength for name in names if name in library.names(kind))
        yield from (("strength", strength) for strength in strengths if strength)
    if stage.out is not None:
        yield "out", stage.out


def _axis_values(axis: Axis) -> Iterator[tuple[str, Value]]:
    for value in axis.values:
        yield from value.sets.items()


def _texts(value: Value) -> list[str]:
    return [one for one in (value.data if isinstance(value.data, list) else [value.data]) if isinstance(one, str)]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the templates of a stage: which names they use, and which of them are not there."""

    known: set[str]
    axes: Mapping[str, Axis]
    problems: Problems

    def names(self, value: Value) -> Iterator[str]:
        """The names that a value uses; where a name is wrong, also the one that was probably meant."""
        for text in _texts(value):
            if "{" in text:
                yield from self._names_in(text, value.trail)

    def _names_in(self, text: str, trail: Trail) -> Iterator[str]:
        try:
            template = compile_template(text)
        except TemplateProblem as error:
            self.problems.add_word(error.code, str(error), trail, word=error.word, hint=error.hint)
            yield from words_of(text)
            return
        for name in sorted(template.required - self.known):
            yield from self._undefined(name, trail)
        for name, field in sorted(template.fields):
            if name in self.axes:
                self._check_field(self.axes[name], field, trail)
        yield from template.names

    def _undefined(self, name: str, trail: Trail) -> Iterator[str]:
        if self.problems.has_lost(name):
            return
        own = sorted(self.known - set(BUILT_IN))
        near = nearest(name, own) or nearest(name, BUILT_IN)
        hint = f"did you mean `{near}`?" if near else "define it under `vars:`, or as an axis under `matrix:`"
        message = f"the template uses `{name}`, which nothing defines"
        self.problems.add_word("undefined_variable", message, trail, word=name, hint=hint)
        if near:
            yield near

    def check_rows(self, axis: Axis, values: Iterable[tuple[str, Value]]) -> None:
        """Refuse a row's key that nothing reads and that is nearly a request field's name: it would set nothing."""
        texts = [one for _, value in values for one in _texts(value)]
        for value in axis.values:
            for key in value.data if isinstance(value.data, dict) else ():
                meant = None if key in _ROW_KEYS else nearest(key, FIELD_NAMES)
                if meant and not any(key in text for text in texts):
                    message = f"`{key}` of `{value.label}` sets nothing, and no template reads it"
                    self.problems.add_key("misspelt_field", message, (*value.trail, key), f"did you mean `{meant}`?")

    def _check_field(self, axis: Axis, field: str, trail: Trail) -> None:
        """Refuse `axis.field` where a value of the axis has no such field."""
        rows = [value.data for value in axis.values if isinstance(value.data, dict)]
        without = [value for value in axis.values if not isinstance(value.data, dict) or field not in value.data]
        if not without:
            return
        if not rows:
            message = f"the values of `{axis.name}` are plain and have no field `{field}`"
            hint = f"write {{{{ {axis.name} }}}}, or make them rows: {{id: …, {field}: …}}"
            self.problems.add_word("undefined_variable", message, trail, word=field, hint=hint)
        elif len(without) == len(axis.values):
            hint = near_word(field, list(dict.fromkeys(key for row in rows for key in row)))
            message = f"no row of `{axis.name}` has a field `{field}`"
            self.problems.add_word("undefined_variable", message, trail, word=field, hint=hint)
        for value in without if len(without) < len(axis.values) else ():
            near = nearest(field, value.data) if isinstance(value.data, dict) else None
            hint = f"did you mean `{field}` by `{near}`?" if near else f"add `{field}:`, which other rows have"
            message = f"the value `{value.label}` of `{axis.name}` has no field `{field}`, which a template uses"
            self.problems.add("missing_field", message, value.trail, hint)
