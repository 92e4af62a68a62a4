"""The words that a script may use, and the values that its keys take.

Each reader of a value raises ValueError with what would have been right.
"""

import math
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NamedTuple, get_args

from krea_pipe.local.job_outcome import JobOutcome, Place
from krea_pipe.local.script import CALLS, Action, Corrupt, Deliver, End, Refuse, Reset, Slow, Truncate

_DAY = 24 * 60 * 60


def whole(low: int, high: int, text: str) -> int:
    """A whole number within bounds."""
    if not (text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high):
        raise ValueError(f"a whole number from {low:,} to {high:,}")
    return int(text)


def _number(low: float, high: float, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise ValueError(f"a number from {low:g} to {high:,g}")
    return number


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


def _some_text(text: str) -> str:
    if not text:
        raise ValueError("some text")
    return text


def one_of(words: Collection[str], text: str) -> str:
    """One of some words."""
    if text not in words:
        raise ValueError(f"one of {', '.join(words)}")
    return text


SELECTORS: dict[str, Callable[[str], Any]] = {
    "prompt": _some_text,
    "every": partial(whole, 1, 1_000_000_000),
    "share": partial(_number, 0, 1),
    "times": partial(whole, 1, 1_000_000_000),
}
DETAILS: dict[str, Callable[[str], Any]] = {
    "retry_after": partial(whole, 0, _DAY),
    "after": _switch,
    "seconds": partial(_number, 0, _DAY),
    "code": str,
    "message": str,
    "where": partial(one_of, get_args(Place)),
}
KEYS = ("on", "do", *DETAILS, *SELECTORS)
WITHOUT_PROMPT = ("jobs", "upload")


class Word(NamedTuple):
    """What a `do` stands for: how its action is made, and the keys that say more about it."""

    make: Callable[..., Action]
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def _fail(code: str = "internal_error", message: str = "A script asked for this failure.", where: Place = "top") -> End:
    return End(JobOutcome("failed", code, message, where))


_HTTP = {
    "reset": Word(Reset, ("after",)),
    "slow": Word(Slow, ("seconds", "after"), ("seconds",)),
    "truncated": Word(Truncate),
    "corrupt": Word(Corrupt),
}
_ENDS = {
    "stuck": Word(partial(End, JobOutcome("stuck"))),
    "failed": Word(_fail, ("code", "message", "where")),
    "empty": Word(partial(End, JobOutcome("empty"))),
}
_DELIVERIES = {"twice": Word(partial(Deliver, 2)), "missing": Word(partial(Deliver, 0))}
_BY_SUBJECT = {**dict.fromkeys((*CALLS, "any"), _HTTP), "end": _ENDS, "webhook": _DELIVERIES}
SUBJECTS = tuple(_BY_SUBJECT)


def read_word(on: str, text: str) -> Word:
    """What a `do` means for a subject, such as `submit` or `end`."""
    words = _BY_SUBJECT[on]
    if text in words:
        return words[text]
    if words is _HTTP and len(text) == 3 and text.isascii() and text.isdigit() and text[0] in "45":
        return Word(partial(Refuse, int(text)), ("retry_after", "after"))
    status = ", or a status from 400 to 599" if words is _HTTP else ""
    raise ValueError(f"one of {', '.join(words)}{status}")
