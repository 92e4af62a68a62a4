"""A plan's work, carried out on one event loop, with the ways to stop it."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, Protocol

import httpx

from krea_pipe.api.client import Client, open_client
from krea_pipe.core.outcome import Ending
from krea_pipe.core.settings import Pace, Target, Token
from krea_pipe.executor.budget_ledger import BudgetLedger
from krea_pipe.executor.capacity import Capacity, SubmitGate
from krea_pipe.executor.engine import Deliver, Engine, Outcomes, Watcher
from krea_pipe.executor.journal_writer import JournalWriter
from krea_pipe.executor.refusal import introduce
from krea_pipe.executor.session import Session
from krea_pipe.executor.stop import Stop, stopped_by_signals
from krea_pipe.executor.watch import Watch
from krea_pipe.planning.plan import Hold, Plan, Submit
from krea_pipe.store.journal import Observe, unobserved
from krea_pipe.store.ledger import Ledger
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import Space

STOPPING = "Stopping: what waits is cancelled, what runs is brought in. Interrupt again to leave at once."
THREADS = min(4, os.cpu_count() or 2)
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


class WebhookListener(Protocol):
    """Webhooks that this run receives itself: see `run.hooks`, which is loaded only for them."""

    def open(self, session: Session, watch: Watch) -> contextlib.AbstractAsyncContextManager[None]:
        """Listen for as long as the run goes on."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to carry out, where, and how. `replay` is the journal as it was when the plan was made."""

    plan: Plan
    space: Space
    replay: Replay
    target: Target
    token: Token
    run_id: str
    origin: str
    pace: Pace
    watch: Watcher
    deliver: Deliver
    tell: Callable[[str], None]
    options: ExecutionOptions = field(default_factory=ExecutionOptions)
    hooks: WebhookListener | None = None
    transport: httpx.AsyncBaseTransport | None = None
    observe: Observe = unobserved


def carry_out(order: Order) -> tuple[Outcomes, Ending]:
    """Do the work of a plan.

    Raises:
        KeyboardInterrupt: a second signal came; the journal is safe.
    """
    try:
        return asyncio.run(_carried_out(order))
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


async def _carried_out(order: Order) -> tuple[Outcomes, Ending]:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "disk"))
    stop = Stop()
    async with (
        open_client(order.target, order.token, order.transport) as client,
        _session(order, client, stop) as session,
    ):
        with stopped_by_signals(stop, client, lambda: order.tell(STOPPING)):
            if order.plan.total(Submit).count or order.plan.total(Hold).count:
                await introduce(session)
            engine = Engine(order.plan, session, order.watch, order.deliver)
            watch = engine.shared.watch
            async with order.hooks.open(session, watch) if order.hooks else contextlib.nullcontext():
                outcomes = await engine.run()
    return outcomes, Ending(stop.refusal, stop.limit, stop.interrupted, engine.error)


@contextlib.asynccontextmanager
async def _session(order: Order, client: Client, stop: Stop) -> AsyncIterator[Session]:
    options = order.options
    space, observe = order.space, order.observe
    journal_writer = JournalWriter(
        Ledger(space.journal, space.presence, order.run_id, order.origin, order.replay, observe)
    )
    journal_writer.start()
    try:
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
    finally:
        journal_writer.close()
