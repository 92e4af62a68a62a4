"""What one look at the list of jobs is to show: the list has up to 1,000 of an account's jobs, the newest first."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from krea_pipe.api.wire import Job

LONGEST = 1000
"""The most that Krea lists in one answer."""
MOST = 900
SPARE = 100
"""Of them ours, and others of the account that stand between."""
OVERTAKEN = 500
"""A job that so many later ones have overtaken is looked at alone, so that the list need not reach back to it."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a job did not come to an end before our eyes.

    `left`: the run ends; `cancelled` by us, unbilled; `hidden`: Krea does not show it; `stuck`: it did not end in time,
    and was not cancelled for sure; `stopped`: it did not end in time, and was cancelled.
    """

    kind: Literal["left", "cancelled", "hidden", "stuck", "stopped"]
    detail: str = ""


@dataclass(slots=True, eq=False)
class Watched:
    """A job that has not ended, as it was last seen. Times are seconds of a steady clock.

    `number` counts the jobs of this run in the order of submission. `unknown` counts reads that did not find it.
    """

    id: str
    created_at: datetime | None
    deadline: float
    number: int
    since: float
    wait: float
    next_read: float
    end: "asyncio.Future[Job | Lack]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    is_waiting: bool = True
    is_backlogged: bool = True
    is_seen: bool = False
    running_since: float | None = None
    unknown: int = 0
    hints: int = 0
    is_hinted: bool = False
    asked: int = 0
    """How often Krea was asked to cancel it."""

    def see(self, job: Job, now: float) -> None:
        """Note how the job stands."""
        self.unknown, self.is_hinted, self.next_read = 0, False, now + self.wait
        self.is_waiting, self.is_backlogged, self.is_seen = job.is_waiting, job.is_backlogged, True
        if not job.is_waiting and self.running_since is None:
            self.running_since = now

    def resolve(self, end: Job | Lack) -> None:
        """Tell the one who waits."""
        if not self.end.done():
            self.end.set_result(end)

    def is_stuck(self, now: float, last_end: float) -> bool:
        """Whether it has run, or waited while no job of ours ended, longer than it may."""
        start = self.running_since if self.running_since is not None else max(self.since, last_end)
        return not self.end.done() and now - start >= self.deadline


@dataclass(frozen=True, slots=True)
class Sight:
    """The jobs that a look covers, the `limit` and `before` of its call, and the jobs that it leaves out for good."""

    jobs: Sequence[Watched]
    limit: int
    before: str | None
    stragglers: Sequence[Watched]


def choose_sight(watched: Sequence[Watched], count: int, turn: int) -> Sight:
    """What to look at: everything if it fits, otherwise the oldest jobs and the others by turns.

    `watched` is in the order of submission, `count` how many were submitted in all. Krea works in that order, so the
    oldest end first; another variant's jobs may end earlier, so every second look is at those behind.
    """
    behind = len(watched)
    stragglers = [one for place, one in enumerate(watched) if count - one.number - (behind - place - 1) > OVERTAKEN]
    pages = list(_pages([one for one in watched if one not in stragglers] if stragglers else watched))
    if not pages:
        return Sight((), 0, None, stragglers)
    number = 0 if turn % 2 == 0 or len(pages) == 1 else 1 + turn // 2 % (len(pages) - 1)
    shown = pages[number]
    following = pages[number + 1][0] if number + 1 < len(pages) else None
    if following is None or following.created_at is None:
        return Sight(shown, min(LONGEST, count + 1 - shown[0].number + SPARE), None, stragglers)
    limit = following.number - shown[0].number + SPARE
    return Sight(shown, min(LONGEST, limit), _cursor(following.created_at), stragglers)


def _pages(watched: Sequence[Watched]) -> Iterator[list[Watched]]:
    """Jobs in runs that one answer covers, also with those that have ended between them."""
    page: list[Watched] = []
    for one in watched:
        if page and one.number - page[0].number >= MOST:
            yield page
            page = []
        page.append(one)
    if page:
        yield page


def _cursor(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
