"""Limits the number of simultaneous jobs and POSTs, and determines the time until the next attempt.

Capacity: enough jobs that Krea never idles, no more than the account takes. Nobody publishes an account's concurrency
or backlog, so both are learned from answers. Jobs wait in Krea's backlog in the order of submission, so some are always
sent ahead of those that run. A 429 may be only a moment's: the third one, with no more jobs at Krea than at the first
and no fewer than Krea has ever taken, halves what we hold. Each job that ends then lets two more in until what was once
held is held again. From there on new ground is tried, slowly at first.

The gate: one POST at a time, unless the user says otherwise, so that a crash, or a lost answer, leaves one request open
and not many. A search for the job of a lost answer must know all our other jobs, so the gate is shut until each POST
that is under way has its answer.

Delays are own lines and no library: a wait has to end when the run does, and what may be repeated depends on the
journal.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from krea_pipe.core.settings import Pace

LONGEST_DELAY = 30.0


def delays(tries: int, pace: Pace) -> Iterator[float]:
    """Growing waits in seconds, one for each further try."""
    for number in range(1, tries + 1):
        yield delay(number, pace)


def delay(number: int, pace: Pace) -> float:
    """The wait after the failure of this number, counted from 1: full jitter, so that clients do not return at once."""
    return random.uniform(0, min(LONGEST_DELAY, pace.first / 2 * 2.0 ** min(number - 1, 20)))


@dataclass(slots=True)
class FairSemaphore:
    """Lets as many in as `size` says at the moment; asyncio's own semaphore cannot change its size."""

    size: Callable[[], int]
    inside: int = 0
    is_closed: bool = False
    _waiting: "deque[asyncio.Future[bool]]" = field(default_factory=deque)

    async def enter(self) -> bool:
        """Wait for a place; False when it is closed."""
        if self.is_closed:
            return False
        if not self._waiting and self.inside < self.size():
            self.inside += 1
            return True
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back."""
        self.inside -= 1
        self.let_in()

    def let_in(self) -> None:
        """Admit the tasks for which there are places now."""
        while self._waiting and self.inside < self.size():
            place = self._waiting.popleft()
            if not place.done():
                self.inside += 1
                place.set_result(True)

    def close(self) -> None:
        """Admit no more tasks, and wake the waiting ones."""
        self.is_closed = True
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(False)


START = 64
AHEAD = 16
FIRST_STEP = 0.25
LAST_STEP = 4.0
ENOUGH = 3
"""Refusals at the same number of jobs that show it to be the account's limit."""


