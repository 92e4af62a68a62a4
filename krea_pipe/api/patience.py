"""How long a call may take as a whole: a server that drips a byte now and then trips no other time-out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from krea_pipe.api.failures import AnswerLost

CALL_SECONDS = 120.0


@dataclass(slots=True)
class Patience:
    """The seconds that each call to the API may take, and those that are under way."""

    seconds: float = CALL_SECONDS
    _open: set[asyncio.Timeout] = field(default_factory=set)

    @asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """End what takes too long.

        Raises:
            AnswerLost: it was ended.
        """
        async with limited(self.seconds) as timeout:
            self._open.add(timeout)
            try:
                yield
            finally:
                self._open.discard(timeout)

    def cut(self, seconds: float) -> None:
        """Give no call more than so many seconds from now on, those under way included."""
        self.seconds = min(seconds, self.seconds)
        latest = asyncio.get_running_loop().time() + self.seconds
        for timeout in self._open:
            if not timeout.expired() and (timeout.when() or latest) > latest:
                timeout.reschedule(latest)


@asynccontextmanager
async def limited(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """End what takes longer than so many seconds.

    Raises:
        AnswerLost: it was ended.
    """
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield timeout
    except TimeoutError as error:
        raise AnswerLost("no whole answer came in time") from error
