"""Handles one image from the plan to its outcome: a paid job is never abandoned before its image is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from krea_pipe.api.failures import BadImage, CallFailed, Refused
from krea_pipe.api.wire import Job, read_time
from krea_pipe.core import images
from krea_pipe.core.contract import documented_size, is_of_documented_size, requested_size
from krea_pipe.core.failure_codes import failure_class_of, spelled_code
from krea_pipe.core.outcome import Failure, Outcome, Result, Status
from krea_pipe.core.request import Source
from krea_pipe.executor.capacity import JobSlot, delays
from krea_pipe.executor.incoming_image import IncomingImage
from krea_pipe.executor.inputs import Uploads, UpstreamImages
from krea_pipe.executor.journal_writer import utc_now
from krea_pipe.executor.judge import Unclear
from krea_pipe.executor.lost import Search
from krea_pipe.executor.other_runs import OtherRuns
from krea_pipe.executor.paid_request import Lost, PaidRequest
from krea_pipe.executor.session import Session, failure_of
from krea_pipe.executor.watch import JobWatch, Lack
from krea_pipe.pipeline.pricing import usd
from krea_pipe.planning.plan import EMPTY, Attach, Hold, Step, Submit
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.blobs import NewBlob
from krea_pipe.store.events import Disowned, Done, Failed, Unfetched, Unseen
from krea_pipe.store.ledger import Busy, DrawnElsewhere, Free, RequestStatus
from krea_pipe.store.request_state import InFlight, Post

DOWNLOADS = 6
"""Tries to fetch one image again before it is left to the next run."""
OTHER_IMAGE = "its image has a different digest from the accepted one and was discarded"
WENT_WELL = ["submitted", "done"]
"""The attempts of a request with which nothing happened that a reader has to know."""


@dataclass(frozen=True, slots=True)
class SharedParts:
    """The objects that the images of one run share."""

    session: Session
    watch: JobWatch
    search: Search
    uploads: Uploads
    other_runs: OtherRuns
    upstream: UpstreamImages


@dataclass(slots=True, kw_only=True)
class ImageTask(PaidRequest[Outcome]):
    """One image's way. `answered` is the job that the last POST was answered with."""

    step: Step
    shared: SharedParts
    answered: Job | None = None

    async def take(self) -> Outcome:
        """Go the whole way, and count the price."""
        outcome = await self.settled()
        self._count(outcome)
        if outcome.status == "failed" and outcome.failure is not None and outcome.job_id is None:
            if outcome.failure == self.session.permission.refusal_of(self.key):  # which says nothing of the request
                return outcome
            await self.session.record(Failed(job_id="", code=outcome.failure.code), self.key)
        return outcome

    async def fail(self, failure: Failure) -> Outcome:
        """The outcome after an error of krea-pipe itself: what Krea may have taken stays counted, and in the journal.

        Raises:
            StateError: the journal cannot be read.
        """
        request_status = await self.read_status()
        job_id = request_status.job_id if isinstance(request_status, InFlight) else None
        if job_id is not None:
            await self.session.record(Unfetched(job_id=job_id, code=failure.code), self.key)
        may_be_billed = isinstance(request_status, InFlight | Post)
        is_counted = isinstance(request_status, InFlight) and await self._is_counted(request_status)
        cost = self.price if may_be_billed and not is_counted else Decimal(0)
        status: Status = "uncertain" if isinstance(request_status, Post) else "failed"
        outcome = Outcome(status, failure=failure, job_id=job_id, cost_usd=cost, attempts=tuple(self.attempts))
        self._count(outcome)
        return outcome

    async def first(self) -> RequestStatus | Outcome:
        """The status of the request according to the plan; for an open POST, by the journal and Krea's list."""
        action = self.step.action
        if isinstance(action, Attach):
            return action.job(self.session.origin)
        if isinstance(action, Hold):
            return await self._held()
        return await self.read_status() if self.may_repeat else Free()

    async def _held(self) -> RequestStatus | Outcome:
        """The outcome of an earlier POST, found while the gate is closed so that no crash can add another open POST.

        The gate was shut for that, so that no crash can add another open one.
        """
        try:
            request_status = await self.read_status()
            return await self._ask(request_status) if isinstance(request_status, Post) else request_status
        finally:
            self.session.submit_gate.open()

    async def ready(self) -> Outcome | None:
        """Wait for the images of earlier stages that it needs."""
        lack = await self.shared.upstream.missing(self.step)
        if lack is None:
            self.uploads.drawn.update(await self.shared.upstream.images(self.step))
        return lack

    async def post(self, urls: Mapping[Source, str]) -> Job:
        """Order the image."""
        self.answered = await self.session.client.submit(self.step.request, urls, self.session.webhook)
        return self.answered

    async def other_run_done(self, busy: Busy) -> RequestStatus | Outcome:
        """Wait until a run that is alive has done with the same request."""
        self.note("waiting", f"run {busy.run} is working on it")
        self.session.tell("waiting", self.key)
        request_status = await self.shared.other_runs.done_with(self.key)
        return self.ended("pending") if request_status is None else request_status

    async def reused(self, drawn: DrawnElsewhere) -> Outcome:
        """The outcome when another run has brought the image in."""
        assert isinstance(drawn.result, Result)  # a key stands for one kind of request
        self.note("shared", f"generated by run {drawn.run}")
        result = drawn.result
        return Outcome("reused", result=result, job_id=result.job_id, attempts=tuple(self.attempts))

    def ended(self, status: Status, failure: Failure | None = None) -> Outcome:
        """The outcome without a job."""
        return Outcome(status, failure=failure, attempts=tuple(self.attempts))

    def empty(self) -> Failure:
        """An earlier job was completed without an image."""
        return Failure("empty", f"{EMPTY}; `--uncertain resubmit` sends it again", "empty")

    def unclear(self, verdict: Unclear, lost: Lost | None) -> Outcome:
        """The outcome if that of a POST is unknown."""
        price = f" for {usd(self.price)}" if self.price else ""
        what = "an earlier answer was lost" if lost is None else lost.reason
        jobs = [job.id for job in verdict.candidates]
        found = f" Possible jobs: {', '.join(jobs)}." if jobs else ""
        adopt = ", `adopt` takes the job nearest in time" if jobs else ""
        message = (
            f"{what.rstrip('.')}. Krea may have generated it{price}, and {verdict.reason.rstrip('.')}.{found} "
            f"`--uncertain resubmit` sends it again{adopt}"
        )
        failure = Failure("answer_lost", message, "uncertain", tuple(jobs))
        return Outcome("uncertain", failure=failure, cost_usd=self.price, attempts=tuple(self.attempts))

    async def collect(self, job: InFlight, submitted_at: str | None) -> RequestStatus | Outcome:
        """Wait until the job ends, and store its image; `Free` when a job of an earlier run was cancelled."""
        return await Collector(self, job, submitted_at, counted=await self._is_counted(job)).collect()

    async def _is_counted(self, job: InFlight) -> bool:
        """Whether the price of a job is in another report: this run's counts what it has taken over."""
        run_id, key = self.session.run_id, self.key
        if job.was_stored:
            return bool(await self.session.journal_writer.ask(lambda replay: replay.drawn_by.get(key) != run_id))
        return bool(job.counted_by) and bool(
            await self.session.journal_writer.ask(lambda replay: replay.has_reported(job.counted_by))
        )

    def _count(self, outcome: Outcome) -> None:
        """Count a reserved price as spent if it may be billed, and give it back otherwise."""
        may_be_billed = outcome.cost_usd > Decimal(0) or (outcome.status == "pending" and outcome.job_id is not None)
        if may_be_billed or outcome.status in ("succeeded", "uncertain"):
            self.keep_price()
        self.release_price()


