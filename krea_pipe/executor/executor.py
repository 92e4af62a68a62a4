"""Runs all requests of a plan as tasks on one event loop, and stops them on request.

Paid jobs come first; new requests follow as places become free. For a program with its own event loop, such as a
notebook, the work is done in a thread.

"""

import asyncio
import contextlib
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import httpx
import sniffio

from krea_pipe.api.client import open_client
from krea_pipe.api.engine import Engine, EngineUnavailable
from krea_pipe.api.engine_jobs import open_engine
from krea_pipe.core import images
from krea_pipe.core.contract import is_of_documented_size
from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.core.outcome import Ending, Failure, Outcome, Result
from krea_pipe.core.request import Key, Request
from krea_pipe.core.settings import Pace, Target, Token
from krea_pipe.executor.budget_ledger import BudgetLedger
from krea_pipe.executor.capacity import Capacity, JobSlot, SubmitGate
from krea_pipe.executor.image_task import ImageTask, SharedParts, image_task
from krea_pipe.executor.inputs import Uploads, UpstreamImages
from krea_pipe.executor.journal_writer import JournalWriter, RequestLedger, open_journal
from krea_pipe.executor.lost import Search
from krea_pipe.executor.other_runs import OtherRuns
from krea_pipe.executor.session import Session
from krea_pipe.executor.shared_ledger import SharedLedger
from krea_pipe.executor.stop import LAST_CALLS, Stop, stopped_by_signals
from krea_pipe.executor.watch import JobWatch, Reader
from krea_pipe.planning.budget import Permission, shards_of
from krea_pipe.planning.plan import Attach, Hold, Plan, Rejected, Step, Submit
from krea_pipe.store.crash_log import save_crash_log
from krea_pipe.store.journal import Observe, unobserved
from krea_pipe.store.ledger import Ledger
from krea_pipe.store.probe import probe_for
from krea_pipe.store.remote.remote import Remote
from krea_pipe.store.remote.results import SharedImage
from krea_pipe.store.replay import Replay
from krea_pipe.store.request_state import InFlight
from krea_pipe.store.space import Space

if TYPE_CHECKING:
    from krea_pipe.api.webhook import WebhookListener  # loads a server

_T = TypeVar("_T")

Outcomes: TypeAlias = dict[Key, Outcome]
StepListener: TypeAlias = Callable[[Step, Outcome | None], None]
"""Told of each step: with None when it is begun, with the outcome when it has ended."""

Deliver: TypeAlias = Callable[[Step, Result], bool | Failure]
"""Puts an image where the file's author wants it, or says why it cannot; called in a thread."""


