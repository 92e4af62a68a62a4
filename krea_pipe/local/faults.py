"""The faults of a script, played to whoever calls an ASGI app: refusals, resets, slow and broken answers."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from krea_pipe.local.connection import line_of
from krea_pipe.local.script import Action, Corrupt, Refuse, Reset, Script, Slow, Truncate

OWN = "/_local/"
COUNTS = f"{OWN}faults"

_FLIPPED = 64
_GATEWAY = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"
)
_REASONS: Mapping[int, str] = {
    402: "The API balance of this workspace is too low for this job.",
    429: "Maximum of concurrent jobs reached",
}


@dataclass(frozen=True, slots=True)
class Faults:
    """An ASGI app with the faults of a script in front.

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
            await self._play(_Exchange(self.app, scope, receive, send))

    async def _play(self, exchange: "_Exchange") -> None:
        call = name_call(exchange.scope["method"], exchange.scope["path"])
        prompt = await self._prompt(call, exchange) if self.script.wants_prompts else None
        action = self.script.pick(call, prompt)
        if action is None:
            await exchange.pass_on()
        else:
            await _act(action, exchange)

    async def _prompt(self, call: str, exchange: "_Exchange") -> str | None:
        return _prompt_in(await exchange.read()) if call == "submit" else self.prompt_of(exchange.scope["path"])


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
    except ValueError:
        return None
    prompt = order.get("prompt") if isinstance(order, dict) else None
    return prompt if isinstance(prompt, str) else None


async def _act(action: Action, exchange: "_Exchange") -> None:
    """Do to a call what a rule says."""
    acts = action.after if isinstance(action, Refuse | Reset | Slow) else True
    await exchange.read()
    answer = await exchange.ask() if acts else _Answer()
    match action:
        case Refuse():
            await exchange.give(_refusal(action))
        case Reset():
            await exchange.reset()
        case Slow():
            await asyncio.sleep(action.seconds)
            await (exchange.send_whole(answer) if action.after else exchange.pass_on())
        case Truncate():
            await exchange.send_half(answer)
        case Corrupt():
            await exchange.send_whole(_Answer(answer.start, _flip_middle(answer.body)))


def _refusal(action: Refuse) -> Response:
    after = {} if action.retry_after is None else {"Retry-After": str(action.retry_after)}
    if action.status >= 500:
        return HTMLResponse(_GATEWAY.format(f"{action.status} {_phrase(action.status)}"), action.status, after)
    key = "message" if action.status in (401, 402) else "error"  # as Krea's own bodies have it
    return JSONResponse({key: _REASONS.get(action.status, _phrase(action.status))}, action.status, after)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _flip_middle(body: bytes) -> bytes:
    start = max(0, (len(body) - _FLIPPED) // 2)
    end = min(len(body), start + _FLIPPED)
    return body[:start] + bytes(byte ^ 0xFF for byte in body[start:end]) + body[end:]


@dataclass(slots=True)
class _Answer:
    """What the app said: the message that starts its answer, and the whole body."""

    start: Message = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class _Exchange:
    """One request and the ways to answer it. Its body is read before anything breaks: so the client has sent it."""

    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send
    body: bytes | None = None

    async def read(self) -> bytes:
        """The whole body of the request, which the app can read all the same."""
        if self.body is None:
            self.body = await _read_body(self.receive)
            self.receive = _replay(self.body, self.receive)
        return self.body

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

        await self.read()
        await self.app(self.scope, self.receive, keep)
        return answer

    async def give(self, response: Response) -> None:
        """Answer with a response of one's own."""
        await response(self.scope, self.receive, self.send)

    async def send_whole(self, answer: _Answer) -> None:
        """Answer as the app did."""
        await self.send(answer.start)
        await self.send({"type": "http.response.body", "body": answer.body})

    async def send_half(self, answer: _Answer) -> None:
        """Send half of the body under the length of the whole, and hang up."""
        headers = [(name, value) for name, value in answer.start["headers"] if name.lower() != b"content-length"]
        length = (b"content-length", str(len(answer.body)).encode())
        await self.send({**answer.start, "headers": [*headers, length]})
        line = line_of(self.scope)
        half = {"type": "http.response.body", "body": answer.body[: len(answer.body) // 2]}
        await self.send({**half, "more_body": line is not None})
        if line is not None:
            line.close()
            await self._until_gone()

    async def reset(self) -> None:
        """Break the connection; where the server has no way to, half an answer stands for it."""
        line = line_of(self.scope)
        if line is None:
            body = b'{"job_id": "'
            start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
            await self.send_half(_Answer(start, body * 2))
        else:
            line.reset()
            await self._until_gone()

    async def _until_gone(self) -> None:
        """Wait for the server to notice, or it would take the missing answer for a bug of the app."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


async def _read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more before it goes on with what the server has."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed
