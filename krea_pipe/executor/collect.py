"""From a job to a verified image on disk. What is paid is never let go: a job stays in flight until it is stored."""

from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from krea_pipe.api.failures import BadImage, CallFailed
from krea_pipe.api.wire import Job, read_time
from krea_pipe.core import images
from krea_pipe.core.outcome import Failure, Outcome, Result, Status
from krea_pipe.core.pixels import size_of
from krea_pipe.executor.capacity import Place, delays
from krea_pipe.executor.journal_writer import now
from krea_pipe.executor.refusal import failure_of
from krea_pipe.executor.session import Session
from krea_pipe.executor.submit import WENT_WELL, History
from krea_pipe.executor.watch import Lack, Watch
from krea_pipe.planning.plan import Step
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.events import Disowned, Done, Failed, Unfetched, Unseen
from krea_pipe.store.ledger import Free
from krea_pipe.store.replay import InFlight

TRIES = 6


@dataclass(frozen=True, slots=True)
class Collector:
    """Waits for one job and brings its image in. `counted` says that an earlier run has reported its price."""

    step: Step
    session: Session
    watch: Watch
    history: History
    place: Place
    job: InFlight
    submitted_at: str | None
    counted: bool = False

    async def collect(self) -> Outcome | Free:
        """Wait until the job ends, and store what it drew; `Free` when a job of an earlier run was cancelled."""
        deadline = self.session.pace.deadline(self.step.request.variant)
        end = await self.watch.ended(self.job.job_id, read_time(self.job.created_at), deadline)
        self.place.give_back(ended=isinstance(end, Job))
        if isinstance(end, Lack):
            return await self._lacking(end)
        if end.is_drawn:
            return await self._stored(end)
        if end.status == "cancelled" and self.submitted_at is None and not self.session.stop.wanted:
            await self._record_failure("cancelled")
            return Free()
        return await (self._empty(end) if end.status == "completed" else self._failed(end))

    async def _lacking(self, lack: Lack) -> Outcome:
        match lack.kind:
            case "left":
                return self._outcome("pending")
            case "cancelled":
                return await self._cancelled()
            case "hidden":
                return await self._unseen(lack.detail)
            case "stopped":
                await self._record_failure("stuck")
                failure = Failure(
                    "stuck", f"no end after {lack.detail} s; it was cancelled, and is not billed", "stuck"
                )
                return self._outcome("failed", failure=failure)
            case "stuck":
                self.history.note("stuck", f"no end after {lack.detail} s")
                await self.session.record(Unfetched(job_id=self.job.job_id), self.step.key)
                billed = "; it is counted as paid" if self.step.price else ""
                message = (
                    f"no end after {lack.detail} s, and Krea did not cancel it{billed}; run again to look for it, or "
                    "with `--uncertain resubmit` to send it again"
                )
                return self._outcome("failed", failure=Failure("stuck", message, "stuck"), paid=True)

    async def _cancelled(self) -> Outcome:
        await self._record_failure("cancelled")
        return self._outcome("pending", in_flight=False)

    async def _unseen(self, detail: str) -> Outcome:
        if self.job.account not in ("", self.session.account):
            other = "was started with another key, and this one cannot see it; use that key"
            message = f"the job {self.job.job_id} {other}"
            return self._outcome("pending", failure=Failure("other_account", message, "uncertain"))
        message = (
            f"Krea took the request as job {self.job.job_id}, but does not show that job: {detail}. It may be drawn "
            "and billed; the next run looks again, `--uncertain resubmit` sends it again"
        )
        await self.session.record(Unseen(job_id=self.job.job_id), self.step.key)
        return self._outcome("uncertain", failure=Failure("job_unseen", message, "uncertain"), paid=True)

    async def _empty(self, job: Job) -> Outcome:
        reason = f": {job.failure.message}" if job.failure else ""
        billed = "; it may be billed" if self.step.price else ""
        message = f"Krea says that the job is completed, but gives no image{billed}{reason}"
        await self._record_failure("empty")
        return self._outcome("failed", failure=Failure("empty", message, "empty"), paid=True)

    async def _failed(self, job: Job) -> Outcome:
        if job.status == "cancelled" and self.session.stop.interrupted:
            return await self._cancelled()
        failure = job.failure or Failure(job.status, f"Krea ended the job as {job.status} and gives no reason")
        await self._record_failure(failure.code)
        return self._outcome("failed", failure=failure)

    async def _record_failure(self, code: str) -> None:
        self.history.note("failed", code)
        await self.session.record(Failed(job_id=self.job.job_id, code=code), self.step.key)

    async def _stored(self, job: Job) -> Outcome:
        for wait in (*delays(TRIES, self.session.pace), None):
            try:
                data = await self.session.client.download(job.urls[0])
                result = await self.session.shielded(partial(self._keep, data))
            except CallFailed as error:
                self.history.note("download_failed", str(error))
                code = failure_of(error).code
                self.session.tell("download_failed", self.step.key, job_id=self.job.job_id, code=code)
                if wait is None or await self.session.stop.sleep_unless_leaving(wait):
                    return await self._unfetched(error)
                job = await self._reread(job)
            else:
                return await self._done(result)
        raise AssertionError("the last try returns")

    async def _done(self, result: Result) -> Outcome:
        expected = size_of(self.step.request)
        if self.job.adopted and expected not in (None, (result.width, result.height)):
            return await self._disowned(result)
        await self.session.record(Done(job_id=self.job.job_id, result=result.to_json()), self.step.key)
        self.history.note("done", result.sha256, at=result.finished_at)
        return self._outcome("succeeded", result=result, paid=True)

    async def _disowned(self, result: Result) -> Outcome:
        """What was found in Krea's list is not what was asked for: a wrong image is worse than a missing one."""
        await self.session.record(Disowned(job_id=self.job.job_id), self.step.key)
        message = (
            f"an answer was lost, and the one job that may be its own, {self.job.job_id}, has drawn "
            f"{result.width} x {result.height} pixels, which were not asked for"
        )
        failure = Failure("answer_lost", message, "uncertain", (self.job.job_id,))
        return self._outcome("uncertain", failure=failure, paid=True)

    async def _reread(self, job: Job) -> Job:
        """The job again, in case its image has moved."""
        try:
            again = await self.session.client.job(job.id)
        except CallFailed:
            return job
        return again if again.urls else job

    async def _unfetched(self, error: CallFailed) -> Outcome:
        await self.session.record(Unfetched(job_id=self.job.job_id), self.step.key)
        state = "paid" if self.step.price else "drawn"
        message = (
            f"the image is {state} but could not be fetched: {error}. Run again to fetch it; nothing is paid twice. "
            "If it stays so, `--uncertain resubmit` has it drawn anew"
        )
        return self._outcome("failed", failure=Failure("image_unfetched", message, "transient"), paid=True)

    def _keep(self, data: bytes) -> Result:
        if self.session.stop.leaving.is_set():  # many images may wait for a thread, and nobody waits for them now
            raise BadImage("the run was ended before it could be stored")
        try:
            facts, thumbnail = images.examine(data)
        except images.NotAnImage as error:
            raise BadImage(f"what came is no whole image: {error}") from error
        digest = self.session.space.blobs.put(data)
        write_atomically(self.session.space.thumbnail(digest), thumbnail, durable=False)
        size, price = (facts.width, facts.height), self.step.price
        return Result(digest, facts.mime, *size, self.job.job_id, price, now(), facts.likeness)

    def _outcome(
        self,
        status: Status,
        *,
        result: Result | None = None,
        failure: Failure | None = None,
        paid: bool = False,
        in_flight: bool = True,
    ) -> Outcome:
        ended = result.finished_at if result is not None else now()
        return Outcome(
            status=status,
            result=result,
            failure=failure,
            job_id=self.job.job_id if in_flight else None,
            cost_usd=self.step.price if paid and not self.counted else Decimal(0),
            attempts=() if self._went_well(status) else tuple(self.history.attempts),
            submitted_at=self.submitted_at,
            finished_at=ended if status != "pending" else None,
            adopted=self.job.adopted,
        )

    def _went_well(self, status: Status) -> bool:
        return status == "succeeded" and [one.event for one in self.history.attempts] == WENT_WELL
