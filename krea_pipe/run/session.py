"""What one run works with."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from krea_pipe.api.client import Client
from krea_pipe.nodes import Json
from krea_pipe.outcome import iso
from krea_pipe.request import Key
from krea_pipe.run.stop import Stop
from krea_pipe.settings import Pace
from krea_pipe.store.space import Space

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """One run's client, store and identity. `origin` marks the API that its jobs belong to."""

    client: Client
    space: Space
    run_id: str
    origin: str
    account: str
    pace: Pace
    stop: Stop

    async def record(self, event: str, key: Key, **data: Json) -> None:
        """Write a line to the journal and wait until it is on disk."""
        stamp = now()
        await self.shielded(lambda: self.space.journal.append(event, key, t=stamp, run=self.run_id, **data))

    async def shielded(self, work: Callable[[], T]) -> T:
        """Do disk work in a thread, to its end even if the run is cancelled meanwhile.

        The executor's own future, and not a task around it: the end of the loop cancels tasks, and with them what
        still waits for a thread.
        """
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, work))


def now() -> str:
    """The time in UTC, as ISO 8601 to the millisecond."""
    return iso(datetime.now(UTC))
