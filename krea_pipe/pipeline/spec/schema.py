"""JSON Schema runs here: data in, located findings out, all of them at once."""

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby, islice
from pathlib import Path
from typing import Any, cast

import jsonschema
from jsonschema.exceptions import ValidationError

from krea_pipe.core.errors import Problem
from krea_pipe.core.json_data import Json
from krea_pipe.core.problem_list import MAX_PROBLEMS
from krea_pipe.pipeline.source import Document, Trail
from krea_pipe.pipeline.spec.forms import axis_at, form_of_key
from krea_pipe.pipeline.spec.hints import nearest, unknown_key_hint
from krea_pipe.pipeline.spec.wording import axis_message, name_of, rank, value_message
from krea_pipe.pipeline.template import slug

MAX_ERRORS = 10 * MAX_PROBLEMS
"""Of JSON Schema; several may be about one value."""

_RANGE = {"from", "to", "steps", "by", "count", "zip", "glob", "csv", "words"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, and the trail of what has to go before the rest of the data can be looked at."""

    problem: Problem
    trail: Trail


def schema_text(name: str) -> str:
    """The text of a schema, from the wheel or, in an editable install, from the repository's top level."""
    packaged = files("krea_pipe") / "schemas" / name
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[3] / "schemas" / name).read_text(encoding="utf-8")


def top_keys() -> list[str]:
    """The keys that may stand at the top of a file."""
    return list(cast("Mapping[str, Any]", _validator().schema)["properties"])


def find_problems(document: Document, data: Json) -> list[Finding]:
    """What the JSON Schema says against a document's data, or against what is left of it."""
    errors = sorted(islice(_validator().iter_errors(cast("Any", data)), MAX_ERRORS), key=_path)
    found = (finding for _, group in groupby(errors, _path) for finding in _describe(document, list(group)))
    return list(islice(found, MAX_PROBLEMS + 1))


def matrix_problem(axis: str, values: Json) -> Problem | None:
    """What the schema says first, without a place, against values of an axis that come from a variable."""
    return _problem_of({"version": 1, "matrix": {axis: values}})


def field_problem(name: str, value: Json) -> Problem | None:
    """What the schema says first, without a place, against the value of a request field."""
    return _problem_of({"version": 1, "stages": {"stage": {name: value}}}, above=2)


def _problem_of(data: Json, above: int = 0) -> Problem | None:
    errors = list(islice(_validator().iter_errors(cast("Any", data)), MAX_ERRORS))
    if not errors:
        return None
    trail = tuple(errors[0].absolute_path)[above:]
    if errors[0].validator == "required":
        return Problem("missing_key", f"{name_of(trail)} needs an `id`")
    if errors[0].validator == "additionalProperties" or "propertyNames" in errors[0].absolute_schema_path:
        return Problem("invalid_value", f"{name_of(trail)} has a key that it cannot have")
    code, message, near = value_message(trail, errors[0])
    return Problem(code, message, hint=near)


def sound_part(document: Document, found: Iterable[Finding]) -> tuple[Json, list[Trail]]:
    """The data without what is wrong, so that the rest can be checked too, and the trails of what was left out.

    Nothing is left when the file as a whole is no mapping.
    """
    data, dropped = copy.deepcopy(document.data), list[Trail]()
    while found:
        now = [trail for finding in found for trail in _drop(data, finding.trail)]
        if not now:
            return None, dropped
        dropped += now
        found = find_problems(document, data)
    return data, dropped


def _drop(data: Json, trail: Trail) -> Iterator[Trail]:
    """Remove the value at a trail, or the list that it is in, because the places of its neighbours would move."""
    if trail == ("version",) and isinstance(data, dict):
        data["version"] = 1
        yield trail
        return
    keys = next((index for index in range(len(trail), 0, -1) if isinstance(trail[index - 1], str)), 0)
    *above, last = trail[:keys] or ("",)
    owner: Any = data
    for step in above:
        owner = owner.get(step, {}) if isinstance(owner, dict) else owner[int(step)]
    if isinstance(owner, dict) and last in owner:
        del owner[last]
        yield trail[:keys]


