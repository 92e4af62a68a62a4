"""How a run is stopped, by signals or otherwise."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from krea_pipe.api.engine import Engine
from krea_pipe.core.errors import Problem


@dataclass(slots=True)
class Stop:
    """A request to stop a run, and its observers.

    Once it is closed nothing new is sent, but running jobs are paid and still collected: when Krea refuses the account,
    or a person or the system interrupts. Once it is left, because of a second interrupt or something that cannot be
    written down, nothing is waited for either.
    """

    closing: asyncio.Event = field(default_factory=asyncio.Event)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    interrupting: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: Problem | None = None
    limit: Problem | None = None
    listeners: list[Callable[[], None]] = field(default_factory=list)

    def refuse(self, problem: Problem) -> None:
        """Send nothing more, because Krea will not serve this account."""
        self.refusal = self.refusal or problem
        self.close()

    def reach(self, problem: Problem) -> None:
        """Begin nothing more, because a limit of the user's is reached; what was begun is within it."""
        self.limit = self.limit or problem

    def interrupt(self) -> None:
        """Send nothing more, because a person or the system asks for it."""
        self.interrupting.set()
        self.close()

    def leave(self) -> None:
        """Stop waiting."""
        self.leaving.set()
        self.close()

    def close(self) -> None:
        """Send nothing more, and wake the tasks that wait to send."""
        self.closing.set()
        for listener in self.listeners:
            listener()

    @property
    def interrupted(self) -> bool:
        """Whether a person or the system asked the run to end."""
        return self.interrupting.is_set()

    @property
    def wanted(self) -> bool:
        """Whether to send nothing new."""
        return self.closing.is_set()

    async def sleep_unless_leaving(self, seconds: float) -> bool:
        """Wait, or stop early if there is nothing to wait for; True if it stopped early."""
        return await _within(self.leaving, seconds)

    async def sleep_unless_closing(self, seconds: float) -> bool:
        """Wait before something is sent, or stop early if nothing may be sent; True if it stopped early."""
        return await _within(self.closing, seconds)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
LAST_CALLS = 10.0
"""Seconds that a call may still take after the first signal."""


@contextlib.contextmanager
def stopped_by_signals(stop: Stop, client: Engine, tell: Callable[[], None]) -> Iterator[None]:
    """Ask the work to stop on the first signal, and end it on the second."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        if not stop.interrupted:
            stop.interrupt()
            client.time_limit.cut(LAST_CALLS)
            tell()
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
