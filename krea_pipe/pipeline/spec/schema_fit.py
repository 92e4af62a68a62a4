"""Whether data fits a JSON Schema, decided without jsonschema, whose import takes longer than most commands.

Only the keywords of the schema of pipeline files are known, with the meaning that they have in draft 2020-12. Where
this module cannot decide, it says that the data does not fit, and jsonschema has the last word.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

_MAX_COMPARED = 50
"""Items of a list that are compared with one another, if they are not texts."""
_SCALARS = (str, int, float, bool, type(None))
_ANNOTATIONS = ("$schema", "$id", "$defs", "title", "description", "examples", "default")


class _UndecidedError(Exception):
    """Only jsonschema can tell."""


def fits(data: object, schema: Mapping[str, Any]) -> bool:
    """Whether data certainly fits a schema.

    Args:
        data: the data of a file.
        schema: a JSON Schema, which is valid itself and refers only to its own definitions.

    Returns:
        True if jsonschema would find no error; False if it finds one, or if that is not certain.
    """
    try:
        return _Check(schema).fits(data, schema)
    except (_UndecidedError, RecursionError):
        return False


class _Check:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self.definitions = {f"#/$defs/{name}": one for name, one in root.get("$defs", {}).items()}

    def fits(self, data: Any, schema: Any) -> bool:  # noqa: ANN401 (any JSON)
        """Whether data fits a part of the schema."""
        if isinstance(schema, bool):
            return schema
        for keyword, said in schema.items():
            check = _KEYWORDS.get(keyword)
            if check is None:
                raise _UndecidedError
            if not check(self, data, said, schema):
                return False
        return True

    def _reference(self, data: object, name: str, _: object) -> bool:
        if name not in self.definitions:
            raise _UndecidedError
        return self.fits(data, self.definitions[name])

    def _condition(self, data: object, condition: object, schema: Mapping[str, Any]) -> bool:
        return self.fits(data, schema.get("then" if self.fits(data, condition) else "else", {}))

    def _any_of(self, data: object, schemas: list[Any], _: object) -> bool:
        return any(self.fits(data, one) for one in schemas)

    def _negation(self, data: object, schema: object, _: object) -> bool:
        return not self.fits(data, schema)

    def _dependent(self, data: object, schemas: Mapping[str, Any], _: object) -> bool:
        return not isinstance(data, dict) or all(self.fits(data, one) for key, one in schemas.items() if key in data)

    def _properties(self, data: object, schemas: Mapping[str, Any], _: object) -> bool:
        return not isinstance(data, dict) or all(
            self.fits(value, schemas[key]) for key, value in data.items() if key in schemas
        )

    def _patterns(self, data: object, schemas: Mapping[str, Any], _: object) -> bool:
        return not isinstance(data, dict) or all(
            self.fits(value, one)
            for pattern, one in schemas.items()
            for key, value in data.items()
            if re.search(pattern, key)
        )

    def _others(self, data: object, said: object, schema: Mapping[str, Any]) -> bool:
        if not isinstance(data, dict):
            return True
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", ())
        others = (key for key in data if key not in known and not any(re.search(one, key) for one in patterns))
        return all(self.fits(data[key], said) for key in others)

    def _names(self, data: object, schema: object, _: object) -> bool:
        return not isinstance(data, dict) or all(self.fits(key, schema) for key in data)

    def _items(self, data: object, schema: object, _: object) -> bool:
        return not isinstance(data, list) or all(self.fits(one, schema) for one in data)


_Keyword = Callable[[_Check, Any, Any, Mapping[str, Any]], bool]


def _is_number(data: object) -> bool:
    return isinstance(data, (int, float)) and not isinstance(data, bool)


def _is_whole(data: object) -> bool:
    return _is_number(data) and (isinstance(data, int) or (isinstance(data, float) and data.is_integer()))


_TYPES: Mapping[str, Callable[[object], bool]] = {
    "object": lambda data: isinstance(data, dict),
    "array": lambda data: isinstance(data, list),
    "string": lambda data: isinstance(data, str),
    "integer": _is_whole,
    "number": _is_number,
    "boolean": lambda data: isinstance(data, bool),
    "null": lambda data: data is None,
}


def _is_of_type(_: _Check, data: object, said: str | list[str], __: object) -> bool:
    return any(_TYPES[one](data) for one in ([said] if isinstance(said, str) else said))


def _is_equal(data: object, other: object) -> bool:
    """Equality of JSON, which tells 1 from true; values that remember their spelling are left to jsonschema."""
    if type(data) not in (*_SCALARS, list, dict) or type(other) not in _SCALARS:
        raise _UndecidedError
    return isinstance(data, bool) == isinstance(other, bool) and data == other


def _is_distinct(_: _Check, data: object, said: object, __: object) -> bool:
    if not isinstance(data, list) or said is not True:
        return True
    texts = [one for one in data if type(one) is str]
    others = [one for one in data if type(one) is not str]
    # Python finds more values equal than JSON Schema does, such as 1 and true.
    if len(others) > _MAX_COMPARED or any(one in others[:place] for place, one in enumerate(others)):
        raise _UndecidedError
    return len({*texts}) == len(texts)


def _no_check(*_: object) -> bool:
    return True


def _of_kind(kind: Callable[[object], bool], check: Callable[[Any, Any], bool]) -> _Keyword:
    """A keyword that says something about values of one kind only."""
    return lambda _, data, said, __: not kind(data) or check(data, said)


_KEYWORDS: Mapping[str, _Keyword] = {
    **dict.fromkeys((*_ANNOTATIONS, "then", "else"), _no_check),
    "$ref": _Check._reference,
    "if": _Check._condition,
    "anyOf": _Check._any_of,
    "not": _Check._negation,
    "dependentSchemas": _Check._dependent,
    "properties": _Check._properties,
    "patternProperties": _Check._patterns,
    "additionalProperties": _Check._others,
    "propertyNames": _Check._names,
    "items": _Check._items,
    "type": _is_of_type,
    "const": lambda _, data, said, __: _is_equal(data, said),
    "enum": lambda _, data, said, __: any(_is_equal(data, one) for one in said),
    "uniqueItems": _is_distinct,
    "required": _of_kind(_TYPES["object"], lambda data, keys: all(key in data for key in keys)),
    "minProperties": _of_kind(_TYPES["object"], lambda data, least: len(data) >= least),
    "maxProperties": _of_kind(_TYPES["object"], lambda data, most: len(data) <= most),
    "minItems": _of_kind(_TYPES["array"], lambda data, least: len(data) >= least),
    "maxItems": _of_kind(_TYPES["array"], lambda data, most: len(data) <= most),
    "minLength": _of_kind(_TYPES["string"], lambda data, least: len(data) >= least),
    "maxLength": _of_kind(_TYPES["string"], lambda data, most: len(data) <= most),
    "pattern": _of_kind(_TYPES["string"], lambda data, pattern: re.search(pattern, data) is not None),
    "minimum": _of_kind(_is_number, lambda data, least: not data < least),
    "maximum": _of_kind(_is_number, lambda data, most: not data > most),
}
