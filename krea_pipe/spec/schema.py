"""JSON Schema runs here: data in, located problems out, all of them at once."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import jsonschema
from jsonschema.exceptions import ValidationError

from krea_pipe.errors import Problem
from krea_pipe.nodes import Json
from krea_pipe.source import Document, Trail

LATER = {
    "looks": "looks",
    "look": "looks",
    "axes": "shared axes",
    "picks": "picks",
    "sample": "sampling",
    "profiles": "profiles",
    "for_each": "chained stages",
    "needs": "chained stages",
    "with": "`with`",
    "include": "`include`",
    "patch": "`patch`",
    "takes": "takes",
    "allow_unused": "`allow_unused`",
    "image": "source images",
    "strength": "source images",
    "env": "declared environment variables",
    "by": "ranges by step size",
    "glob": "axes from files",
    "csv": "axes from files",
    "words": "axes from files",
    "zip": "zipped axes",
    "if": "rules with an expression",
}
_ALIASES = {"moodboard": "moodboards", "style": "styles", "reference": "references", "model": "variant"}
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def schema_text(name: str) -> str:
    """The text of a schema, from the wheel or, in an editable install, from the repository's top level."""
    packaged = files("krea_pipe") / "schemas" / name
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "schemas" / name).read_text(encoding="utf-8")


def schema_problems(document: Document) -> list[Problem]:
    """What the JSON Schema says against a document, in the order of the file."""
    errors = _validator().iter_errors(cast("Any", document.data))
    found = [problem for error in errors for problem in _describe(document, error)]
    unique = dict.fromkeys(found)
    return sorted(unique, key=lambda problem: (problem.at.line, problem.at.column) if problem.at else (0, 0))


@cache
def _validator() -> jsonschema.Draft202012Validator:
    # Kept, because jsonschema.validate() would check the schema itself anew in each call.
    return jsonschema.Draft202012Validator(json.loads(schema_text("pipeline.schema.json")))


def _describe(document: Document, error: ValidationError) -> Iterator[Problem]:
    trail: Trail = tuple(error.absolute_path)
    match error.validator:
        case "additionalProperties":
            schema = cast("Mapping[str, Any]", error.schema)
            for key in cast("dict[str, Json]", error.instance):
                if key not in schema.get("properties", {}):
                    yield _unknown_key(document, (*trail, key), schema["properties"])
        case "required":
            missing = str(error.message).split("'")[1]
            yield _missing(document, trail, missing)
        case "pattern" if "propertyNames" in error.absolute_schema_path:
            yield _bad_name(document, (*trail, str(error.instance)), str(error.instance))
        case _:
            code, message, hint = _value_message(trail, error)
            yield Problem(code, message, document.place(trail), hint)


def _unknown_key(document: Document, trail: Trail, known: Iterable[str]) -> Problem:
    key, at = str(trail[-1]), document.key_place(trail)
    inside = f" in {_name_of(trail[:-1])}" if len(trail) > 1 else ""
    if key in LATER:
        message = f"`{key}` is reserved for a later version of krea-pipe ({LATER[key]})"
        return Problem("reserved_key", message, at, "remove it for now")
    hint = _suggestion(key, known)
    fields = json.loads(schema_text("pipeline.schema.json"))["$defs"]["fields"]["properties"]
    if hint is None and len(trail) == 1 and key in fields:
        hint = f"put it under `defaults:` or in a stage: `defaults: {{{key}: …}}`"
    return Problem("unknown_key", f"unknown key `{key}`{inside}", at, hint)


def _suggestion(word: str, known: Iterable[str]) -> str | None:
    options = list(known)
    if _ALIASES.get(word) in options:
        return f"did you mean `{_ALIASES[word]}`?"
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None


def suggestion(word: str, known: Iterable[object]) -> str | None:
    """A hint with the known word nearest to what was written, or with all of them when they are few."""
    options = sorted({str(one) for one in known})
    near = _suggestion(word, options)
    if near or not options:
        return near
    return f"known: {', '.join(options)}" if len(options) <= 12 else None


def _missing(document: Document, trail: Trail, key: str) -> Problem:
    at = document.place(trail)
    if key == "version":
        return Problem("missing_version", "`version` is missing", at, "start the file with `version: 1`")
    if key in ("from", "to", "steps"):
        hint = "write {from: 0, to: 1, steps: 5}, {count: 4}, or a list"
        return Problem("missing_key", f"{_name_of(trail)} needs `{key}`", at, hint)
    return Problem("missing_key", f"{_name_of(trail)} needs `{key}`", at)


def _bad_name(document: Document, trail: Trail, name: str) -> Problem:
    hint = "a name is letters, digits and _, and starts with a letter"
    return Problem("invalid_name", f"`{name}` can not be a name", document.key_place(trail), hint)


def _value_message(trail: Trail, error: ValidationError) -> tuple[str, str, str | None]:
    name, value, limit = _name_of(trail), error.instance, cast("Any", error.validator_value)
    match error.validator:
        case "type":
            wanted = " or ".join(_TYPES[one] for one in ([limit] if isinstance(limit, str) else limit))
            return "wrong_type", f"{name} is {wanted}, not {_shown(value)}", _type_hint(value, wanted)
        case "enum":
            hint = "Krea 2 has 1K only" if limit == ["1K"] else _suggestion(str(value), map(str, limit))
            return (
                "invalid_value",
                f"{name} is one of {', '.join(map(str, limit))}, not {_shown(value)}",
                hint,
            )
        case "const":
            return "invalid_value", f"{name} is {limit}, not {_shown(value)}", None
        case "minimum" | "maximum":
            side = "at least" if error.validator == "minimum" else "at most"
            return "out_of_range", f"{name} is {side} {limit:g}, not {_shown(value)}", None
        case "maxItems":
            return "too_many", f"{name} holds at most {limit}, not {len(cast('list[Json]', value))}", _many_hint(trail)
        case "minItems" | "minProperties" | "minLength":
            return "empty_value", f"{name} is empty", None
        case "maxProperties":
            return "too_many", f"{name}: `count` stands alone", "write {count: n}, or {from, to, steps}"
        case "oneOf":
            return "missing_key", f"{name} needs either `images` or `image`", None
        case _:
            return "invalid_value", f"{name} can not be {_shown(value)}", _pattern_hint(trail)


def _many_hint(trail: Trail) -> str | None:
    return "Krea takes one moodboard a request" if "moodboards" in trail else None


def _pattern_hint(trail: Trail) -> str | None:
    if "moodboards" in trail and trail[-1] == "id":
        return "a moodboard id is a UUID, as in its share link"
    return "use letters, digits, dots, hyphens and _" if trail and trail[-1] in ("id", "name") else None


def _type_hint(value: object, wanted: str) -> str | None:
    if value is None:
        return "the value is empty"
    if wanted == "text" and isinstance(value, (int, float)):
        return f'write it in quotes: "{value}"'
    if wanted.endswith("number") and isinstance(value, str):
        return "write it without quotes" if value.lstrip("+-").replace(".", "", 1).isdigit() else None
    return "put it in brackets: [ … ]" if wanted == "a list" and isinstance(value, (str, int, float)) else None


def _name_of(trail: Trail) -> str:
    words = [str(one) for one in trail if isinstance(one, str)]
    if not words:
        return "the file"
    item = f" item {trail[-1] + 1}" if isinstance(trail[-1], int) else ""
    return f"`{'.'.join(words[-2:])}`{item}"


def _shown(value: object) -> str:
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "null"
        case bool():
            return str(value).lower()
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
