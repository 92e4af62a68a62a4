"""What Krea's clock may show, from the `Date` of its answers.

`created_at` of a job is compared with it and never with our own clock, which may be wrong by hours. A `Date` has whole
seconds and was written some time between our sending and the answer's coming, so what is known are two bounds.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from krea_pipe.api.wire import read_http_date

_LONGEST = 5.0
"""Seconds. A slower answer tells the time too badly."""
CLOCK_SLACK = 2.0
"""Seconds between the clock that dates answers and the one that dates jobs."""


@dataclass(slots=True)
class ServerClock:
    """The bounds of Krea's time, given as its distance in seconds from a steady clock of ours."""

    steady: Callable[[], float] = time.monotonic
    low: float | None = None
    high: float | None = None
    is_exact: bool = False
    """Whether the times of our own jobs have told it, to within an answer's way."""
    dated: tuple[float, float] | None = None
    """The bounds by the `Date` of answers alone."""
    spread: float = 0.0
    """By how many seconds the clocks that date jobs were seen to differ: more than one host may do so."""

    def observe_job(self, created_at: datetime | None, sent: float) -> None:
        """Take the time of a job that was made between its POST, at a time of the steady clock, and now."""
        if created_at is None:
            return
        low, high = created_at.timestamp() - self.steady(), created_at.timestamp() - sent
        if self.dated is not None and not (low <= self.dated[0] + CLOCK_SLACK and self.dated[1] - CLOCK_SLACK <= high):
            # Of the job's time and the answers' one may be wrong by more than is allowed for, and nobody knows which.
            self.low, self.high, self.is_exact = min(low, self.dated[0]), max(high, self.dated[1]), False
            return
        if self.is_exact and self.low is not None and self.high is not None:
            narrow = max(low, self.low), min(high, self.high)
            self.spread = max(self.spread, narrow[0] - narrow[1])
            low, high = narrow if narrow[0] <= narrow[1] else (low, high)  # a clock was set, or slept
        self.low, self.high, self.is_exact = low, high, True

    def observe(self, date: str, sent: float) -> None:
        """Take the `Date` of an answer whose call was sent at a time of the steady clock."""
        received, moment = self.steady(), read_http_date(date)
        if moment is None or received - sent > _LONGEST:
            return
        shown = moment.timestamp()
        low, high = self.dated or (math.inf, -math.inf)
        # Gateways may differ by a second, and one may be wrong: the widest bounds let no job slip between them.
        self.dated = min(low, shown - received), max(high, shown + 1 - sent)
        if not self.is_exact:
            low, high = self.dated
            self.low = low if self.low is None else min(low, self.low)
            self.high = high if self.high is None else max(high, self.high)

    def earliest(self, at: float | None = None) -> datetime | None:
        """A time that Krea's clock had surely reached at a time of the steady clock, or now, if it has told any."""
        return None if self.low is None else _moment((self.steady() if at is None else at) + self.low)

    def latest(self) -> datetime | None:
        """A time that Krea's clock has not passed, if it has told any."""
        return None if self.high is None else _moment(self.steady() + self.high)


def _moment(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
