"""What only shows when a file is seen as a whole: names that nothing defines, axes that nothing uses, secrets."""

import re
from collections.abc import Iterable, Iterator

from krea_pipe.errors import Problem
from krea_pipe.fields import DEFAULTS, LISTS, STRENGTHS
from krea_pipe.nodes import Json
from krea_pipe.pipeline import Axis, Stage, Value
from krea_pipe.source import Trail
from krea_pipe.spec.library import Library
from krea_pipe.spec.problems import Problems
from krea_pipe.spec.schema import suggestion
from krea_pipe.template import TemplateProblem, compile_template

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
        hint = "keys belong in the environment: set KREA_API_KEY"
        problems.add("secret_in_file", "this value looks like a secret key", trail, hint)


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
    values = list(_values(stage))
    if not any(name == "prompt" for name, _ in values):
        hint = "set `prompt:` to a text" + (", or to a name under `prompts:`" if library.prompts else "")
        problems.add("no_prompt", f"the stage `{stage.name}` has no prompt", stage.trail, hint)
    known = {*variables, *BUILT_IN, *(axis.name for axis in stage.axes)}
    used = {name for _, value in values for name in _names(value, known, problems)}
    used |= {name for rule in stage.exclude for name in rule.matches}
    in_use = {f"{kind}.{one}.strength" for kind, names in _named(values).items() for one in names}
    for axis in stage.axes:
        hint = f"use {{{{ {axis.name} }}}} in the prompt, or remove it"
        if axis.field and "." in axis.name:
            idle = axis.name not in in_use
            kind, name, _ = axis.name.split(".")
            hint = f"use it with `{kind}: [{name}]` in the stage or under `defaults:`"
        else:
            idle = not axis.field and axis.name not in used and not any(value.sets for value in axis.values)
        if idle:
            message = f"nothing uses the axis `{axis.name}`, so it would multiply the bill and change nothing"
            problems.add_key("unused_axis", message, axis.trail, hint)


def strength_warnings(library: Library) -> Iterator[Problem]:
    """Warn about strengths that only Krea's older guides allow."""
    for kind in LISTS:
        low, high = STRENGTHS[kind].sure
        for item in library.names(kind).values():
            strength = item.strength.data if item.strength else None
            if item.strength and isinstance(strength, (int, float)) and not low <= strength <= high:
                at = library.problems.document.place(item.strength.trail)
                message = f"a strength outside {low:g} to {high:g} is documented in older guides only"
                yield Problem("unsure_strength", message, at)


def unused_warnings(library: Library, stages: Iterable[Stage]) -> Iterator[Problem]:
    """Warn about references, moodboards and styles that no stage uses: nothing of them would be sent."""
    used = _named(value for stage in stages for value in _values(stage))
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


def _values(stage: Stage) -> Iterator[tuple[str, Value]]:
    """Every value of a stage that ends in a request or a path, with the name of what it sets."""
    yield from stage.fields.items()
    for axis in stage.axes:
        yield from _axis_values(axis)
    if stage.out is not None:
        yield "out", stage.out


def _axis_values(axis: Axis) -> Iterator[tuple[str, Value]]:
    for value in axis.values:
        yield from value.sets.items()


def _names(value: Value, known: set[str], problems: Problems) -> Iterator[str]:
    for text in value.data if isinstance(value.data, list) else [value.data]:
        if isinstance(text, str) and "{" in text:
            yield from _names_in(text, value.trail, known, problems)


def _names_in(text: str, trail: Trail, known: set[str], problems: Problems) -> Iterator[str]:
    try:
        template = compile_template(text)
    except TemplateProblem as error:
        problems.add_word(error.code, str(error), trail, word=error.word, hint=None)
        return
    for name in sorted(template.required - known):
        message = f"the template uses `{name}`, which nothing defines"
        hint = suggestion(name, known - set(BUILT_IN)) or suggestion(name, known)
        problems.add_word("undefined_variable", message, trail, word=name, hint=hint)
    yield from template.names
