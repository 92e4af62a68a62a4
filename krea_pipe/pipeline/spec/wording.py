"""What the JSON Schema finds wrong with one value, said in a sentence with a hint."""

import re
from collections.abc import Mapping
from typing import Any, cast

from jsonschema.exceptions import ValidationError

from krea_pipe.core.excerpts import shown
from krea_pipe.core.fields import DEFAULTS, LISTS
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.forms import axis_at, form_of, form_of_key
from krea_pipe.pipeline.spec.hints import near_ratio, nearest

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_ALONE = ("count", "zip", "glob", "csv", "words")
_RANK = ("type", "const", "enum", "minimum", "maximum", "minItems", "minProperties", "minLength", "pattern")


def rank(error: ValidationError) -> int:
    """How telling an error is among several about one value; the lowest says most."""
    return _RANK.index(str(error.validator)) if error.validator in _RANK else len(_RANK)


def value_message(trail: Trail, error: ValidationError) -> tuple[str, str, str | None]:
    """Code, message and hint for a value that the schema refuses."""
    name, value, limit = name_of(trail), cast("Any", error.instance), cast("Any", error.validator_value)
    match error.validator:
        case "type" | "const" | "enum" | "minimum" | "maximum":
            return _unwanted(trail, error)
        case "maxItems":
            message = f"{name} holds {len(cast('list[Json]', value))} items; at most {limit} may stand there"
            return "too_many", message, "Krea takes one moodboard a request" if "moodboards" in trail else None
        case "minItems" | "minProperties" | "minLength":
            return "empty_value", f"{name} is empty", form_of(trail)
        case "pattern" if not str(value).strip():
            return "empty_value", f"{name} is empty", form_of(trail)
        case "maxProperties":
            return _not_alone(name, value)
        case "anyOf":
            return "missing_key", f"{name} has no `images`", "write {images: refs/brand.jpg}"
        case "not":
            return _not_both(name, value)
        case _:
            return "invalid_value", f"{name} cannot be {shown(value)}", _pattern_hint(trail)


def _not_alone(name: str, value: Mapping[str, Json]) -> tuple[str, str, str | None]:
    alone, *others = sorted(value, key=lambda key: key not in _ALONE)
    listed = " and ".join(f"`{key}`" for key in others)
    return "too_many", f"in {name} `{alone}` stands alone", f"remove {listed}"


def _not_both(name: str, value: Mapping[str, Json]) -> tuple[str, str, str | None]:
    if "by" in value:
        return "too_many", f"{name} takes `steps` or `by`, not both", "remove one of the two"
    return "too_many", f"{name} takes `images` or `image`, not both", "put all of them under `images`"


def name_of(trail: Trail) -> str:
    """What a message calls the value at a trail: its last two keys, and its number in a list."""
    words = [str(one) for one in trail if isinstance(one, str)]
    if not words:
        return "the file"
    item = f" item {trail[-1] + 1}" if isinstance(trail[-1], int) else ""
    return f"`{'.'.join(words[-2:])}`{item}"


def axis_message(trail: Trail) -> tuple[str, str, str | None]:
    """Code, message and hint for an axis that is a mapping of something else than a range."""
    hint = "write a list, [dawn, noon], rows, [{id: dawn, text: low light}], {from: 0, to: 1, steps: 5} or {count: 4}"
    return "wrong_type", f"the values of {name_of(trail)} must be a list, not a mapping", hint


def _unwanted(trail: Trail, error: ValidationError) -> tuple[str, str, str | None]:
    schema, value = cast("Mapping[str, Any]", error.schema), error.instance
    code = {"type": "wrong_type", "minimum": "out_of_range", "maximum": "out_of_range"}
    wanted = _wanted_use(trail, schema) or _wanted(schema)
    message = f"{name_of(trail)} must be {wanted}, not {shown(value)}"
    if value is None:
        message = f"{name_of(trail)} has no value; it must be {wanted}"
    return code.get(str(error.validator), "invalid_value"), message, _hint(trail, schema, value)


def _wanted(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return shown(schema["const"])
    if "enum" in schema:
        words = [str(one) for one in schema["enum"]]
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
    kind = next((one for one in trail[-2:] if one in LISTS), None)
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
    if isinstance(value, list) and last in DEFAULTS:
        return f"only a matrix multiplies: write the list there, `matrix: {{{last}: [ … ]}}`"
    if "const" in schema:
        return "write it without quotes" if value == str(schema["const"]) else "this krea-pipe reads version 1"
    axis = axis_at(trail)
    if isinstance(value, dict) and axis and len(axis[1]) == 1:
        return _row_hint(axis[0])
    if "enum" in schema:
        return _enum_hint(schema["enum"], value)
    if "object" in schema["type"]:
        return _mapping_hint(trail, value)
    if isinstance(value, dict) and trail[-1] in LISTS:
        return f"put it in a list: {trail[-1]}: [{{…}}]"
    if schema["type"] == "array":
        return _list_hint(trail, value)
    return _scalar_hint(trail, schema, value)


def _row_hint(axis: str) -> str:
    if axis in LISTS:
        return f"define it under `{axis}:` and write its name here"
    return f"write plain values; for rows name the axis otherwise and set the field in them: set: {{{axis}: …}}"


def _enum_hint(options: list[str], value: object) -> str | None:
    if options == ["1K"]:
        return "Krea 2 has 1K alone; leave the line out"
    if not isinstance(value, str):
        return None
    if "16:9" in options:
        return near_ratio(value)
    near = nearest(value, options)
    return f"did you mean `{near}`?" if near else None


def _mapping_hint(trail: Trail, value: object) -> str | None:
    if not trail:
        return "start the file with `version: 1`, then `prompt: …`"
    if len(trail) == 2 and trail[0] == "references" and isinstance(value, (str, list)):
        return f"write {{images: {value if isinstance(value, str) else '[ … ]'}}}"
    if len(trail) == 2 and trail[0] in ("moodboards", "styles") and isinstance(value, str):
        return f"write {{id: {value}}}"
    if len(trail) == 2 and trail[0] == "stages":
        return "write a `prompt:` below it"
    return form_of(trail) or form_of_key(str(trail[0]))


def _list_hint(trail: Trail, value: object) -> str | None:
    if trail[-1] in ("exclude", "include", "patch") and isinstance(value, dict):
        return f"start each with a hyphen: {str(form_of(trail)).partition(': ')[2]}"
    if isinstance(value, str) and value.startswith("-"):
        return "put a space after each hyphen: `- dawn`"
    return f"put it in brackets: [{value}]" if isinstance(value, (str, int, float)) else form_of(trail)


def _scalar_hint(trail: Trail, schema: Mapping[str, Any], value: object) -> str | None:
    if isinstance(value, (int, float)) and "string" in schema["type"]:
        return f"write it in quotes: {shown(str(value).lower())}"
    number = isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?", value)
    if number and "string" not in schema["type"]:
        return "write it without quotes"
    return form_of(trail) if value is None else None


def _pattern_hint(trail: Trail) -> str | None:
    if "moodboards" in trail and trail[-1] == "id":
        return "a moodboard id is a UUID, such as 3f0c9c1e-8f1b-4f0e-9f5d-2b7a1c6d4e90, as in its share link"
    return "use letters, digits, dots, hyphens and _" if trail and trail[-1] in ("id", "name") else None
