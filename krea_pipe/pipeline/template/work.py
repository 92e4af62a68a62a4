"""The budget of one rendering: what a template reads, joins and loops over is counted before it is done.

A pull request from a stranger is planned too, so no template may take long or fill the memory. Each part of a template
is free for texts of an ordinary length, because a loop counts the parts of its body.
"""

import threading
from collections.abc import Mapping, Sequence, Sized
from typing import TypeVar

from krea_pipe.core.near_names import reset_name_budget
from krea_pipe.pipeline.template.texts import MAX_DIGITS, MAX_RENDERED, TemplateProblem, not_finite, too_long

MAX_WORK = 100_000
MAX_WORK_IN_ALL = 50_000_000
MAX_NUMBER = 10**MAX_DIGITS

_FREE_TEXT = 256
_FREE_STEPS = 16
_LETTERS_PER_STEP = 16

S = TypeVar("S", bound=Sized)
T = TypeVar("T")


class _Work(threading.local):
    """What is left of the work for one rendering, and for all of a pipeline; each thread renders on its own."""

    left = MAX_WORK
    in_all = MAX_WORK_IN_ALL


_WORK = _Work()


def start_pipeline() -> None:
    """Begin to load or to expand a pipeline, with a full budget for all of its renderings."""
    _WORK.in_all = MAX_WORK_IN_ALL
    reset_name_budget()


def start_work() -> None:
    """Begin a rendering with a full budget."""
    _WORK.left = MAX_WORK


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


def weighed(value: T) -> T:
    """A value that is about to be read as a whole, after all that it holds was counted."""
    if isinstance(value, str):
        if len(value) > _FREE_TEXT:
            spend(len(value) // _LETTERS_PER_STEP)
    elif isinstance(value, (list, tuple, dict)):
        _weigh(value)
    return value


def counted(items: S, weight: int = 1) -> S:
    """Items that are about to be looped over, after they were counted, each for some steps; what they hold is not."""
    steps = weight * (1 + len(items))
    if steps > _FREE_STEPS:
        spend(steps)
    return items


def _weigh(value: Sequence[object] | Mapping[str, object]) -> None:
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


def bounded(texts: Sequence[str], between: str = "") -> str:
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
