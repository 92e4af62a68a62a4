"""A run inside a program that has an event loop of its own, such as a notebook."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from krea_pipe.core.outcome import Ending
from krea_pipe.executor.engine import Outcomes
from krea_pipe.executor.executor import Order, carry_out
from krea_pipe.executor.session import Session
from krea_pipe.executor.stop import LAST_CALLS
from krea_pipe.executor.watch import Watch


def call(order: Order) -> tuple[Outcomes, Ending]:
    """Do the work of a plan, in a thread if an event loop runs in this one already.

    Raises:
        KeyboardInterrupt: a second interrupt came; the journal is safe.
    """
    if not _has_loop():
        return carry_out(order)
    reins = _Reins()
    with ThreadPoolExecutor(1, "krea-pipe") as threads:
        work = threads.submit(carry_out, replace(order, hooks=reins))
        try:
            return work.result()
        except KeyboardInterrupt:
            return _ended(work, reins)


def _ended(work: "Future[tuple[Outcomes, Ending]]", reins: "_Reins") -> tuple[Outcomes, Ending]:
    """What came of work that was interrupted: what runs is brought in, unless a second interrupt comes."""
    try:
        reins.interrupt()
        return work.result()
    except KeyboardInterrupt:
        reins.leave()
        raise


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@dataclass(slots=True)
class _Reins:
    """Signals reach the main thread alone, so it has to tell the run; see `run.signals`."""

    loop: asyncio.AbstractEventLoop | None = None
    session: Session | None = None

    @contextlib.asynccontextmanager
    async def open(self, session: Session, _: Watch) -> AsyncIterator[None]:
        """Take the reins for as long as the run goes on."""
        self.loop, self.session = asyncio.get_running_loop(), session
        try:
            yield
        finally:
            self.loop = None

    def interrupt(self) -> None:
        """Send nothing more."""
        if self.loop is not None and self.session is not None:
            self.loop.call_soon_threadsafe(self.session.stop.interrupt)
            self.loop.call_soon_threadsafe(self.session.client.patience.cut, LAST_CALLS)

    def leave(self) -> None:
        """Wait for nothing more."""
        if self.loop is not None and self.session is not None:
            self.loop.call_soon_threadsafe(self.session.stop.leave)
