"""Bounds for Krea's clock, from the `Date` of its answers.

The `created_at` of a job is compared with Krea's clock and never with ours, which can be wrong by hours. A `Date` has
whole seconds and was written some time between the request and the arrival of the answer, so only two bounds are known.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from krea_pipe.api.wire import read_http_date

_LONGEST = 5.0
"""Seconds; a slower answer is too inaccurate to tell the time.

A slower answer tells the time too badly.
"""
CLOCK_SLACK = 2.0
"""Seconds between the clock that dates answers and the clock that dates jobs."""
_MOST_HOSTS = 8


@dataclass(slots=True)
class ServerClock:
    """The bounds of Krea's time, given as its distance in seconds from our steady clock.

    `offsets` has the bounds for each host that was seen to date jobs: their clocks may differ. Without any, `dated` has
    those of the `Date` of answers, which may be another clock.
    """

    steady: Callable[[], float] = time.monotonic
    offsets: list[tuple[float, float]] = field(default_factory=list)
    dated: tuple[float, float] | None = None

    @property
    def is_exact(self) -> bool:
        """Whether the times of our own jobs have told it, to within an answer's way."""
        return bool(self.offsets)

    def observe_job(self, created_at: datetime | None, sent: float) -> None:
        """Take the time of a job that was made between its POST, at a time of the monotonic clock, and now."""
        if created_at is None:
            return
        rounded = 0 if created_at.microsecond else 1  # a time of whole seconds
        low, high = created_at.timestamp() - self.steady(), created_at.timestamp() + rounded - sent
        for number, (lowest, highest) in enumerate(self.offsets):
            if low <= highest and lowest <= high:
                self.offsets[number] = max(low, lowest), min(high, highest)
                return
        self.offsets = [*self.offsets[-_MOST_HOSTS + 1 :], (low, high)]

    def observe(self, date: str, sent: float) -> None:
        """Take the `Date` of an answer whose call was sent at a time of the monotonic clock."""
        received, moment = self.steady(), read_http_date(date)
        if moment is None or received - sent > _LONGEST:
            return
        shown = moment.timestamp()
        low, high = self.dated or (math.inf, -math.inf)
        # Gateways may differ by a second, and one may be wrong: the widest bounds let no job slip between them.
        self.dated = min(low, shown - received), max(high, shown + 1 - sent)

    def earliest(self, at: float | None = None) -> datetime | None:
        """A time that Krea's clocks had reached at a time of the monotonic clock, or now, if they have told any."""
        bounds = self._bounds()
        return _moment(self._at(at) + min(low for low, _ in bounds)) if bounds else None

    def latest(self, at: float | None = None) -> datetime | None:
        """A time that Krea's clocks had not passed at a time of the monotonic clock, or now, if they have told any."""
        bounds = self._bounds()
        return _moment(self._at(at) + max(high for _, high in bounds)) if bounds else None

    def windows(self, since: float, until: float) -> tuple[tuple[datetime, datetime], ...]:
        """The times that a job may have which was made between two times of the monotonic clock, for each host."""
        return tuple((_moment(since + low), _moment(until + high)) for low, high in self.offsets)

    def _bounds(self) -> list[tuple[float, float]]:
        return self.offsets or ([] if self.dated is None else [self.dated])

    def _at(self, at: float | None) -> float:
        return self.steady() if at is None else at


def _moment(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
