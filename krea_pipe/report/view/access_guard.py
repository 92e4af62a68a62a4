"""Admits callers that know the token, name an allowed host, and do not come from a page of another site.

Every page that a browser on this machine shows can send requests here. It cannot know the token; a name that it points
here (DNS rebinding) shows in `Host`; its forms and scripts show in `Origin` and `Content-Type`. Behind a forwarded
port, a browser names another host, which the user allows.
"""

import hmac
import re
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


_SHOWN = re.compile(r"[!-~]{1,260}")


@dataclass(frozen=True, slots=True)
class AccessGuard:
    """Stands before an app; `policy` is the Content-Security-Policy of everything.

    `allowed` are hosts besides this machine's own, as NAME for every port or NAME:PORT.
    """

    app: ASGIApp
    token: str = field(repr=False)
    port: int
    policy: str
    allowed: frozenset[str] = frozenset()

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
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not (self._is_own(hosts[0]) or self._is_allowed(hosts[0])):
            return _host_refusal(hosts), 403
        if not self._path(scope):
            return "Not Found", 404
        if scope["method"] not in ("GET", "POST"):
            return "Method Not Allowed", 405
        if scope["method"] == "POST":
            origins = headers.getlist("origin")
            if origins and not (len(origins) == 1 and self._is_origin(origins[0])):
                return "Forbidden: this request comes from a page of another site", 403
            if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                return "Unsupported Media Type", 415
        return None

    def _is_own(self, host: str) -> bool:
        return host in (f"127.0.0.1:{self.port}", f"localhost:{self.port}")

    def _is_allowed(self, host: str) -> bool:
        host = host.lower()
        return host in self.allowed or re.sub(r":[0-9]+\Z", "", host) in self.allowed

    def _is_origin(self, origin: str) -> bool:
        scheme, _, host = origin.partition("://")
        return (scheme == "http" and self._is_own(host)) or (scheme in ("http", "https") and self._is_allowed(host))

    def _path(self, scope: Scope) -> str:
        """The path below the token as it was sent, or nothing; no served name needs an escape.

        No name that is served needs an escape.
        """
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


def _host_refusal(hosts: list[str]) -> str:
    if len(hosts) != 1 or not _SHOWN.fullmatch(hosts[0]):
        return "Forbidden: this request must name exactly one host"
    hint = f"If you forward a port to it, start it with: krea-pipe view --allow-host {hosts[0]}"
    return f"Forbidden: this view does not answer to the host {hosts[0]}. {hint}"
