"""A plan's work, carried out on one event loop, with the ways to stop it."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from krea_pipe.api.client import open_client
from krea_pipe.outcome import Ending
from krea_pipe.plan import Plan
from krea_pipe.run.engine import Deliver, Outcomes, Watch, run_steps
from krea_pipe.run.session import Session
from krea_pipe.run.stop import Stop
from krea_pipe.settings import Pace, Target, Token
from krea_pipe.store.space import Space

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@dataclass(frozen=True, slots=True)
class Order:
    """What to carry out, where, and how."""

    plan: Plan
    space: Space
    target: Target
    token: Token
    run_id: str
    origin: str
    pace: Pace
    concurrency: int
    watch: Watch
    deliver: Deliver
    tell: Callable[[str], None]
    transport: httpx.AsyncBaseTransport | None = None


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
    stop = Stop()
    async with open_client(order.target, order.token, order.transport) as client:
        session = Session(client, order.space, order.run_id, order.origin, order.token.account, order.pace, stop)
        with _stopped_by_signals(stop, order.tell):
            outcomes, error = await run_steps(
                order.plan, session, concurrency=order.concurrency, watch=order.watch, deliver=order.deliver
            )
    return outcomes, Ending(stop.refusal, stop.interrupted, error)


@contextlib.contextmanager
def _stopped_by_signals(stop: Stop, tell: Callable[[str], None]) -> Iterator[None]:
    """The first signal asks the run to end, the second ends it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        if not stop.interrupted:
            stop.interrupt()
            tell("Stopping: what is being sent is still written down. Interrupt again to leave at once.")
        elif task is not None:
            task.cancel()

    handled = []
    for one in SIGNALS:
        if one != signal.SIGINT and signal.getsignal(one) is signal.SIG_IGN:  # as nohup asks
            continue
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
            loop.add_signal_handler(one, on_signal)
            handled.append(one)
    try:
        yield
    finally:
        for one in handled:
            loop.remove_signal_handler(one)
