"""How a run is told to end."""

import asyncio
from dataclasses import dataclass, field

from krea_pipe.errors import Problem


@dataclass(slots=True)
class Stop:
    """The wish to end a run, and who has it.

    When Krea refuses the account, nothing new is sent, but what is running is paid and still waited for. When a person
    interrupts, or something can not be written down, nothing is waited for either.
    """

    event: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: Problem | None = None
    interrupted: bool = False

    def refuse(self, problem: Problem) -> None:
        """Send nothing more, because Krea will not serve this account."""
        self.refusal = self.refusal or problem

    def interrupt(self) -> None:
        """Leave because a person or the system asks for it."""
        self.interrupted = True
        self.leave()

    def leave(self) -> None:
        """Wait for nothing more."""
        self.event.set()

    @property
    def wanted(self) -> bool:
        """Whether nothing new is to be sent."""
        return self.refusal is not None or self.event.is_set()

    async def pause(self, seconds: float) -> bool:
        """Wait, or less if nothing is to be waited for; whether that is so."""
        try:
            await asyncio.wait_for(self.event.wait(), seconds)
        except TimeoutError:
            return False
        return True