@dataclass(slots=True)
class PlanExecution:
    """Carries out what a plan leaves to do."""

    plan: Plan
    session: Session
    tell: StepListener
    deliver: Deliver
    shared: SharedParts = field(init=False)
    outcomes: Outcomes = field(default_factory=dict)
    error: BaseException | None = None
    logs: dict[str, Path] = field(default_factory=dict)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        session = self.session
        uploads = Uploads(session, {image.source: image for image in self.plan.images})
        watch = JobWatch(session, Reader(session))
        upstream = UpstreamImages(self.plan, session.space.blobs)
        self.shared = SharedParts(session, watch, Search(session), uploads, OtherRuns(session), upstream)

    async def run(self) -> Outcomes:
        """Do the work. What goes wrong in one task ends the run, but gently, and is kept as `error`.

        A POST of another task that were cut off would be paid and have no answer.
        """
        self.session.stop.listeners += [
            self.session.capacity.semaphore.close,
            self.session.submit_gate.semaphore.close,
            self.session.budget.shut,
            self.shared.upstream.give_up,
            self.shared.watch.hurry,
        ]
        background = [self._start(work) for work in (self.shared.watch.run(), self.shared.other_runs.run())]
        try:
            await asyncio.wait([self._start(self._feed())])
            self.shared.watch.hurry()
            while self.tasks:
                await asyncio.wait(self.tasks)
        finally:
            self.session.stop.leave()
            rest = (*background, *self.tasks)  # those only look, and these are left over by a second interrupt
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        return self.outcomes

    async def _feed(self) -> None:
        """Begin every step: jobs that Krea already has first, because they are paid."""
        begun = set[Key]()
        try:
            await self._begin_all(begun)
        finally:
            self.shared.upstream.give_up(step.key for step in self.plan.steps if step.key not in begun)

    async def _begin_all(self, begun: set[Key]) -> None:
        for step in self._steps(Attach):
            begun.add(step.key)
            self._begin(step, JobSlot(self.session.capacity), has_price=False)
        for step in self._steps(Hold):
            begun.add(step.key)
            if not (isinstance(step.action, Hold) and step.action.can_be_settled):
                self.shared.upstream.end(step.key, None)
                continue
            self.session.budget.commit(step.price)
            self.session.submit_gate.shut()
            self._begin(step, JobSlot(self.session.capacity), has_price=True)
        for step in self._steps(Rejected):
            begun.add(step.key)
            self.shared.upstream.end(step.key, None)
        steps = self._steps(Submit)
        for step in steps:
            if self.shared.upstream.is_chained(step):
                begun.add(step.key)
                self._keep(self._chained(step))
        for step in steps:
            if step.key not in begun:
                if self.session.stop.wanted or not await self._send_when_free(step):
                    return
                begun.add(step.key)

    async def _send_when_free(self, step: Step) -> bool:
        """Begin a new request once there are budget and a slot for it; False if there will be none."""
        # Budget before slot, as everywhere: who has one and waits for the other must not hold up who has the other.
        slot, stop, budget = JobSlot(self.session.capacity), self.session.stop, self.session.budget
        if not await budget.reserve(step.price):
            if not stop.wanted:
                stop.reach(budget.limit())
            return False
        if not await slot.take():
            budget.release(step.price)
            return False
        self._begin(step, slot, has_price=True)
        return True

    async def _chained(self, step: Step) -> None:
        """Start a request once its input images are available; until then it holds neither budget nor a place."""
        upstream = self.shared.upstream
        lack = await upstream.missing(step)
        if lack is not None:
            self.outcomes[step.key] = lack
            upstream.settle(step.key, lack)
        elif self.session.stop.wanted or not await self._send_when_free(step):
            upstream.give_up([step.key])

    def _steps(self, action: type[Attach | Hold | Rejected | Submit]) -> list[Step]:
        return [step for step in self.plan.steps if isinstance(step.action, action)]

    def _begin(self, step: Step, slot: JobSlot, *, has_price: bool) -> None:
        self.tell(step, None)
        self._keep(self._work(image_task(step, self.shared, slot, has_price=has_price)))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task that the run waits for."""
        task = self._start(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _work(self, task: ImageTask) -> None:
        step = task.step
        try:
            end = await self._bounded(task.take())
            outcome = self.outcomes[step.key] = await task.fail(end) if isinstance(end, Failure) else end
            self.shared.upstream.settle(step.key, outcome)
        finally:
            self.shared.upstream.end(step.key, None)
        if outcome.result is not None:
            delivered = await self._bounded(self.session.shielded(partial(self.deliver, step, outcome.result)))
            if isinstance(delivered, Failure):
                outcome = self.outcomes[step.key] = replace(outcome, status="failed", failure=delivered)
        self.tell(step, outcome)

    async def _bounded(self, work: Awaitable[_T]) -> _T | Failure:
        """The result of some work for one request; an unexpected error fails only that request.

        An unexpected error fails only that request.

        Raises:
            KreaPipeError: what stops all work, such as a journal that cannot be written.
        """
        try:
            return await work
        except KreaPipeError:
            raise
        except Exception as error:  # noqa: BLE001 (the boundary of a request)
            return self._unforeseen(error)

    def _unforeseen(self, error: Exception) -> Failure:
        """An error of krea-pipe itself as the failure of a request, with one log for each kind of error."""
        kind = repr((type(error), [(one.filename, one.lineno) for one in traceback.extract_tb(error.__traceback__)]))
        if kind not in self.logs:
            home, token = self.session.space.folder.parent, self.session.client.token
            self.logs[kind] = save_crash_log(error, home, lambda text: "\n".join(map(token.masked, text.split("\n"))))
        message = f"krea-pipe has a bug: {type(error).__name__}; please report it with {self.logs[kind]}"
        return Failure("internal_error", message, "failed")

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_error)
        return task

    def _note_error(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.error = self.error or error
            self.session.stop.leave()


STOPPING = "Cancelling queued jobs, collecting running ones. Press Ctrl-C again to quit now."
_THREADS = min(4, os.cpu_count() or 2)
"""They verify and store images. More than there are cores would only take Python's lock from each other."""


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How much of a plan to run, and how to send it.

    `webhook` is an address of someone else's to tell. With a `budget_name`, the cap is for all runs that share it.
    """

    concurrency: int = 500
    submit_parallel: int = 1
    cap: Decimal | None = None
    max_new: int | None = None
    uncertain: Literal["hold", "adopt", "resubmit"] = "hold"
    webhook: str | None = None
    budget_name: str = ""
    permission: Permission = field(default_factory=Permission)


@dataclass(frozen=True, slots=True)
class Order:
    """What to run, where, and how; `replay` is the journal on which the plan is based.

    `replay` is the journal as it was when the plan was made, and `person` who pays, "" if git does not know.
    """

    plan: Plan
    space: Space
    replay: Replay
    target: Target
    token: Token
    run_id: str
    origin: str
    pace: Pace
    watch: StepListener
    deliver: Deliver
    tell: Callable[[str], None]
    options: ExecutionOptions = field(default_factory=ExecutionOptions)
    webhook_listener: "WebhookListener | None" = None
    transport: httpx.AsyncBaseTransport | None = None
    observe: Observe = unobserved
    person: str = ""
    remote: Remote | None = None
    accepted: Mapping[Key, frozenset[str]] = field(default_factory=dict)
    """The digests that the lock file names, by the keys of their requests."""
    locked_jobs: Mapping[str, str] = field(default_factory=dict)
    """The keys of their requests, by the jobs that the lock file names."""
    begun: Callable[[Callable[[], None]], None] = lambda _: None
    """Receives a function that stops the run as a signal does, from any thread."""


def execute(order: Order) -> tuple[Outcomes, Ending]:
    """Run a plan, in a separate thread if this thread already has an event loop.

    Args:
        order: what to carry out, where, and how.

    Returns:
        The outcome of each request that was begun, by key, and how the work ended.

    Raises:
        KeyboardInterrupt: a second signal came; the journal is safe.
    """
    remote = _Remote()
    if not _has_loop():
        return _run(order, remote)
    with ThreadPoolExecutor(1, "krea-pipe") as threads:
        work = threads.submit(_run, order, remote)
        try:
            return work.result()
        except KeyboardInterrupt:
            return _ended(work, remote)


def _ended(work: "Future[tuple[Outcomes, Ending]]", remote: "_Remote") -> tuple[Outcomes, Ending]:
    """The result of interrupted work: running jobs are collected, unless a second interrupt follows."""
    try:
        remote.interrupt()
        return work.result()
    except KeyboardInterrupt:
        remote.leave()
        raise


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@dataclass(slots=True)
class _Remote:
    """Ends a run from another thread, such as the main one, the only one that receives signals."""

    loop: asyncio.AbstractEventLoop | None = None
    session: Session | None = None

    def connect(self, session: Session) -> None:
        """Note the run, in its own thread."""
        self.loop, self.session = asyncio.get_running_loop(), session

    def interrupt(self) -> None:
        """Send nothing more."""
        if self.session is not None:
            self._do(self.session.stop.interrupt)
            self._do(partial(self.session.client.time_limit.cut, LAST_CALLS))

    def leave(self) -> None:
        """Stop waiting."""
        if self.session is not None:
            self._do(self.session.stop.leave)

    def _do(self, work: Callable[[], object]) -> None:
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # the run has just ended
                self.loop.call_soon_threadsafe(work)


def _run(order: Order, remote: "_Remote") -> tuple[Outcomes, Ending]:
    try:
        return asyncio.run(_carried_out(order, remote))
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


async def _carried_out(order: Order, remote: "_Remote") -> tuple[Outcomes, Ending]:
    sniffio.current_async_library_cvar.set("asyncio")  # httpx asks for it several times in each call
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "disk"))
    try:
        return await _executed(order, remote)
    except EngineUnavailable as error:
        refusal, *others = error.problems
        return {}, Ending(refusal, warnings=tuple(others))


async def _executed(order: Order, remote: "_Remote") -> tuple[Outcomes, Ending]:
    stop = Stop()
    async with (
        _opened_engine(order) as client,
        _session(order, client, stop) as session,
    ):
        remote.connect(session)
        order.begun(remote.interrupt)
        with stopped_by_signals(stop, client, lambda: order.tell(STOPPING)):
            if order.plan.total(Submit).count or order.plan.total(Hold).count:
                await session.before_sending()
            execution = PlanExecution(order.plan, session, order.watch, order.deliver)
            async with _listening(order, execution):
                outcomes = await execution.run()
            await session.budget.give_back()
        warnings = tuple(client.warnings)
    return outcomes, Ending(stop.refusal, stop.limit, stop.interrupted, execution.error, warnings)


def _opened_engine(order: Order) -> contextlib.AbstractAsyncContextManager[Engine]:
    """Krea's API, or the engine that draws in its place."""
    if order.target.engine is None:
        return open_client(order.target, order.token, order.transport)
    return open_engine(order.target.engine, order.token)


