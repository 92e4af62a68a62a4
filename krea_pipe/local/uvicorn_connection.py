"""uvicorn's connection, which lets the app break its line, and the socket that lets so many connections in."""

import asyncio
import socket
import struct
import sys
import weakref
from dataclasses import dataclass
from typing import Any

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from krea_pipe.local.connection import LINE

if sys.platform != "win32":
    import resource

_NO_LINGER = struct.pack("ii", 1, 0)
_SILENCE = 30  # seconds for the head of a request; its body may take longer
_OTHERS = 64  # file handles that are not for connections


class Connection(H11Protocol):
    """An HTTP/1.1 connection whose requests carry its line in their scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the app of this connection the line."""
        super().connection_made(transport)
        self.app = _with_line(self.app, _TcpLine(transport))
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head that has begun."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._due.cancel()
        elif self._due.cancelled():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._due.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._due = self.loop.call_later(_SILENCE, self.transport.abort)


class Listener(socket.socket):
    """A listening socket that has as many connections open as leave room for files, and closes further ones at once.

    Without room asyncio would print a traceback for each of them.
    """

    def __init__(self, listening: socket.socket) -> None:
        """Take over a socket that listens."""
        super().__init__(listening.family, listening.type, listening.proto, fileno=listening.detach())
        # asyncio does so only for sockets whose protocol is named; without it each answer in two parts takes 40 ms.
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._most = _most_connections()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection.

        Raises:
            ConnectionAbortedError: it was closed, because there are too many. BlockingIOError: there is none.
        """
        connection, address = super().accept()
        self._open.add(connection)
        if len(self._open) > self._most and sum(one.fileno() >= 0 for one in self._open) > self._most:
            connection.close()
            raise ConnectionAbortedError
        return connection, address


def _most_connections() -> int:
    if sys.platform == "win32":
        return 1 << 16
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 16 if soft == resource.RLIM_INFINITY else max(soft - _OTHERS, soft // 2)


@dataclass(frozen=True, slots=True)
class _TcpLine:
    transport: asyncio.Transport

    def reset(self) -> None:
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def close(self) -> None:
        self.transport.close()


def _with_line(app: ASGIApp, line: _TcpLine) -> ASGIApp:
    async def with_line(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**scope.get("extensions", {}), LINE: line}
        await app(scope, receive, send)

    return with_line
