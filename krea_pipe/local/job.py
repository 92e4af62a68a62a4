"""A job: how it ends, its state as a function of the clock, and how Krea shows it.

How a job ends is decided when it is accepted. A prompt can ask for an end by a trigger word:

- `local:fail-nsfw`: failed, with the error code `nsfw` at the top level of the job
- `local:fail-result`: failed, with the same error under `result`, where Krea's guide shows it
- `local:fail-empty`: completed and billed, but without urls
- `local:stuck`: processed for ever; only DELETE ends it

Every other job gives one image. If the server draws with an engine, the end of its job is open until it is drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, get_args

from krea_pipe.local.answers import format_time
from krea_pipe.local.order import ProofSpec, Training

Outcome = Literal["image", "empty", "failed", "stuck", "open"]
Place = Literal["top", "result", "nowhere"]


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The end of a job: with an image, `empty` without one, failed with a code and a message, or `stuck` without end.

    `open` while an engine draws its image, and may fail.
    `place` is where a failed job shows its code and message: in a top-level `error`, in `result.error`, or nowhere.
    """

    outcome: Outcome = "image"
    code: str = ""
    message: str = ""
    place: Place = "top"

    @property
    def is_billed(self) -> bool:
        """Whether a job that ends in this way is billed, or may be if its end is open."""
        return self.outcome in ("image", "empty", "open")


FateOf = Callable[[ProofSpec], JobOutcome]

_MODERATED = "The prompt asked for a moderation failure."
_BY_TRIGGER = {
    "local:fail-nsfw": JobOutcome("failed", "nsfw", _MODERATED),
    "local:fail-result": JobOutcome("failed", "nsfw", _MODERATED, "result"),
    "local:fail-empty": JobOutcome("empty"),
    "local:stuck": JobOutcome("stuck"),
}


def fate_by_prompt(brief: ProofSpec) -> JobOutcome:
    """The fate that the prompt asks for by a trigger word, otherwise an image."""
    return next((fate for word, fate in _BY_TRIGGER.items() if word in brief.order.prompt), JobOutcome())


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
    """The address for the notification about a job's end, and the base of the URLs in it."""

    url: str
    base_url: str


@dataclass(slots=True, eq=False)
class Job:
    """An accepted generate call, all times in UTC.

    `created_at` is unique among jobs, because it is the cursor of the list. `latency` counts from `started_at`, which
    is None in the backlog; `ends_at` is None there too, and for a job that is stuck or whose image is being drawn.
    `first_seen_at` is when an answer first showed the job in a terminal state.
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
        """The price of the job in USD if it completes."""
        return self.brief.order.price

    @property
    def reserve(self) -> Decimal:
        """The price of the job in USD unless it is cancelled."""
        return self.price if self.fate.is_billed else Decimal(0)

    def start(self, instant: datetime) -> None:
        """Let the job run from that instant on."""
        self.started_at = instant
        self.ends_at = None if self.fate.outcome in ("stuck", "open") else instant + self.latency

    def end(self, instant: datetime, fate: JobOutcome) -> None:
        """Let a job whose end was open end at that instant."""
        self.ends_at, self.fate = instant, fate

    def status(self, now: datetime) -> Status:
        """The state at an instant that is not before the last one that was asked for."""
        if self.cancelled_at is not None:
            return "cancelled"
        if self.started_at is None:
            return "backlogged"
        if self.ends_at is not None and now >= self.ends_at:
            return "failed" if self.fate.outcome == "failed" else "completed"
        return self._phase(now - self.started_at)

    def _phase(self, elapsed: timedelta) -> Status:
        if self.fate.outcome == "open":
            return "processing"
        if self.fate.outcome == "stuck":
            elapsed = min(elapsed, self.latency * 0.3)
        reached = (status for status, share in _PHASES if elapsed < self.latency * share)
        return next(reached, "processing")

    def finished_at(self, now: datetime) -> datetime | None:
        """When the job reached its final state; None while it is pending."""
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


def describe_job(job: Job, now: datetime, base_url: str) -> dict[str, object]:
    """The JSON of a job at an instant; the URL of its image begins with `base_url`."""
    status, finished_at = job.status(now), job.finished_at(now)
    answer: dict[str, object] = {
        "job_id": job.id,
        "status": status,
        "created_at": format_time(job.created_at),
        "completed_at": finished_at and format_time(finished_at),
        "result": None,
    }
    if status == "completed":
        answer["result"] = _describe_result(job, base_url)
    if status == "failed":
        answer |= _describe_failure(job)
    return answer


def _describe_result(job: Job, base_url: str) -> dict[str, object]:
    if job.fate.outcome != "image":
        return {}
    if isinstance(job.brief.order, Training):
        return {"style_id": name_style(job.image_id)}
    return {"urls": [f"{base_url}images/{job.image_id}.png"]}


def _describe_failure(job: Job) -> dict[str, object]:
    """Krea's schema and Krea's guide disagree on where the reason is; some failed jobs show none."""
    error = {"code": job.fate.code, "message": job.fate.message}
    match job.fate.place:
        case "top":
            return {"result": {}, "error": error}
        case "result":
            return {"result": {"error": error}}
        case "nowhere":
            return {"result": {}}


def name_type(job: Job) -> str:
    """Krea does not publish its name for the type; the list call is known to return one."""
    return "style-training" if isinstance(job.brief.order, Training) else f"krea-2-{job.brief.order.variant}"


def name_style(image_id: str) -> str:
    """The id of the style that a job creates, derived from the id that its image would have."""
    return f"st_{image_id.replace('-', '')[:12]}"
