"""How a run is told to end."""

import asyncio
from dataclasses import dataclass, field

from krea_pipe.errors import Problem


@dataclass(slots=True)
class Stop:
    """The wish to end a run: no new requests, no more waiting; and who wants it, Krea or a person."""

    event: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: Problem | None = None
    interrupted: bool = False

    def refuse(self, problem: Problem) -> None:
        """Stop because Krea will not serve this account."""
        self.refusal = self.refusal or problem
        self.event.set()

    def interrupt(self) -> None:
        """Stop because a person or the system asks for it."""
        self.interrupted = True
        self.event.set()

    @property
    def wanted(self) -> bool:
        """Whether the run is to end."""
        return self.event.is_set()

    async def pause(self, seconds: float) -> bool:
        """Wait, or less if the run is to end; whether it is."""
        try:
            await asyncio.wait_for(self.event.wait(), seconds)
        except TimeoutError:
            return False
        return True
