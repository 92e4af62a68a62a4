"""The text form of values, the messages about templates, and the budget of one rendering.

What a template reads, joins and loops over is counted before it is done: a pull request from a stranger is planned too,
so no template may take long or fill the memory. Each part of a template is free for texts of an ordinary length,
because a loop counts the parts of its body.
"""

import math
import re
import threading
import unicodedata
from collections.abc import Mapping, Sequence, Sized
from functools import lru_cache
from typing import TypeVar

from krea_pipe.core.excerpts import cut
from krea_pipe.core.json_data import CONTROL_CHARACTERS
from krea_pipe.core.near_names import reset_name_budget
from krea_pipe.core.written import Written

MAX_RENDERED = 20_000
NULL_IN_TEXT = "null_in_text"
MAX_DIGITS = 30
_MAX_QUOTED = 400
MAX_NAME_IN_ERROR = 100
MAX_WORK = 100_000
MAX_WORK_IN_ALL = 50_000_000
MAX_NUMBER = 10**MAX_DIGITS

_FREE_TEXT = 256
_FREE_STEPS = 16
_LETTERS_PER_STEP = 16

S = TypeVar("S", bound=Sized)
_T = TypeVar("_T")


class TemplateProblem(ValueError):
    """A template cannot be compiled or rendered: what to point at in it, if that is known, and what to do."""

    def __init__(self, code: str, message: str, word: str | None = None, hint: str | None = None) -> None:
        super().__init__(_message_text(message))
        self.code, self.word, self.hint = code, word, hint and _message_text(hint)


def _message_text(text: str) -> str:
    # A template can name a field as it likes, and a terminal must survive the message.
    return cut(CONTROL_CHARACTERS.sub("-", text), _MAX_QUOTED)


def too_long() -> TemplateProblem:
    """What to raise for a text above the limit."""
    return TemplateProblem("template_too_large", f"the text is longer than {MAX_RENDERED:,} characters")


def not_finite() -> TemplateProblem:
    """What to raise for a number above the limit, infinite or the result of a sum that has none."""
    hint = f"numbers can have up to {MAX_DIGITS} digits"
    return TemplateProblem(
        "number_not_finite", "the template produces a number that is too large or not a number", hint=hint
    )


def as_text(value: object) -> str:
    """A value as part of a text: as it was written, or as YAML writes it.

    Raises:
        TemplateProblem: it is a row, a mapping, a list or null, which does not belong in a prompt, or not a number.
    """
    match value:
        case Written():
            return value.written
        case str():
            return value
        case bool():
            return str(value).lower()
        case float() if not math.isfinite(value):
            raise not_finite()
        case int() | float():
            return str(value)
        case None:
            hint = "give it a value, in quotes if it is the word null, or write {{ … | default('plain', true) }}"
            raise TemplateProblem(NULL_IN_TEXT, "null cannot be part of text", hint=hint)
        case dict():
            hint = f"use one of its fields: {', '.join(str(key) for key in value)}"
            raise TemplateProblem("template_not_text", "a row or mapping cannot be part of text", hint=hint)
        case list() | tuple():
            hint = "join its items: {{ items | join_and }}"
            raise TemplateProblem("template_not_text", "a list cannot be part of text", hint=hint)
    return str(value)


def slug(value: object) -> str:
    """Turn any text into a part of a path: lower case, letters and digits of any script, single hyphens."""
    return _slug(as_text(value))


@lru_cache(maxsize=4096)
def _slug(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"(?<=\d):(?=\d)", "x", text)
    return re.sub(r"-{2,}", "-", re.sub(r"[^\w.]+|_", "-", text)).strip("-.")


class _Work(threading.local):
    """The remaining work for one rendering, and for a whole pipeline; each thread has a separate budget."""

    left = MAX_WORK
    in_all = MAX_WORK_IN_ALL


_WORK = _Work()


def reset_budgets() -> None:
    """Begin to load or to expand a pipeline, with a full budget for all of its renderings."""
    _WORK.in_all = MAX_WORK_IN_ALL
    reset_name_budget()


def reset_work() -> None:
    """Begin a rendering with a full budget."""
    _WORK.left = MAX_WORK


def spent_work() -> int:
    """The steps that the rendering has taken so far."""
    return MAX_WORK - _WORK.left


def spend(steps: int) -> None:
    """Take steps from the budget.

    Raises:
        TemplateProblem: nothing is left.
    """
    _WORK.left -= steps
    _WORK.in_all -= min(steps, MAX_WORK)
    if _WORK.left < 0 or _WORK.in_all < 0:
        what = "the template takes" if _WORK.left < 0 else "all templates together take"
        hint = "loop over fewer items, or shorten the texts"
        raise TemplateProblem("template_too_large", f"{what} too many steps", hint=hint)


def count_content(value: _T) -> _T:
    """A value that is about to be read as a whole, after all that it holds was counted."""
    if isinstance(value, str):
        if len(value) > _FREE_TEXT:
            spend(len(value) // _LETTERS_PER_STEP)
    elif isinstance(value, (list, tuple, dict)):
        _count_all(value)
    return value


def count_items(items: S, weight: int = 1) -> S:
    """Items that are about to be looped over, after they were counted, each for some steps; what they hold is not."""
    steps = weight * (1 + len(items))
    if steps > _FREE_STEPS:
        spend(steps)
    return items


def _count_all(value: Sequence[object] | Mapping[str, object]) -> None:
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        steps = len(holder)
        for one in (*holder, *holder.values()) if isinstance(holder, dict) else holder:
            if isinstance(one, str):
                steps += len(one) // _LETTERS_PER_STEP
            elif isinstance(one, (list, tuple, dict)):
                steps += 1
                waiting.append(one)
        spend(steps)


def join_bounded(texts: Sequence[str], between: str = "") -> str:
    """Texts joined, unless the whole would be too long."""
    size = sum(map(len, texts)) + len(between) * len(texts)
    if size > MAX_RENDERED + len(between):
        raise too_long()
    if size > _FREE_TEXT:
        spend(size // _LETTERS_PER_STEP)
    return between.join(texts)


def check_sum(left: object, right: object) -> None:
    """Count what `+` is about to copy."""
    if isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
        size = len(left) + len(right)
        if size > MAX_RENDERED:
            raise too_long()
        spend(size // _LETTERS_PER_STEP)


def check_number(result: object) -> None:
    """Refuse a whole number that grew beyond the limit."""
    if type(result) is int and not -MAX_NUMBER < result < MAX_NUMBER:
        raise not_finite()
