"""The objects of one run; it stops sending when Krea refuses the account rather than a request."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeVar

from krea_pipe.api.engine import Engine
from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.core.errors import Problem
from krea_pipe.core.failure_codes import failure_class_of
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Failure
from krea_pipe.core.request import Key
from krea_pipe.core.settings import Pace
from krea_pipe.executor.account_jobs import AccountJobs
from krea_pipe.executor.budget_ledger import BudgetLedger
from krea_pipe.executor.capacity import Capacity, SubmitGate, delays
from krea_pipe.executor.journal_writer import RequestLedger, utc_now
from krea_pipe.executor.stop import Stop
from krea_pipe.planning.budget import Permission
from krea_pipe.store.events import Event, Note
from krea_pipe.store.journal import Observe, unobserved
from krea_pipe.store.probe import Probe
from krea_pipe.store.space import Space

_T = TypeVar("_T")
ELSEWHERE = frozenset({301, 302, 303, 307, 308, 404, 405})
OPENING_TRIES = 3
"""The number of attempts to read the list of jobs before the run sends without it."""
_NO_SERVICE = {
    401: ("key_refused", "check KREA_API_KEY; create keys at krea.ai/app/api/tokens"),
    402: ("no_credit", "top up the API balance, then rerun the command to continue"),
    403: ("forbidden", "check that API access is enabled for the workspace of this key"),
}


@dataclass(slots=True)
class Session:
    """The client, the store and the identity of one run, and what its tasks share; `person` is who pays.

    `origin` marks the API that its jobs belong to; `started` is a time of the monotonic clock when nothing had been
    sent yet. `webhook` is the address that Krea is to tell of ended jobs, `is_told` whether that is this run itself.
    """

    client: Engine
    space: Space
    journal_writer: RequestLedger
    run_id: str
    pipeline: str
    origin: str
    account: str
    pace: Pace
    stop: Stop
    capacity: Capacity
    budget: BudgetLedger
    person: str = ""
    submit_gate: SubmitGate = field(default_factory=SubmitGate)
    uncertain: Literal["hold", "adopt", "resubmit"] = "hold"
    webhook: str | None = None
    permission: Permission = field(default_factory=Permission)
    is_told: bool = False
    started: float = 0.0
    observe: Observe = unobserved
    sent: dict[Key, float] = field(default_factory=dict)
    """When the last POST of each request started, by the monotonic clock."""
    lost: dict[Key, float] = field(default_factory=dict)
    """When its answer was lost, by the monotonic clock."""
    account_jobs: AccountJobs = field(init=False)
    introducing: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_introduced: bool = False
    has_served: bool = False
    """Whether Krea has answered a call that was made to find out whether it does."""
    probe: Probe | None = None
    """The results of `doctor --probe` for the account, if there are any."""

    def __post_init__(self) -> None:
        self.account_jobs = AccountJobs(self.client, self.journal_writer, self.run_id, self.origin, self.account)

    def cell_name(self, cell: str) -> str:
        """The name of a cell in the journal, which begins with its pipeline; in a batch, cells have it already."""
        return f"{self.pipeline}/{cell}" if self.pipeline else cell

    async def record(self, event: Event, key: Key) -> None:
        """Write a line to the journal and wait until it is on disk."""
        await self.journal_writer.record(event, key)

    def tell(
        self,
        name: Literal["uploaded", "upload_failed", "waiting", "download_failed"],
        key: str = "",
        **facts: Json,
    ) -> None:
        """Inform observers of the run about something that the journal does not contain."""
        self.observe([Note(name, key, utc_now(), self.run_id, facts)])

    async def shielded(self, work: Callable[[], _T]) -> _T:
        """Do disk work in a thread, to its end even if the run is cancelled meanwhile.

        The executor's own future, and not a task around it: the end of the loop cancels tasks, and with them what
        still waits for a thread.
        """
        done = asyncio.get_running_loop().run_in_executor(None, work)
        # Asyncio logs exceptions that are never retrieved.
        done.add_done_callback(lambda one: one.cancelled() or one.exception())
        return await asyncio.shield(done)

    @property
    def began(self) -> datetime | None:
        """A time of Krea's clock before which this run had sent nothing, if Krea has told the time by now."""
        return self.client.clock.earliest(self.started)

    async def before_sending(self) -> None:
        """Announce the run, unless this was already attempted; a run with nothing to send may still need it."""
        async with self.introducing:
            if not self.is_introduced:
                await self.introduce()

    async def introduce(self) -> CallFailed | None:
        """Read the newest jobs, which is free, before anything is sent.

        The answer tells Krea's time, whether the key is good, and which jobs are not of what will be sent.

        Returns:
            Why that failed, or None when it did not.
        """
        self.is_introduced = True
        failure: CallFailed | None = None
        for wait in (0.0, *delays(OPENING_TRIES - 1, self.pace)):
            if await self.stop.sleep_unless_closing(wait):
                break
            try:
                await self.account_jobs.open()
            except CallFailed as error:
                failure = error
                if isinstance(error, Refused) and not error.may_have_acted:
                    break
            else:
                return None
        if isinstance(failure, Refused) and failure.status == 401:
            await self.refuse_account(failure)
        return failure

    async def refuse_account(self, error: CallFailed) -> bool:
        """Stop the run when Krea refuses the account rather than the request.

        A 403 may be about one request alone, and a 401 in another form than Krea's about one way to it: a free call
        that fails as well shows that it is not.

        Args:
            error: how a call has failed.

        Returns:
            Whether the run was stopped.
        """
        if not isinstance(error, Refused) or error.status not in _NO_SERVICE:
            return False
        is_doubtful = error.status == 403 or (error.status == 401 and not error.is_kreas)
        if is_doubtful and await self.is_served():
            return False
        code, hint = _NO_SERVICE[error.status]
        self.stop.refuse(Problem(code, f"Krea refused this account: {error}", hint=hint))
        return True

    async def has_been_served(self) -> bool:
        """Whether Krea has answered a free call of this account in this run; it is asked until it has."""
        self.has_served = self.has_served or await self.is_served()
        return self.has_served

    async def refuse_address(self, error: CallFailed) -> None:
        """Stop the run when there is no Krea API at its address.

        A redirect, or a page about a missing resource, may concern only one call: a free one that fails as well
        shows that it is not.

        Args:
            error: how a call has failed.
        """
        is_elsewhere = isinstance(error, Refused) and not error.is_kreas and error.status in ELSEWHERE
        if is_elsewhere and not await self.is_served():
            hint = "check KREA_API_BASE; the next run looks for any request that was sent anyway"
            message = f"no Krea API answers at this address: {error}"
            self.stop.refuse(Problem("no_api", message, hint=hint))

    async def is_served(self) -> bool:
        """Whether Krea answers a free call of this account."""
        try:
            await self.client.jobs(1)
        except CallFailed:
            return False
        return True


def failure_of(error: CallFailed) -> Failure:
    """A failed call as the reason why a cell has no image."""
    if not isinstance(error, Refused):
        return Failure("unreachable", str(error), "transient")
    match error.status:
        case 410:
            return Failure("model_unavailable", f"Krea answered {error}", "gone")
        case 429:
            return Failure("too_many_requests", f"Krea answered {error}", "transient")
        case status if status >= 500 or status in (408, 425):
            return Failure("server_error", f"Krea answered {error}", "transient")
        case _ if error.is_kreas and failure_class_of(str(error)) == "rejected":
            return Failure("moderated", f"Krea answered {error}", "rejected")
        case _:
            return Failure("rejected", f"Krea answered {error}", "rejected")
