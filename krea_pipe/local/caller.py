"""Who may call a served Krea: programs of this machine, and no page of another site that a browser shows here.

A name of the page's own that leads here (DNS rebinding) shows in `Host`; a form or a script of it shows in `Origin`.
"""

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?")


class CallersOfThisMachine:
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
