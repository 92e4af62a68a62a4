"""Signals end work gently: nothing new is sent after the first, and a call that hangs is not waited for long."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

from krea_pipe.api.client import Client
from krea_pipe.executor.stop import Stop

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
LAST_CALLS = 10.0
"""Seconds that a call may still take after the first signal."""


@contextlib.contextmanager
def stopped_by_signals(stop: Stop, client: Client, tell: Callable[[], None]) -> Iterator[None]:
    """The first signal asks the work to end, and is told; the second ends it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        if not stop.interrupted:
            stop.interrupt()
            client.patience.cut(LAST_CALLS)
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