@cache
def _validator() -> jsonschema.Draft202012Validator:
    # Kept, because jsonschema.validate() would check the schema itself anew in each call.
    return jsonschema.Draft202012Validator(_inlined(json.loads(schema_text("pipeline.schema.json"))))


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its small definitions in place of references to them, which take as long to follow as to check."""
    whole = {f"#/$defs/{name}": one for name, one in schema["$defs"].items() if '"$ref"' not in json.dumps(one)}

    def put(part: Any) -> Any:  # noqa: ANN401 (any JSON)
        if isinstance(part, list):
            return [put(one) for one in part]
        if not isinstance(part, dict):
            return part
        new = {key: put(one) for key, one in part.items() if key != "$ref"}
        found = whole.get(part["$ref"]) if isinstance(part.get("$ref"), str) else None
        if found is None or found.keys() & new.keys() - {"description", "examples"}:
            return new | {key: one for key, one in part.items() if key == "$ref"}
        return found | new

    return cast("dict[str, Any]", put(schema))


def _path(error: ValidationError) -> list[tuple[bool, int | str]]:
    return [(isinstance(step, str), step) for step in error.absolute_path]


def _describe(document: Document, errors: list[ValidationError]) -> Iterator[Finding]:
    """What to say about all errors of one value."""
    trail: Trail = tuple(errors[0].absolute_path)
    value = errors[0].instance
    names = [error for error in errors if "propertyNames" in error.absolute_schema_path]
    axis = axis_at(trail)
    if axis and not axis[1] and isinstance(value, dict) and not _like_range(value):
        yield Finding(_problem(document, trail, axis_message(trail)), trail)
        return
    for error in names:
        yield _bad_name(document, tuple(error.absolute_path), str(error.instance))
    unknown = [finding for error in errors for finding in _unknown_keys(document, error)]
    yield from unknown
    missing = [str(error.message).split("'")[1] for error in errors if error.validator == "required"]
    if not any(error.validator == "type" for error in errors):
        yield from _missing(document, trail, missing, [str(finding.trail[-1]) for finding in unknown])
    others = [error for error in errors if error.validator not in ("additionalProperties", "required")]
    others = [error for error in others if error not in names and not (error.validator == "anyOf" and unknown)]
    if others:
        said = value_message(trail, min(others, key=rank))
        yield Finding(_problem(document, trail, said), trail)


def _problem(document: Document, trail: Trail, said: tuple[str, str, str | None]) -> Problem:
    code, message, hint = said
    return Problem(code, message, document.place(trail), hint)


def _like_range(axis: Mapping[str, Json]) -> bool:
    return any(nearest(key, _RANGE) for key in axis)


def _unknown_keys(document: Document, error: ValidationError) -> Iterator[Finding]:
    if error.validator != "additionalProperties":
        return
    known = cast("Mapping[str, Any]", error.schema)["properties"]
    for key in cast("dict[str, Json]", error.instance):
        if key not in known:
            trail: Trail = (*error.absolute_path, key)
            yield Finding(_unknown_key(document, trail, known), trail)


def _unknown_key(document: Document, trail: Trail, known: Iterable[str]) -> Problem:
    key, at = str(trail[-1]), document.key_place(trail)
    inside = f" in {name_of(trail[:-1])}" if len(trail) > 1 else ""
    return Problem("unknown_key", f"unknown key `{key}`{inside}", at, unknown_key_hint(trail, known))


def _missing(document: Document, trail: Trail, keys: list[str], unknown: list[str]) -> Iterator[Finding]:
    """Keys that must be there; an unknown key beside them is taken for a slip of one of them."""
    at = document.place(trail)
    if not trail and keys and not any(nearest(key, keys) for key in unknown):
        said = "start the file with `version: 1`"
        yield Finding(Problem("missing_version", "`version` is missing", at, said), ("version",))
    elif trail and keys and not unknown:
        named = " and ".join(f"`{key}`" for key in keys)
        yield Finding(Problem("missing_key", f"{name_of(trail)} needs {named}", at, _missing_hint(trail, keys)), trail)


def _missing_hint(trail: Trail, keys: list[str]) -> str | None:
    if keys == ["id"]:
        return None if {"moodboards", "styles"} & {*trail} else "give the row a short name: `id: serum`"
    if keys[0] in _RANGE:
        return "write {from: 0, to: 1, steps: 5}, {count: 4}, or a list"
    return form_of_key("patch" if "patch" in trail else keys[0])


def _bad_name(document: Document, trail: Trail, name: str) -> Finding:
    at = document.key_place((*trail, name))
    if trail[-1:] == ("stages",):
        hint = f"write `{slug(name) or 'hero'}`: letters, digits, dots, hyphens and _"
    elif re.match(r"(references|moodboards|styles)\.", name):
        hint = f"the axis for a strength is {name.split('.')[0]}.NAME.strength"
    else:
        near = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        hint = f"write `{'_' * near[:1].isdigit()}{near or 'name'}`: letters, digits and _, not starting with a digit"
    return Finding(Problem("invalid_name", f"`{name}` cannot be a name", at, hint), (*trail, name))
