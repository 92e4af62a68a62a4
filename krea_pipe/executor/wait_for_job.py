"""Waiting for the end of one long job, with a word now and then; the job goes on whatever becomes of the waiting."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.api.wire import Job
from krea_pipe.core.outcome import Failure
from krea_pipe.executor.refusal import refuse_account
from krea_pipe.executor.session import Session

GROWTH = 1.3
SLOWEST = 10
"""The longest wait between two looks, in first ones."""
UNKNOWN = 5
"""Reads in a row that may say that there is no such job."""
EVERY = 60.0
"""Seconds after which it is said again how a job stands."""


@dataclass(slots=True)
class JobWait:
    """The wait for a job, of at most some `seconds`."""

    session: Session
    tell: Callable[[str], None]
    seconds: float
    time: Callable[[], float] = time.monotonic
    told: tuple[str, float] = ("", 0.0)
    unknown: int = 0

    async def kept(self, job_id: str) -> Job | Failure:
        """The job as it ended, or why it is waited for no longer."""
        stop, begin, wait = self.session.stop, self.time(), self.session.pace.first
        while True:
            job = await self._read(job_id)
            if isinstance(job, Job):
                self._say(job, self.time() - begin)
                if job.is_final:
                    return job
            if stop.refusal is not None:
                return Failure(stop.refusal.code, stop.refusal.message, "refused")
            if self.unknown >= UNKNOWN:
                return Failure("not_shown", f"Krea does not show job {job_id}", "stuck")
            if self.time() - begin > self.seconds:
                return Failure("still_training", f"job {job_id} has not ended in {self.seconds:g} s", "stuck")
            asked = job.retry_after or 0.0 if isinstance(job, Refused) else 0.0
            if await stop.sleep_unless_closing(max(wait, asked)):
                return Failure("interrupted", f"job {job_id} goes on at Krea", "transient")
            wait = min(wait * GROWTH, SLOWEST * self.session.pace.first)

    async def _read(self, job_id: str) -> Job | CallFailed:
        try:
            job = await self.session.client.job(job_id)
        except CallFailed as error:
            await refuse_account(error, self.session)
            is_unknown = isinstance(error, Refused) and error.status == 404
            self.unknown = self.unknown + 1 if is_unknown else 0
            return error
        self.unknown = 0
        return job

    def _say(self, job: Job, seconds: float) -> None:
        status, at = self.told
        if job.status != status or seconds - at >= EVERY:
            self.told = (job.status, seconds)
            self.tell(f"job {job.id}: {job.status}, {seconds:.0f} s")
