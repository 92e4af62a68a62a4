"""Names that `--set` and `--vars` give and the file does not have: what is wrong, and what would work."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.fields import FIELD_NAMES, LIST_FIELDS, SINGULARS
from krea_pipe.core.json_data import Json, mapping_in
from krea_pipe.pipeline.spec.hints import nearest, suggestion
from krea_pipe.pipeline.spec.problems import Problems, words_of
from krea_pipe.pipeline.spec.variables import names_read

_DEFINITIONS = {
    "stages": "stage",
    "axes": "axis",
    "looks": "look",
    "prompts": "prompt",
    "references": "reference",
    "moodboards": "moodboard",
    "styles": "style",
    "checks": "check",
    "profiles": "profile",
    "env": "environment variable",
}
"""Keys whose own keys are names, and the kind of thing that such a name stands for."""


def check_set_paths(paths: Iterable[Sequence[str]], data: Mapping[str, Json]) -> None:
    """Refuse `--set` at the path of a stage, a look and so on that the file neither defines nor uses.

    Raises:
        UsageError: there is such a path.
    """
    for path in paths:
        if len(path) < 2 or path[0] not in _DEFINITIONS:
            continue
        kind, name = path[:2]
        known = mapping_in(data, kind)
        others = {key: one for key, one in data.items() if key != kind}
        if name in known or (kind != "stages" and name in {*words_of(others), *names_read(others)}):
            continue
        message = f"--set {'.'.join(path)}: the file has no {_DEFINITIONS[kind]} `{name}`"
        hint = suggestion(name, known) or f"define it under `{kind}:`"
        raise UsageError(Problem("unknown_name", message, hint=hint))


def check_given_names(
    names: Iterable[str], variables: Collection[str], used: Collection[str], problems: Problems
) -> None:
    """Refuse variables of `--set` and `--vars` that the file neither defines nor uses."""
    for name in names:
        if name not in variables and name not in used:
            near = suggestion(name, variables)
            hint = near.replace("`", "`vars.", 1) if near and near.startswith("did") else near
            message = f"the file has no variable `{name}`, and no template uses it"
            problems.add_key(
                "unknown_variable", message, ("vars", name), hint or "define it under `vars:`, or remove it"
            )


def set_hint(data: dict[str, Json], key: str) -> str | None:
    """What to write instead of `--set KEY=…`, where the file has no such key at its top level."""
    own = [*_uses(data)]
    forms = dict(own)
    name = key if key in forms else nearest(key, [*forms, *FIELD_NAMES])
    if name in FIELD_NAMES:
        return f"did you mean `--set {name}=…`?"
    if name is not None:
        return forms[name]
    return f"write `--set vars.{key}=…`" if key in names_read(data) else None


def _uses(data: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Each name that the file defines, and how an option refers to it; of several with one name, the last counts."""
    for name in mapping_in(data, "profiles"):
        yield name, f"`{name}` is a profile: use `--profile {name}`"
    for name in mapping_in(data, "stages"):
        yield name, f"`{name}` is a stage: set one of its fields with `--set stages.{name}.FIELD=…`"
    for kind in ("looks", "prompts", *LIST_FIELDS):
        field = {"looks": "look", "prompts": "prompt"}.get(kind, kind)
        for name in mapping_in(data, kind):
            yield name, f"`{name}` is a {_DEFINITIONS[kind]}: use `--set {field}={name}`"
    for axis in _axes(data):
        yield axis, f"`{axis}` is an axis: select its values with `-k {axis}=…`, or change them in the file"
    for name in mapping_in(data, "vars"):
        yield name, f"did you mean `vars.{name}`?"


def _axes(data: Mapping[str, Json]) -> Iterator[str]:
    yield from mapping_in(data, "axes")
    stages = mapping_in(data, "stages")
    for stage in (data, *(mapping_in(stages, name) for name in stages)):
        matrix = stage.get("matrix")
        for one in matrix if isinstance(matrix, list) else [matrix]:
            if isinstance(one, dict):
                yield from (axis for axis in one if axis not in (*FIELD_NAMES, *SINGULARS) and "." not in axis)
