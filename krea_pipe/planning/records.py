"""Records of files: written from the fields of a dataclass, read back field by field, each checked for its type."""

import json
import re
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import cache
from pathlib import PurePath
from typing import Any

from krea_pipe.core.json_data import CONTROL_CHARACTERS, Json
from krea_pipe.core.money import exact

_PRICE = re.compile(r"\d{1,10}(\.\d{1,10})?")


def record_line(record: object) -> str:
    """A dataclass as a JSON object on one line, its fields in their order."""
    return _LINE.encode(record)


def record_text(record: object) -> str:
    """A dataclass as the text of a file: a JSON object, its fields in their order, a line for each.

    Args:
        record: The dataclass; money in it is `Decimal`, a path has slashes.

    Returns:
        The text with a line end.
    """
    return json.dumps(record, ensure_ascii=False, indent=1, default=_plain) + "\n"


def _plain(value: Any) -> Json:  # noqa: ANN401 (what `json` cannot write by itself)
    match value:
        case Decimal():
            return exact(value)
        case PurePath():
            return value.as_posix()
    return {name: getattr(value, name) for name in _names(value.__class__)}


@cache
def _names(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 (a dataclass)
    return tuple(one.name for one in fields(kind))


_LINE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain)


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object whose fields are read by name; `ValueError` and `TypeError` say which of them is wrong, and how."""

    data: dict[str, Json]

    def text(self, name: str) -> str:
        """A field that has to be there, and be text."""
        if name not in self.data:
            raise ValueError(f"it has no `{name}`")
        return text(self.data[name], name)

    def price(self, name: str) -> Decimal:
        """An amount in US dollars, written as text."""
        amount = self.text(name)
        if not _PRICE.fullmatch(amount):
            raise ValueError(f"`{name}` is not a price")
        return Decimal(amount)

    def number(self, name: str) -> int | None:
        """A whole number; None if it is null or missing."""
        value = self.data.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise TypeError(f"`{name}` is not a number")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        values = self.data.get(name)
        if not isinstance(values, list):
            raise TypeError(f"`{name}` is not a list")
        return tuple(text(one, name) for one in values)

    def members(self, name: str) -> dict[str, Json]:
        """The fields of an object in it."""
        return object_of(self.data.get(name)).data


def object_of(data: Json) -> JsonObject:
    """Data that has to be an object.

    Raises:
        TypeError: it is not an object.
    """
    if not isinstance(data, dict):
        raise TypeError("it is not an object")
    return JsonObject(data)


def text(data: Json, name: str) -> str:
    """The text that a field holds.

    Raises:
        TypeError: it is no text. ValueError: it has characters that no file can hold.
    """
    if not isinstance(data, str):
        raise TypeError(f"`{name}` is not text")
    if CONTROL_CHARACTERS.search(data):
        raise ValueError(f"`{name}` contains invalid characters")
    return data
