"""The front of the app, which every request passes: it is counted while it is open, and its answer is dated."""

from email.utils import format_datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from krea_pipe.local.billing_log import BillingLog
from krea_pipe.local.server_state import ServerState


class DateMiddleware:
    """Adds a `Date` from the world's clock to every answer, where `dates` says so.

    `dates` None leaves it to a server. An ASGI server adds the present of this machine by itself, without a look at
    the answer, so that one of ours would be a second `Date`; a transport in the same process adds none.
    """

    def __init__(self, app: ASGIApp, world: ServerState, book: BillingLog, dates: bool | None) -> None:
        self._app, self._world, self._book, self._dates = app, world, book, dates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        dated = _is_in_process(scope) if self._dates is None else self._dates

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self._world.now(), usegmt=True).encode()
                message = {**message, "headers": [*message["headers"], (b"date", date)]}
            await send(message)

        with self._book.serve():
            await self._app(scope, receive, send_dated if dated else send)


def _is_in_process(scope: Scope) -> bool:
    """Servers tell which version of the ASGI specification they speak; httpx's transport does not."""
    return "spec_version" not in scope["asgi"]
