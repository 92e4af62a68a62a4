"""Receives Krea's webhooks; each delivery is only a hint that a job may have ended.

Krea signs nothing, so anyone who knows the address can post anything. The path is a secret, only the id of a job is
taken from a delivery, and the caller reads that job from Krea itself.
"""

import asyncio
import errno
import hmac
import ipaddress
import logging
import re
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import uvicorn

from krea_pipe.api.error_words import as_json
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.listening import BACKLOG, MAX_HEAD_BYTES, Connection, Listener

_MAX_BODY_BYTES = 64 * 1024
_MAX_READING = 32
_MAX_CONNECTIONS = 64  # from here on each request is answered 503; twice as many connections are accepted
_MAX_ID = 200
_MAX_URL = 1024
_PATIENCE = 5.0

_Message: TypeAlias = Mapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen: an IP address of this machine and a port, 0 for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Receiver:
    """An open receiver: the port it really has, and the secret path that deliveries must name."""

    host: str
    port: int
    path: str = field(repr=False)

    def url(self, public: str | None) -> str:
        """The URL to give to Krea: the path below a public URL, or at the receiver's own address.

        Raises:
            UsageError: there is no public URL, and the receiver listens on every address, which names none.
        """
        if public is not None:
            return public.rstrip("/") + self.path
        if ipaddress.ip_address(self.host).is_unspecified:
            hint = "use --webhook-url to give Krea the address of this machine"
            message = f"{self.host} means every address of this machine, so it cannot be sent to Krea"
            raise UsageError(Problem("webhook_url_needed", message, hint=hint))
        return f"http://{ListenAddress(self.host, self.port)}{self.path}"


def parse_address(text: str) -> ListenAddress:
    """An address to listen on.

    Args:
        text: `IP:PORT`, `[IPv6]:PORT` or `localhost:PORT`.

    Returns:
        The address.

    Raises:
        UsageError: The text is not an address.
    """
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+|localhost)):([0-9]{1,5})", text)
    if found is None or int(found[3]) > 65535:
        raise _bad_address(text)
    six, four, port = found.groups()
    try:
        host = ipaddress.IPv6Address(six) if six else ipaddress.IPv4Address(four.replace("localhost", "127.0.0.1"))
    except ValueError as error:
        raise _bad_address(text) from error
    return ListenAddress(str(host), int(port))


def check_public_url(url: str, *, is_base: bool) -> str:
    """A public URL at which deliveries arrive.

    Args:
        url: What the user has given.
        is_base: Whether deliveries arrive below it, at a receiver's path.

    Returns:
        The same URL.

    Raises:
        UsageError: It is no plain http or https URL with a host, or is too long.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _bad_url() from error
    strange = r"[ ?#@\\\"<>]" if is_base else r"[ #@\\\"<>]"
    plain = url.isascii() and url.isprintable() and not re.search(strange, url) and len(url) <= _MAX_URL
    if not plain or port == 0 or parts.scheme not in ("http", "https") or not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
        raise _bad_url()
    return url


@asynccontextmanager
async def open_receiver(
    address: ListenAddress, hint: Callable[[str], None], *, patience: float = _PATIENCE
) -> AsyncIterator[Receiver]:
    """Listen for deliveries until the end of the `with` block.

    Args:
        address: Where to listen.
        hint: Called on the event loop with the id of a job for each delivery, known or not, twice for a duplicate.
        patience: How many seconds a delivery may take to arrive.

    Returns:
        The open receiver.

    Raises:
        UsageError: The address cannot be listened on.
    """
    with _listen(address) as listener:
        receiver = Receiver(address.host, listener.getsockname()[1], "/" + secrets.token_urlsafe(32))
        deliveries = _Deliveries(receiver.path.encode(), hint, patience)
        server = _server(deliveries)
        await server.startup(sockets=[listener])
        try:
            yield receiver
        finally:
            deliveries.is_closed = True
            await _close(server, listener)


@dataclass(frozen=True, slots=True)
class WebhookListener:
    """Where to listen, and the public URL at which Krea reaches that, if it is another."""

    address: ListenAddress
    public: str | None

    @asynccontextmanager
    async def open(self, hint: Callable[[str], None]) -> AsyncIterator[str]:
        """Listen until the end of the `with` block, and give the URL that every request is to name.

        Args:
            hint: Called with the id of a job that is said to have ended.

        Returns:
            The URL for Krea.

        Raises:
            UsageError: The address cannot be listened on.
        """
        async with open_receiver(self.address, hint) as receiver:
            yield receiver.url(self.public)


class _Refusal(Exception):
    """A delivery is not taken, and this is the status to say so with."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(slots=True)
