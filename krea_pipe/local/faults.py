"""The faults of a script, played to whoever calls an ASGI app: refusals, resets, slow and broken answers."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from krea_pipe.local.script import Action, Corrupt, Refuse, Reset, Script, Slow, Truncate

# A server that lets connections be broken puts a request's transport into the ASGI scope, under this extension.
TRANSPORT = "krea_pipe.transport"
OWN = "/_local/"
COUNTS = f"{OWN}faults"

_FLIPPED = 64
_NO_LINGER = struct.pack("ii", 1, 0)
_GATEWAY = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"
)
_REASONS: Mapping[int, str] = {
    402: "The API balance of this workspace is too low for this job.",
    429: "Maximum of concurrent jobs reached",
}


@dataclass(frozen=True, slots=True)
class Faults:
    """An ASGI app that applies the faults of a script.

    `prompt_of` gives the prompt of the job that a path is about. `GET /_local/faults` tells how often each rule has
    acted; nothing under `/_local/` is ever broken.
    """

    app: ASGIApp
    script: Script
    prompt_of: Callable[[str], str | None] = lambda _: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, as the script has it."""
        if scope["type"] != "http" or (scope["path"].startswith(OWN) and scope["path"] != COUNTS):
            await self.app(scope, receive, send)
        elif scope["path"] == COUNTS:
            await JSONResponse({"acted": self.script.acted})(scope, receive, send)
        else:
            # Read before anything breaks, so that the client has sent it.
            body = await _read_body(receive)
            if body is None:
                return
            call = name_call(scope["method"], scope["path"])
            prompt = None
            if self.script.wants_prompts:
                prompt = _prompt_in(body) if call == "submit" else self.prompt_of(scope["path"])
            exchange = _Exchange(self.app, scope, _replay(body, receive), send)
            await _act(self.script.pick(call, prompt), exchange)


def name_call(method: str, path: str) -> str:
    """The name of a call in scripts; `other` for those that only `any` is about."""
    match method, path.strip("/").split("/"):
        case "POST", ["generate", *_]:
            return "submit"
        case "GET", ["jobs"]:
            return "jobs"
        case "GET", ["jobs", _]:
            return "job"
        case "DELETE", ["jobs", _]:
            return "cancel"
        case "POST", ["assets"]:
            return "upload"
        case "GET", ["images", _]:
            return "image"
    return "other"


def _prompt_in(body: bytes) -> str | None:
    """The prompt of a generate call, if it is one that Krea can read."""
    try:
        order = json.loads(body)
    except (ValueError, RecursionError):
        return None
    prompt = order.get("prompt") if isinstance(order, dict) else None
    return prompt if isinstance(prompt, str) else None


@dataclass(slots=True)
class _Answer:
    """The answer of the app: the message that starts it, and the whole body."""

    start: Message = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One request, whose body has been read, and the ways to answer it."""

    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection under the request, if its server gives one."""
        transport: asyncio.Transport | None = self.scope.get("extensions", {}).get(TRANSPORT)
        return transport

    async def pass_on(self) -> None:
        """Let the app answer."""
        await self.app(self.scope, self.receive, self.send)

    async def ask(self) -> _Answer:
        """Let the app act, and keep its answer back."""
        answer = _Answer()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.start = message
            else:
                answer.body += message.get("body", b"")

        await self.app(self.scope, self.receive, keep)
        return answer

    async def send_whole(self, answer: _Answer) -> None:
        """Answer as the app did."""
        await self.send(answer.start)
        await self.send({"type": "http.response.body", "body": answer.body})

    async def send_half(self, answer: _Answer) -> None:
        """Send half of the body under the length of the whole, and hang up, whatever was promised."""
        headers = [(name, value) for name, value in answer.start["headers"] if name.lower() != b"content-length"]
        length = (b"content-length", str(len(answer.body)).encode())
        await self.send({**answer.start, "headers": [*headers, length]})
        half = {"type": "http.response.body", "body": answer.body[: len(answer.body) // 2]}
        await self.send({**half, "more_body": self.transport is not None})
        if self.transport is not None:
            self.transport.close()
            await self._wait_until_gone()

    async def reset(self) -> None:
        """Break the connection with an RST; if the server cannot do this, send half an answer."""
        if self.transport is None:
            start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
            await self.send_half(_Answer(start, b'{"job_id": "' * 2))
        else:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()
            await self._wait_until_gone()

    async def _wait_until_gone(self) -> None:
        """Wait for the server to notice, or it would take the missing answer for a bug of the app."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


async def _act(action: Action | None, exchange: _Exchange) -> None:
    """Apply a rule to a call; None lets the call pass."""
    is_late = action.after if isinstance(action, Refuse | Reset | Slow) else isinstance(action, Truncate | Corrupt)
    answer = await exchange.ask() if is_late else _Answer()
    match action:
        case None:
            await exchange.pass_on()
        case Refuse():
            await _make_refusal(action)(exchange.scope, exchange.receive, exchange.send)
        case Reset():
            await exchange.reset()
        case Slow():
            await asyncio.sleep(action.seconds)
            await (exchange.send_whole(answer) if action.after else exchange.pass_on())
        case Truncate():
            await exchange.send_half(answer)
        case Corrupt():
            await exchange.send_whole(_Answer(answer.start, _flip_middle(answer.body)))


def _make_refusal(action: Refuse) -> Response:
    after = {} if action.retry_after is None else {"Retry-After": str(action.retry_after)}
    known = action.status in HTTPStatus.__members__.values()
    phrase = HTTPStatus(action.status).phrase if known else "Error"
    if action.status >= 500:
        return HTMLResponse(_GATEWAY.format(f"{action.status} {phrase}"), action.status, after)
    key = "message" if action.status in (401, 402) else "error"  # as Krea's own bodies have it
    return JSONResponse({key: _REASONS.get(action.status, phrase)}, action.status, after)


def _flip_middle(body: bytes) -> bytes:
    start = max(0, (len(body) - _FLIPPED) // 2)
    end = min(len(body), start + _FLIPPED)
    return body[:start] + bytes(byte ^ 0xFF for byte in body[start:end]) + body[end:]


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body of a request, or None when its client has gone before its end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body once more before it continues with the server's messages."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed
