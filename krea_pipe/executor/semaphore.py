"""Places that tasks wait for in the order of coming."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


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
        """Let in those for whom there are places now."""
        while self._waiting and self.inside < self.size():
            place = self._waiting.popleft()
            if not place.done():
                self.inside += 1
                place.set_result(True)

    def close(self) -> None:
        """Let nobody in any more, and tell those who wait."""
        self.is_closed = True
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(False)
