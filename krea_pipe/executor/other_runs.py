"""Requests that other runs of the same home folder work on, and how a run waits until they have done with them."""

import asyncio
from dataclasses import dataclass, field

from krea_pipe.executor.session import Session
from krea_pipe.store.ledger import Busy, RequestStatus

LOOKS = 4
"""The number of reads of the journal for each poll of Krea."""


@dataclass(slots=True)
class OtherRuns:
    """Requests that another run works on, and the tasks that wait for them."""

    session: Session
    waiting: dict[str, "asyncio.Future[RequestStatus | None]"] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def done_with(self, key: str) -> RequestStatus | None:
        """Wait until no living run works on a request; None when the run ends first."""
        if self.session.stop.wanted:
            return None
        future: asyncio.Future[RequestStatus | None] = asyncio.get_running_loop().create_future()
        self.waiting[key] = future
        self.arrived.set()
        try:
            return await future
        finally:
            del self.waiting[key]

    async def run(self) -> None:
        """Look again and again, as long as anyone waits."""
        stop = self.session.stop
        try:
            while not stop.wanted:
                self.arrived.clear()
                if not self.waiting:
                    stop.listeners.append(self.arrived.set)
                    await self.arrived.wait()
                    stop.listeners.remove(self.arrived.set)
                elif not await stop.sleep_unless_closing(self.session.pace.first / LOOKS):
                    await self._look()
        finally:
            stop.close()  # before anyone who wakes up can come to wait again
            for future in self.waiting.values():
                if not future.done():
                    future.set_result(None)

    async def _look(self) -> None:
        keys = list(self.waiting)
        for key, request_status in zip(keys, await self.session.journal_writer.statuses(keys), strict=True):
            future = self.waiting.get(key)
            if future is not None and not future.done() and not isinstance(request_status, Busy):
                future.set_result(request_status)
