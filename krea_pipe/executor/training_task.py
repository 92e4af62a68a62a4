"""Training a style: paid as an image is, by the same protocol, and waited for by reading its one job."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import httpx

from krea_pipe.api.client import Client, open_client
from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.api.wire import Job
from krea_pipe.core.errors import RefusedByKrea
from krea_pipe.core.outcome import Failure, Status
from krea_pipe.core.request import Source
from krea_pipe.core.settings import Pace, Target, Token
from krea_pipe.executor.budget_ledger import BudgetLedger
from krea_pipe.executor.capacity import Capacity, JobSlot
from krea_pipe.executor.inputs import Uploads
from krea_pipe.executor.journal_writer import open_journal
from krea_pipe.executor.judge import Unclear
from krea_pipe.executor.lost import Search
from krea_pipe.executor.paid_request import Lost, PaidRequest
from krea_pipe.executor.session import Session, failure_of
from krea_pipe.executor.stop import Stop, stopped_by_signals
from krea_pipe.pipeline.model import Budget
from krea_pipe.pipeline.pricing import usd
from krea_pipe.pipeline.references import Image
from krea_pipe.planning.training import Training, agreed_cost
from krea_pipe.store.events import Disowned, Done, Event, Failed, Unfetched, Unseen
from krea_pipe.store.ledger import Busy, DrawnElsewhere, Ledger, RequestStatus
from krea_pipe.store.probe import probe_for
from krea_pipe.store.request_state import InFlight, Post, Trained
from krea_pipe.store.space import Space

GROWTH = 1.3
SLOWEST = 10
"""The longest wait between two looks, in first ones."""
UNKNOWN = 5
"""Reads in a row that may say that there is no such job."""
_NOTICE_SECONDS = 60.0
"""Seconds between two messages about the state of a job."""
AGAIN = "`--again` trains again and pays again"


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """What to train, the API and account, and the terms; `pipeline` is the name of the file's pipeline.

    `max_cost` is in US dollars, and None if it was not stated. `seconds` is how long the end is waited for.
    `again` trains once more what was trained, or may have been. `person` is who pays, "" if git does not know.
    """

    training: Training
    images: tuple[Image, ...]
    budget: Budget
    space: Space
    target: Target
    token: Token
    run_id: str
    pipeline: str
    pace: Pace
    tell: Callable[[str], None]
    max_cost: Decimal | None = None
    again: bool = False
    person: str = ""
    seconds: float = 7200.0
    transport: httpx.AsyncBaseTransport | None = None

    @property
    def origin(self) -> str:
        """The mark of the API that the job belongs to."""
        return self.target.origin if self.target.lasting else f"local:{self.run_id}"

    @property
    def is_free(self) -> bool:
        """Whether the training costs nothing."""
        return self.target.kind == "local"


def execute_training(order: TrainingOrder) -> Trained | Failure:
    """Train a style, find the trained one, or wait for the job in flight.

    Args:
        order: what to train, and on which terms.

    Returns:
        The style, or the reason for its absence.

    Raises:
        RefusedByKrea: Krea refuses the account.
        UsageError: no cost limit was stated.
        OverBudget: what it may cost is above the budget.
        StateError: nothing can be written down.
        KeyboardInterrupt: a second signal came; the journal is safe.
    """
    order.space.prepare()
    with order.space.presence.shown(order.run_id):
        try:
            return asyncio.run(_trained(order))
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error


async def _trained(order: TrainingOrder) -> Trained | Failure:
    stop = Stop()
    async with (
        open_client(order.target, order.token, order.transport) as client,
        _session(order, client, stop) as session,
    ):
        with stopped_by_signals(stop, client, lambda: None):
            end = await _task(order, session, client).take()
    if stop.refusal is not None:
        raise RefusedByKrea(stop.refusal)
    return end


@contextlib.asynccontextmanager
async def _session(order: TrainingOrder, client: Client, stop: Stop) -> AsyncIterator[Session]:
    space = order.space
    ledger = Ledger(space.journal, space.presence, order.run_id, order.origin, space.journal.replay())
    with open_journal(ledger) as journal_writer:
        yield Session(
            client=client,
            space=space,
            journal_writer=journal_writer,
            run_id=order.run_id,
            pipeline=order.pipeline,
            origin=order.origin,
            account=order.token.account,
            pace=order.pace,
            started=client.clock.steady(),
            probe=probe_for(order.space.folder.parent, order.origin, order.token.account),
            stop=stop,
            capacity=Capacity(1),
            budget=BudgetLedger(order.max_cost),
            person=order.person,
        )


def _task(order: TrainingOrder, session: Session, krea: Client) -> "TrainingTask":
    training = order.training
    return TrainingTask(
        key=training.key,
        name=f"styles/{training.name}",
        sources=training.images,
        session=session,
        uploads=Uploads(session, {image.source: image for image in order.images}),
        search=Search(session),
        slot=JobSlot(session.capacity),
        variant=training.model,
        patience=session.pace.deadline("training"),
        may_repeat=order.again,
        is_free=order.is_free,
        order=order,
        krea=krea,
    )


@dataclass(slots=True, kw_only=True)
class TrainingTask(PaidRequest[Trained | Failure]):
    """One training on its way. `is_agreed` says that its cost was agreed on, and told."""

    order: TrainingOrder
    krea: Client
    is_agreed: bool = False
    answered: Job | None = None

    async def take(self) -> Trained | Failure:
        """Go the whole way, unless its style is known."""
        if not self.order.again:
            known = await self.session.journal_writer.ask(lambda replay: replay.style(self.key))
            if isinstance(known, Trained) and (self.order.is_free or known.origin == self.session.origin):
                return await self._checked(known)
        return await self.settled()

    async def first(self) -> RequestStatus:
        """The status of the training according to the journal."""
        status = await self.read_status()
        if isinstance(status, Post):
            self.order.tell("An answer from Krea was lost; searching for its job in Krea's list.")
            await self.session.introduce()
        return status

    async def ready(self) -> None:
        """Agree on the cost, which is said before anything is sent."""
        if self.is_agreed:
            return
        training, tell = self.order.training, self.order.tell
        what = f"Training `{training.name}` on {training.model} from {len(training.images)} images."
        if self.order.is_free:
            tell(f"{what} The local Krea bills nothing.")
        else:
            self.price = agreed_cost(self.order.budget, self.order.max_cost)
            cost = usd(self.price)
            tell(f"{what} Its price is unknown; {cost} is the limit you set, and the journal records it.")
        self.is_agreed = True
        await self.session.introduce()

    async def post(self, urls: Mapping[Source, str]) -> Job:
        """Order the training."""
        self.answered = await self.krea.train(self.order.training.body(urls))
        return self.answered

    async def collect(self, job: InFlight, submitted_at: str | None) -> Trained | Failure:  # noqa: ARG002 (for images)
        """Wait until the job ends, and write down the style that it has made."""
        return await self._wait(job)

    async def other_run_done(self, busy: Busy) -> RequestStatus | Trained | Failure:
        """Wait for the job of a command that is alive, which records its outcome."""
        job = await self.session.journal_writer.ask(lambda replay: replay.in_flight.get(self.key))
        if isinstance(job, InFlight):
            self.order.tell(f"{busy.run} is already training it; this command costs nothing.")
            return await self._wait(job, is_ours=False)
        is_ended = await self.session.stop.sleep_unless_closing(self.session.pace.first / 4)
        return self.ended("pending") if is_ended else await self.read_status()

    async def reused(self, drawn: DrawnElsewhere) -> Trained | Failure:
        """The style that another command has collected."""
        assert isinstance(drawn.result, Trained)  # a key stands for one kind of request
        return drawn.result

    def ended(self, status: Status, failure: Failure | None = None) -> Failure:  # noqa: ARG002 (for images)
        """Why there is no style."""
        return failure or Failure(
            "interrupted", "the command ended before a training was known to have started", "transient"
        )

    def empty(self) -> Failure:
        """An earlier training was completed without a style."""
        return _empty()

    def unclear(self, verdict: Unclear, lost: Lost | None) -> Failure:  # noqa: ARG002 (for images)
        """An answer was lost, and the outcome of its POST is unknown."""
        if self.session.stop.interrupted:
            return self.ended("pending")
        return _uncertain(verdict.reason, tuple(job.id for job in verdict.candidates))

    async def _checked(self, known: Trained) -> Trained | Failure:
        """Look first for the style of another key, because it belongs to the account that trained it."""
        if self.order.is_free or known.account == self.session.account:
            return known
        try:
            await self.krea.style(known.style_id)
        except CallFailed as error:
            await self.session.refuse_account(error)
            if isinstance(error, Refused) and error.status == 404:
                return _hidden(known.style_id)
            return failure_of(error)
        return known

    async def _wait(self, job: InFlight, *, is_ours: bool = True) -> Trained | Failure:
        """Wait for the end of a job, and record it if no other task does."""
        session, answered = self.session, self.answered
        end: Job | Failure
        if answered is not None and answered.id == job.job_id and answered.is_explained:
            end = answered
        else:
            end = await JobWait(session, self.order.tell, self.order.seconds).ended(job.job_id)
        if isinstance(end, Failure):
            if end.code == "not_shown" and is_ours:
                await self._record(Unseen(job_id=job.job_id))
            return end
        if end.style_id is not None and not end.has_failed:
            trained = Trained(end.style_id, end.id, session.origin, session.account, job.usd, is_new=True)
            if is_ours:
                await self._record(Done(job_id=job.job_id, result=trained.to_json()))
            return trained
        if job.adopted and end.is_drawn:
            await self._record(Disowned(job_id=job.job_id))
            return _uncertain(f"job {job.job_id}, which might have been its own, generated an image")
        failure = _failed(end) if end.has_failed else _empty()
        if is_ours:
            lack = Unfetched(job_id=job.job_id, code="empty")
            await self._record(Failed(job_id=job.job_id, code=failure.code) if end.has_failed else lack)
        return failure

    async def _record(self, event: Event) -> None:
        await self.session.record(event, self.key)


@dataclass(slots=True)
class JobWait:
    """The wait for a job, of at most some `seconds`."""

    session: Session
    tell: Callable[[str], None]
    seconds: float
    time: Callable[[], float] = time.monotonic
    told: tuple[str, float] = ("", 0.0)
    unknown: int = 0

    async def ended(self, job_id: str) -> Job | Failure:
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
                return Failure("still_training", f"job {job_id} has not finished within {self.seconds:g} s", "stuck")
            asked = job.retry_after or 0.0 if isinstance(job, Refused) else 0.0
            if await stop.sleep_unless_closing(max(wait, asked)):
                return Failure("interrupted", f"job {job_id} is still running at Krea", "transient")
            wait = min(wait * GROWTH, SLOWEST * self.session.pace.first)

    async def _read(self, job_id: str) -> Job | CallFailed:
        try:
            job = await self.session.client.job(job_id)
        except CallFailed as error:
            await self.session.refuse_account(error)
            is_unknown = isinstance(error, Refused) and error.status == 404
            self.unknown = self.unknown + 1 if is_unknown else 0
            return error
        self.unknown = 0
        return job

    def _say(self, job: Job, seconds: float) -> None:
        status, at = self.told
        if job.status != status or seconds - at >= _NOTICE_SECONDS:
            self.told = (job.status, seconds)
            self.tell(f"job {job.id}: {job.status}, {seconds:.0f} s")


def _failed(job: Job) -> Failure:
    """The job ended in a way that Krea does not bill."""
    if job.failure is None:
        return Failure(job.status, f"the training was {job.status}; it is not billed")
    reason = f"the training failed and is not billed: {job.failure.message}"
    return Failure(job.failure.code, reason, job.failure.kind)


def _empty() -> Failure:
    """The job was completed, and has no style."""
    return Failure("empty", f"the training was completed without a style, and may be billed. {AGAIN}", "empty")


def _hidden(style_id: str) -> Failure:
    """Report that the style exists but this key cannot use it."""
    reason = f"style {style_id} was trained with another key, and this key cannot see it"
    return Failure("style_hidden", f"{reason}; share it with the workspace. {AGAIN}", "refused")


def _uncertain(reason: str, candidates: tuple[str, ...] = ()) -> Failure:
    """An answer was lost, and the outcome of its POST is unknown; `candidates` are jobs that may belong to it."""
    jobs = f" Possible jobs: {', '.join(candidates)}." if candidates else ""
    look = "`krea-pipe styles list` shows whether the style exists"
    message = f"Krea may be training it, because its answer was lost, and {reason.rstrip('.')}.{jobs} {look}; {AGAIN}"
    return Failure("answer_lost", message, "uncertain", candidates)
