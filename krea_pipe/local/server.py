"""The local Krea over HTTP, for programs that cannot take it in process.

Only programs of this machine may call it, and no page of another site that a browser shows here: a name of the page's
own that leads here (DNS rebinding) shows in `Host`, a form or a script of it in `Origin`.
"""

import asyncio
import ipaddress
import re
import socket
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

import h11
import uvicorn
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from krea_pipe.local.app import create_app
from krea_pipe.local.faults import TRANSPORT, Faults
from krea_pipe.local.job import Job, fate_by_prompt
from krea_pipe.local.script import Script
from krea_pipe.local.server_state import DrawJob, ServerState

if sys.platform != "win32":
    import resource


class Drawer(Protocol):
    """Draws images in place of proofs."""

    @property
    def draw(self) -> DrawJob:
        """Begins to draw the image of a job."""

    @property
    def image_of(self) -> Callable[[Job], bytes]:
        """Gives the bytes of an image that is drawn, in any thread."""


_CALLERS = 2048  # connections that may wait to be accepted; a benchmark opens hundreds at once
_IDLE = 75  # seconds; longer than a client waits between two looks, which would else find its connection closed
_SILENCE = 30  # seconds for the head of a request; its body may take longer
_OTHERS = 64  # file handles that are not for connections
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?")


def build_app(
    *,
    script: Script,
    image: bytes | None = None,
    drawer: Drawer | None = None,
    latency: float = 0.15,
    spread: float = 0.0,
    concurrency: int | None = None,
    backlog: int | None = None,
    token: str | None = None,
) -> ASGIApp:
    """The app of a Krea with its own state and the faults of a script.

    `image` replaces every result; `drawer` draws them in place of proofs.
    """
    image_of = None if image is None else lambda _: image
    server_state = ServerState(
        latency=latency,
        spread=spread,
        concurrency=concurrency,
        backlog=backlog,
        token=token,
        image_of=image_of if drawer is None else drawer.image_of,
        draw=None if drawer is None else drawer.draw,
        fate_of=script.decide_fates(fate_by_prompt),
        webhook_copies=script.count_webhooks,
    )
    return Faults(create_app(server_state), script, lambda path: _prompt_of(server_state, path))


def _prompt_of(server_state: ServerState, path: str) -> str | None:
    job: Job | None = None
    match path.strip("/").split("/"):
        case ["jobs", job_id]:
            job = server_state.job(job_id)
        case ["images", name]:
            job = server_state.job_of_image(name.partition(".")[0])
    return None if job is None else job.brief.order.prompt


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address of this machine; port 0 picks a free one.

    Raises:
        OSError: the address is in use, forbidden, or does not exist.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return _Listener(socket.create_server(address[:2], family=family, backlog=_CALLERS))


def serve(app: ASGIApp, listener: socket.socket, announce: Callable[[], None], *, seconds: float | None = None) -> None:
    """Serve until SIGINT, SIGTERM or the end of `seconds`; `announce` is called once connections are accepted."""
    make_server(app, announce, seconds=seconds).run(sockets=[listener])


def make_server(app: ASGIApp, announce: Callable[[], None], *, seconds: float | None = None) -> uvicorn.Server:
    """The server, which says nothing but what `announce` says; `should_exit` ends it from another thread."""
    config = uvicorn.Config(
        _CallersOfThisMachine(app),
        http=_Connection,
        loop="asyncio",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        backlog=_CALLERS,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=1,
    )
    return _Server(config, announce, seconds)


class _Server(uvicorn.Server):
    """uvicorn's server, which takes signals for a wish and not for an error."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None], seconds: float | None) -> None:
        super().__init__(config)
        self._announce, self._seconds = announce, seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Let callers in, and say so."""
        await super().startup(sockets=sockets)
        self._announce()
        if self._seconds is not None:
            asyncio.get_running_loop().call_later(self._seconds, self._end)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        """End on a signal, which uvicorn would raise again once it has ended."""
        self.force_exit = self.should_exit
        self._end()

    def _end(self) -> None:
        self.should_exit = True


class _Connection(H11Protocol):
    """An HTTP/1.1 connection whose requests carry its transport in their scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the app of this connection its transport."""
        super().connection_made(transport)
        self.app = _with_transport(self.app, transport)
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


class _Listener(socket.socket):
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
            ConnectionAbortedError: it was closed, because there are too many. BlockingIOError: no connection is
            waiting.
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


def _with_transport(app: ASGIApp, transport: asyncio.Transport) -> ASGIApp:
    async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**scope.get("extensions", {}), TRANSPORT: transport}
        await app(scope, receive, send)

    return with_transport


class _CallersOfThisMachine:
    """Stands before an app, and answers what comes under a name or from a page that is not this machine's.

    Any port is right, as one may be forwarded here.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refusal = _refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        app = self._app if refusal is None else JSONResponse({"error": refusal}, 403)
        await app(scope, receive, send)


def _refusal(headers: Headers) -> str | None:
    hosts, origins = ([one.lower() for one in headers.getlist(name)] for name in ("host", "origin"))
    if len(hosts) != 1 or not _is_this_machine(hosts[0]):
        return "the Host of this request is not this machine; call localhost, 127.0.0.1 or [::1]"
    if origins and origins != [f"http://{hosts[0]}"]:
        return "this request comes from a page of another site; call the local Krea from a program"
    return None


def _is_this_machine(host: str) -> bool:
    found = _HOST.fullmatch(host)
    name = found[1] if found else ""
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