def image_task(step: Step, shared: SharedParts, slot: JobSlot, *, has_price: bool) -> ImageTask:
    """The task of a step of the plan; `has_price` says that its price is reserved."""
    return ImageTask(
        key=step.key,
        name=step.cells[0].id,
        sources=step.request.images,
        session=shared.session,
        uploads=shared.uploads,
        search=shared.search,
        slot=slot,
        variant=step.request.variant,
        price=step.price,
        patience=shared.session.pace.deadline(step.request.variant),
        may_repeat=isinstance(step.action, Submit) and step.action.again,
        is_free=not step.price,
        has_price=has_price,
        is_new=not isinstance(step.action, Hold),
        step=step,
        shared=shared,
    )


@dataclass(frozen=True, slots=True)
class Collector:
    """Waits for one job and brings its image in. `counted` says that an earlier run has reported its price."""

    task: ImageTask
    job: InFlight
    submitted_at: str | None
    counted: bool = False

    async def collect(self) -> Outcome | Free:
        """Wait until the job ends, and store its image; `Free` if there is nothing left to store.

        That is so for a job of an earlier run that was cancelled, and for one of a lost image that Krea has no longer.
        """
        end = await self._end()
        self.task.slot.give_back(ended=isinstance(end, Job))
        if self.job.was_stored and not (isinstance(end, Job) and end.is_drawn):
            return await self._not_read_again(end)
        if isinstance(end, Lack):
            return await self._lacking(end)
        if end.is_drawn:
            return await self._stored(end)
        if end.status == "cancelled" and self.submitted_at is None and not self.task.session.stop.wanted:
            await self._record_failure("cancelled")
            return Free()
        return await (self._failed(end) if end.has_failed else self._empty(end))

    async def _end(self) -> Job | Lack:
        """The finished job: immediately if the answer to the POST reports a failure, otherwise once it is detected."""
        answered = self.task.answered
        if answered is not None and answered.id == self.job.job_id and answered.is_explained:
            return answered
        deadline = self.task.session.pace.deadline(self.task.step.request.variant)
        return await self.task.shared.watch.ended(
            self.job.job_id, read_time(self.job.created_at), deadline, was_stored=self.job.was_stored
        )

    async def _lacking(self, lack: Lack) -> Outcome:
        match lack.kind:
            case "left":
                return self._outcome("pending")
            case "cancelled":
                return await self._cancelled()
            case "hidden" | "gone":
                return await self._unseen(lack.detail)
            case "stopped":
                await self._record_failure("stuck")
                failure = Failure(
                    "stuck", f"not finished after {lack.detail} s; it was cancelled and is not billed", "stuck"
                )
                return self._outcome("failed", failure=failure)
            case "stuck":
                self.task.note("stuck", f"not finished after {lack.detail} s")
                await self._record_lack("stuck")
                billed = "; it is counted as paid" if self.task.price else ""
                message = (
                    f"not finished after {lack.detail} s, and Krea did not cancel it{billed}; rerun to look for it, "
                    "or use `--uncertain resubmit` to send it again"
                )
                return self._outcome("failed", failure=Failure("stuck", message, "stuck"), paid=True)

    async def _not_read_again(self, end: Job | Lack, reason: str = "") -> Outcome | Free:
        """An image that was here, and is paid, could not be read; it is ordered again once Krea has it no longer."""
        job, paid = self.job, " and paid" if self.task.price else ""
        if isinstance(end, Lack) and end.kind not in ("hidden", "gone"):
            if end.kind != "stuck":
                return self._outcome("pending", paid=True)
            message = f"job {job.job_id}, which generated it, could not be read within {end.detail} s; rerun to read it"
            return self._outcome("failed", failure=Failure("image_unfetched", message, "transient"), paid=True)
        if await (self._is_denied() if isinstance(end, Lack) and end.kind == "gone" else self._is_gone()):
            return await self._ordered_again()
        await self.task.session.record(Unseen(job_id=job.job_id), self.task.key)
        is_ours = job.account in ("", self.task.session.account)
        whose = "" if is_ours else ", with a different key"
        reason = reason or (end.detail if isinstance(end, Lack) else f"it is {end.status}, and has no image")
        message = (
            f"the image was generated{paid} as job {job.job_id}{whose}; it is missing locally, and Krea no longer "
            f"returns it: {reason}. The next run tries again; `--uncertain resubmit` sends the request again"
        )
        return self._outcome("failed", failure=Failure("image_gone", message, "gone"), paid=True)

    async def _is_denied(self) -> bool:
        """Whether a job that Krea has said not to have is one of this account, which Krea serves."""
        session = self.task.session
        return self.job.account in ("", session.account) and await session.has_been_served()

    async def _ordered_again(self) -> Outcome | Free:
        """An image that Krea has no longer is ordered again by this run, if it may pay for it.

        A price that no report has yet is counted here: the next run orders the image.
        """
        await self._record_failure("job_gone")
        missing = f"it is missing locally, and Krea no longer has job {self.job.job_id}"
        refusal = self.task.session.permission.refusal_of(self.task.key)
        if refusal is None and self.counted:
            return Free()
        if refusal is None or not self.counted:
            failure = Failure("job_gone", f"{missing}; rerun to order a new image", "gone")
        else:
            failure = replace(refusal, message=f"{missing}; {refusal.message}")
        return self._outcome("failed", failure=failure, paid=True)

    async def _cancelled(self) -> Outcome:
        await self._record_failure("cancelled")
        return self._outcome("pending", in_flight=False)

    async def _unseen(self, detail: str) -> Outcome:
        if await self._is_gone():
            return await self._gone()
        if self.job.account not in ("", self.task.session.account):
            other = "was started with another key, and this key cannot see it; use that key"
            message = f"the job {self.job.job_id} {other}"
            return self._outcome("pending", failure=Failure("other_account", message, "uncertain"))
        message = (
            f"Krea accepted the request as job {self.job.job_id}, but does not show that job: {detail}. It may have "
            "been generated and billed; the next run looks again, and `--uncertain resubmit` sends it again"
        )
        await self.task.session.record(Unseen(job_id=self.job.job_id), self.task.key)
        return self._outcome("uncertain", failure=Failure("job_unseen", message, "uncertain"), paid=True)

    async def _is_gone(self) -> bool:
        """Whether a job that was seen to end is one that Krea itself, asked with the same key, has no longer.

        A lock file does not name the key: whichever is asked has to do.
        """
        session, job = self.task.session, self.job
        has_ended = job.was_stored or job.lack not in ("", "stuck")
        if not has_ended or job.account not in (("", session.account) if job.was_stored else (session.account,)):
            return False
        try:
            await session.client.job(self.job.job_id)
        except CallFailed as error:
            is_said = isinstance(error, Refused) and error.is_kreas and error.status in (404, 410)
            return is_said and await session.is_served()
        return False

    async def _gone(self) -> Outcome:
        await self._record_failure("job_gone")
        message = (
            f"the job {self.job.job_id} ended and may be billed, but its image was never collected, and Krea no "
            "longer has it; rerun to order the image again"
        )
        return self._outcome("failed", failure=Failure("job_gone", message, "gone"), paid=True)

    async def _empty(self, job: Job) -> Outcome:
        reason = f": {job.failure.message}" if job.failure else ""
        billed = "; it may be billed" if self.task.price else ""
        status = f", under the status {job.status}" if job.status != "completed" else ""
        message = (
            f"Krea reports the job as completed{status}, but returns no image{billed}{reason}. Rerun to read it "
            "again at no cost; `--uncertain resubmit` sends the request again"
        )
        self.task.note("failed", "empty")
        await self._record_lack("empty")
        return self._outcome("failed", failure=Failure("empty", message, "empty"), paid=True)

    async def _failed(self, job: Job) -> Outcome:
        if job.status == "cancelled" and self.task.session.stop.interrupted:
            return await self._cancelled()
        code = spelled_code(job.status) or "failed"
        silent = Failure(code, f"Krea ended the job as {job.status} and gave no reason", failure_class_of(code))
        failure = job.failure or silent
        await self._record_failure(failure.code)
        return self._outcome("failed", failure=failure)

    async def _record_lack(self, code: str) -> None:
        """Record that the job may be billed, and must be read again before a new image is bought."""
        await self.task.session.record(Unfetched(job_id=self.job.job_id, code=code), self.task.key)

    async def _record_failure(self, code: str) -> None:
        self.task.note("failed", code)
        await self.task.session.record(Failed(job_id=self.job.job_id, code=code), self.task.key)

    async def _stored(self, job: Job) -> Outcome | Free:
        for wait in (*delays(DOWNLOADS, self.task.session.pace), None):
            try:
                async with IncomingImage(self.task.session) as image:
                    await self.task.session.client.receive(job.urls[0], image.write)
                    result = await image.complete(self._keep)
            except CallFailed as error:
                self.task.note("download_failed", str(error))
                code = failure_of(error).code
                self.task.session.tell("download_failed", self.task.key, job_id=self.job.job_id, code=code)
                if wait is None or await self.task.session.stop.sleep_unless_leaving(wait):
                    return await self._unfetched(error)
                job = await self._reread(job)
            else:
                return await (self._done(result) if result else self._not_read_again(job, OTHER_IMAGE))
        raise AssertionError("the last try returns")

    async def _done(self, result: Result) -> Outcome:
        request, size = self.task.step.request, (result.width, result.height)
        if self.job.adopted and requested_size(request) not in (None, size):
            return await self._disowned(result)
        if not is_of_documented_size(request, *size):
            return await self._wrong_size(result)
        await self.task.session.record(Done(job_id=self.job.job_id, result=result.to_json()), self.task.key)
        self.task.note("done", result.sha256, at=result.finished_at)
        return self._outcome("succeeded", result=result, paid=True)

    async def _disowned(self, result: Result) -> Outcome:
        """Reject a job from Krea's list that does not match the request: a wrong image is worse than a missing one."""
        await self.task.session.record(Disowned(job_id=self.job.job_id), self.task.key)
        message = (
            f"an answer was lost, and the only job that may be its own, {self.job.job_id}, generated {result.width} "
            f"x {result.height} pixels, not the requested size"
        )
        failure = Failure("answer_lost", message, "uncertain", (self.job.job_id,))
        return self._outcome("uncertain", failure=failure, paid=True)

    async def _wrong_size(self, result: Result) -> Outcome:
        """The image of the job that Krea has named is not what was asked for: kept and shown, and not delivered."""
        width, height = documented_size(self.task.step.request) or (0, 0)
        self.task.note("wrong_size", f"{result.width} x {result.height}")
        await self._record_lack("wrong_size")
        counted = "; it is counted as paid" if self.task.price else ""
        message = (
            f"the image has {result.width} x {result.height} pixels instead of {width} x {height}{counted}. It is "
            f"stored as {self.task.session.space.blobs.path(result.sha256)}, and not delivered. Rerun to read the "
            "job again at no cost; `--uncertain resubmit` sends the request again"
        )
        failure = Failure("wrong_size", message, "wrong_size")
        return replace(self._outcome("failed", failure=failure, paid=True), unfit=result)

    async def _reread(self, job: Job) -> Job:
        """The job again, in case its image has moved."""
        try:
            again = await self.task.session.client.job(job.id)
        except CallFailed:
            return job
        return again if again.is_drawn else job

    async def _unfetched(self, error: CallFailed) -> Outcome:
        await self._record_lack("image_unfetched")
        state = "paid" if self.task.price else "drawn"
        message = (
            f"the image is {state} but could not be fetched: {error}. Rerun to fetch it; nothing is charged twice. "
            "If this persists, `--uncertain resubmit` generates it again"
        )
        return self._outcome("failed", failure=Failure("image_unfetched", message, "transient"), paid=True)

    def _keep(self, new: NewBlob) -> Result | None:
        """Verify an image and store it; None if its digest differs from the known one."""
        if self.task.session.stop.leaving.is_set():  # many images may wait for a thread, and they are no longer awaited
            raise BadImage("the run ended before it could be stored")
        try:
            facts, thumbnail = images.examine(new.read())
        except images.NotAnImage as error:
            raise BadImage(f"the download is not a complete image: {error}") from error
        if self.job.sha256 and new.digest != self.job.sha256:
            return None
        digest = new.keep()
        write_atomically(self.task.session.space.thumbnail(digest), thumbnail, durable=False)
        size, price = (facts.width, facts.height), self.task.price
        return Result(digest, facts.mime, *size, self.job.job_id, price, utc_now(), facts.likeness)

    def _outcome(
        self,
        status: Status,
        *,
        result: Result | None = None,
        failure: Failure | None = None,
        paid: bool = False,
        in_flight: bool = True,
    ) -> Outcome:
        ended = result.finished_at if result is not None else utc_now()
        return Outcome(
            status=status,
            result=result,
            failure=failure,
            job_id=self.job.job_id if in_flight else None,
            cost_usd=self.task.price if paid and not self.counted else Decimal(0),
            attempts=() if self._went_well(status) else tuple(self.task.attempts),
            submitted_at=self.submitted_at,
            finished_at=ended if status != "pending" else None,
            adopted=self.job.adopted,
        )

    def _went_well(self, status: Status) -> bool:
        return status == "succeeded" and [one.event for one in self.task.attempts] == WENT_WELL
