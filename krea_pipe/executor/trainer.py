"""The way from a training to its style: what is done follows from how the journal says that it stands."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from krea_pipe.api.failures import AnswerLost, CallFailed, Refused, Unreachable
from krea_pipe.api.wire import Job
from krea_pipe.core.errors import RefusedByKrea
from krea_pipe.core.outcome import Failure
from krea_pipe.executor.capacity import delay
from krea_pipe.executor.inputs import Uploads
from krea_pipe.executor.lost import Found, Nothing, Search, Unclear, Verdict
from krea_pipe.executor.refusal import declined, failure_of, introduce, refuse_account, refuse_address
from krea_pipe.executor.session import Session
from krea_pipe.executor.submit import adopted, created_at, submitted
from krea_pipe.executor.training import Trained, Training, agreed_cost, known_style
from krea_pipe.pipeline.model import Budget
from krea_pipe.pipeline.pricing import usd
from krea_pipe.store.events import Attached, Cleared, Declined, Disowned, Done, Event, Failed, Submitting, Unseen
from krea_pipe.store.ledger import Busy, Standing
from krea_pipe.store.replay import InFlight, Post

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


AGAIN = "`--again` trains once more, and pays for it"


def failed(job: Job) -> Failure:
    """The job ended in a way that Krea does not bill."""
    if job.failure is None:
        return Failure(job.status, f"the training was {job.status}; it is not billed")
    reason = f"the training has failed, and is not billed: {job.failure.message}"
    return Failure(job.failure.code, reason, job.failure.kind)


def empty() -> Failure:
    """The job was completed, and has no style."""
    return Failure("empty", f"the training was completed without a style, and may be billed. {AGAIN}", "empty")


def hidden(style_id: str) -> Failure:
    """There is a style, and this key is not the one that may use it."""
    reason = f"style {style_id} was trained with another key, and this one does not see it"
    return Failure("style_hidden", f"{reason}; share it with the workspace. {AGAIN}", "refused")


def uncertain(reason: str, candidates: tuple[str, ...] = ()) -> Failure:
    """An answer was lost, and nobody can tell what became of its POST; `candidates` are jobs that may be of it."""
    jobs = f" Jobs that may be it: {', '.join(candidates)}." if candidates else ""
    look = "`krea-pipe styles list` shows whether the style is there"
    message = f"Krea may be training it, for its answer was lost, and {reason.rstrip('.')}.{jobs} {look}; {AGAIN}"
    return Failure("answer_lost", message, "uncertain", candidates)


TRIES = 8
MOST_LOST = 3
"""Answers that may be lost before the training is given up."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be spent and how long the end is waited for; `again` also pays for what may have been paid."""

    budget: Budget
    max_cost: Decimal | None
    seconds: float
    again: bool = False
    is_free: bool = False


