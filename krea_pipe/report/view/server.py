"""The server behind a run's page, which only this machine can reach."""

import asyncio
import contextlib
import errno
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.listening import BACKLOG, MAX_HEAD_BYTES, Connection, Listener
from krea_pipe.report.progress import open_progress
from krea_pipe.report.view.app import Address, create_app
from krea_pipe.report.view.feed import Feed

HOST = "127.0.0.1"
MAX_CONNECTIONS = 64


def listen(port: int) -> socket.socket:
    """A socket on a port of this machine alone; 0 takes a free one.

    Raises:
        UsageError: the port is in use, or may not be used.
    """
    try:
        return Listener(socket.create_server((HOST, port), backlog=BACKLOG), MAX_CONNECTIONS)
    except OSError as error:
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
        hint = "choose another --port; 0 takes a free one"
        raise UsageError(Problem("cannot_listen", f"cannot listen on {HOST}:{port}: {reason}", hint=hint)) from error


def serve(
    home: Path,
    folder: Path,
    listener: socket.socket,
    announce: Callable[[str, str], None],
    *,
    seconds: float | None = None,
) -> None:
    """Serve the run in a folder until SIGINT, SIGTERM or the end of `seconds`.

    `announce` is given the page's URL and the run's id.

    Raises:
        StateError: the run cannot be read.
    """
    feed = Feed(open_progress(home, folder))
    address = Address(listener.getsockname()[1], secrets.token_urlsafe(32))
    config = uvicorn.Config(
        create_app(feed, address),
        http=Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=1,
    )
    _Server(config, feed, lambda: announce(address.url, feed.report.run_id), seconds).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's server, which follows the run while it serves, and takes signals for a wish and not for an error."""

    def __init__(self, config: uvicorn.Config, feed: Feed, announce: Callable[[], None], seconds: float | None) -> None:
        super().__init__(config)
        self._feed, self._announce, self._seconds = feed, announce, seconds
        self._following: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Let callers in, and say so."""
        await super().startup(sockets=sockets)
        self._announce()
        self._following = asyncio.create_task(self._feed.follow())
        self._following.add_done_callback(lambda _: self._end())
        if self._seconds is not None:
            asyncio.get_running_loop().call_later(self._seconds, self._end)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams first: a connection is waited for as long as it has something to say."""
        self._feed.close()
        await super().shutdown(sockets=sockets)
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        """End on a signal, which uvicorn would raise again once it has ended."""
        self.force_exit = self.should_exit
        self._end()

    def _end(self) -> None:
        self.should_exit = True
