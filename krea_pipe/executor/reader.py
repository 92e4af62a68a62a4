"""Single reads of jobs, and what follows from those that fail."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.api.wire import Job
from krea_pipe.executor.poll_window import Lack, Watched
from krea_pipe.executor.refusal import refuse_account
from krea_pipe.executor.session import Session

AT_ONCE = 8
MOST = 32
GROWTH = 1.3
LONGEST = 5.0
UNKNOWN_READS = 5


@dataclass(slots=True)
class Reader:
    """Reads and cancels one job at a time, a few at once."""

    session: Session
    time: Callable[[], float] = time.monotonic

    async def read(self, due: Sequence[Watched]) -> list[tuple[Watched, Job | Lack | None]]:
        """How jobs stand; None for those that could not be read this time."""
        lanes = asyncio.Semaphore(AT_ONCE)

        async def read(watched: Watched) -> tuple[Watched, Job | Lack | None]:
            async with lanes:
                return watched, await self._one(watched)

        return await asyncio.gather(*(read(one) for one in due[:MOST]))

    async def cancelled(self, job_id: str) -> Job | None:
        """How a job stands after Krea was asked to cancel it; None when Krea does not show it any more, or not now."""
        try:
            await self.session.client.cancel(job_id)
        except CallFailed as error:
            if not isinstance(error, Refused) or error.status != 404:
                return await self._seen(job_id)
        return await self._seen(job_id)

    async def is_gone(self, job_id: str) -> bool:
        """Whether Krea says that it has no such job."""
        try:
            await self.session.client.job(job_id)
        except CallFailed as error:
            return isinstance(error, Refused) and error.status == 404
        return False

    async def _seen(self, job_id: str) -> Job | None:
        try:
            return await self.session.client.job(job_id)
        except CallFailed:
            return None

    async def _one(self, watched: Watched) -> Job | Lack | None:
        watched.is_hinted = False
        try:
            return await self.session.client.job(watched.id)
        except CallFailed as error:
            if await refuse_account(error, self.session):
                return Lack("left")
            status = error.status if isinstance(error, Refused) else 0
            watched.unknown = watched.unknown + 1 if status in (404, 410) else 0
            if watched.unknown >= UNKNOWN_READS:
                return Lack("hidden", str(error))
            asked = error.retry_after or 0 if isinstance(error, Refused) else 0
            watched.next_read = self.time() + max(asked, watched.wait)
            watched.wait = min(LONGEST * self.session.pace.first, watched.wait * GROWTH)
            return None
