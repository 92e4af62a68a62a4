"""The documented Krea API as an ASGI app that draws proofs and spends nothing.

The account can have limits: a number of concurrent jobs, a number in the backlog, and 429 beyond that. The end of a job
is reported once to its `X-Webhook-URL`. Trigger words in a prompt, which make a job fail or get stuck, are in
`krea_pipe.local.job`.

Known differences from Krea: images are never fetched from outside, webhooks are sent only for ends, `user` and `liked`
do not filter styles, and a training costs nothing and creates a style without any learning. Undocumented behaviour was
decided here: 429 carries no Retry-After, DELETE comes too late for a job that is past `scheduled` unless it is stuck,
and a stuck job is never timed out. `GET /_local/book` is not Krea's; see `krea_pipe.local.billing_log`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from email.utils import format_datetime
from typing import NamedTuple

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from krea_pipe.local import assets, jobs, styles
from krea_pipe.local.answers import RefusalError
from krea_pipe.local.billing_log import BillingLog
from krea_pipe.local.jobs import Handler
from krea_pipe.local.order import VARIANTS
from krea_pipe.local.server_state import ServerState
from krea_pipe.local.webhooks import Courier

_NOT_FOUND = "<!DOCTYPE html><html><head><title>404</title></head><body><h1>Not found</h1></body></html>"

_Endpoint = Callable[[Request], Awaitable[Response]]


class _Call(NamedTuple):
    """The handler of one method on one path; `is_open` means that it needs no token."""

    method: str
    path: str
    handler: Handler
    is_open: bool = False

    @property
    def kind(self) -> str:
        """Its name in the account book: the three variants are one kind, and a file is identified by its folder."""
        folder = self.path.split("/")[1]
        return f"{self.method} {f'/{folder}' if folder in _FOLDERS else self.path}"


_FOLDERS = frozenset({"generate", "images", "uploads"})
_CALLS = (
    _Call("GET", "/jobs", jobs.list_jobs),
    _Call("GET", "/jobs/{id}", jobs.read_job),
    _Call("DELETE", "/jobs/{id}", jobs.delete_job),
    _Call("POST", "/assets", assets.upload_asset),
    _Call("GET", "/assets", assets.list_assets),
    _Call("GET", "/assets/{id}", assets.read_asset),
    _Call("DELETE", "/assets/{id}", assets.delete_asset),
    _Call("POST", "/styles/train", styles.train_style),
    _Call("GET", "/styles", styles.list_styles),
    _Call("GET", "/styles/{id}", styles.read_style),
    # The places that the URLs in answers point to; Krea serves them without a token.
    _Call("GET", "/images/{id}.png", jobs.read_image, is_open=True),
    _Call("GET", "/uploads/{name}", assets.read_upload, is_open=True),
)


def create_app(server_state: ServerState | None = None, *, dates: bool | None = None) -> Starlette:
    """A Krea with its own state, for `httpx.ASGITransport` or any ASGI server on loopback.

    `dates` says who writes the `Date` of answers: True the clock of its state, False the server, None whichever is
    missing. A server that shows that clock must omit its own header, in uvicorn with `date_header=False`.
    """
    server_state = ServerState() if server_state is None else server_state
    book, courier = BillingLog(), Courier(server_state)

    @asynccontextmanager
    async def live(_: Starlette) -> AsyncIterator[None]:
        yield
        await courier.stop()

    def bind(call: _Call) -> Route:
        return Route(call.path, _bind(server_state, call, book, courier), methods=[call.method])

    variants = (*VARIANTS, *server_state.undocumented.get("variant", ()))
    generate = [_Call("POST", f"/generate/image/krea/krea-2/{name}", jobs.generate(name)) for name in variants]
    return Starlette(
        routes=[bind(call) for call in (*generate, *_CALLS, _Call("GET", "/_local/book", book.read, is_open=True))],
        middleware=[Middleware(_DateMiddleware, server_state=server_state, book=book, dates=dates)],
        exception_handlers={RefusalError: _answer_refusal, 404: _answer_unknown, 405: _answer_unknown},
        lifespan=live,
    )


def open_transport(undocumented: Mapping[str, Sequence[str]] | None = None) -> httpx.ASGITransport:
    """A transport, without a socket, to a separate Krea that exists as long as the transport.

    Args:
        undocumented: values of `variant`, `aspect_ratio` and `resolution` that it takes although no document has them.
    """
    return httpx.ASGITransport(app=create_app(ServerState(undocumented=undocumented or {})))


def _bind(server_state: ServerState, call: _Call, book: BillingLog, courier: Courier) -> _Endpoint:
    async def endpoint(request: Request) -> Response:
        # A server that never yields hides races from its clients' tests.
        await asyncio.sleep(0)
        book.requests[call.kind] += 1
        if not call.is_open:
            _check_token(server_state, request.headers.get("authorization", ""))
        answer = await call.handler(server_state, request)
        if call.method == "POST":
            courier.wake()
        return answer

    return endpoint


def _check_token(server_state: ServerState, header: str) -> None:
    scheme, _, token = header.partition(" ")
    known = bool(token.strip()) if server_state.token is None else token == server_state.token
    if scheme.lower() != "bearer" or not known:
        raise RefusalError(401, {"message": "Unauthorized"})


async def _answer_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)
    return JSONResponse(error.body, status_code=error.status)


async def _answer_unknown(_: Request, __: Exception) -> Response:
    return HTMLResponse(_NOT_FOUND, status_code=404)


class _DateMiddleware:
    """Adds a `Date` from the clock of the server state to every answer, if `dates` says so.

    `dates` None leaves it to a server. An ASGI server adds the present of this machine by itself, without a look at the
    answer, so our header would be a second `Date`; a transport in the same process adds no header.
    """

    def __init__(self, app: ASGIApp, server_state: ServerState, book: BillingLog, dates: bool | None) -> None:
        self._app, self._server_state, self._book, self._dates = app, server_state, book, dates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        dated = _is_in_process(scope) if self._dates is None else self._dates

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self._server_state.now(), usegmt=True).encode()
                message = {**message, "headers": [*message["headers"], (b"date", date)]}
            await send(message)

        with self._book.serve():
            await self._app(scope, receive, send_dated if dated else send)


def _is_in_process(scope: Scope) -> bool:
    """Servers state their version of the ASGI specification; httpx's transport does not."""
    return "spec_version" not in scope["asgi"]
