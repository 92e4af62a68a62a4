"""Detects finished jobs: one poll of the list for all of them, and single reads for jobs that it does not show.

Jobs in flight are no connections: each is one future here, and one task looks every second or two. A webhook is a hint
to look at once. The list has up to 1,000 of an account's jobs, the newest first.
"""

import asyncio
import contextlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from krea_pipe.api.engine import Engine
from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.api.wire import Job, JobPage
from krea_pipe.executor.capacity import delay
from krea_pipe.executor.session import Session

LONGEST_PAGE = 1000
"""The most that Krea lists in one answer."""
PAGE_SPAN = 900
SPARE = 100
"""Of them ours, and other jobs of the account between them."""
OVERTAKEN = 500
"""The number of later jobs after which a job is read individually, so that the list need not reach back to it."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Why waiting for a job ended without a result.

    `left`: the run ends; `cancelled` by us, unbilled; `hidden`: Krea does not show it; `gone`: Krea itself has said
    twice that it has no such job, whose image was stored before; `stuck`: it did not end in time, and was not cancelled
    for sure; `stopped`: it did not end in time, and was cancelled.
    """

    kind: Literal["left", "cancelled", "hidden", "gone", "stuck", "stopped"]
    detail: str = ""


@dataclass(slots=True, eq=False)
class Watched:
    """A job in progress, as it was last seen.

    Times are seconds of a monotonic clock.

    `number` counts the jobs of this run in the order of submission. `unknown` counts reads that did not find it, and
    `denied` those of them by which Krea itself has said that there is no such job. `is_missing` says that the last list
    did not show it, though it went back further.
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
    is_missing: bool = False
    running_since: float | None = None
    unknown: int = 0
    denied: int = 0
    hints: int = 0
    is_hinted: bool = False
    asked: int = 0
    """The number of attempts to cancel it at Krea."""
    was_stored: bool = False
    """Whether its image was here, and is read again: it ended long ago, so it is never cancelled."""

    def see(self, job: Job, now: float) -> None:
        """Note the state of the job."""
        self.unknown, self.denied, self.is_hinted, self.next_read = 0, 0, False, now + self.wait
        self.is_waiting, self.is_backlogged, self.is_seen = job.is_waiting, job.is_backlogged, True
        if not job.is_waiting and self.running_since is None:
            self.running_since = now

    def resolve(self, end: Job | Lack) -> None:
        """Wake the waiting task."""
        if not self.end.done():
            self.end.set_result(end)

    def is_stuck(self, now: float, last_end: float) -> bool:
        """Whether it has run, or waited while none of our jobs ended, longer than it may."""
        start = self.running_since if self.running_since is not None else max(self.since, last_end)
        return not self.end.done() and now - start >= self.deadline


@dataclass(frozen=True, slots=True)
class Sight:
    """The jobs that a poll covers, the `limit` and `before` of its call, and the jobs that it leaves out for good."""

    jobs: Sequence[Watched]
    limit: int
    before: str | None
    stragglers: Sequence[Watched]


def choose_sight(watched: Sequence[Watched], count: int, turn: int) -> Sight:
    """The jobs to poll: all if they fit, otherwise the oldest jobs and the others in turn.

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
        return Sight(shown, min(LONGEST_PAGE, count + 1 - shown[0].number + SPARE), None, stragglers)
    limit = following.number - shown[0].number + SPARE
    return Sight(shown, min(LONGEST_PAGE, limit), _cursor(following.created_at), stragglers)


def _pages(watched: Sequence[Watched]) -> Iterator[list[Watched]]:
    """Jobs in runs that one answer covers, also with those that have ended between them."""
    page: list[Watched] = []
    for one in watched:
        if page and one.number - page[0].number >= PAGE_SPAN:
            yield page
            page = []
        page.append(one)
    if page:
        yield page


