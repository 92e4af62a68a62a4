"""A plan's work, carried out on one event loop, with the ways to stop it.

A program that has an event loop of its own, such as a notebook, has the work done in a thread.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Literal

import httpx

from krea_pipe.api.client import Client, open_client
from krea_pipe.core.outcome import Ending
from krea_pipe.core.settings import Pace, Target, Token
from krea_pipe.executor.budget_ledger import BudgetLedger
from krea_pipe.executor.capacity import Capacity, SubmitGate
from krea_pipe.executor.engine import Deliver, Engine, Outcomes, StepListener
from krea_pipe.executor.journal_writer import open_journal
from krea_pipe.executor.session import Session
from krea_pipe.executor.stop import LAST_CALLS, Stop, stopped_by_signals
from krea_pipe.planning.plan import Attach, Hold, Plan, Submit
from krea_pipe.store.journal import Observe, unobserved
from krea_pipe.store.ledger import Ledger
from krea_pipe.store.replay import InFlight, Replay
from krea_pipe.store.space import Space

if TYPE_CHECKING:
    from krea_pipe.api.webhook import WebhookListener  # loads a server

STOPPING = "Stopping: what waits is cancelled, what runs is brought in. Interrupt again to leave at once."
_THREADS = min(4, os.cpu_count() or 2)
"""They verify and store images. More than there are cores would only take Python's lock from each other."""


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How much of a plan is carried out, and how it is sent; `webhook` is an address of someone else's to tell."""

    concurrency: int = 500
    submit_parallel: int = 1
    cap: Decimal | None = None
    max_new: int | None = None
    uncertain: Literal["hold", "adopt", "resubmit"] = "hold"
    webhook: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What to carry out, where, and how.

    `replay` is the journal as it was when the plan was made.
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


def execute(order: Order) -> tuple[Outcomes, Ending]:
    """Do the work of a plan, in a thread of its own if an event loop runs in this one already.

    Args:
        order: what to carry out, where, and how.

    Returns:
        The outcome of each request that was begun, by key, and how the work ended.

    Raises:
        KeyboardInterrupt: a second signal came; the journal is safe.
    """
    if not _has_loop():
        return _run(order)
    remote = _Remote()
    with ThreadPoolExecutor(1, "krea-pipe") as threads:
        work = threads.submit(_run, order, remote.connect)
        try:
            return work.result()
        except KeyboardInterrupt:
            return _ended(work, remote)


def _ended(work: "Future[tuple[Outcomes, Ending]]", remote: "_Remote") -> tuple[Outcomes, Ending]:
    """What came of work that was interrupted: what runs is brought in, unless a second interrupt comes."""
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
    """Ends a run from the main thread, which alone is told of signals."""

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
        """Wait for nothing more."""
        if self.session is not None:
            self._do(self.session.stop.leave)

    def _do(self, work: Callable[[], object]) -> None:
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # the run has just ended
                self.loop.call_soon_threadsafe(work)


def _run(order: Order, begun: Callable[[Session], None] = lambda _: None) -> tuple[Outcomes, Ending]:
    try:
        return asyncio.run(_carried_out(order, begun))
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


async def _carried_out(order: Order, begun: Callable[[Session], None]) -> tuple[Outcomes, Ending]:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "disk"))
    stop = Stop()
    async with (
        open_client(order.target, order.token, order.transport) as client,
        _session(order, client, stop) as session,
    ):
        begun(session)
        with stopped_by_signals(stop, client, lambda: order.tell(STOPPING)):
            if order.plan.total(Submit).count or order.plan.total(Hold).count:
                await session.introduce()
            engine = Engine(order.plan, session, order.watch, order.deliver)
            async with _listening(order, engine):
                outcomes = await engine.run()
    return outcomes, Ending(stop.refusal, stop.limit, stop.interrupted, engine.error)


@contextlib.asynccontextmanager
async def _listening(order: Order, engine: Engine) -> AsyncIterator[None]:
    """Receive webhooks for as long as the run goes on, if that is wanted."""
    if order.webhook_listener is None:
        yield
        return
    async with order.webhook_listener.open(engine.shared.watch.hint) as url:
        engine.session.webhook, engine.session.is_told = url, True
        yield


@contextlib.asynccontextmanager
async def _session(order: Order, client: Client, stop: Stop) -> AsyncIterator[Session]:
    options = order.options
    space, observe = order.space, order.observe
    attached = [(step.key, step.action) for step in order.plan.steps if isinstance(step.action, Attach)]
    missing: dict[str, InFlight] = {key: action.job(order.origin) for key, action in attached if action.was_stored}
    ledger = Ledger(space.journal, space.presence, order.run_id, order.origin, order.replay, observe, missing)
    with open_journal(ledger) as journal_writer:
        yield Session(
            client=client,
            space=space,
            journal_writer=journal_writer,
            run_id=order.run_id,
            pipeline=order.plan.pipeline,
            origin=order.origin,
            account=order.token.account,
            pace=order.pace,
            started=client.clock.steady(),
            stop=stop,
            capacity=Capacity(options.concurrency),
            budget=BudgetLedger(options.cap, options.max_new),
            submit_gate=SubmitGate(options.submit_parallel),
            uncertain=options.uncertain,
            webhook=options.webhook,
            observe=observe,
        )
