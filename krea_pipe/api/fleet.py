"""Draws with several replicas of an engine: each image on the one that has the least to do.

An image whose replica fails is drawn by another at once. A replica that has failed rests for a growing time and is
checked before it is used again. krea-pipe starts and stops no replica.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from krea_pipe.api.engine import Backend, DrawFailed
from krea_pipe.api.openai_images import open_image_server
from krea_pipe.core.engine import Drawing, EngineSpec
from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.core.outcome import Failure
from krea_pipe.core.prompt_length import MOST_PROMPT_TOKENS, least_tokens
from krea_pipe.core.settings import Token

_TRIES = 3
"""How many replicas may fail at one image: it may be the reason, and must not take all of them away."""
_LONGEST_PAUSE = 60.0
_MOST_MISSES = 9
"""Failures in a row, with pauses of about three minutes in all, after which no image waits for a replica."""


@dataclass(slots=True)
class _Replica:
    """A replica: `busy` images are being drawn on it, `misses` is the number of its failures in a row."""

    name: str
    backend: Backend
    busy: int = 0
    drawn: int = 0
    misses: int = 0
    is_resting: bool = False

    @property
    def pause(self) -> float:
        """The seconds that it rests after its latest failure."""
        return min(2.0 ** (self.misses - 1), _LONGEST_PAUSE)


@dataclass(slots=True)
class Fleet:
    """The replicas of an engine as one `Backend`, by their names; each draws up to `parallel` images at once.

    `warn` receives a problem for each replica that is lost. `sleep` waits for a number of seconds.
    """

    backends: Mapping[str, Backend]
    parallel: int
    warn: Callable[[Problem], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _replicas: list[_Replica] = field(init=False)
    _change: asyncio.Event = field(default_factory=asyncio.Event)
    _returns: set[asyncio.Task[None]] = field(default_factory=set)
    _has_told_of_length: bool = False

    def __post_init__(self) -> None:
        self._replicas = [_Replica(name, backend) for name, backend in self.backends.items()]

    async def check(self) -> None:
        """Check all replicas at once, and use those that are good; `warn` receives the problems of the others.

        Raises:
            KreaPipeError: none of them is good.
        """
        found = await asyncio.gather(*(_problems(one.backend) for one in self._replicas))
        if all(found):
            raise KreaPipeError(*dict.fromkeys(problem for problems in found for problem in problems))
        for replica, problems in zip(self._replicas, found, strict=True):
            if problems:
                self._lose(replica, problems[0].message)

    async def draw(self, drawing: Drawing) -> bytes:
        """Draw one image on the replica that has the least to do, and on another if that one fails.

        Args:
            drawing: what to draw.

        Returns:
            The bytes of a PNG of exactly that width and height.

        Raises:
            DrawFailed: it was not drawn.
        """
        self._tell_of_length(drawing.prompt)
        failed: list[_Replica] = []
        while True:
            replica = await self._taken(failed)
            try:
                data = await replica.backend.draw(drawing)
            except DrawFailed as error:
                if not error.is_replica:
                    raise
                self._lose(replica, str(error))
                failed.append(replica)
                if len(failed) == _TRIES:
                    raise
            else:
                replica.drawn, replica.misses = replica.drawn + 1, 0
                return data
            finally:
                replica.busy -= 1
                self._tell()

    async def close(self) -> None:
        """Check lost replicas no longer."""
        for task in self._returns:
            task.cancel()
        await asyncio.gather(*self._returns, return_exceptions=True)

    async def _taken(self, failed: list[_Replica]) -> _Replica:
        """A place on the replica with the least to do; one that has failed at the image is the last choice.

        Raises:
            DrawFailed: all replicas have been lost for long.
        """
        while True:
            free = [one for one in self._replicas if not one.is_resting and one.busy < self.parallel]
            if free:
                chosen = min(free, key=lambda one: (one in failed, one.busy, one.drawn))
                chosen.busy += 1
                return chosen
            if all(one.is_resting and one.misses >= _MOST_MISSES for one in self._replicas):
                names = ", ".join(one.name for one in self._replicas)
                raise DrawFailed(Failure("engine_lost", f"no server of the engine answers ({names})", "transient"))
            await self._change.wait()

    def _tell_of_length(self, prompt: str) -> None:
        """Warn of a prompt that is cut for certain, once; servers say nothing."""
        least = least_tokens(prompt)
        if least > MOST_PROMPT_TOKENS and not self._has_told_of_length:
            self._has_told_of_length = True
            message = f"a prompt has {least} tokens or more, and engines read {MOST_PROMPT_TOKENS}: {prompt[:60]}…"
            self.warn(Problem("prompt_cut", message, hint="shorten it: the rest has no effect"))

    def _tell(self) -> None:
        """Wake all that wait for a place."""
        self._change.set()
        self._change = asyncio.Event()

    def _lose(self, replica: _Replica, reason: str) -> None:
        if replica.is_resting:  # several of its images have failed at once
            return
        replica.misses, replica.is_resting = replica.misses + 1, True
        if replica.misses == 1:
            others = "others draw its images, and it" if len(self._replicas) > 1 else "it"
            hint = f"{others} is tried again for some minutes; the next run draws what is missing"
            self.warn(Problem("replica_lost", f"a server of the engine is lost: {reason}", hint=hint))
        task = asyncio.create_task(self._returned(replica))
        self._returns.add(task)
        task.add_done_callback(self._returns.discard)

    async def _returned(self, replica: _Replica) -> None:
        """Wait until a replica is good again."""
        while replica.is_resting:
            await self.sleep(replica.pause)
            if await _problems(replica.backend):
                replica.misses += 1
            else:
                replica.is_resting = False
            self._tell()


async def _problems(backend: Backend) -> tuple[Problem, ...]:
    try:
        await backend.check()
    except KreaPipeError as error:
        return error.problems
    return ()


@asynccontextmanager
async def open_image_servers(
    spec: EngineSpec, key: Token | None, warn: Callable[[Problem], None]
) -> AsyncIterator[Fleet]:
    """All servers of an engine as one `Backend`, closed at the end of the `with` block.

    Args:
        spec: the engine.
        key: the key that is sent to each of them, if any.
        warn: receives a problem for each server that is lost.

    Returns:
        The servers; one alone is tried again as well.

    Raises:
        UsageError: an address cannot be used, or the key must not be sent there.
    """
    async with AsyncExitStack() as stack:
        opened = {url: await stack.enter_async_context(open_image_server(spec, url, key)) for url in spec.urls}
        fleet = Fleet(opened, spec.parallel, warn)
        stack.push_async_callback(fleet.close)
        yield fleet
