"""Conclusions from the observations of a probe: the order and lag of the list, cursors, and clocks.

All of it is computed from values, so that each finding can be traced to what was seen.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from krea_pipe.api.raw_answer import RawAnswer
from krea_pipe.api.wire import read_time
from krea_pipe.core.json_data import Json, list_in
from krea_pipe.store.probe import CursorMeaning, JobOrder

LEAST_TOLERANCE = 2.0
"""Seconds: `Date` has whole ones, and two machines that keep time well may differ by as much."""
SETTLE = (10.0, 120.0)
"""The shortest and the longest time in which a POST without an answer may show its job, in seconds."""
_MILLISECOND = 0.001
"""The journal's times end with it."""
_POSTS = 5
"""Settling time as a multiple of the duration of the slowest POST."""


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job as the list shows it; `created` is its time as written there."""

    id: str
    created: str
    status: str

    @property
    def at(self) -> datetime | None:
        """Its time in UTC."""
        return read_time(self.created)


@dataclass(frozen=True, slots=True)
class ListReading:
    """One answer to `GET /jobs`. `sent` and `received` are times of this machine, `date` is that of the answer."""

    sent: datetime
    received: datetime
    date: datetime | None
    jobs: tuple[ListedJob, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """A job of the probe: when its POST was begun and answered by this machine's clock, and its time by Krea's."""

    job_id: str
    begun: datetime
    answered: datetime
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClockDifference:
    """The minimum and maximum offset of one clock from another, in seconds.

    `spread` is by how much observations of it contradict each other at least.
    """

    low: float
    high: float
    spread: float = 0.0

    @property
    def nearest(self) -> float:
        """The smallest difference that fits, 0 where the clocks may agree."""
        return 0.0 if self.low <= 0 <= self.high else min(abs(self.low), abs(self.high))

    def minus(self, other: "ClockDifference") -> "ClockDifference":
        """The offset of one clock from another, if the offsets of both from a third are known."""
        return ClockDifference(self.low - other.high, self.high - other.low, self.spread + other.spread)


def look_of(answer: RawAnswer) -> ListReading | None:
    """The jobs in an answer to `GET /jobs`; None if it contains no list."""
    data = answer.data
    if answer.status != 200 or not isinstance(data, dict) or not isinstance(data.get("items"), list):
        return None
    items = [one for one in list_in(data, "items") if isinstance(one, dict)]
    jobs = tuple(ListedJob(_text(one, "job_id"), _text(one, "created_at"), _text(one, "status")) for one in items)
    return ListReading(answer.sent, answer.received, answer.date, jobs, _text(data, "next_cursor") or None)


def order_of(jobs: Sequence[ListedJob]) -> JobOrder:
    """The order of a list by the times of its jobs."""
    times = [job.at for job in jobs]
    known = [at for at in times if at is not None]
    steps = [(second - first).total_seconds() for first, second in pairwise(known) if first != second]
    if not steps:
        return "unknown"
    if all(step < 0 for step in steps):
        return "newest_first"
    return "oldest_first" if all(step > 0 for step in steps) else "unordered"


def lag_of(posts: Iterable[Posted], looks: Sequence[ListReading]) -> float | None:
    """The maximum time between the answer to a POST and the appearance of its job in the list.

    A job that the first look after its answer shows has none. None says that no look shows some job.
    """
    longest = 0.0
    for post in posts:
        after = [look for look in looks if look.sent >= post.answered]
        shown = [any(job.id == post.job_id for job in look.jobs) for look in after]
        if True not in shown:
            return None
        first = shown.index(True)
        if first:
            longest = max(longest, (after[first].received - post.answered).total_seconds())
    return longest


def ties_in(jobs: Iterable[ListedJob]) -> int:
    """The number of jobs that share their time with another."""
    times = Counter(job.created for job in jobs if job.created)
    return sum(count for count in times.values() if count > 1)


def cursor_of(newest: Sequence[ListedJob], job: ListedJob, answer: RawAnswer) -> CursorMeaning:
    """The jobs that a cursor at the time of a job omits.

    Args:
        newest: the jobs of the list without a cursor.
        job: one of them, with younger ones in the list.
        answer: the answer to the list with its time as the cursor.
    """
    look = look_of(answer)
    if look is None:
        return "refused" if 400 <= answer.status < 500 else "unknown"
    ids = {one.id for one in look.jobs}
    at = job.at
    younger = {one.id for one in newest if at is not None and one.at is not None and one.at > at}
    if ids & younger:
        return "ignored"
    return "inclusive" if job.id in ids else "strict"


def job_clock(posts: Iterable[Posted]) -> ClockDifference | None:
    """The offset of `created_at` from this machine's clock."""
    dated = [(post, post.created_at) for post in posts if post.created_at is not None]
    return _span(
        ((at - post.answered).total_seconds() - _MILLISECOND, (at - post.begun).total_seconds() + _cut_off(at))
        for post, at in dated
    )


def date_clock(answers: Iterable[RawAnswer]) -> ClockDifference | None:
    """The offset of the `Date` of answers from this machine's clock; `Date` has whole seconds, truncated."""
    dated = [(one, one.date) for one in answers if one.date is not None]
    return _span(((at - one.received).total_seconds(), (at - one.sent).total_seconds() + 1) for one, at in dated)


def tolerance_of(offset: ClockDifference | None) -> float:
    """The tolerance between times of Krea that mean the same moment: twice the observed difference, with a minimum."""
    seen = 0.0 if offset is None else offset.nearest + offset.spread
    return _tenths(max(LEAST_TOLERANCE, 2 * seen))


def settle_of(lag: float | None, slowest_post: float) -> float:
    """The maximum time that the job of a POST without an answer may take to appear."""
    least, most = SETTLE
    return most if lag is None else _tenths(min(max(least, 2 * lag, _POSTS * slowest_post), most))


def _span(bounds: Iterable[tuple[float, float]]) -> ClockDifference | None:
    """The common conclusion of all observations; if they contradict each other, all conclusions."""
    found = list(bounds)
    if not found:
        return None
    low, high = max(one for one, _ in found), min(one for _, one in found)
    if low <= high:
        return ClockDifference(low, high)
    return ClockDifference(min(one for one, _ in found), max(one for _, one in found), low - high)


def _cut_off(at: datetime) -> float:
    """By how much a time may be earlier than it was, because its digits end."""
    return _MILLISECOND if at.microsecond else 1.0


def _tenths(seconds: float) -> float:
    return math.ceil(seconds * 10 - 1e-9) / 10


def _text(data: dict[str, Json], key: str) -> str:
    found = data.get(key)
    return found if isinstance(found, str) else ""
