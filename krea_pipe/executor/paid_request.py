"""The protocol for everything that is paid, images and trainings: submit, wait, collect, recover.

The next step follows from the status of the request in the journal. There is no idempotency key, so a POST is repeated
only when Krea said no, was never reached, or shows no job of it. What is about to be done is written down before:
`submitting` before the POST, `submitted` before any look at the job.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Generic, TypeAlias, TypeVar

from krea_pipe.api.failures import AnswerLost, CallFailed, Refused, Unreachable
from krea_pipe.api.wire import Job
from krea_pipe.core.errors import Problem
from krea_pipe.core.money import exact
from krea_pipe.core.outcome import Attempt, Failure, Status, iso
from krea_pipe.core.request import Key, Source
from krea_pipe.executor.capacity import JobSlot, delay
from krea_pipe.executor.inputs import Uploads
from krea_pipe.executor.journal_writer import utc_now
from krea_pipe.executor.judge import FoundJob, Nothing, Unclear, Verdict
from krea_pipe.executor.lost import Search
from krea_pipe.executor.session import Session, failure_of
from krea_pipe.store.events import Adopted, Attached, Cleared, Declined, Submitted, Submitting, Unanswered
from krea_pipe.store.ledger import Blocked, Busy, DrawnElsewhere, Free, RequestStatus
from krea_pipe.store.request_state import InFlight, Post

MOST_UNREACHABLE = 8
"""Tries to reach Krea with one request before it fails."""
MOST_LOST = 5
"""Answers to one request that may be lost before it fails."""

End = TypeVar("End")
_Answer: TypeAlias = Job | RequestStatus | CallFailed | None


@dataclass(frozen=True, slots=True)
class Lost:
    """The answer to a POST did not come."""

    reason: str
    error: CallFailed | None = None


@dataclass(slots=True)
class _Tries:
    """The POSTs of one request that Krea did not take, and the seconds that were waited between them."""

    count: int = 0
    waited: float = 0.0


@dataclass(slots=True, kw_only=True)
class PaidRequest(ABC, Generic[End]):
    """One request from its start to its outcome.

    Kinds of requests differ in what has to be there first (`ready`), in what is posted (`post`), in how the job is
    waited for and what it leaves (`collect`), and in how the end is told.

    `price` is in US dollars, and `has_price` says that it is reserved; `is_new` that it is for a POST of this run, and
    not for one that an earlier run may have paid. `variant` is that of the image, or the model of the training.
    `patience` is how many seconds Krea may say that there are too many
    requests. `may_repeat` says that the user wants it sent again if its outcome cannot be determined, or if it was
    billed without an image; `is_free` that the API bills nothing. `replaced` is the POST that it replaces, if any.
    """

    key: Key
    name: str
    sources: tuple[Source, ...]
    session: Session
    uploads: Uploads
    search: Search
    slot: JobSlot
    variant: str
    price: Decimal = Decimal(0)
    patience: float
    may_repeat: bool = False
    is_free: bool = False
    has_price: bool = False
    is_new: bool = True
    replaced: Post | None = None
    attempts: list[Attempt] = field(default_factory=list)
    lost: int = 0

    @abstractmethod
    async def first(self) -> RequestStatus | End:
        """The status of the request before anything is done."""

    @abstractmethod
    async def ready(self) -> End | None:
        """Wait for what has to be there before it is sent; the end when it is not to be sent."""

    @abstractmethod
    async def post(self, urls: Mapping[Source, str]) -> Job:
        """Make the POST; `urls` gives the URL of each uploaded source.

        Raises:
            Unreachable, Refused, AnswerLost: see `api.client`.
        """

    @abstractmethod
    async def collect(self, job: InFlight, submitted_at: str | None) -> RequestStatus | End:
        """Wait until the job ends, and collect its result; `submitted_at` (UTC) when this run has sent it."""

    @abstractmethod
    async def other_run_done(self, busy: Busy) -> RequestStatus | End:
        """Wait until a run that is alive has done with the same request."""

    @abstractmethod
    async def reused(self, drawn: DrawnElsewhere) -> End:
        """The end when another run has brought it in."""

    @abstractmethod
    def ended(self, status: Status, failure: Failure | None = None) -> End:
        """The end without a job."""

    @abstractmethod
    def empty(self) -> Failure:
        """Why it is not sent when an earlier job was completed without what was asked for."""

    @abstractmethod
    def unclear(self, verdict: Unclear, lost: Lost | None) -> End:
        """The end if the outcome of a POST is unknown; `lost` if it was one of this run."""

    async def settled(self) -> End:
        """Go the whole way.

        Raises:
            StateError: the journal cannot be written or read.
        """
        try:
            next_ = await self.first()
            while isinstance(next_, RequestStatus):
                next_ = await self._on(next_)
        finally:
            self.slot.give_back()
        return next_

    def note(self, event: str, detail: str = "", at: str = "") -> str:
        """Add one attempt, now or at a time that is known, and return its time."""
        self.attempts.append(Attempt(at or utc_now(), event, detail))
        return self.attempts[-1].at

    async def read_status(self) -> RequestStatus:
        """The current status of the request, by the journal and the runs that are alive."""
        return (await self.session.journal_writer.statuses([self.key]))[0]

    async def _on(self, status: RequestStatus) -> RequestStatus | End:
        match status:
            case Free(is_empty=True) if not (self.may_repeat or self.is_free):
                return self.ended("failed", self.empty())
            case Free():
                return await self._send(status)
            case Post() if status == self.replaced:
                return await self._send(status)
            case InFlight() if self.may_repeat and (status.unseen or status.lack):  # as the plan decides
                return await self._send(status)
            case InFlight():
                return await self._attach(status)
            case Post():
                return await self._ask(status)
            case Busy():
                self.slot.give_back()
                self.release_price()
                return await self.other_run_done(status)
            case DrawnElsewhere():
                return await self.reused(status)
            case Blocked():
                return self._blocked(status)

    def _blocked(self, blocked: Blocked) -> End:
        """The end when the shared store does not say whether the request is free: nothing is paid without a claim."""
        if blocked.is_down:
            hint = "rerun when the store answers; `--without-claims` pays without it"
            self.session.stop.refuse(Problem("no_shared_store", f"nothing more is sent: {blocked.reason}", hint=hint))
            return self.ended("pending")
        return self.ended("failed", Failure("claim_blocked", blocked.reason, "local"))

    # --- submit

    async def _send(self, status: RequestStatus) -> RequestStatus | End:
        if not self.is_new:  # its price was set aside in case an earlier run had spent it
            self.release_price()
        if (refusal := self.session.permission.refusal_of(self.key)) is not None:
            return self.ended("failed", refusal)
        if (end := await self.ready()) is not None:
            return end
        if self.session.stop.wanted or not await self._reserve_price() or not await self.slot.take():
            return self.ended("pending")
        await self.session.before_sending()
        answer = await self._post_until_answered(status)
        match answer:
            case Job():
                origin, account, run = self.session.origin, self.session.account, self.session.run_id
                job = InFlight(answer.id, origin, account, run, usd=exact(self.price), created_at=created_at(answer))
                return await self.collect(job, self.attempts[-1].at)
            case Lost():
                return await self._recover(answer)
            case _:
                return answer

    async def _post_until_answered(self, status: RequestStatus) -> Job | Lost | RequestStatus | End:
        """POST it until Krea takes or refuses it, an answer is lost, or its status has changed."""
        tries = _Tries()
        while True:
            try:
                urls = await self.uploads.urls(self.sources)
            except CallFailed as error:
                return await self._upload_failed(error)
            if self.session.stop.wanted:
                return self.ended("pending")
            answer = await self._post(status, urls)
            match answer:
                case None:
                    self.slot.give_back()
                    if not await self.slot.take():
                        return self.ended("pending")
                case Refused(status=400 | 404 | 422) if self.uploads.renew(urls):
                    self.note("uploading_again", "a remembered reference may be gone")
                case CallFailed():
                    if not await self._waited(answer, tries):
                        return self._refused(self.uploads.named(answer, self.sources))
                case _:
                    return answer

    async def _post(self, status: RequestStatus, urls: Mapping[Source, str]) -> _Answer | Lost | End:
        """One POST, recorded before and after, if the status of the request has not changed.

        None if there are too many jobs at Krea now. After `Lost` the gate is left shut for the search for the job.
        """
        session = self.session
        async with session.submit_gate.passed() as has_passed:
            if not has_passed or session.stop.wanted:
                return self.ended("pending")
            if session.capacity.is_crowded:
                return None
            if session.capacity.rest and await session.stop.sleep_unless_closing(session.capacity.rest):
                return self.ended("pending")
            post = self._submitting()
            found = await session.journal_writer.claim(post, self.key, (type(status),), only=status)
            if found != status:
                return found if isinstance(found, Blocked) else await self.read_status()
            answer = await self._sent(urls)
            match answer:
                case Job():
                    session.sent.pop(self.key, None)
                    self.slot.fill()
                    session.capacity.accept()
                    written = session.journal_writer.put(_submitted(post, answer), self.key)
                case Lost(error=error):
                    written = self._put_lost(post, is_given_up=error is not None and error.is_given_up)
                    self._make_room(error)
                case error:
                    self._make_room(error)
                    await session.refuse_account(error)  # before the next POST
                    written = session.journal_writer.put(_declined(error), self.key)
        # The next POST may begin while this line is written: its own line comes after it.
        if isinstance(await written, Busy) and isinstance(answer, Job):
            answer = Lost(f"Krea's answer names job {answer.id}, which is the job of another request")
            await self._put_lost(post, is_given_up=False)
        self.note(*_words(answer))
        return answer

    async def _sent(self, urls: Mapping[Source, str]) -> Job | Lost | CallFailed:
        clock, account_jobs = self.session.client.clock, self.session.account_jobs
        started, seen = clock.steady(), len(account_jobs.seen)
        try:
            job = await self.post(urls)
        except (AnswerLost, Refused, Unreachable) as error:
            return Lost(str(error), error) if error.may_have_acted else error
        if account_jobs.seen.get(job.id, seen) < seen:
            return Lost(f"Krea's answer names job {job.id}, which existed before the request")
        if account_jobs.has_ended_before(job):
            return Lost(f"Krea's answer names job {job.id}, which had ended long before the request")
        account_jobs.answers.append(clock.steady() - started)
        account_jobs.late.append(clock.steady() - started)
        account_jobs.know(job.id, job.created_at)
        clock.observe_job(job.created_at, started)
        return job

    def _put_lost(self, post: Submitting, *, is_given_up: bool) -> "asyncio.Future[object]":
        """Shut the gate for the search for the job of the POST, and record that its answer is lost."""
        session = self.session
        session.submit_gate.shut()
        session.lost[self.key] = session.client.clock.steady()
        latest = session.client.clock.latest()
        before = "" if latest is None else iso(latest + timedelta(milliseconds=1))
        event = Unanswered(**asdict(post), before=before, given_up=is_given_up)
        written = session.journal_writer.put(event, self.key)
        written.add_done_callback(self._open_after_failure)
        return written

    def _open_after_failure(self, written: "asyncio.Future[object]") -> None:
        """Open the gate if a lost answer could not be recorded: no task will look for its job."""
        if written.cancelled() or written.exception() is not None:
            self.session.submit_gate.open()

    def _make_room(self, error: CallFailed | None) -> None:
        """Take in what a 429 means for all requests, while none of them can be sent yet, whoever sent it."""
        if isinstance(error, Refused) and error.status == 429 and self.session.capacity.refuse(error.retry_after or 0):
            self.slot.give_back()

    async def _waited(self, error: CallFailed, tries: _Tries) -> bool:
        """Wait as long as the error asks for; False when there is to be no other try."""
        tries.count += 1
        pace, stop = self.session.pace, self.session.stop
        if isinstance(error, Unreachable) and tries.count <= MOST_UNREACHABLE:
            return not await stop.sleep_unless_closing(delay(tries.count, pace))
        if not isinstance(error, Refused) or error.status != 429 or tries.waited >= self.patience:
            return False
        wait = max(error.retry_after or 0, delay(min(tries.count, 4), pace))
        tries.waited += wait
        return not await stop.sleep_unless_closing(wait) and await self.slot.take()

    async def _upload_failed(self, error: CallFailed) -> End:
        self.note("upload_failed", str(error))
        if self.session.stop.wanted or await self.session.refuse_account(error):
            return self.ended("pending")
        message = f"a reference could not be uploaded: {error}"
        return self.ended("failed", Failure("upload_failed", message, failure_of(error).kind))

    def _refused(self, error: CallFailed) -> End:
        return self.ended("pending") if self.session.stop.wanted else self.ended("failed", failure_of(error))

    def _submitting(self) -> Submitting:
        """The event before the POST: where it goes, what it may cost, and for what of the pipeline.

        Its times of Krea's clock are not later than the start of the run, and than now.
        """
        session = self.session
        clock, began = session.client.clock, session.began
        after, (known_since, newest) = clock.earliest(), session.account_jobs.window()
        session.sent[self.key] = clock.steady()
        session.lost.pop(self.key, None)
        return Submitting(
            origin=session.origin,
            account=session.account,
            usd=exact(self.price),
            cell=session.cell_name(self.name),
            variant=self.variant,
            person=session.person,
            began="" if began is None else iso(began),
            after="" if after is None else iso(after),
            exact=clock.is_exact,
            known_since=known_since,
            newest=newest,
        )

    # --- wait and collect what an earlier run has sent

    async def _attach(self, job: InFlight) -> RequestStatus | End:
        """Bring in a job that an earlier run has started, unless another run does."""
        session, submitted_at = self.session, None
        if job.run == session.run_id:
            submitted_at = utc_now()
        else:
            cell = session.cell_name(self.name)
            event = Attached(job_id=job.job_id, origin=job.origin, cell=cell, sha256=job.sha256)
            status = await session.journal_writer.claim(event, self.key, (InFlight,))
            if not isinstance(status, InFlight):
                return status
            job = status
            self.note("attached", job.job_id)
        if not job.was_stored:
            self.slot.take_at_once()
        return await self.collect(job, submitted_at)

    async def _recover(self, lost: Lost) -> RequestStatus | End:
        """Look for the job of a POST whose answer has just been lost; the gate was left shut for that."""
        self.lost += 1
        status: RequestStatus | None = None
        try:
            if lost.error is not None:
                await self.session.refuse_address(lost.error)
            status = await self.read_status()
        finally:
            if not isinstance(status, Post):
                self.session.submit_gate.open()
        return await self._ask(status, lost) if isinstance(status, Post) else status

    async def _ask(self, post: Post, lost: Lost | None = None) -> RequestStatus | End:
        """Determine the outcome of a POST; it is resubmitted only if Krea created no job for it, or the user wants
        that.
        """
        if not self.has_price:
            self.session.budget.commit(self.price)
            self.has_price, self.is_new = True, False
        if lost is None:  # the gate was left shut otherwise
            self.session.submit_gate.shut()
        verdict = await self.search.resolve(post)
        status = await self._written(verdict, post)
        if status != post:  # another run was faster
            return status
        match verdict:
            case Nothing():
                return await self._without_job(lost.error if lost else None)
            case FoundJob(job=job):
                self.slot.take_at_once()
                account, run, created = self.session.account, self.session.run_id, created_at(job)
                return InFlight(job.id, post.origin, account, run, usd=post.usd, created_at=created, adopted=True)
            case Unclear() if lost is None and self.may_repeat:
                self.note("sent_again", verdict.reason)
                self.replaced = post
                return post
            case Unclear():
                return self.unclear(verdict, lost)

    async def _written(self, verdict: Verdict, post: Post) -> RequestStatus:
        """Record a verdict, unless the status of the POST has changed; returns its status."""
        match verdict:
            case Nothing():
                self.note("not_taken", "Krea's list shows no job for it")
                return await self.session.journal_writer.claim(Cleared(), self.key, (Post,), only=post)
            case FoundJob(job=job):
                self.note("adopted", job.id)
                event = _adopted(post, job, self.session.account)
                status = await self.session.journal_writer.claim(event, self.key, (Post,), only=post)
                if status != post:  # the job is not taken, and is searched for again
                    self.search.taken.discard(job.id)
                return status
            case Unclear():
                return post

    async def _without_job(self, error: CallFailed | None) -> RequestStatus | End:
        """Nothing was ordered. What reads like a refusal is one, and anything else may be sent again."""
        if isinstance(error, Refused) and error.is_final:
            if await self.session.refuse_account(error):
                return self.ended("pending")
            return self.ended("failed", failure_of(error))
        if self.lost >= MOST_LOST:
            message = f"Krea did not answer {self.lost} times and accepted none of the requests"
            return self.ended("failed", Failure("no_answer", message, "transient"))
        wait = delay(self.lost, self.session.pace) if self.lost > 1 else 0
        return self.ended("pending") if await self.session.stop.sleep_unless_closing(wait) else Free()

    async def _reserve_price(self) -> bool:
        stop, budget = self.session.stop, self.session.budget
        if not self.has_price:
            self.has_price, self.is_new = await budget.reserve(self.price), True
            if not self.has_price and not stop.wanted:
                stop.reach(budget.limit())
        return self.has_price

    def keep_price(self) -> None:
        """Count the price as spent, if it is reserved."""
        if self.has_price:
            self.has_price = False
            self.session.budget.keep(self.price, is_new=self.is_new)

    def release_price(self) -> None:
        """Give the price back, if it is reserved."""
        if self.has_price:
            self.has_price = False
            self.session.budget.release(self.price, is_new=self.is_new)


def created_at(job: Job) -> str:
    """When a job was created according to Krea (UTC, ISO 8601); "" if Krea does not say."""
    return "" if job.created_at is None else job.created_at.isoformat()


def _submitted(post: Submitting, job: Job) -> Submitted:
    """The event after a POST that has become a job."""
    return Submitted(job_id=job.id, account=post.account, created_at=created_at(job), **_what(post))


def _adopted(post: Post, job: Job, account: str) -> Adopted:
    """The event after a job was found in Krea's list for a POST whose answer was lost."""
    return Adopted(job_id=job.id, account=account, created_at=created_at(job), **_what(post))


def _what(post: Submitting | Post) -> dict[str, str]:
    """What the POST and its job have in common, besides the account."""
    return {name: getattr(post, name) for name in ("origin", "usd", "cell", "variant", "person")}


def _declined(error: CallFailed) -> Declined:
    """The event after a POST that Krea did not take."""
    return Declined(code=failure_of(error).code, status=error.status if isinstance(error, Refused) else None)


def _words(answer: Job | Lost | CallFailed) -> tuple[str, str]:
    match answer:
        case Job(id=job_id):
            return "submitted", job_id
        case Lost(reason=reason):
            return "unanswered", reason
        case error:
            return "declined", str(error)
