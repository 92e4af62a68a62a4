"""How many POSTs are under way at once: one, unless the user says otherwise.

A crash, and a lost answer, then leave one request open and not many. Whoever looks for the job of a lost answer has to
know every other job of ours, so the gate is shut until each POST that is under way has its answer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from krea_pipe.executor.semaphore import FairSemaphore


@dataclass(slots=True)
class SubmitGate:
    """Lets `width` POSTs through at a time, and none while it is shut."""

    width: int = 1
    shut_by: int = 0
    places: FairSemaphore = field(init=False)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.places = FairSemaphore(lambda: 0 if self.shut_by else self.width)

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[bool]:
        """Wait until one may POST, in the order of coming; False when nobody may any more."""
        if not await self.places.enter():
            yield False
            return
        self.idle.clear()
        try:
            yield True
        finally:
            self.places.leave()
            if not self.places.inside:
                self.idle.set()

    def shut(self) -> None:
        """Let no more through, until it is opened as often as it was shut."""
        self.shut_by += 1
        if not self.places.inside:
            self.idle.set()

    def open(self) -> None:
        """Let POSTs through again."""
        self.shut_by -= 1
        self.places.let_in()
        if self.places.inside:  # who was let in has not run yet, and may meet a gate that is shut again
            self.idle.clear()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Be the only one to look around while no POST is under way. The gate has to be shut."""
        async with self.alone:
            await self.idle.wait()
            yield
