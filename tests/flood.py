"""Many connections that say nothing, all at once, to a server that may open few files."""

import resource
import select
import signal
import socket
from contextlib import ExitStack, contextmanager, suppress

from krea_server import until


@contextmanager
def few_files(most):
    """Processes that are started in this block may have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def flooded(process, port, times=300):
    """Connections that wait at the door of a process that stands still, and that it finds all together."""
    with ExitStack() as stack:
        process.send_signal(signal.SIGSTOP)
        guests = [stack.enter_context(socket.socket()) for _ in range(times)]
        for guest in guests:
            guest.setblocking(False)
            guest.connect_ex(("127.0.0.1", port))
        until(lambda: select.select([], guests[:1], [], 0)[1], "the first connection")
        process.send_signal(signal.SIGCONT)
        until(lambda: any(map(_is_closed, guests)), "a connection that is turned away")
        yield


def _is_closed(guest):
    with suppress(BlockingIOError):
        try:
            return guest.recv(1) == b""
        except ConnectionResetError:
            return True
        except OSError:
            return False  # it is not connected yet
    return False
