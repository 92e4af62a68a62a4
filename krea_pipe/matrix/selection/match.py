"""Conditions on a cell as functions, compiled once and asked for every cell."""

import fnmatch
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TypeAlias

MAX_KEPT = 1024  # values whose answer each condition keeps

_GLOB = re.compile(r"[*?\[]")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]{1,40}|(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{0,40})?)(?:e[-+]?[0-9]{1,4})?")


@dataclass(frozen=True, slots=True)
class Subject:
    """What an expression sees of a cell; `axes` has the texts that may name a value: its part, label and plain text."""

    id: str
    stage: str
    axes: Mapping[str, tuple[str, ...]]
    status: str = ""


Test: TypeAlias = Callable[[Subject], bool]
Fits: TypeAlias = Callable[[str], bool]


def fold(text: str) -> str:
    """A text as it is compared: without case, and each character in one of its Unicode forms."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@dataclass(frozen=True, slots=True)
class Wanted:
    """A word or value that is asked for; quoted, it is neither a glob nor a number."""

    text: str
    quoted: bool = False

    @property
    def is_glob(self) -> bool:
        """Whether it stands for more than one text."""
        return not self.quoted and _GLOB.search(fold(self.text)) is not None


def fits_any(wanted: Sequence[Wanted]) -> Fits:
    """Whether a text is one of the wanted: by a glob, as the same number, or letter by letter without case."""
    globs = [_matcher(fold(one.text)) for one in wanted if one.is_glob]
    words = {fold(one.text) for one in wanted if not one.is_glob}
    numbers = {_number(fold(one.text)) for one in wanted if not one.quoted} - {None}

    def fits(text: str) -> bool:
        folded = fold(text)
        if folded in words or any(matches(folded) for matches in globs):
            return True
        return bool(numbers) and _number(folded) in numbers

    return fits


def on_id(wanted: Wanted) -> Test:
    """Whether a part of the id, or several in a row, are the wanted ones; a glob reaches over any number of parts."""
    inner = f"/{fold(wanted.text)}/"
    if not wanted.is_glob:
        return lambda subject: inner in f"/{fold(subject.id)}/"
    matches = _matcher(f"*{inner}*")
    return lambda subject: matches(f"/{fold(subject.id)}/")


def on_stage(fits: Fits) -> Test:
    """Whether the stage fits."""
    fits = lru_cache(MAX_KEPT)(fits)
    return lambda subject: fits(subject.stage)


def on_status(fits: Fits) -> Test:
    """Whether the status fits; a cell that nothing is known of has none."""
    fits = lru_cache(MAX_KEPT)(fits)
    return lambda subject: fits(subject.status)


def on_axis(name: str, fits: Fits) -> Test:
    """Whether the cell has the axis, and one of the texts of its value fits."""

    @lru_cache(MAX_KEPT)
    def fits_value(texts: tuple[str, ...] | None) -> bool:
        return texts is not None and any(fits(text) for text in texts)

    return lambda subject: fits_value(subject.axes.get(name))


def negated(test: Test) -> Test:
    """The opposite of a condition."""
    return lambda subject: not test(subject)


def any_of(tests: Sequence[Test]) -> Test:
    """At least one of several conditions."""
    return tests[0] if len(tests) == 1 else lambda subject: any(test(subject) for test in tests)


def all_of(tests: Sequence[Test]) -> Test:
    """Every one of several conditions; none asks for nothing."""
    return tests[0] if len(tests) == 1 else lambda subject: all(test(subject) for test in tests)


def _matcher(glob: str) -> Fits:
    matches = re.compile(fnmatch.translate(glob)).match
    return lambda text: matches(text) is not None


def _number(text: str) -> int | Decimal | None:
    """A number by its value, so that 0.5 is 0.50; the common whole ones without the cost of a decimal."""
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.isdigit() else Decimal(text)