@dataclass(slots=True)
class Capacity:
    """Places for jobs at Krea.

    `most` is the user's limit; `limit` the one that is learned.

    The run is one of so many `shares` that begin together, so that the last of them finds room as well.

    `filled` counts the places whose job Krea has; those in the other ones still wait to be sent. `proven` is how many
    jobs Krea has had at once, `doubted` how many it had at the last 429 when it had no fewer than that.
    """

    most: int
    shares: int = 1
    limit: float = field(init=False)
    filled: int = 0
    proven: int = 0
    doubted: int = 0
    doubts: int = 0
    refused_at: int | None = None
    step: float = FIRST_STEP
    rests_until: float = 0.0
    time: Callable[[], float] = time.monotonic
    semaphore: FairSemaphore = field(init=False)

    def __post_init__(self) -> None:
        self.limit = max(1.0, START / self.shares)
        self.semaphore = FairSemaphore(self._size)

    @property
    def is_crowded(self) -> bool:
        """Whether more are inside than there is room for, since it has shrunk."""
        return self.semaphore.inside > self._size()

    @property
    def rest(self) -> float:
        """Seconds for which Krea has asked to be sent nothing."""
        return max(self.rests_until - self.time(), 0.0)

    async def enter(self) -> bool:
        """Wait for a place; whether there is one, which is not so once nothing more is sent."""
        return await self.semaphore.enter()

    def leave(self, *, ended: bool = False) -> None:
        """Give a place back; `ended` says that a job came to an end in it."""
        if ended and self.refused_at is not None:
            self._grow(self.refused_at)
        self.semaphore.leave()

    def refuse(self, wait: float = 0.0) -> bool:
        """Learn from a 429, and send nothing for as long as Krea asks; whether the room was halved."""
        self.rests_until = max(self.rests_until, self.time() + wait)
        if self.filled < self.proven:  # the account may have become smaller, or others may use it
            self.proven = (self.proven + self.filled) // 2
            return False
        self.doubts = self.doubts + 1 if self.filled <= self.doubted else 1
        self.doubted = self.filled
        if self.doubts < ENOUGH:
            return False
        self.doubts, self.refused_at = 0, max(1, self.filled)
        self.limit, self.step = max(1.0, self.refused_at / 2), FIRST_STEP
        return True

    def accept(self) -> None:
        """Learn from a request that was taken, and has filled its place."""
        self.proven = max(self.proven, self.filled)
        if self.filled > self.doubted:
            self.doubts = 0

    def learn(self, running: int) -> None:
        """Learn from a poll of our jobs: with twice as many jobs as run at once, Krea is never idle between polls."""
        if self.refused_at is None:
            self.limit = max(self.limit, 2 * running + max(1, AHEAD // self.shares))
            self.semaphore.let_in()

    def _grow(self, refused_at: int) -> None:
        """Return to the number held at the last 429, then grow slowly, because that may be the account's limit."""
        if self.limit < refused_at:
            self.limit += 2
            return
        self.limit += self.step
        self.step = min(self.step * 1.25, LAST_STEP)

    def _size(self) -> int:
        return min(self.most, int(self.limit))


@dataclass(slots=True)
class JobSlot:
    """The slot of one request among the jobs that Krea holds for a run: taken and given back at most once at a time."""

    capacity: Capacity
    is_held: bool = False
    is_filled: bool = False

    async def take(self) -> bool:
        """Wait for the slot; whether it is held."""
        self.is_held = self.is_held or await self.capacity.enter()
        return self.is_held

    def take_at_once(self) -> None:
        """Hold the slot without waiting, for a job that Krea already has."""
        self.capacity.semaphore.inside += not self.is_held
        self.is_held = True
        self.fill()

    def fill(self) -> None:
        """Note that Krea has the job."""
        self.capacity.filled += not self.is_filled
        self.is_filled = True

    def give_back(self, *, ended: bool = False) -> None:
        """Let someone else have it; `ended` says that a job came to an end in it."""
        if self.is_held:
            self.capacity.filled -= self.is_filled
            self.is_held = self.is_filled = False
            self.capacity.leave(ended=ended)


@dataclass(slots=True)
class SubmitGate:
    """Lets `width` POSTs through at a time, and none while it is shut."""

    width: int = 1
    shut_by: int = 0
    semaphore: FairSemaphore = field(init=False)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.semaphore = FairSemaphore(lambda: 0 if self.shut_by else self.width)

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[bool]:
        """Wait for permission to POST, in the order of arrival; False if no task may POST now."""
        if not await self.semaphore.enter():
            yield False
            return
        self.idle.clear()
        try:
            yield True
        finally:
            self.semaphore.leave()
            if not self.semaphore.inside:
                self.idle.set()

    def shut(self) -> None:
        """Close the gate until it is opened as often as it was closed."""
        self.shut_by += 1
        if not self.semaphore.inside:
            self.idle.set()

    def open(self) -> None:
        """Let POSTs through again."""
        self.shut_by -= 1
        self.semaphore.let_in()
        if self.semaphore.inside:  # an admitted task has not run yet, and the gate may be shut before it does
            self.idle.clear()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Be the only one to look around while no POST is under way. The gate has to be shut."""
        async with self.alone:
            await self.idle.wait()
            yield