def _cursor(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


AT_ONCE = 8
MOST_READS = 32
READ_WAIT_GROWTH = 1.3
LONGEST_READ_WAIT = 5.0
UNKNOWN_READS = 5
DENIED_READS = 2
"""A job whose image was stored ended long ago: when Krea itself says twice that it has no such job, it has none."""


async def cancelled(client: Engine, job_id: str) -> Job | None:
    """Ask Krea to cancel a job, and read its state afterwards; None if Krea no longer shows it.

    Args:
        client: the API.
        job_id: the job.

    Returns:
        The job, which may have ended before it could be cancelled.

    Raises:
        CallFailed: Krea could not be asked, or the job could not be read.
    """
    try:
        await client.cancel(job_id)
    except Refused as error:
        if error.status != 404:
            raise
    return await read_if_there(client, job_id)


async def read_if_there(client: Engine, job_id: str) -> Job | None:
    """Read a job.

    Args:
        client: the API.
        job_id: the job.

    Returns:
        The job, or None when Krea says that it has none of this id.

    Raises:
        CallFailed: it could not be read.
    """
    try:
        return await client.job(job_id)
    except Refused as error:
        if error.status == 404:
            return None
        raise


@dataclass(slots=True)
class Reader:
    """Reads and cancels one job at a time, a few at once."""

    session: Session
    time: Callable[[], float] = time.monotonic

    async def read(self, due: Sequence[Watched]) -> list[tuple[Watched, Job | Lack | None]]:
        """The states of jobs; None for those that could not be read this time."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def read(watched: Watched) -> tuple[Watched, Job | Lack | None]:
            async with slots:
                return watched, await self._one(watched)

        ended = [one for one in due if one.was_stored]  # each needs one or two reads, and none of them waits for Krea
        others = [one for one in due if not one.was_stored]
        return await asyncio.gather(*(read(one) for one in (*ended, *others[:MOST_READS])))

    async def cancelled(self, job_id: str) -> Job | None:
        """The state of a job after its cancellation was requested; None if Krea does not show it."""
        client = self.session.client
        with contextlib.suppress(CallFailed):
            return await cancelled(client, job_id)
        with contextlib.suppress(CallFailed):
            return await read_if_there(client, job_id)
        return None

    async def is_gone(self, job_id: str) -> bool:
        """Whether Krea says that it has no such job."""
        with contextlib.suppress(CallFailed):
            return await read_if_there(self.session.client, job_id) is None
        return False

    async def _one(self, watched: Watched) -> Job | Lack | None:
        watched.is_hinted = False
        try:
            return await self.session.client.job(watched.id)
        except CallFailed as error:
            if await self.session.refuse_account(error):
                return Lack("left")
            status = error.status if isinstance(error, Refused) else 0
            watched.unknown = watched.unknown + 1 if status in (404, 410) else 0
            is_denied = isinstance(error, Refused) and error.is_kreas and status in (404, 410)
            watched.denied = watched.denied + 1 if is_denied else 0
            if watched.was_stored and watched.denied >= DENIED_READS:
                return Lack("gone", str(error))
            if watched.unknown >= UNKNOWN_READS:
                return Lack("hidden", str(error))
            asked = error.retry_after or 0 if isinstance(error, Refused) else 0
            watched.next_read = self.time() + max(asked, watched.wait)
            watched.wait = min(LONGEST_READ_WAIT * self.session.pace.first, watched.wait * READ_WAIT_GROWTH)
            return None


LENGTHS = 64
LIST_TRIES = 3
LIST_REST = 30.0
ASKS = 3
"""The number of attempts to cancel a queued job, in case a call is lost."""
_FEW_JOBS = 100
"""The number of jobs up to which a list is short enough for more frequent polls at the end of a run."""
_LAST_JOBS = 4
"""The number of jobs up to which the run is about to end: it waits for nothing but the next poll."""
_ABOUT_TO_END = (0.75, 1.5)
"""The shares of the usual length of a job between which it may end at any moment."""
HINTED = 6
"""With webhooks, the factor by which polls become rarer; they continue in case no webhook arrives."""


@dataclass(slots=True)
class JobWatch:
    """Every job of a run that has not ended."""

    session: Session
    reader: Reader
    jobs: dict[str, Watched] = field(default_factory=dict)
    count: int = 0
    turn: int = 0
    failures: int = 0
    rests_until: float = 0.0
    last_look: float = 0.0
    last_end: float = 0.0
    ends: int = 0
    is_tail: bool = False
    lengths: "deque[float]" = field(default_factory=lambda: deque(maxlen=LENGTHS))
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    soon: asyncio.Event = field(default_factory=asyncio.Event)

    async def ended(
        self, job_id: str, created_at: datetime | None, deadline: float, *, was_stored: bool = False
    ) -> Job | Lack:
        """Wait until a job ends or its deadline passes; `deadline` in seconds."""
        if self.session.stop.leaving.is_set():
            return Lack("left")
        if job_id in self.jobs:  # Krea has named one job for two requests
            return await asyncio.shield(self.jobs[job_id].end)
        self.count += 1
        first, now = self.session.pace.first, self.reader.time()
        watched = self.jobs[job_id] = Watched(job_id, created_at, deadline, self.count, now, first, now + first)
        watched.was_stored = was_stored
        self.arrived.set()
        if self.session.stop.interrupted:  # its POST was under way
            self.soon.set()
        try:
            return await watched.end
        finally:
            del self.jobs[job_id]

    def hint(self, job_id: str) -> None:
        """Look soon, because someone says that a job has ended. It may be said twice of each job; more is noise."""
        watched = self.jobs.get(job_id)
        if watched is not None and watched.hints < 2:
            watched.hints += 1
            watched.is_hinted = True
            self.soon.set()

    def hurry(self) -> None:
        """Look now, and oftener when few jobs are left, because nothing more will be sent."""
        self.is_tail = True
        self.soon.set()

    async def run(self) -> None:
        """Look until the run is left, which resolves what is still watched."""
        self.session.stop.listeners.append(self.soon.set)
        self.session.stop.listeners.append(self.arrived.set)
        try:
            while not self.session.stop.leaving.is_set():
                self.arrived.clear()
                if self.jobs:
                    await self._wait()
                    is_draining = self.session.stop.interrupted  # before the look: what it shows has to be fresh
                    await self.look()
                    if is_draining:
                        await self._cancel_waiting()
                else:
                    await self.arrived.wait()
        finally:
            self.session.stop.leave()  # before anyone who wakes up can come to wait again
            for watched in self.jobs.values():
                watched.resolve(Lack("left"))

    async def look(self) -> None:
        """Look at the list once, and read what it does not show."""
        now, ends = self.reader.time(), self.ends
        self.last_look = now
        sight = choose_sight(list(self.jobs.values()), self.count, self.turn)
        self.turn += 1
        page = await self._listed(sight.limit, sight.before) if sight.jobs and now >= self.rests_until else None
        if page is None:
            await self._read(list(self.jobs.values()))
        else:
            listed = {job.id: job for job in page.jobs}
            doubtful = [one for one in sight.jobs if self._is_doubtful(one, listed.get(one.id), page)]
            await self._read([*doubtful, *sight.stragglers])
            running = sum(not one.is_backlogged for one in self.jobs.values())
            self.session.capacity.learn(max(running, self.ends - ends))
        await self._give_up()

    async def _cancel_waiting(self) -> None:
        """Cancel every job that no machine has taken, and watch on those that were taken meanwhile."""
        asked = [one for one in self.jobs.values() if one.asked < ASKS and not one.was_stored]
        waiting = [one for one in asked if one.is_waiting and not one.end.done()]
        slots = asyncio.Semaphore(8)

        async def cancel(watched: Watched) -> None:
            watched.asked += 1
            async with slots:
                job = await self.reader.cancelled(watched.id)
                if job is not None:
                    self._see(watched, job)
                elif watched.is_seen and await self.reader.is_gone(watched.id):
                    watched.resolve(Lack("cancelled"))

        await asyncio.gather(*map(cancel, waiting))

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._interval()):
                await self.soon.wait()
        self.soon.clear()
        least = self.last_look + self.session.pace.first / 5 - self.reader.time()
        await self.session.stop.sleep_unless_leaving(max(least, 0.0))

    def _interval(self) -> float:
        pace = self.session.pace
        typical = statistics.median(self.lengths) / 8 if self.lengths else pace.first
        wait = min(max(typical, pace.first), pace.longest)
        if self.is_tail and len(self.jobs) <= _FEW_JOBS:
            wait = pace.first / (5 if self._is_almost_over() else 2)
        return wait * HINTED if self.session.is_told else wait

    def _is_almost_over(self) -> bool:
        """Whether one of the last jobs may end at any moment, by the lengths of those before them."""
        if not self.lengths or len(self.jobs) > _LAST_JOBS:
            return False
        now, usual = self.reader.time(), statistics.median(self.lengths)
        since, until = (share * usual for share in _ABOUT_TO_END)
        began = (one.running_since for one in self.jobs.values())
        return any(one is not None and since <= now - one <= until for one in began)

    async def _listed(self, limit: int, before: str | None) -> JobPage | None:
        try:
            page = await self.session.client.jobs(limit, before)
        except CallFailed as error:
            await self._not_listed(error)
            return None
        self.failures = 0
        self.session.account_jobs.show(page.jobs)
        return page

    async def _not_listed(self, error: CallFailed) -> None:
        """Without the list, jobs are read one by one for a while."""
        self.failures += 1
        if isinstance(error, Refused) and error.status == 401:
            await self.session.refuse_account(error)
        lasting = isinstance(error, Refused) and not error.may_have_acted and error.status != 429
        if lasting or self.failures >= LIST_TRIES:
            self.rests_until = self.reader.time() + LIST_REST * self.session.pace.first
            return
        asked = min(error.retry_after or 0, LIST_REST) if isinstance(error, Refused) else 0
        await self.session.stop.sleep_unless_leaving(max(asked, delay(self.failures, self.session.pace)))

    def _is_doubtful(self, watched: Watched, job: Job | None, page: JobPage) -> bool:
        """Whether a job has to be read alone: it is not in the list, was hinted at, or ended there without an image."""
        if job is None:
            watched.is_missing = page.reaches(watched.created_at)
            return True
        if watched.is_missing:  # how late a list may be
            watched.is_missing = False
            self.session.account_jobs.late.append(self.reader.time() - watched.since)
        hinted = watched.is_hinted and not job.is_final
        if job.is_final and not job.is_drawn and not (job.is_unbilled and job.failure):
            watched.next_read = 0.0
            return True
        self._see(watched, job)
        watched.is_hinted = hinted
        return hinted

    def _see(self, watched: Watched, job: Job) -> None:
        now = self.reader.time()
        if job.is_final and watched.is_missing:  # it ended before a list has shown it
            self.session.account_jobs.late.append(now - watched.since)
        watched.see(job, now)
        if watched.was_stored and job.is_final:
            watched.resolve(job)
        elif job.is_final and not watched.end.done():
            self.lengths.append(now - (watched.since if watched.running_since is None else watched.running_since))
            self.last_end, self.ends = now, self.ends + 1
            watched.resolve(job)

    async def _read(self, jobs: list[Watched]) -> None:
        now = self.reader.time()
        due = [one for one in jobs if not one.end.done() and (one.next_read <= now or one.is_hinted)]
        for watched, job in await self.reader.read(due):
            if isinstance(job, Lack):
                watched.resolve(job)
            elif job is not None:
                self._see(watched, job)

    async def _give_up(self) -> None:
        """Cancel what has run too long, or waits while nothing ends."""
        now = self.reader.time()
        for watched in [one for one in self.jobs.values() if one.is_stuck(now, self.last_end)]:
            job = None if watched.was_stored else await self.reader.cancelled(watched.id)
            if job is not None and job.is_final and job.status != "cancelled":
                self._see(watched, job)
            else:
                is_cancelled = job is not None and job.is_final
                watched.resolve(Lack("stopped" if is_cancelled else "stuck", f"{watched.deadline:g}"))
