"""The roll of the account: which of its jobs are not ours.

An answer that names a job is what makes it ours. Anything else in Krea's list was started by someone else, or by a POST
of ours whose answer was lost.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast

from krea_pipe.api.failures import AnswerLost
from krea_pipe.api.wire import Job, read_time
from krea_pipe.executor.session import Session
from krea_pipe.store.replay import InFlight, Replay

SLACK = timedelta(seconds=2)
"""Between the clock that dates answers and the one that dates jobs."""
FIRST_PAGE = 100
PAGE = 1000
PAGES = 30


@dataclass(slots=True)
class AccountJobs:
    """Jobs that are not ours, of the time that was looked at: from `since` to `until` of Krea's clock.

    `made_by` is a time by which each was made: its own, or, when that cannot be read, that of the job above it in the
    list, which has the newest first.
    """

    session: Session
    strangers: dict[str, Job] = field(default_factory=dict)
    made_by: dict[str, datetime] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    known: dict[str, datetime] = field(default_factory=dict)
    """Jobs that exist, with their times: a list that can be trusted shows those of the time that it is about."""
    undated: set[str] = field(default_factory=set)
    """Jobs of this run without a time, which no list has shown yet."""

    def know(self, job_id: str, created_at: datetime | None) -> None:
        """Note a job that an answer to this run has named."""
        at = self._plausible(created_at)
        if at is None:
            self.undated.add(job_id)
        else:
            self.known[job_id] = at

    async def call(self, since: datetime) -> None:
        """Look at every job since a time of Krea's.

        Raises:
            CallFailed: the list could not be read, or does not show what it should.
        """
        whole = self.since is None or self.until is None or since < self.since
        if whole:
            await self._know_from_journal()
        floor = since - SLACK if whole or self.until is None else self.until - 2 * SLACK
        if whole and self.known:
            floor = min(floor, max(self.known.values()))
        found = await self._read_back_to(floor)
        await self._check(found, floor)
        self.undated -= {job.id for job in found}
        self.made_by |= _made_by(found)
        for job in found:
            self.strangers[job.id] = job
            if job.created_at is not None:
                self.until = job.created_at if self.until is None else max(self.until, job.created_at)
        self.since = since if self.since is None else min(since, self.since)
        self.until = self.until or since

    async def strangers_since(self, since: datetime) -> list[Job]:
        """Those of the jobs that were looked at which no answer has named until now.

        A job without a time is among them when it may have been made since, and Krea did not show it before this run
        had sent anything.
        """
        await self._drop_ours()
        return [
            job
            for job in self.strangers.values()
            if (made_by := self.made_by.get(job.id)) is None or made_by >= since - SLACK
            if job.created_at is not None or job.id not in self.session.shown_before
        ]

    async def _know_from_journal(self) -> None:
        """Take in the jobs that earlier runs have written down."""
        origin, account = self.session.origin, self.session.account
        jobs = await self.session.journal_writer.ask(lambda replay: replay.jobs_to_show(origin, account))
        for job in cast("list[InFlight]", jobs):
            at = self._plausible(read_time(job.created_at))
            if at is not None:
                self.known[job.job_id] = at

    async def _drop_ours(self) -> None:
        known = await self.session.journal_writer.ask(
            lambda replay: [one for one in self.strangers if one in replay.jobs]
        )
        for job_id in cast("Iterable[str]", known):
            del self.strangers[job_id]

    async def _read_back_to(self, floor: datetime) -> list[Job]:
        found: list[Job] = []
        before, limit = None, FIRST_PAGE
        for _ in range(PAGES):
            page = await self.session.client.jobs(limit, before)
            found += [replace(job, created_at=self._plausible(job.created_at)) for job in page.jobs]
            # The last one: a time that is far off, anywhere else on the page, dates no other job.
            last = next((job.created_at for job in reversed(page.jobs) if job.created_at is not None), None)
            if page.next is None or (last is not None and last < floor):
                return found
            before, limit = page.next, PAGE
        raise AnswerLost(f"the list of jobs is longer than {PAGES * PAGE:,}")

    async def _check(self, found: list[Job], floor: datetime) -> None:
        """A list that does not show a job that we know may hide another as well, and so may one that shows nothing."""
        shown = {job.id for job in found}
        hidden = {job_id for job_id, at in self.known.items() if at >= floor} | self.undated
        if hidden := await self._still_there(hidden - shown):
            raise AnswerLost(f"the list of jobs does not show job {min(hidden)}, which exists")
        if not found:
            raise AnswerLost("the list of jobs is empty, so nothing shows that it is up to date")

    async def _still_there(self, jobs: set[str]) -> set[str]:
        """Those of our jobs that have to be shown: not one that was cancelled, or is known to be hidden."""

        def ask(replay: Replay) -> object:
            return {one for one in jobs if _is_there(one, replay)}

        return cast("set[str]", await self.session.journal_writer.ask(ask)) if jobs else jobs

    def _plausible(self, created_at: datetime | None) -> datetime | None:
        """The time of a job, unless Krea's clock has not reached it yet, by which no other job can be dated."""
        latest = self.session.client.clock.latest()
        return None if created_at is None or (latest is not None and created_at > latest + SLACK) else created_at


def _is_there(job_id: str, replay: Replay) -> bool:
    key = replay.jobs.get(job_id, "")
    job = replay.in_flight.get(key)
    return key not in replay.failed if job is None else not job.unseen


def _made_by(found: Sequence[Job]) -> dict[str, datetime]:
    """For each job of a list a time by which it was made.

    The list has the newest first, so a job without a time was made before the one above it; when one of those below is
    younger than that, by when that one was made.
    """
    below: list[datetime | None] = []
    for job in reversed(found):
        times = [one for one in (job.created_at, below[-1] if below else None) if one is not None]
        below.append(max(times, default=None))
    made_by: dict[str, datetime] = {}
    above: datetime | None = None
    for job, youngest in zip(found, reversed(below), strict=True):
        above = job.created_at or above
        if above is not None:
            made_by[job.id] = above if job.created_at or youngest is None else max(above, youngest)
    return made_by