@dataclass(slots=True)
class Trainer:
    """One training on its way. `cost` is what it may cost, once that is agreed; `known` the style of an earlier one.

    `may_repeat` says that a POST without an answer may be sent again though nobody can tell what became of it.
    """

    training: Training
    terms: Terms
    session: Session
    uploads: Uploads
    search: Search
    tell: Callable[[str], None]
    cost: Decimal | None = None
    known: Trained | None = None
    may_repeat: bool = False
    tries: int = 0
    lost: int = 0
    lost_to: CallFailed | None = None
    """How the answer was lost last."""

    async def train(self) -> Trained | Failure:
        """Go the whole way."""
        self.known = await self._on_record()
        if self.known is not None and not self.terms.again:
            return await self._reused(self.known)
        end: Trained | Failure | None = None
        while end is None:
            if self.session.stop.wanted:
                return Failure("interrupted", "this ended before a training was known to run", "transient")
            end = await self._on((await self.session.journal_writer.standings([self.training.key]))[0])
        return end

    async def _on(self, standing: Standing) -> Trained | Failure | None:
        """Take the next step. None says to look how it stands then."""
        match standing:
            case InFlight() if not (self.terms.again and standing.unseen):
                return await self._attach(standing)
            case Post() if not self.may_repeat:
                return await self._ask(standing)
            case Busy():
                return await self._share(standing)
            case _:
                return await self._news() or await self._send(standing)

    async def _on_record(self) -> Trained | None:
        """The style that this training gave at this API, by the journal."""
        key, session = self.training.key, self.session
        found = cast("Trained | None", await session.journal_writer.ask(lambda replay: known_style(replay, key)))
        return found if found is not None and (self.terms.is_free or found.origin == session.origin) else None

    async def _news(self) -> Trained | None:
        """A style that another command has finished since this one began."""
        found = await self._on_record()
        return found if found != self.known else None

    async def _reused(self, known: Trained) -> Trained | Failure:
        """A style of another key is looked for first: it belongs to the account that trained it."""
        if self.terms.is_free or known.account == self.session.account:
            return known
        try:
            await self.session.client.style(known.style_id)
        except CallFailed as error:
            await self._check_account(error)
            if isinstance(error, Refused) and error.status == 404:
                return hidden(known.style_id)
            return failure_of(error)
        return known

    async def _send(self, standing: Standing) -> Trained | Failure | None:
        """Agree on the cost, upload and post."""
        before = await self.session.journal_writer.ask(lambda replay: replay.failed.get(self.training.key))
        if before == "empty" and not self.terms.again and not self.terms.is_free:
            return empty()
        if self.cost is None:
            self.cost = self._agreed()
            if not self.lost:
                await introduce(self.session)
                self._check_refusal()
        try:
            urls = await self.uploads.urls(self.training.images)
        except CallFailed as error:
            await self._check_account(error)
            return Failure("upload_failed", f"an image could not be uploaded: {error}", failure_of(error).kind)
        if self.session.stop.wanted:
            return None
        answer = await self._post(standing, urls)
        return await self._declined(answer, urls) if isinstance(answer, CallFailed) else answer

    def _agreed(self) -> Decimal:
        """What it may cost, which is said before anything is sent."""
        what = f"Training `{self.training.name}` on {self.training.model} from {len(self.training.images)} images."
        if self.terms.is_free:
            self.tell(f"{what} The local Krea bills nothing.")
            return Decimal(0)
        cost = agreed_cost(self.terms.budget, self.terms.max_cost)
        self.tell(f"{what} Its price is unknown; {usd(cost)} is what you allow, and what the journal counts.")
        return cost

    async def _post(self, standing: Standing, urls: dict[str, str]) -> Trained | Failure | CallFailed | None:
        """One POST, written down before and after, if it still stands as it did."""
        session, key = self.session, self.training.key
        assert self.cost is not None  # agreed on before anything was sent
        post = session.submitting(key, f"styles/{self.training.name}", self.cost)
        claimed = await session.journal_writer.claim(post, key, (type(standing),), only=standing)
        if claimed != standing:
            return None
        self.may_repeat = False
        news = await self._news()  # written between the last look and the claim
        if news is not None:
            await session.journal_writer.record(Declined(code="not_sent"), key)
            return news
        started = session.client.clock.steady()
        try:
            job = await session.client.train(self.training.body(urls))
        except (AnswerLost, Refused, Unreachable) as error:
            if error.may_have_acted:
                await self._record_lost(post, error)
                await refuse_address(error, session)
                return None
            await session.journal_writer.record(declined(error), key)
            return error
        if job.id in session.shown_before:  # the answer names the job of another request
            await self._record_lost(post, None)
            return None
        session.client.clock.observe_job(job.created_at, started)
        written = await session.journal_writer.record(submitted(post, job), key)
        if isinstance(written, Busy):  # this one as well
            await self._record_lost(post, None)
            return None
        return await self._wait(InFlight(job.id, session.origin, usd=str(self.cost), created_at=created_at(job)))

    async def _record_lost(self, post: Submitting, error: CallFailed | None) -> None:
        self.lost, self.lost_to = self.lost + 1, error
        await self.session.journal_writer.record(self.session.unanswered(post), self.training.key)

    async def _declined(self, error: CallFailed, urls: dict[str, str]) -> Failure | None:
        """What follows from a POST that Krea did not take."""
        await self._check_account(error)
        self.tries += 1
        status = error.status if isinstance(error, Refused) else None
        if status in (400, 404, 422) and self.uploads.renew(urls):  # a remembered image may be gone
            return None
        if self.tries > TRIES or status not in (None, 429):
            return failure_of(error)
        asked = error.retry_after or 0.0 if isinstance(error, Refused) else 0.0
        await self.session.stop.sleep_unless_closing(max(delay(self.tries, self.session.pace), asked))
        return None

    async def _attach(self, job: InFlight) -> Trained | Failure | None:
        """Wait for a job that an earlier command has started."""
        standing = await self.session.journal_writer.claim(Attached(job_id=job.job_id), self.training.key, (InFlight,))
        return await self._wait(standing) if isinstance(standing, InFlight) else None

    async def _share(self, busy: Busy) -> Trained | Failure | None:
        """Wait for the job of a command that is alive, which writes down what becomes of it."""
        key = self.training.key
        job = await self.session.journal_writer.ask(lambda replay: replay.in_flight.get(key))
        if isinstance(job, InFlight):
            self.tell(f"{busy.run} trains it already; this command pays nothing.")
            return await self._wait(job, is_ours=False)
        await self.session.stop.sleep_unless_closing(self.session.pace.first / 4)
        return None

    async def _wait(self, job: InFlight, *, is_ours: bool = True) -> Trained | Failure:
        """Wait for the end of a job, and write it down if nobody else does."""
        end = await JobWait(self.session, self.tell, self.terms.seconds).kept(job.job_id)
        self._check_refusal()
        if isinstance(end, Failure):
            if end.code == "not_shown" and is_ours:
                await self._record(Unseen(job_id=job.job_id))
            return end
        if end.style_id is not None and not end.is_unbilled:
            trained = Trained(end.style_id, end.id, self.session.origin, self.session.account, job.usd, is_new=True)
            if is_ours:
                await self._record(Done(job_id=job.job_id, result=trained.to_json()))
            return trained
        if job.adopted and end.is_drawn:
            await self._record(Disowned(job_id=job.job_id))
            return uncertain(f"job {job.job_id}, which might have been its own, has drawn an image")
        failure = failed(end) if end.is_unbilled else empty()
        if is_ours:
            await self._record(Failed(job_id=job.job_id, code=failure.code))
        return failure

    async def _record(self, event: Event) -> None:
        await self.session.journal_writer.record(event, self.training.key)

    async def _ask(self, post: Post) -> Failure | None:
        """Look what became of a POST without an answer; it is sent again only if Krea made no job of it."""
        session, key = self.session, self.training.key
        self.tell("An answer of Krea's was lost; looking for its job in Krea's list.")
        await self._look_at_account()
        verdict = await self._looked(post)
        if isinstance(verdict, Nothing) and self.search.unsettled(post) > 0:
            if await session.stop.sleep_unless_closing(self.search.unsettled(post)):
                return None
            verdict = await self._looked(post)
        match verdict:
            case Nothing():
                await session.journal_writer.claim(Cleared(), key, (Post,), only=post)
            case Found(job=job):
                await session.journal_writer.claim(adopted(post, job, session.account), key, (Post,), only=post)
            case Unclear() if self.terms.again and not self.lost:
                self.may_repeat = True
            case Unclear(reason=reason, candidates=candidates):
                return uncertain(reason, tuple(one.id for one in candidates))
        return await self._without_job() if isinstance(verdict, Nothing) else None

    async def _without_job(self) -> Failure | None:
        """Nothing was ordered. What reads like a refusal is one, and anything else may be sent again."""
        if isinstance(self.lost_to, Refused) and self.lost_to.is_final:
            await self._check_account(self.lost_to)
            return failure_of(self.lost_to)
        if self.lost >= MOST_LOST:
            return Failure("no_answer", f"Krea did not answer {self.lost} times, and took none of them", "transient")
        return None

    async def _looked(self, post: Post) -> Verdict:
        self.session.submit_gate.shut()
        try:
            return await self.search.look(post)
        finally:
            self.session.submit_gate.open()

    async def _look_at_account(self) -> None:
        """Ask for one job, for nothing: it tells Krea's time, and whether the key is good."""
        try:
            await self.session.client.jobs(1)
        except CallFailed as error:
            if isinstance(error, Refused) and error.status == 401:
                await self._check_account(error)

    async def _check_account(self, error: CallFailed) -> None:
        await refuse_account(error, self.session)
        self._check_refusal()

    def _check_refusal(self) -> None:
        if self.session.stop.refusal is not None:
            raise RefusedByKrea(self.session.stop.refusal)
