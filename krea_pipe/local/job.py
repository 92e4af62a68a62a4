"""A job: its state is a function of the clock, so nothing runs in the background."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, get_args

from krea_pipe.local.brief import Brief
from krea_pipe.local.fate import Fate

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
class Job:
    """An accepted generate call, all times in UTC.

    `created_at` is unique among jobs, because it is the cursor of the list; the state counts from `started_at`.
    """

    id: str
    image_id: str
    brief: Brief
    fate: Fate
    created_at: datetime
    started_at: datetime
    latency: timedelta
    cancelled_at: datetime | None = None

    @property
    def price(self) -> Decimal:
        """What the job costs in USD if it completes."""
        return self.brief.order.price

    def status(self, now: datetime) -> Status:
        """The state at an instant."""
        if self.cancelled_at is not None:
            return "cancelled"
        elapsed = now - self.started_at
        for status, share in _PHASES:
            if elapsed < self.latency * share:
                return status
        return "failed" if self.fate.outcome == "failed" else "completed"

    def finished_at(self, now: datetime) -> datetime | None:
        """When the job reached its terminal state, or None while it is pending."""
        due = self.started_at + self.latency
        ended = self.cancelled_at or (due if now >= due else None)
        return ended and max(ended, self.created_at)

    def is_billed(self, now: datetime) -> bool:
        """Completed jobs are billed, with an image or without; failed and cancelled ones are free."""
        return self.status(now) == "completed"

    def has_image(self, now: datetime) -> bool:
        """Whether the job has an image to show by now."""
        return self.fate.outcome == "image" and self.status(now) == "completed"
