"""JSON data, how it is walked through, and characters that no file can hold."""

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# Characters that nobody types: control characters, halves of surrogate pairs, noncharacters.
CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")

# Those that are not allowed, because Python takes long to compile all those that are.
_UNWRITABLE = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"


def mapping_in(data: Mapping[str, Json], key: str) -> dict[str, Json]:
    """The mapping under a key, or an empty mapping."""
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def list_in(data: Mapping[str, Json], key: str) -> list[Json]:
    """The list under a key, or an empty list."""
    found = data.get(key)
    return found if isinstance(found, list) else []


def leaves(data: Json) -> Iterator[Json]:
    """Every scalar value in some data."""
    if isinstance(data, (dict, list)):
        for one in data.values() if isinstance(data, dict) else data:
            yield from leaves(one)
    else:
        yield data


def writable(text: str) -> str:
    """The text with a replacement character for each that no XML, terminal or UTF-8 file can hold."""
    return re.sub(_UNWRITABLE, "\ufffd", text)
