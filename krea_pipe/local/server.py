"""The local Krea over HTTP, for programs that cannot take it in process."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from krea_pipe.local.app import create_app
from krea_pipe.local.caller import CallersOfThisMachine
from krea_pipe.local.faults import Faults
from krea_pipe.local.job import Job
from krea_pipe.local.job_outcome import fate_by_prompt
from krea_pipe.local.script import Script
from krea_pipe.local.server_state import ServerState
from krea_pipe.local.uvicorn_connection import Connection, Listener

_CALLERS = 2048  # who may wait to be let in; a benchmark comes with hundreds at once
_IDLE = 75  # seconds; longer than a client waits between two looks, which would else find its connection closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A Krea to serve: how fast and how large it is, what goes wrong, and `image`, which stands for every result."""

    latency: float = 0.15
    spread: float = 0.0
    concurrency: int | None = None
    backlog: int | None = None
    token: str | None = None
    image: bytes | None = None
    script: Script = field(default_factory=Script)


def build_app(setup: Setup) -> ASGIApp:
    """The app of a Krea with a world of its own and the faults of its script."""
    image = setup.image
    world = ServerState(
        latency=setup.latency,
        spread=setup.spread,
        concurrency=setup.concurrency,
        backlog=setup.backlog,
        token=setup.token,
        image_of=None if image is None else lambda _: image,
        fate_of=setup.script.decide_fates(fate_by_prompt),
        webhook_copies=setup.script.count_webhooks,
    )
    return Faults(create_app(world), setup.script, lambda path: _prompt_of(world, path))


def _prompt_of(world: ServerState, path: str) -> str | None:
    job: Job | None = None
    match path.strip("/").split("/"):
        case ["jobs", job_id]:
            job = world.job(job_id)
        case ["images", name]:
            job = world.job_of_image(name.partition(".")[0])
    return None if job is None else job.brief.order.prompt


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address of this machine; port 0 takes a free one.

    Raises:
        OSError: the address is in use, may not be used, or is not there.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return Listener(socket.create_server(address[:2], family=family, backlog=_CALLERS))


def serve(setup: Setup, listener: socket.socket, announce: Callable[[], None], *, seconds: float | None = None) -> None:
    """Serve until SIGINT, SIGTERM or the end of `seconds`; `announce` is called once callers are let in."""
    make_server(setup, announce, seconds=seconds).run(sockets=[listener])


def make_server(setup: Setup, announce: Callable[[], None], *, seconds: float | None = None) -> uvicorn.Server:
    """The server, which says nothing but what `announce` says; `should_exit` ends it from another thread."""
    config = uvicorn.Config(
        CallersOfThisMachine(build_app(setup)),
        http=Connection,
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
