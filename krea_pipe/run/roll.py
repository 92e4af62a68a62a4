"""The roll of the account: which of its jobs are not ours.

An answer that names a job is what makes it ours. Anything else in Krea's list was started by someone else, or by a POST
of ours whose answer was lost.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from krea_pipe.api.failures import AnswerLost
from krea_pipe.api.wire import Job, read_time
from krea_pipe.run.session import Session
from krea_pipe.store.replay import InFlight

SLACK = timedelta(seconds=2)
"""Between the clock that dates answers and the one that dates jobs."""
FIRST_PAGE = 100
PAGE = 1000
PAGES = 30


@dataclass(slots=True)
class Roll:
    """Jobs that are not ours, of the time that was looked at: from `since` to `until` of Krea's clock.

    `made_by` is a time by which each was made: its own, or, when that can not be read, that of the job above it in the
    list, which has the newest first.
    """

    session: Session
    strangers: dict[str, Job] = field(default_factory=dict)
    made_by: dict[str, datetime] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    newest: tuple[str, datetime] | None = None
    """The last job that we know to exist, which a list that can be trusted shows."""

    def know(self, job_id: str, created_at: datetime | None) -> None:
        """Note a job that an answer has named."""
        if created_at is not None and (self.newest is None or created_at > self.newest[1]):
            self.newest = (job_id, created_at)

    async def call(self, since: datetime) -> None:
        """Look at every job since a time of Krea's.

        Raises:
            CallFailed: the list could not be read, or does not show what it should.
        """
        whole = self.since is None or self.until is None or since < self.since
        if whole:
            await self._know_from_journal()
        floor = since - SLACK if whole or self.until is None else self.until - 2 * SLACK
        if whole and self.newest is not None:
            floor = min(floor, self.newest[1])
        found = await self._read_back_to(floor)
        self._check(found, floor)
        above: datetime | None = None
        for job in found:
            self.strangers[job.id] = job
            above = job.created_at or above
            if above is not None:
                self.made_by[job.id] = above
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
        jobs = await self.session.scribe.ask(lambda replay: replay.jobs_to_show(origin, account))
        for job in cast("list[InFlight]", jobs):
            self.know(job.job_id, read_time(job.created_at))

    async def _drop_ours(self) -> None:
        known = await self.session.scribe.ask(lambda replay: [one for one in self.strangers if one in replay.jobs])
        for job_id in cast("Iterable[str]", known):
            del self.strangers[job_id]

    async def _read_back_to(self, floor: datetime) -> list[Job]:
        found: list[Job] = []
        before, limit = None, FIRST_PAGE
        for _ in range(PAGES):
            page = await self.session.client.jobs(limit, before)
            found += page.jobs
            # The last one: a time that is far off, anywhere else on the page, dates no other job.
            last = next((job.created_at for job in reversed(page.jobs) if job.created_at is not None), None)
            if page.next is None or (last is not None and last < floor):
                return found
            before, limit = page.next, PAGE
        raise AnswerLost(f"the list of jobs is longer than {PAGES * PAGE:,}")

    def _check(self, found: list[Job], floor: datetime) -> None:
        """A list that does not show a job that we know may hide another as well, and so may one that shows nothing."""
        if self.newest is not None and self.newest[1] >= floor and all(job.id != self.newest[0] for job in found):
            raise AnswerLost(f"the list of jobs does not show job {self.newest[0]}, which exists")
        if not found:
            raise AnswerLost("the list of jobs is empty, so nothing shows that it is up to date")
