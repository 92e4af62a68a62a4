"""The local Krea over real HTTP, with a layer of faults in front."""

import asyncio
import contextlib
import json
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO

import uvicorn
from PIL import Image
from plain_pictures import plain_picture

from krea_pipe.local.app import create_app
from krea_pipe.local.server_state import ServerState

GENERATE = "/generate/"
DEADLINE = 30.0


def until(condition, what="the condition"):
    """Wait for something to become true, looking often, with a deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come true in {DEADLINE} s")


def picture(form="PNG", seed="", size=(64, 48), **options) -> bytes:
    """A small image whose colour comes from `seed`."""
    number = zlib.crc32(seed.encode())
    buffer = BytesIO()
    Image.new("RGB", size, (number & 255, number >> 8 & 255, number >> 16 & 255)).save(buffer, form, **options)
    return buffer.getvalue()


def noisy(form, size=(300, 200)) -> bytes:
    """An image that does not compress."""
    buffer = BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(buffer, form)
    return buffer.getvalue()


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Rule:
    """What happens to requests of one method at a place (see `is_at`) whose body holds `text`, `times` times."""

    method: str
    prefix: str
    act: Callable
    text: str = ""
    times: int | None = None

    def takes(self, seen: Seen) -> bool:
        if self.times == 0 or seen.method != self.method or not is_at(seen.path, self.prefix):
            return False
        if self.text and self.text.encode() not in seen.body:
            return False
        self.times = None if self.times is None else self.times - 1
        return True


def is_at(path, prefix) -> bool:
    """Whether a path is a place: all that is below it when it ends with a slash, as `/jobs/`, else it alone."""
    return path.startswith(prefix) if prefix.endswith("/") else path == prefix


class Clock:
    """The time of a Krea whose jobs end when the test says so."""

    def __init__(self):
        self.extra = timedelta()

    def __call__(self):
        return datetime.now(UTC) + self.extra

    def advance(self, seconds):
        self.extra += timedelta(seconds=seconds)


@dataclass
class Krea:
    """One served Krea. `reset` gives it a new world and takes all faults away."""

    base: str = ""
    open_calls: int = 0
    world: ServerState = field(default_factory=ServerState)
    clock: Clock = field(default_factory=Clock)
    app: Callable | None = None
    rules: list[Rule] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    real_images: bool = False
    numbers: dict[str, int] = field(default_factory=dict)
    """The jobs whose pictures were asked for, in that order."""

    def reset(self, **settings):
        self.clock = Clock()
        self.world = ServerState(**{"latency": 0.0, "clock": self.clock, **settings})
        self.app = create_app(self.world, dates=True)
        self.rules, self.seen, self.real_images, self.numbers = [], [], False, {}

    def calls(self, method, prefix) -> list[Seen]:
        return [one for one in self.seen if one.method == method and is_at(one.path, prefix)]

    @property
    def posts(self) -> list[Seen]:
        return self.calls("POST", GENERATE)

    def catch_up(self):
        """Wait until all that was sent has been acted on, also what a process that is dead by now has sent."""
        with contextlib.suppress(OSError):  # it answers 404, in a turn in which it has read what others have sent
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{self.base}/", timeout=DEADLINE)
        until(lambda: self.open_calls == 0, "the end of all calls")

    def finish_jobs(self):
        """Let every job end, those of now and those to come."""
        self.world.latency = 0.0
        self.clock.advance(1e9)

    def billed_prompts(self) -> list[str]:
        paid = {bill.job_id for bill in self.world.bills}
        return sorted(job.brief.order.prompt for job in self.world.jobs if job.id in paid)

    # --- faults

    def rule(self, method, prefix, act, *, text="", times=None):
        self.rules.append(Rule(method, prefix, act, text, times))

    def answer(self, method, prefix, status, body=b"", *, headers=(), text="", times=None, length=None):
        """Answer without asking the app. `length` is a content-length that may not be true."""
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        kind = "application/json" if isinstance(body, (dict, list)) else "text/html"
        fields = {"content-type": kind, "content-length": str(len(data) if length is None else length), **dict(headers)}

        async def act(scope, seen, send, app):
            await send_answer(send, status, fields, data)

        self.rule(method, prefix, act, text=text, times=times)

    def lose(self, method, prefix, *, text="", times=None):
        """Let the app act, then break the connection in the middle of its answer."""

        async def act(scope, seen, send, app):
            await ask(app, scope, seen)
            await send_answer(send, 200, {"content-type": "application/json", "content-length": "999"}, b'{"job_')

        self.rule(method, prefix, act, text=text, times=times)

    def hang(self, method, prefix, *, text="", times=None):
        """Let the app act, then never answer, until the faults are taken away."""

        async def act(scope, seen, send, app):
            await ask(app, scope, seen)
            while any(rule.act is act for rule in self.rules):
                await asyncio.sleep(0.02)
            await send_answer(send, 500, {"content-length": "0"}, b"")

        self.rule(method, prefix, act, text=text, times=times)

    def mutate_job(self, change, *, text="", times=None):
        """Change the JSON of a job as it is read, alone and in the list; `text` selects by prompt.

        `times` counts single reads, and then the list stays as it is: see `single_reads`.
        """

        def changed(job):
            found = self.world.job(job.get("job_id", ""))
            return change(job) if found and text in found.brief.order.prompt else job

        async def act(scope, seen, send, app):
            status, _, body = await ask(app, scope, seen)
            data = json.loads(body)
            if seen.path == "/jobs":
                data["items"] = [changed(job) for job in data["items"]]
            else:
                data = changed(data)
            answer = json.dumps(data).encode()
            fields = {"content-type": "application/json", "content-length": str(len(answer))}
            await send_answer(send, status, fields, answer)

        self.rule("GET", "/jobs/", act, times=times)
        if times is None:
            self.rule("GET", "/jobs", act)

    def single_reads(self):
        """Have jobs read one by one, by a list that does not work."""
        self.answer("GET", "/jobs", 404, b"<title>404</title>")

    def image(self, body, *, status=200, headers=(), text="", times=None, length=None):
        """Serve other bytes as the image of the jobs whose prompt holds `text`."""

        async def act(scope, seen, send, app):
            job = self.job_of_image(seen.path)
            if text not in job.brief.order.prompt:
                await self._image(seen, send)
                return
            size = len(body) if length is None else length
            await send_answer(
                send, status, {"content-type": "image/png", "content-length": str(size), **dict(headers)}, body
            )

        self.rule("GET", "/images/", act, times=times)

    def picture_of(self, job) -> bytes:
        """The picture that is served for a job when no rule has another."""
        number = self.numbers.setdefault(job.id, len(self.numbers))
        return plain_picture(number, job.id, job.brief.order.pixels)

    def job_of_image(self, path):
        return self.world.job_of_image(path.removeprefix("/images/").removesuffix(".png"))

    # --- serving

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":  # it was killed while it sent this
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        seen = Seen(scope["method"], scope["path"], headers, body)
        self.seen.append(seen)
        self.open_calls += 1
        try:
            await self._answer(scope, seen, send)
        finally:
            self.open_calls -= 1

    async def _answer(self, scope, seen, send):
        rule = next((rule for rule in reversed(self.rules) if rule.takes(seen)), None)
        if rule is not None:
            await rule.act(scope, seen, send, self.app)
        elif seen.path.startswith("/images/") and not self.real_images:
            await self._image(seen, send)
        else:
            status, answer_headers, answer = await ask(self.app, scope, seen)
            await send_answer(send, status, answer_headers, answer)

    async def _image(self, seen, send):
        """A plain image in place of a proof: drawing one takes longer than all the rest of a run."""
        job = self.job_of_image(seen.path)
        if job is None:
            await send_answer(send, 404, {"content-type": "text/html", "content-length": "0"}, b"")
            return
        data = self.picture_of(job)
        await send_answer(send, 200, {"content-type": "image/png", "content-length": str(len(data))}, data)


async def ask(app, scope, seen):
    """Let the app answer, and return status, headers and body."""
    start, parts = {}, []

    async def receive():
        return {"type": "http.request", "body": seen.body, "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, b"".join(parts)


async def send_answer(send, status, headers, body):
    fields = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def served() -> Iterator[Krea]:
    """A Krea on a free port of this machine, for as long as the block lasts."""
    krea = Krea()
    krea.reset()
    config = uvicorn.Config(
        krea,
        host="127.0.0.1",
        port=0,
        log_config=None,
        lifespan="off",
        timeout_keep_alive=60,
        date_header=False,  # the world's clock dates the answers
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the server's start")
    krea.base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield krea
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(DEADLINE)