@contextlib.asynccontextmanager
async def _listening(order: Order, execution: PlanExecution) -> AsyncIterator[None]:
    """Receive webhooks during the run, if wanted."""
    if order.webhook_listener is None:
        yield
        return
    async with order.webhook_listener.open(execution.shared.watch.hint) as url:
        execution.session.webhook, execution.session.is_told = url, True
        yield


@contextlib.asynccontextmanager
async def _session(order: Order, client: Engine, stop: Stop) -> AsyncIterator[Session]:
    space, observe = order.space, order.observe
    attached = [(step.key, step.action) for step in order.plan.steps if isinstance(step.action, Attach)]
    missing: dict[str, InFlight] = {key: action.job(order.origin) for key, action in attached if action.was_stored}
    ledger = Ledger(space.journal, space.presence, order.run_id, order.origin, order.replay, observe, missing)
    with open_journal(ledger) as journal_writer:
        async with _shared(order, journal_writer) as request_ledger:
            yield _opened(order, client, stop, request_ledger)


@contextlib.asynccontextmanager
async def _shared(order: Order, journal_writer: JournalWriter) -> AsyncIterator[RequestLedger]:
    """The ledger of this home, or the one that it shares with others."""
    remote = order.remote
    if remote is None:
        yield journal_writer
        return
    shared = SharedLedger(
        journal_writer,
        remote.claims(order.run_id, order.token.account),
        remote.presence(order.run_id, order.pace.first),
        remote.results,
        order.space.blobs,
        partial(_is_fit, {step.key: step.request for step in order.plan.steps}, order.accepted),
        order.pace.first,
        has_claims=remote.has_claims,
        locked_jobs=order.locked_jobs,
    )
    await shared.open()
    try:
        yield shared
    finally:
        await shared.close()
        for reason in shared.lost[:1]:
            hint = "`krea-pipe cache push` uploads what is missing"
            remote.warn(Problem("not_shared", f"the shared store did not accept everything: {reason}", hint=hint))


def _is_fit(
    requests: Mapping[Key, Request], accepted: Mapping[Key, frozenset[str]], key: str, image: SharedImage
) -> bool:
    """Whether an image of the shared store is whole, of the size that was requested, and one that is accepted."""
    request, digests = requests.get(Key(key)), accepted.get(Key(key), frozenset())
    if digests and image.result.sha256 not in digests:
        return False
    try:
        facts, _ = images.examine(image.data)
    except images.NotAnImage:
        return False
    return request is None or is_of_documented_size(request, facts.width, facts.height)


def _budget(order: Order) -> BudgetLedger:
    """The budget of this run alone, or its part of one that several runs share."""
    options = order.options
    if not options.budget_name or order.remote is None or options.cap is None:
        return BudgetLedger(options.cap, options.max_new)
    named = order.remote.budget(options.budget_name, order.run_id, options.cap)
    return BudgetLedger(Decimal(0), options.max_new, named=named)


def _opened(order: Order, client: Engine, stop: Stop, request_ledger: RequestLedger) -> Session:
    options = order.options
    return Session(
        client=client,
        space=order.space,
        journal_writer=request_ledger,
        run_id=order.run_id,
        pipeline=order.plan.pipeline,
        origin=order.origin,
        account=order.token.account,
        pace=order.pace,
        started=client.clock.steady(),
        probe=probe_for(order.space.folder.parent, order.origin, order.token.account),
        stop=stop,
        capacity=Capacity(options.concurrency, shards_of(order.plan)),
        budget=_budget(order),
        person=order.person,
        submit_gate=SubmitGate(options.submit_parallel),
        uncertain=options.uncertain,
        webhook=options.webhook,
        permission=options.permission,
        observe=order.observe,
    )