class _Deliveries:
    """The ASGI app: one delivery for each call."""

    path: bytes
    hint: Callable[[str], None]
    patience: float
    reading: int = 0
    is_closed: bool = False

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        try:
            job_id = await self._job_id(scope, receive)
        except _Refusal as refusal:
            await _answer(send, refusal.status)
        else:
            # Not called here, where uvicorn would swallow an error of the caller's.
            asyncio.get_running_loop().call_soon(self.hint, job_id)
            await _answer(send, 204)

    async def _job_id(self, scope: _Message, receive: _Receive) -> str:
        # The path as it was sent: decoded, there would be many ways to write it.
        if scope["method"] != "POST" or not hmac.compare_digest(scope["raw_path"], self.path):
            raise _Refusal(404)
        if int(dict(scope["headers"]).get(b"content-length", b"0")) > _MAX_BODY_BYTES:
            raise _Refusal(413)
        if self.reading >= _MAX_READING:
            raise _Refusal(503)
        job_id = _id_in(await self._body(receive))
        if job_id is None:
            raise _Refusal(400)
        return job_id

    async def _body(self, receive: _Receive) -> bytes:
        self.reading += 1
        try:
            async with asyncio.timeout(self.patience):
                return await _read(receive)
        except TimeoutError as error:
            raise _Refusal(408) from error
        finally:
            self.reading -= 1


async def _read(receive: _Receive) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refusal(400)
        body += message.get("body", b"")
        if len(body) > _MAX_BODY_BYTES:
            raise _Refusal(413)
        more = message.get("more_body", False)
    return bytes(body)


def _id_in(body: bytes) -> str | None:
    data = as_json(body)
    found = data.get("job_id") or data.get("id") if isinstance(data, dict) else None
    return found if isinstance(found, str) and 0 < len(found) <= _MAX_ID and found.isprintable() else None


async def _answer(send: _Send, status: int) -> None:
    """An empty answer and the end of the connection: one that stays may be closed by us as the next delivery comes."""
    headers = [(b"connection", b"close")] + ([] if status == 204 else [(b"content-length", b"0")])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _listen(address: ListenAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listening = socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
        return Listener(listening, 2 * _MAX_CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message, hint = f"another program listens on {address}", "choose another port, or 0 for any free one"
            raise UsageError(Problem("webhook_address_in_use", message, hint=hint)) from error
        message, hint = f"cannot listen on {address}", "use an address of this machine, and a port above 1023"
        raise UsageError(Problem("webhook_address_unusable", message, hint=hint)) from error


def _server(deliveries: _Deliveries) -> uvicorn.Server:
    """uvicorn, made ready to be started and shut down by hand: `serve` would take over the signals of the run."""
    config = uvicorn.Config(
        deliveries,
        http=_bounded(deliveries),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.CRITICAL + 1,
        workers=1,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=int(_PATIENCE),
        timeout_graceful_shutdown=1,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    return server


async def _close(server: uvicorn.Server, listener: socket.socket) -> None:
    # A connection that asyncio has accepted but not yet set up would be left open by the end of its server.
    with suppress(NotImplementedError):  # on Windows
        asyncio.get_running_loop().remove_reader(listener)
    try:
        await asyncio.sleep(0)
    finally:
        await server.shutdown(sockets=[listener])


def _bounded(deliveries: _Deliveries) -> type[asyncio.Protocol]:
    """A connection that waits longer for a body than the app, which answers then, and none once that is closed."""

    class Bounded(Connection):
        patience = 2 * deliveries.patience

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if deliveries.is_closed:
                transport.abort()

        def shutdown(self) -> None:
            self.transport.abort()

    return Bounded


def _bad_address(text: str) -> UsageError:
    message = f"{text[:_MAX_ID]!r} is not an address to listen on"
    return UsageError(Problem("bad_webhook_address", message, hint="for example 127.0.0.1:8080 or [::1]:8080"))


def _bad_url() -> UsageError:
    """Does not show the given address, which may contain a password."""
    message = "--webhook-url must be an http or https URL without a password, query or fragment"
    return UsageError(Problem("bad_webhook_url", message, hint="for example https://hooks.example.org/krea"))
