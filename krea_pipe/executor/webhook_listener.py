"""Webhooks while a run goes on: Krea tells that a job has ended, and the watch looks sooner."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from krea_pipe.api.webhook import Address, open_receiver
from krea_pipe.executor.session import Session
from krea_pipe.executor.watch import Watch


@dataclass(frozen=True, slots=True)
class WebhookListener:
    """Where to listen, and the public URL at which Krea reaches that, if it is another."""

    address: Address
    public: str | None

    @asynccontextmanager
    async def open(self, session: Session, watch: Watch) -> AsyncIterator[None]:
        """Listen, and have every request that is sent name the receiver.

        Raises:
            UsageError: it cannot be listened there.
        """
        async with open_receiver(self.address, watch.hint) as receiver:
            session.webhook, session.is_told = receiver.url(self.public), True
            yield
