"""A job: its state is a function of the clock, so nothing runs in the background."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, get_args

from krea_pipe.local.job_outcome import JobOutcome
from krea_pipe.local.order import ProofSpec

Status = Literal[
    "backlogged",
    "queued",
    "scheduled",
    "processing",
    "sampling",
    "intermediate-complete",
    "completed",
    "failed",
    "cancelled",
]

STATUSES: frozenset[str] = frozenset(get_args(Status))
TERMINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled"})
CANCELLABLE: frozenset[Status] = frozenset({"backlogged", "queued", "scheduled"})

# The share of the latency at which each pending state ends.
_PHASES: tuple[tuple[Status, float], ...] = (
    ("queued", 0.1),
    ("scheduled", 0.2),
    ("processing", 0.4),
    ("sampling", 0.8),
    ("intermediate-complete", 1.0),
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a job's end is to be told, and the base of the URLs in what is told."""

    url: str
    base_url: str


@dataclass(slots=True, eq=False)
class Job:
    """An accepted generate call, all times in UTC.

    `created_at` is unique among jobs, because it is the cursor of the list. `latency` counts from `started_at`, which
    is None in the backlog; `ends_at` is None there too and for a job that is stuck. `first_seen_at` is when an answer
    first showed the job in a terminal state.
    """

    id: str
    image_id: str
    brief: ProofSpec
    fate: JobOutcome
    created_at: datetime
    latency: timedelta
    webhook: Webhook | None = None
    started_at: datetime | None = None
    ends_at: datetime | None = None
    cancelled_at: datetime | None = None
    first_seen_at: datetime | None = None

    @property
    def price(self) -> Decimal:
        """What the job costs in USD if it completes."""
        return self.brief.order.price

    @property
    def reserve(self) -> Decimal:
        """What the job will cost in USD unless it is cancelled."""
        return self.price if self.fate.is_billed else Decimal(0)

    def start(self, instant: datetime) -> None:
        """Let the job run from that instant on."""
        self.started_at = instant
        self.ends_at = None if self.fate.outcome == "stuck" else instant + self.latency

    def status(self, now: datetime) -> Status:
        """The state at an instant that is not before the world's last one."""
        if self.cancelled_at is not None:
            return "cancelled"
        if self.started_at is None:
            return "backlogged"
        if self.ends_at is not None and now >= self.ends_at:
            return "failed" if self.fate.outcome == "failed" else "completed"
        return self._phase(now - self.started_at)

    def _phase(self, elapsed: timedelta) -> Status:
        if self.fate.outcome == "stuck":
            elapsed = min(elapsed, self.latency * 0.3)
        reached = (status for status, share in _PHASES if elapsed < self.latency * share)
        return next(reached, "processing")

    def finished_at(self, now: datetime) -> datetime | None:
        """When the job reached its terminal state, or None while it is pending."""
        if self.cancelled_at is not None:
            return max(self.cancelled_at, self.created_at)
        if self.ends_at is None or now < self.ends_at:
            return None
        return max(self.ends_at, self.created_at)

    def can_be_cancelled(self, now: datetime) -> bool:
        """Whether no machine has taken the job yet, or one is stuck with it."""
        return self.cancelled_at is None and (self.fate.outcome == "stuck" or self.status(now) in CANCELLABLE)

    def is_billed(self, now: datetime) -> bool:
        """Completed jobs are billed, with an image or without; failed and cancelled ones are free."""
        return self.status(now) == "completed"

    def has_image(self, now: datetime) -> bool:
        """Whether the job has an image to show by now."""
        return self.fate.outcome == "image" and self.status(now) == "completed"
