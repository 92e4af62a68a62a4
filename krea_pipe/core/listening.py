"""Limits for our servers: the number of connections before they are set up, and the time for a request.

asyncio accepts as many connections in one turn as wait at the door, and prints a traceback for each that finds no file
handle left. So the listening socket itself counts, and lets go at once of what is too much.
"""

import asyncio
import errno
import os
import socket
import sys
import weakref
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if sys.platform != "win32":
    import resource

BACKLOG = 64
MAX_HEAD_BYTES = 16 * 1024
_SHARE = 4  # of this process's file handles, one part is for connections from outside
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener(socket.socket):
    """A listening socket with a limit on open connections; it accepts further ones only to close them."""

    def __init__(self, listening: socket.socket, most: int) -> None:
        """Take over a socket that listens; `most` is lowered where the process may open few files."""
        super().__init__(listening.family, listening.type, listening.proto, fileno=listening.detach())
        # asyncio does so only for sockets whose protocol is named; without it each answer in two parts takes 40 ms.
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.most = min(most, _handles() // _SHARE)
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._spare = os.open(os.devnull, os.O_RDONLY)

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection.

        Raises:
            ConnectionAbortedError: it was closed, because there are too many. BlockingIOError: no connection is
            waiting.
        """
        try:
            connection, address = super().accept()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._turn_away()
            raise ConnectionAbortedError from error
        if sum(one.fileno() >= 0 for one in self._open) >= self.most:
            connection.close()
            raise ConnectionAbortedError
        self._open.add(connection)
        return connection, address

    def close(self) -> None:
        """Listen no longer."""
        super().close()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _turn_away(self) -> None:
        """Close the next connection with the reserved file handle: otherwise it would be announced repeatedly."""
        if self._spare >= 0:
            os.close(self._spare)
        with suppress(OSError):
            super().accept()[0].close()
        try:
            self._spare = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            self._spare = -1


def _handles() -> int:
    """The number of files that this process may open."""
    if sys.platform == "win32":
        return 1 << 16
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 16 if soft == resource.RLIM_INFINITY else soft


class Connection(H11Protocol):
    """An HTTP/1.1 connection that is closed when a request, once it is due, does not come whole within `patience`.

    It is due from the first; on a connection that is kept, from its first byte, for which uvicorn waits a while.
    """

    patience = 10.0
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Wait on, unless a request is whole."""
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._forget()
        elif self._due is None:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._due = self.loop.call_later(self.patience, self.transport.abort)

    def _forget(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
