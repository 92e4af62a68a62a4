"""How an axis value appears in a cell id, in a path and in texts for people."""

import hashlib
from typing import TypeAlias

from krea_pipe.core.written import Written
from krea_pipe.pipeline.template import slug

Scalar: TypeAlias = str | int | float | bool | None

_MAX_PART = 48


def part_of(axis: str, scalar: Scalar) -> str:
    """The part of a cell id for a value: `s1` for the seed 1, a slug for a text."""
    if axis == "seed" and isinstance(scalar, int):
        return f"s{scalar}"
    if scalar is None:
        return "none"
    if isinstance(scalar, (bool, int, float)):
        return str(scalar).lower()
    part = slug(scalar)
    if len(part) > _MAX_PART:
        return f"{part[:_MAX_PART].rstrip('-.')}-{digest(scalar)}"
    return part or (digest(scalar) if scalar.strip() else "empty")


def label_of(scalar: Scalar | Written) -> str:
    """A value as a person reads it."""
    if isinstance(scalar, Written):
        return scalar.written
    return "none" if scalar is None else str(scalar).lower() if isinstance(scalar, bool) else str(scalar)


def digest(text: str) -> str:
    """Six digits that distinguish one text from another."""
    return hashlib.sha256(text.encode()).hexdigest()[:6]
