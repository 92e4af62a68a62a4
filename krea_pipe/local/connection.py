"""uvicorn's connection, which lets the app break its line."""

import asyncio
import socket
import struct
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from krea_pipe.local.line import LINE

_NO_LINGER = struct.pack("ii", 1, 0)


class Connection(H11Protocol):
    """An HTTP/1.1 connection whose requests carry its line in their scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the app of this connection the line."""
        super().connection_made(transport)
        self.app = _with_line(self.app, _TcpLine(transport))


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
