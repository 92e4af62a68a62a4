"""Training a style: an errand that is paid, and so has a place in the journal like the job of an image."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from decimal import Decimal

import httpx

from krea_pipe.api.client import Client, open_client
from krea_pipe.core.outcome import Failure
from krea_pipe.core.settings import Pace, Target, Token
from krea_pipe.executor.budget_ledger import BudgetLedger
from krea_pipe.executor.capacity import Capacity
from krea_pipe.executor.inputs import Uploads
from krea_pipe.executor.journal_writer import JournalWriter
from krea_pipe.executor.lost import AccountJobs, Search
from krea_pipe.executor.session import Session
from krea_pipe.executor.stop import Stop, stopped_by_signals
from krea_pipe.executor.trainer import Terms, Trainer
from krea_pipe.executor.training import Trained, Training
from krea_pipe.pipeline.model import Budget
from krea_pipe.pipeline.references import Image
from krea_pipe.store.ledger import Ledger
from krea_pipe.store.space import Space


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """What to train, where, for whom, and on which terms; `pipeline` is the name of the file's pipeline.

    `seconds` is how long the end is waited for. `again` trains once more what was trained, or may have been.
    """

    training: Training
    images: tuple[Image, ...]
    budget: Budget
    space: Space
    target: Target
    token: Token
    run_id: str
    pipeline: str
    pace: Pace
    tell: Callable[[str], None]
    max_cost: Decimal | None = None
    again: bool = False
    seconds: float = 7200.0
    transport: httpx.AsyncBaseTransport | None = None

    @property
    def origin(self) -> str:
        """The mark of the API that the job belongs to."""
        return self.target.origin if self.target.lasting else f"local:{self.run_id}"


def train(order: TrainingOrder) -> Trained | Failure:
    """Train a style, or find the one that was trained, or wait for the job that is in flight.

    Raises:
        RefusedByKrea: the account. UsageError, OverBudget: what it may cost. StateError: nothing can be written down.
        KeyboardInterrupt: a second signal came; the journal is safe.
    """
    order.space.prepare()
    with order.space.presence.shown(order.run_id):
        try:
            return asyncio.run(_trained(order))
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error


async def _trained(order: TrainingOrder) -> Trained | Failure:
    stop = Stop()
    terms = Terms(order.budget, order.max_cost, order.seconds, again=order.again, is_free=order.target.kind == "local")
    async with (
        open_client(order.target, order.token, order.transport) as client,
        _session(order, client, stop) as session,
    ):
        with stopped_by_signals(stop, client, lambda: None):
            uploads = Uploads(session, {image.source: image for image in order.images})
            search = Search(session, AccountJobs(session))
            return await Trainer(order.training, terms, session, uploads, search, order.tell).train()


@contextlib.asynccontextmanager
async def _session(order: TrainingOrder, client: Client, stop: Stop) -> AsyncIterator[Session]:
    replay = order.space.journal.replay()
    journal_writer = JournalWriter(
        Ledger(order.space.journal, order.space.presence, order.run_id, order.origin, replay)
    )
    journal_writer.start()
    try:
        yield Session(
            client=client,
            space=order.space,
            journal_writer=journal_writer,
            run_id=order.run_id,
            pipeline=order.pipeline,
            origin=order.origin,
            account=order.token.account,
            pace=order.pace,
            started=client.clock.steady(),
            stop=stop,
            capacity=Capacity(1),
            budget=BudgetLedger(),
        )
    finally:
        journal_writer.close()
