"""The roll of the account: which of its jobs are not ours.

An answer that names a job is what makes it ours. Anything else in Krea's list was started by someone else, or by a POST
of ours whose answer was lost.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from krea_pipe.api.failures import AnswerLost
from krea_pipe.api.wire import Job
from krea_pipe.run.session import Session

SLACK = timedelta(seconds=2)
"""Between the clock that dates answers and the one that dates jobs."""
FIRST_PAGE = 100
PAGE = 1000
PAGES = 30


@dataclass(slots=True)
class Roll:
    """Jobs that are not ours, of the time that was looked at: from `since` to `until` of Krea's clock."""

    session: Session
    strangers: dict[str, Job] = field(default_factory=dict)
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
        floor = since - SLACK if whole or self.until is None else self.until - 2 * SLACK
        found = await self._read_back_to(floor)
        self._check(found, floor)
        for job in found:
            if job.created_at is not None:
                self.strangers[job.id] = job
                self.until = job.created_at if self.until is None else max(self.until, job.created_at)
        self.since = since if self.since is None else min(since, self.since)
        self.until = self.until or since

    async def strangers_since(self, since: datetime) -> list[Job]:
        """Those of the jobs that were looked at which no answer has named until now."""
        await self._drop_ours()
        return [
            job for job in self.strangers.values() if job.created_at is not None and job.created_at >= since - SLACK
        ]

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
            times = [job.created_at for job in page.jobs if job.created_at is not None]
            if len(times) < len(page.jobs):
                raise AnswerLost("the list of jobs does not say when each was created")
            if page.next is None or not times or min(times) < floor:
                return found
            before, limit = page.next, PAGE
        raise AnswerLost(f"the list of jobs is longer than {PAGES * PAGE:,}")

    def _check(self, found: list[Job], floor: datetime) -> None:
        """A list that does not show a job that we know may hide another as well."""
        if self.newest is not None and self.newest[1] > floor and all(job.id != self.newest[0] for job in found):
            raise AnswerLost(f"the list of jobs does not show job {self.newest[0]}, which exists")
