"""The way of one request from its place in the plan to its outcome: what is done follows from how it stands."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.api.wire import Job
from krea_pipe.core.outcome import Failure, Outcome, Status
from krea_pipe.executor.capacity import Place, delay
from krea_pipe.executor.collect import Collector
from krea_pipe.executor.inputs import Uploads, Upstream
from krea_pipe.executor.journal_writer import now
from krea_pipe.executor.lost import Found, Nothing, Search, Unclear, Verdict
from krea_pipe.executor.other_runs import OtherRuns
from krea_pipe.executor.refusal import failure_of, refuse_account, refuse_address
from krea_pipe.executor.session import Session
from krea_pipe.executor.submit import History, Lost, Offer, adopted, created_at
from krea_pipe.executor.watch import Watch
from krea_pipe.pipeline.pricing import usd
from krea_pipe.planning.plan import Attach, Hold, Step, Submit
from krea_pipe.store.events import Attached, Cleared, Failed, Unfetched
from krea_pipe.store.ledger import Busy, Drawn, Free, Standing
from krea_pipe.store.replay import InFlight, Post

MOST_LOST = 5
"""Answers to one request that may be lost before it is given up."""


@dataclass(frozen=True, slots=True)
class SharedParts:
    """What the turns of one run share."""

    session: Session
    watch: Watch
    search: Search
    uploads: Uploads
    other_runs: OtherRuns
    upstream: Upstream


_Next: TypeAlias = Standing | Outcome


@dataclass(slots=True)
class RequestTask:
    """One request's way. `has_price` says that its price is reserved."""

    step: Step
    shared: SharedParts
    place: Place
    has_price: bool
    history: History = field(default_factory=History)
    lost: int = 0
    is_new: bool = True
    """Whether the price is for an image of this run, and not for one that an earlier run may have paid."""

    def __post_init__(self) -> None:
        self.is_new = not isinstance(self.step.action, Hold)

    async def take(self) -> Outcome:
        """Go the whole way."""
        try:
            next_: _Next = await self._first()
            while not isinstance(next_, Outcome):
                next_ = await self._on(next_)
        finally:
            self.place.give_back()
        self._settle(next_)
        if next_.status == "failed" and next_.failure is not None and next_.job_id is None:
            await self.shared.session.record(Failed(job_id="", code=next_.failure.code), self.step.key)
        return next_

    async def fail(self, failure: Failure) -> Outcome:
        """The outcome after an error of krea-pipe itself: what Krea may have taken stays counted, and in the journal.

        Raises:
            StateError: the journal cannot be read.
        """
        standing = (await self.shared.session.journal_writer.standings([self.step.key]))[0]
        job_id = standing.job_id if isinstance(standing, InFlight) else None
        if job_id is not None:
            await self.shared.session.record(Unfetched(job_id=job_id), self.step.key)
        may_be_billed = isinstance(standing, InFlight | Post)
        cost = self.step.price if may_be_billed else Decimal(0)
        status: Status = "uncertain" if isinstance(standing, Post) else "failed"
        attempts = tuple(self.history.attempts)
        outcome = Outcome(status, failure=failure, job_id=job_id, cost_usd=cost, attempts=attempts)
        self._settle(outcome)
        return outcome

    async def _first(self) -> _Next:
        """How the request stands by the plan; for an open POST, by the journal and Krea's list."""
        action, session = self.step.action, self.shared.session
        if isinstance(action, Attach):
            origin = session.origin
            return InFlight(action.job_id, origin, action.account, created_at=action.created_at, adopted=action.adopted)
        if isinstance(action, Hold):
            return await self._held()
        if self._may_send_again():
            standing = (await session.journal_writer.standings([self.step.key]))[0]
            return standing if isinstance(standing, Post) else Free()
        return Free()

    async def _held(self) -> _Next:
        """What became of an earlier POST. The gate was shut for that, so that no crash can add another open one."""
        session = self.shared.session
        try:
            standing = (await session.journal_writer.standings([self.step.key]))[0]
            return await self._ask(standing) if isinstance(standing, Post) else standing
        finally:
            session.submit_gate.open()

    def _may_send_again(self) -> bool:
        """Whether the user wants it sent again, should Krea's list not tell what became of it."""
        return isinstance(self.step.action, Submit) and self.step.action.again

    async def _on(self, standing: Standing) -> _Next:
        match standing:
            case Free():
                if not self.is_new:  # its price was set aside in case an earlier run had spent it
                    self._release()
                return await self._send()
            case InFlight():
                return await self._attach(standing)
            case Post():
                return await self._ask(standing)
            case Busy():
                return await self._wait_for(standing)
            case Drawn():
                return self._reuse(standing)

    async def _send(self) -> _Next:
        session = self.shared.session
        lack = await self.shared.upstream.missing(self.step)
        if lack is not None:
            return lack
        self.shared.uploads.drawn.update(await self.shared.upstream.images(self.step))
        if not await self._may_spend() or not await self.place.take():
            return self._pending()
        offer = Offer(self.step, session, self.shared.uploads, self.history, self.place)
        answer = await offer.make()
        match answer:
            case Job():
                created = created_at(answer)
                self.shared.search.account_jobs.know(answer.id, answer.created_at)
                job = InFlight(answer.id, session.origin, session.account, session.run_id, created_at=created)
                return await self._collector(job, self.history.attempts[-1].at).collect()
            case Lost():
                return await self._recover(answer)
            case _:
                return answer

    async def _recover(self, lost: Lost) -> _Next:
        """Look for the job of a POST whose answer has just been lost; the gate was left shut for that."""
        self.lost += 1
        session, standing = self.shared.session, None
        try:
            if lost.error is not None:
                await refuse_address(lost.error, session)
            standing = (await session.journal_writer.standings([self.step.key]))[0]
        finally:
            if not isinstance(standing, Post):
                session.submit_gate.open()
        return await self._ask(standing, lost) if isinstance(standing, Post) else standing

    async def _ask(self, post: Post, lost: Lost | None = None) -> _Next:
        session, search = self.shared.session, self.shared.search
        if not self.has_price:
            session.budget.commit(self.step.price)
            self.has_price, self.is_new = True, False
        if lost is None:
            session.submit_gate.shut()
        try:
            verdict = await search.look(post)
        finally:
            session.submit_gate.open()
        if isinstance(verdict, Nothing) and search.unsettled(post) > 0:
            # Others go on meanwhile: a list may be late, and a gateway may have given up on what goes on behind it.
            ends = await session.stop.sleep_unless_closing(search.unsettled(post))
            verdict = Unclear("the run ended before its job could have shown") if ends else await self._second(post)
        standing = await self._written(verdict, post)
        if standing != post:  # another run was faster
            return standing
        match verdict:
            case Nothing():
                return await self._without_job(lost.error if lost else None)
            case Found(job=job):
                self.place.take_at_once()
                created = created_at(job)
                return InFlight(job.id, post.origin, session.account, session.run_id, created_at=created, adopted=True)
            case Unclear() if lost is None and self._may_send_again():
                self.history.note("sent_again", verdict.reason)
                return Free()
            case Unclear():
                return self._uncertain(verdict, lost)

    async def _second(self, post: Post) -> Verdict:
        """Look again, with the gate shut."""
        self.shared.session.submit_gate.shut()
        try:
            return await self.shared.search.look(post)
        finally:
            self.shared.session.submit_gate.open()

    async def _written(self, verdict: Verdict, post: Post) -> Standing:
        """Write a verdict down, unless the POST stands differently by now; how it stands."""
        journal_writer, key = self.shared.session.journal_writer, self.step.key
        match verdict:
            case Nothing():
                self.history.note("not_taken", "Krea's list shows no job of it")
                return await journal_writer.claim(Cleared(), key, (Post,), only=post)
            case Found(job=job):
                self.history.note("adopted", job.id)
                return await journal_writer.claim(
                    adopted(post, job, self.shared.session.account), key, (Post,), only=post
                )
            case Unclear():
                return post

    async def _without_job(self, error: CallFailed | None) -> _Next:
        """Nothing was ordered. What reads like a refusal is one, and anything else may be sent again."""
        if not (isinstance(error, Refused) and error.is_final):
            return await self._again()
        if await refuse_account(error, self.shared.session):
            return self._pending()
        return Outcome("failed", failure=failure_of(error), attempts=tuple(self.history.attempts))

    async def _again(self) -> _Next:
        """Send the request again, unless Krea never answers it."""
        if self.lost >= MOST_LOST:
            failure = Failure("no_answer", f"Krea did not answer {self.lost} times, and took none of them", "transient")
            return Outcome("failed", failure=failure, attempts=tuple(self.history.attempts))
        session = self.shared.session
        ends = await session.stop.sleep_unless_closing(delay(self.lost, session.pace) if self.lost > 1 else 0)
        return self._pending() if ends else Free()

    async def _attach(self, job: InFlight) -> _Next:
        """Bring in a job that an earlier run has started, unless another run does."""
        session, action = self.shared.session, self.step.action
        submitted_at = None
        if job.run != session.run_id:
            standing = await session.journal_writer.claim(Attached(job_id=job.job_id), self.step.key, (InFlight,))
            if not isinstance(standing, InFlight):
                return standing
            job = standing
            self.history.note("attached", job.job_id)
        else:
            submitted_at = now()
        self.place.take_at_once()
        counted = isinstance(action, Attach) and action.counted
        return await self._collector(job, submitted_at, counted=counted).collect()

    async def _wait_for(self, busy: Busy) -> _Next:
        self.place.give_back()
        self._release()
        self.history.note("waiting", f"run {busy.run} works on it")
        self.shared.session.tell("waiting", self.step.key)
        standing = await self.shared.other_runs.done_with(self.step.key)
        return self._pending() if standing is None else standing

    def _reuse(self, drawn: Drawn) -> Outcome:
        self.history.note("shared", f"drawn by run {drawn.run}")
        result = drawn.result
        return Outcome("reused", result=result, job_id=result.job_id, attempts=tuple(self.history.attempts))

    def _collector(self, job: InFlight, submitted_at: str | None, *, counted: bool = False) -> Collector:
        shared = self.shared
        return Collector(
            self.step, shared.session, shared.watch, self.history, self.place, job, submitted_at, counted=counted
        )

    def _uncertain(self, verdict: Unclear, lost: Lost | None) -> Outcome:
        price = f" for {usd(self.step.price)}" if self.step.price else ""
        what = "an earlier answer was lost" if lost is None else lost.reason
        jobs = [job.id for job in verdict.candidates]
        found = f" Jobs that may be it: {', '.join(jobs)}." if jobs else ""
        adopt = ", `adopt` takes the job that is nearest in time" if jobs else ""
        message = (
            f"{what.rstrip('.')}. Krea may have drawn it{price}, and {verdict.reason.rstrip('.')}.{found} "
            f"`--uncertain resubmit` sends it again{adopt}"
        )
        failure = Failure("answer_lost", message, "uncertain", tuple(jobs))
        return Outcome("uncertain", failure=failure, cost_usd=self.step.price, attempts=tuple(self.history.attempts))

    def _pending(self) -> Outcome:
        return Outcome("pending", attempts=tuple(self.history.attempts))

    async def _may_spend(self) -> bool:
        stop, budget = self.shared.session.stop, self.shared.session.budget
        if not self.has_price:
            self.has_price, self.is_new = await budget.reserve(self.step.price), True
            if not self.has_price and not stop.wanted:
                stop.reach(budget.limit())
        return self.has_price

    def _release(self) -> None:
        if self.has_price:
            self.has_price = False
            self.shared.session.budget.release(self.step.price, is_new=self.is_new)

    def _settle(self, outcome: Outcome) -> None:
        """Count a reserved price as spent if it may be billed, and give it back otherwise."""
        may_be_billed = outcome.cost_usd > Decimal(0) or (outcome.status == "pending" and outcome.job_id is not None)
        succeeded = outcome.status in ("succeeded", "uncertain")
        if self.has_price and (may_be_billed or succeeded):
            self.has_price = False
            self.shared.session.budget.keep(self.step.price, is_new=self.is_new)
        self._release()
