"""Who is let in: callers that know the token, name this machine as the host, and do not come from another site's page.

Every page that a browser on this machine shows can send requests here. It cannot know the token; a name of its own
that leads here (DNS rebinding) shows in `Host`; a form or a script of its own shows in `Origin` and `Content-Type`.
"""

import hmac
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HEADERS = {
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True, slots=True)
class AccessGuard:
    """Stands before an app; `policy` is the Content-Security-Policy of everything."""

    app: ASGIApp
    token: str = field(repr=False)
    port: int
    policy: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        inner = self.app if refusal is None else PlainTextResponse(*refusal)
        if refusal is None:
            scope = {**scope, "path": self._path(scope), "raw_path": self._path(scope).encode()}
        await inner(scope, receive, self._marked(send))

    def _refusal(self, scope: Scope) -> tuple[str, int] | None:
        headers = Headers(scope=scope)
        hosts = {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost")}
        if headers.getlist("host") not in [[host] for host in hosts]:
            return "Forbidden", 403
        if not self._path(scope):
            return "Not Found", 404
        if scope["method"] not in ("GET", "POST"):
            return "Method Not Allowed", 405
        if scope["method"] == "POST":
            origins = headers.getlist("origin")
            if origins and origins not in [[f"http://{host}"] for host in hosts]:
                return "Forbidden", 403
            if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                return "Unsupported Media Type", 415
        return None

    def _path(self, scope: Scope) -> str:
        """The path below the token as it was sent, or nothing. No name that is served needs an escape."""
        token, slash, rest = scope["raw_path"].removeprefix(b"/").partition(b"/")
        known = hmac.compare_digest(token, self.token.encode()) and bool(slash) and b"%" not in rest
        return "/" + rest.decode("latin-1") if known and rest.isascii() else ""

    def _marked(self, send: Send) -> Send:
        async def marked(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers["content-security-policy"] = self.policy
                headers.setdefault("cache-control", "no-store")
            await send(message)

        return marked
