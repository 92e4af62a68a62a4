"""JSON Schema runs here: data in, located findings out, all of them at once, each as a sentence with a hint."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import groupby, islice
from typing import Any, cast

import jsonschema
from jsonschema.exceptions import ValidationError

from krea_pipe.core.contract import ASPECT_RATIOS, RESOLUTIONS, VARIANTS
from krea_pipe.core.errors import Problem
from krea_pipe.core.excerpts import shown
from krea_pipe.core.fields import DEFAULTS, LIST_FIELDS, allow_hint
from krea_pipe.core.json_data import Json, mapping_in
from krea_pipe.core.problem_list import MAX_PROBLEMS
from krea_pipe.core.written import Written
from krea_pipe.pipeline.source import Document, Trail
from krea_pipe.pipeline.spec.given_names import set_hint
from krea_pipe.pipeline.spec.hints import axis_at, form_of, form_of_key, near_ratio, nearest, unknown_key_hint
from krea_pipe.pipeline.spec.schema import Finding, Schema
from krea_pipe.pipeline.spec.variables import names_read
from krea_pipe.pipeline.template import is_template, slug

MAX_ERRORS = 10 * MAX_PROBLEMS
"""Of JSON Schema; several may be about one value."""

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_AXIS_HINT = "write a list, [dawn, noon], rows, [{id: dawn, text: low light}], {from: 0, to: 1, steps: 5} or {count: 4}"
_KNOWN = {"variant": {*VARIANTS}, "aspect_ratio": {*ASPECT_RATIOS}, "resolution": {*RESOLUTIONS}}
_UNKNOWN_EXAMPLES = {"variant": "`xl`", "aspect_ratio": '"5:4"', "resolution": "`2K`"}
_ALONE = ("count", "zip", "glob", "csv", "words")
_RANK = ("type", "const", "enum", "minimum", "maximum", "minItems", "minProperties", "minLength", "pattern")
_RANGE = {"from", "to", "steps", "by", "count", "zip", "glob", "csv", "words"}

_Validator = jsonschema.Draft202012Validator


def describe_problems(document: Document, data: Json, schema: Schema) -> list[Finding]:
    """The problems of data that does not fit the schema of pipeline files, all of them at once."""
    validator = _validator(schema)
    errors = sorted(islice(validator.iter_errors(cast("Any", data)), MAX_ERRORS), key=_path)
    found = (finding for _, group in groupby(errors, _path) for finding in _describe(document, list(group), validator))
    return list(islice(found, MAX_PROBLEMS + 1))


def describe_first(data: Json, schema: Schema, above: int) -> Problem | None:
    """The first problem of data that does not fit, without a place; `above` is how many keys its name leaves out."""
    errors = list(islice(_validator(schema).iter_errors(cast("Any", data)), MAX_ERRORS))
    if not errors:
        return None
    trail = tuple(errors[0].absolute_path)[above:]
    if errors[0].validator == "required":
        return Problem("missing_key", f"{_name_of(trail)} needs an `id`")
    if errors[0].validator == "additionalProperties" or "propertyNames" in errors[0].absolute_schema_path:
        return Problem("invalid_value", f"{_name_of(trail)} has a key that is not allowed")
    code, message, near = _value_message(trail, errors[0])
    return Problem(code, message, hint=near)


@lru_cache(maxsize=4)
def _validator(schema: Schema) -> _Validator:
    # Kept, because jsonschema.validate() would check the schema itself again in each call.
    return _Validator(_inlined(schema.data))


def _inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
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


def _describe(document: Document, errors: list[ValidationError], validator: _Validator) -> Iterator[Finding]:
    """What to say about all errors of one value."""
    trail: Trail = tuple(errors[0].absolute_path)
    value = errors[0].instance
    names = [error for error in errors if "propertyNames" in error.absolute_schema_path]
    axis = axis_at(trail)
    if axis and not axis[1] and isinstance(value, dict) and not any(nearest(key, _RANGE) for key in value):
        message = f"the values of {_name_of(trail)} must be a list, not a mapping"
        yield Finding(Problem("wrong_type", message, document.place(trail), _AXIS_HINT), trail)
        return
    for error in names:
        yield _bad_name(document, tuple(error.absolute_path), str(error.instance))
    unknown = [finding for error in errors for finding in _unknown_keys(document, error, validator)]
    yield from unknown
    missing = [str(error.message).split("'")[1] for error in errors if error.validator == "required"]
    if not any(error.validator == "type" for error in errors):
        yield from _missing(document, trail, missing, [str(finding.trail[-1]) for finding in unknown])
    others = [error for error in errors if error.validator not in ("additionalProperties", "required")]
    others = [error for error in others if error not in names and not (error.validator == "anyOf" and unknown)]
    if others:
        code, message, hint = _value_message(trail, min(others, key=_rank))
        yield Finding(Problem(code, message, document.place(trail), hint), trail)


def _unknown_keys(document: Document, error: ValidationError, validator: _Validator) -> Iterator[Finding]:
    if error.validator != "additionalProperties":
        return
    known = cast("Mapping[str, Any]", error.schema)["properties"]
    above = tuple(error.absolute_path)
    inside = f" in {_name_of(above)}" if above else ""
    for key, value in cast("dict[str, Json]", error.instance).items():
        if key not in known:
            trail: Trail = (*above, key)
            fitting = [name for name in known if _fits(known[name], value, validator)]
            at, hint = document.key_place(trail), None if above else _name_hint(document, key)
            hint = hint or unknown_key_hint(trail, known, fitting)
            hint = hint or ("if it is a variable, put it under `vars:`" if not above else None)
            yield Finding(Problem("unknown_key", f"unknown key `{key}`{inside}", at, hint), trail)


def _fits(part: Mapping[str, Any], value: Json, validator: _Validator) -> bool:
    """Whether a part of the schema takes values of this kind: text, a number, a list or a mapping."""
    if isinstance(value, str) and is_template(value):
        return True
    shell: Any = {} if isinstance(value, dict) else [] if isinstance(value, list) else value
    return not any(map(_is_of_other_kind, validator.evolve(schema=part).iter_errors(shell)))


def _is_of_other_kind(error: ValidationError) -> bool:
    if error.path or error.validator not in ("type", "anyOf", "oneOf"):
        return False
    branches = groupby(error.context or (), lambda one: one.schema_path[0])
    return error.validator == "type" or all(any(map(_is_of_other_kind, branch)) for _, branch in branches)


def _name_hint(document: Document, key: str) -> str | None:
    """What to do with a key at the top of a file that is the name of a variable or an axis."""
    data = document.data
    if isinstance(data, dict) and document.key_place((key,)).is_whole:  # of `--set`
        return set_hint({name: one for name, one in data.items() if name != key}, key)
    value = data.get(key) if isinstance(data, dict) else None
    if isinstance(data, dict) and key in mapping_in(data, "vars"):
        return f"did you mean `vars.{key}`?"
    if key not in names_read(data):
        return None
    return (
        f"put it under `matrix:`: `matrix: {{{key}: [ … ]}}`"
        if isinstance(value, list)
        else (f"put it under `vars:`: `vars: {{{key}: …}}`")
    )


def _missing(document: Document, trail: Trail, keys: list[str], unknown: list[str]) -> Iterator[Finding]:
    """Keys that must be there; an unknown key beside them is taken for a slip of one of them."""
    at = document.place(trail)
    if not trail and keys and not any(nearest(key, keys) for key in unknown):
        said = "start the file with `version: 1`"
        yield Finding(Problem("missing_version", "`version` is missing", at, said), ("version",))
    elif trail and keys and not unknown:
        named = " and ".join(f"`{key}`" for key in keys)
        yield Finding(Problem("missing_key", f"{_name_of(trail)} needs {named}", at, _missing_hint(trail, keys)), trail)


def _missing_hint(trail: Trail, keys: list[str]) -> str | None:
    if keys == ["id"]:
        return None if {"moodboards", "styles"} & {*trail} else "give the row a short id: `id: serum`"
    if keys[0] in _RANGE:
        return "write {from: 0, to: 1, steps: 5}, {count: 4}, or a list"
    return form_of_key("patch" if "patch" in trail else keys[0])


def _bad_name(document: Document, trail: Trail, name: str) -> Finding:
    at = document.key_place((*trail, name))
    if trail[:1] == ("allow_unknown",):
        hint = f"write it as Krea does, such as {_UNKNOWN_EXAMPLES.get(str(trail[-1]), 'xl')}"
    elif trail[-1:] == ("stages",):
        hint = f"write `{slug(name) or 'hero'}`: letters, digits, dots, hyphens and _"
    elif re.match(r"(references|moodboards|styles)\.", name):
        hint = f"the axis for a strength is {name.split('.')[0]}.NAME.strength"
    else:
        near = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        hint = f"write `{'_' * near[:1].isdigit()}{near or 'name'}`: letters, digits and _, not starting with a digit"
    return Finding(Problem("invalid_name", f"`{name}` is not a valid name", at, hint), (*trail, name))


def _rank(error: ValidationError) -> int:
    """The rank of an error among several about one value; the lowest is the most informative."""
    return _RANK.index(str(error.validator)) if error.validator in _RANK else len(_RANK)


def _value_message(trail: Trail, error: ValidationError) -> tuple[str, str, str | None]:
    """Code, message and hint for a value that the schema refuses."""
    name, value, limit = _name_of(trail), cast("Any", error.instance), cast("Any", error.validator_value)
    match error.validator:
        case "type" | "const" | "enum" | "minimum" | "maximum":
            return _unwanted(trail, error)
        case "maxItems" | "uniqueItems":
            return _list_message(trail, error)
        case "minItems" | "minProperties" | "minLength":
            return "empty_value", f"{name} is empty", form_of(trail)
        case "pattern" if not str(value).strip():
            return "empty_value", f"{name} is empty", form_of(trail)
        case "maxProperties" if "allow_unknown" in trail:
            return "too_many", f"{name} has {len(value)} values; the maximum is {limit}", None
        case "maxProperties":
            alone, *others = sorted(value, key=lambda key: key not in _ALONE)
            listed = " and ".join(f"`{key}`" for key in others)
            return "too_many", f"`{alone}` in {name} cannot be combined with other keys", f"remove {listed}"
        case "anyOf":
            return "missing_key", f"{name} has no `images`", "write {images: refs/brand.jpg}"
        case "not" if "by" in value:
            return "too_many", f"{name} can have `steps` or `by`, not both", "remove one of the two"
        case "not":
            return "too_many", f"{name} can have `images` or `image`, not both", "put all of them under `images`"
        case _:
            return "invalid_value", f"{name} cannot be {shown(value)}", _pattern_hint(trail)


def _list_message(trail: Trail, error: ValidationError) -> tuple[str, str, str | None]:
    """The same for a list that is too long or has an item twice."""
    name, items = _name_of(trail), cast("list[Json]", error.instance)
    if error.validator == "uniqueItems":
        twice = next(one for place, one in enumerate(items) if one in items[:place])
        return "duplicate_value", f"{name} has {shown(twice)} twice", "remove one of the two"
    message = f"{name} has {len(items)} items; the maximum is {error.validator_value}"
    return "too_many", message, "Krea accepts one moodboard per request" if "moodboards" in trail else None


def _name_of(trail: Trail) -> str:
    """The name of the value at a trail in messages: its last two keys, and its number in a list."""
    words = [str(one) for one in trail if isinstance(one, str)]
    if not words:
        return "the file"
    item = f" item {trail[-1] + 1}" if isinstance(trail[-1], int) else ""
    return f"`{'.'.join(words[-2:])}`{item}"


def _unwanted(trail: Trail, error: ValidationError) -> tuple[str, str, str | None]:
    schema, value = cast("Mapping[str, Any]", error.schema), error.instance
    code = {"type": "wrong_type", "minimum": "out_of_range", "maximum": "out_of_range"}
    wanted = _wanted_use(trail, schema) or _wanted(schema)
    message = f"{_name_of(trail)} must be {wanted}, not {shown(value)}"
    if value is None:
        message = f"{_name_of(trail)} has no value; it must be {wanted}"
    return code.get(str(error.validator), "invalid_value"), message, _hint(trail, schema, value)


def _wanted(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return shown(schema["const"])
    if "enum" in schema:
        words = [str(one) if str(one)[:1].isalnum() else json.dumps(one) for one in schema["enum"]]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if len(kinds) > 1 and "boolean" in kinds:
        return "text, a number, true, false or null"  # any scalar
    *first, last = [_TYPES[one] + _span(schema) * (one in ("integer", "number")) for one in kinds]
    return f"{', '.join(first)} or {last}" if first else last


def _span(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" of at least {low}" if low is not None else ""


def _wanted_use(trail: Trail, schema: Mapping[str, Any]) -> str | None:
    kind = next((one for one in trail[-2:] if one in LIST_FIELDS), None)
    if kind and set(schema.get("type", ())) == {"string", "null", "array"}:
        return "a name, a list of names, or null"
    if len(trail) > 1 and all(isinstance(step, int) for step in trail[-2:]):
        return "a name"  # only lists of names hold lists
    if kind and isinstance(trail[-1], int):
        return "a name or " + ("{image: …}" if kind == "references" else "{id: …}")
    return None


def _hint(trail: Trail, schema: Mapping[str, Any], value: object) -> str | None:
    """What to do about a value of the wrong type, or one that is not among those allowed."""
    last = trail[-1] if trail else None
    if trail[:1] == ("allow_unknown",) and not isinstance(value, (str, int, float)):
        return form_of_key("allow_unknown")
    if isinstance(value, list) and last in DEFAULTS:
        return f"only a matrix multiplies: write the list there, `matrix: {{{last}: [ … ]}}`"
    if "const" in schema:
        return (
            "write it without quotes"
            if value == str(schema["const"])
            else "this version of krea-pipe reads `version: 1`"
        )
    axis, rest = axis_at(trail) or ("", ())
    if isinstance(value, dict) and len(rest) == 1:
        if axis in LIST_FIELDS:
            return f"define it under `{axis}:` and write its name here"
        return f"write plain values; to use rows, rename the axis and set the field in them: set: {{{axis}: …}}"
    if "enum" in schema:
        return _enum_hint(schema["enum"], value)
    if "object" in schema["type"]:
        return _mapping_hint(trail, value)
    if isinstance(value, dict) and trail[-1] in LIST_FIELDS:
        return f"put it in a list: {trail[-1]}: [{{…}}]"
    if schema["type"] == "array":
        return _list_hint(trail, value)
    return _scalar_hint(trail, schema, value)


def _enum_hint(options: list[str], value: object) -> str | None:
    name = next((one for one, known in _KNOWN.items() if known <= {*options}), "")
    if name == "resolution":
        near: str | None = f"Krea 2 is only known to offer {' and '.join(options)}: remove this line"
    elif not isinstance(value, str):
        return None
    elif name == "aspect_ratio":
        near = near_ratio(value)
    else:
        found = nearest(value, options)
        near = f"did you mean `{found}`?" if found else None
    allow = allow_hint(name, cast("Json", value))
    if near is None or allow is None:
        return near or allow
    return f"{near} I{allow[1:]}" if near.endswith("?") else f"{near}; {allow}"


def _mapping_hint(trail: Trail, value: object) -> str | None:
    if not trail:
        return "start the file with `version: 1`, then `prompt: …`"
    if len(trail) == 2 and trail[0] == "references" and isinstance(value, (str, list)):
        return f"write {{images: {value if isinstance(value, str) else '[ … ]'}}}"
    if len(trail) == 2 and trail[0] in ("moodboards", "styles") and isinstance(value, str):
        return f"write {{id: {value}}}"
    if len(trail) == 2 and trail[0] == "stages":
        return "write a `prompt:` below it"
    if len(trail) == 2 and trail[0] == "deliver":
        return "put a name before each recipe, `web: {format: webp}`, or write a list: `deliver: [{format: webp}]`"
    return form_of(trail) or form_of_key(str(trail[0]))


def _list_hint(trail: Trail, value: object) -> str | None:
    if trail == ("include",) and isinstance(value, str) and value.lower().endswith((".yaml", ".yml")):
        return f"to use the definitions of another file: `use: [{value}]`"
    if trail[-1] in ("exclude", "include", "patch") and isinstance(value, dict):
        return f"start each with a hyphen: {str(form_of(trail)).partition(': ')[2]}"
    if isinstance(value, str) and value.startswith("-"):
        return "put a space after each hyphen: `- dawn`"
    if trail[-1] == "colours":
        return form_of(trail)
    return f"put it in brackets: [{value}]" if isinstance(value, (str, int, float)) else form_of(trail)


def _scalar_hint(trail: Trail, schema: Mapping[str, Any], value: object) -> str | None:
    if isinstance(value, (int, float)) and "string" in schema["type"]:
        said = value.written if isinstance(value, Written) else str(value).lower()
        return f"write it in quotes: {shown(said)}"
    number = isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?", value)
    if number and "string" not in schema["type"]:
        return "write it without quotes"
    return form_of(trail) if value is None else None


def _pattern_hint(trail: Trail) -> str | None:
    if "moodboards" in trail and trail[-1] == "id":
        return "a moodboard id is a UUID, such as 3f0c9c1e-8f1b-4f0e-9f5d-2b7a1c6d4e90, as in its share link"
    if "colours" in trail:
        return 'write it as "#ff6600", in quotes'
    if trail and trail[-1] == "background":
        return form_of_key("background")
    return "use letters, digits, dots, hyphens and _" if trail and trail[-1] in ("id", "name") else None
