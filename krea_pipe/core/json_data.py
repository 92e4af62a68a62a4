"""JSON data, and how messages show it."""

import json
import re
from typing import TypeAlias

from krea_pipe.core.excerpts import cut

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# What no person types: control characters, halves of a surrogate pair, characters that are none.
UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


def shown(value: object, width: int = 40) -> str:
    """A value as a message shows it: text in quotes, cut to a width; lists and mappings by their kind alone."""
    match value:
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    if not isinstance(value, str):
        return cut(json.dumps(value), width)
    text = json.dumps(value, ensure_ascii=False) if len(value) <= width else ""
    return text if 0 < len(text) <= width else json.dumps(cut(value, width - 2), ensure_ascii=False)
