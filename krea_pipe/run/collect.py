"""From a job to a verified image on disk. What is paid is never let go: a job stays in flight until it is stored."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial

from krea_pipe import images
from krea_pipe.api.client import BadImage, CallFailed, Refused
from krea_pipe.api.wire import Job
from krea_pipe.outcome import Failure, Outcome, Result, Status, Timings
from krea_pipe.plan import Attach, Step
from krea_pipe.run.backoff import delays
from krea_pipe.run.session import Session, now
from krea_pipe.run.submit import History, refuse_account
from krea_pipe.store.atomic import write_atomically

TRIES = 6
UNKNOWN_READS = 5


@dataclass(frozen=True, slots=True)
class Collector:
    """Waits for one job and brings its image in. `earlier` is set when an earlier run started the job."""

    step: Step
    session: Session
    history: History
    submitted_at: str | None
    earlier: Attach | None = None

    async def collect(self, job_id: str) -> Outcome:
        """Wait until the job ends, and store what it drew."""
        job = await self._finished(job_id)
        if isinstance(job, Outcome):
            return job
        if job.is_drawn:
            return await self._stored(job)
        return await (self._empty(job) if job.status == "completed" else self._failed(job))

    async def _finished(self, job_id: str) -> Job | Outcome:
        pace, wait, waited, unknown = self.session.pace, self.session.pace.first, 0.0, 0
        while waited < pace.deadline:
            if await self.session.stop.pause(wait):
                return self._outcome("pending", job_id)
            waited += wait
            wait = min(pace.longest, wait * pace.factor)
            try:
                job = await self.session.client.job(job_id)
            except CallFailed as error:
                self.history.note("read_failed", str(error))
                if refuse_account(error, self.session):
                    return self._outcome("pending", job_id)
                unknown = unknown + 1 if isinstance(error, Refused) and error.status in (404, 410) else 0
                wait = max(wait, error.retry_after or 0) if isinstance(error, Refused) else wait
                if unknown >= UNKNOWN_READS:
                    return await self._unknown(job_id, error)
                continue
            if job.is_final:
                return job
        failure = Failure("stuck", f"no end after {pace.deadline:.0f} s; run again to look for it")
        return self._outcome("pending", job_id, failure=failure)

    async def _unknown(self, job_id: str, error: CallFailed) -> Outcome:
        if self.earlier and self.earlier.account not in ("", self.session.account):
            message = f"the job {job_id} was started with another key, and this one can not see it; use that key"
            return self._outcome("pending", job_id, failure=Failure("other_account", message))
        message = (
            f"Krea took the request as job {job_id}, but does not show that job: {error}. It may be drawn and billed; "
            "the next run looks again, `--uncertain resubmit` sends it again"
        )
        await self.session.record("unseen", self.step.key, job_id=job_id)
        return self._outcome("uncertain", job_id, failure=Failure("job_unseen", message), paid=True)

    async def _empty(self, job: Job) -> Outcome:
        reason = f": {job.failure.message}" if job.failure else ""
        billed = "; it may be billed" if self.step.price else ""
        message = f"Krea says that the job is completed, but gives no image{billed}{reason}"
        await self._record_failure(job.id, "empty")
        return self._outcome("failed", job.id, failure=Failure("empty", message), paid=True)

    async def _failed(self, job: Job) -> Outcome:
        failure = job.failure or Failure(job.status, f"Krea ended the job as {job.status} and gives no reason")
        await self._record_failure(job.id, failure.code)
        return self._outcome("failed", job.id, failure=failure)

    async def _record_failure(self, job_id: str, code: str) -> None:
        self.history.note("failed", code)
        await self.session.record("failed", self.step.key, job_id=job_id, code=code)

    async def _stored(self, job: Job) -> Outcome:
        for wait in (*delays(TRIES, self.session.pace), None):
            try:
                data = await self.session.client.download(job.urls[0])
                result = await self.session.shielded(partial(self._keep, data, job.id))
            except CallFailed as error:
                self.history.note("download_failed", str(error))
                if wait is None or await self.session.stop.pause(wait):
                    return await self._unfetched(job.id, error)
                job = await self._reread(job)
            else:
                await self.session.record("done", self.step.key, job_id=job.id, result=result.to_json())
                self.history.note("done", result.sha256)
                return self._outcome("succeeded", job.id, result=result, paid=True)
        raise AssertionError("the last try returns")

    async def _reread(self, job: Job) -> Job:
        """The job again, in case its image has moved."""
        try:
            again = await self.session.client.job(job.id)
        except CallFailed:
            return job
        return again if again.urls else job

    async def _unfetched(self, job_id: str, error: CallFailed) -> Outcome:
        await self.session.record("unfetched", self.step.key, job_id=job_id)
        state = "paid" if self.step.price else "drawn"
        message = (
            f"the image is {state} but could not be fetched: {error}. Run again to fetch it; nothing is paid twice. "
            "If it stays so, `--uncertain resubmit` has it drawn anew"
        )
        return self._outcome("failed", job_id, failure=Failure("image_unfetched", message), paid=True)

    def _keep(self, data: bytes, job_id: str) -> Result:
        try:
            facts, thumbnail = images.examine(data)
        except images.NotAnImage as error:
            raise BadImage(f"what came is no whole image: {error}") from error
        digest = self.session.space.blobs.put(data)
        write_atomically(self.session.space.thumbnail(digest), thumbnail, durable=False)
        return Result(digest, facts.mime, facts.width, facts.height, job_id, self.step.price, now())

    def _outcome(
        self,
        status: Status,
        job_id: str,
        *,
        result: Result | None = None,
        failure: Failure | None = None,
        paid: bool = False,
    ) -> Outcome:
        return Outcome(
            status=status,
            result=result,
            failure=failure,
            job_id=job_id,
            cost_usd=self.step.price if paid and not (self.earlier and self.earlier.counted) else Decimal(0),
            attempts=tuple(self.history.attempts),
            timings=_timings(self.submitted_at, now() if status != "pending" else None),
        )


def _timings(submitted_at: str | None, finished_at: str | None) -> Timings:
    if submitted_at is None or finished_at is None:
        return Timings(submitted_at, finished_at)
    seconds = (datetime.fromisoformat(finished_at) - datetime.fromisoformat(submitted_at)).total_seconds()
    return Timings(submitted_at, finished_at, round(seconds, 3))
