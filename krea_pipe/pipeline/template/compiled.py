"""A compiled template, and the limits of what it may give."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from krea_pipe.core.json_data import CONTROL_CHARACTERS, Json
from krea_pipe.pipeline.template.limits import MAX_NUMBER, MAX_RENDERED, TemplateProblem, not_finite, too_long

VariablePath = tuple[str, ...]

_MAX_DEPTH = 64


class CostlyPieceError(Exception):
    """Rendering a piece takes steps of the budget of its template, which therefore must be rendered as a whole."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a template: the names that it reads, and how it becomes text.

    `path` is the name with its fields, if the piece consists of that alone.
    """

    names: frozenset[str]
    render: Callable[[Mapping[str, Any]], str]
    path: VariablePath | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled value: names it reads, names and their fields that it needs without fail, how to render it."""

    text: str
    names: frozenset[str]
    required: frozenset[str]
    fields: frozenset[tuple[str, str]]
    render: Callable[[Mapping[str, Any]], Json]


def without_controls(text: str) -> str:
    """A rendered text, unless it contains characters that would confuse a terminal, or that cannot be sent."""
    if not text.isprintable() and CONTROL_CHARACTERS.search(text):
        hint = "remove the escape"
        raise TemplateProblem("control_character", "the template produces text with a control character", hint=hint)
    return text


def checked_text(text: str) -> str:
    """A rendered text.

    Raises:
        TemplateProblem: it is too long, or contains characters that cannot be sent.
    """
    if len(text) > MAX_RENDERED:
        raise too_long()
    return without_controls(text)


def plain_value(value: object) -> Json:
    """The value of an expression as JSON data, within the limits of a value."""
    if value is None or isinstance(value, (str, int, float)):
        return _plain_scalar(value)
    return _plain_tree(value, iter(range(MAX_RENDERED)), _MAX_DEPTH)


def _plain_scalar(value: str | float | None) -> Json:
    if isinstance(value, str):
        return checked_text(value)
    if value is not None and not (math.isfinite(value) if isinstance(value, float) else abs(value) < MAX_NUMBER):
        raise not_finite()
    return value


def _plain_tree(value: object, budget: Iterator[int], depth: int) -> Json:
    if next(budget, None) is None or not depth:
        message = f"the value has more than {MAX_RENDERED:,} parts, or is nested more than {_MAX_DEPTH} levels deep"
        raise TemplateProblem("template_too_large", message)
    if value is None or isinstance(value, (str, int, float)):
        return _plain_scalar(value)
    if isinstance(value, dict):
        return {without_controls(str(key)): _plain_tree(item, budget, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, Iterator)):
        return [_plain_tree(item, budget, depth - 1) for item in value]
    return without_controls(str(value))
