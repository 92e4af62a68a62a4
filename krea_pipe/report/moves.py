"""What the journal makes of a cell, until the report of its run tells the whole story."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation

from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Attempt, Failure, Result, Timings
from krea_pipe.report.model import Row
from krea_pipe.store.replay import Finished, Idle, InFlight, Sending, State, Unknown, Without

NONE = Decimal(0)
UNANSWERED = "Krea's answer was lost; it may have drawn the image"
UNSEEN = "Krea took the request, but does not show the job; it may be drawn and billed"
UNFETCHED = "the image is drawn but could not be fetched; run again to fetch it"


@dataclass(frozen=True, slots=True)
class Move:
    """How a request stands after a line that `run` wrote at `t`; `usd` is its price, None if others pay it."""

    state: State
    t: str
    run: str
    usd: str | None


def moved(row: Row, move: Move, *, run: str) -> Row:
    """The cell after a line about its request; `run` is the cell's own run.

    Times that cannot be read leave it as it is.
    """
    try:
        return _own(row, move) if move.run == run else _beside(row, move)
    except (ValueError, TypeError, ArithmeticError):
        return row


def _beside(row: Row, move: Move) -> Row:
    """What another run's line says of a cell that is not done yet; what fails there, this run tries by itself."""
    match move.state:
        case Finished(result=result) if row.status in ("pending", "uncertain"):
            tried = (*row.attempts, Attempt(move.t, "shared", f"drawn by run {move.run}"))
            return replace(_with_image(row, result), status="reused", cost_usd=NONE, attempts=tried)
        case InFlight(job_id=job_id, unfetched="", unseen=False) if row.status == "pending":
            return replace(row, job_id=job_id)
    return row


def _own(row: Row, move: Move) -> Row:
    match move.state:
        case Idle() | Sending():
            return replace(row, status="pending", error=None, cost_usd=NONE, job_id=None, adopted=False)
        case Unknown(post=post):
            failure = Failure("answer_lost", UNANSWERED, "uncertain")
            price = NONE if move.usd is None else price_of(post.usd)
            return replace(row, status="uncertain", error=failure, cost_usd=price, job_id=None, adopted=False)
        case InFlight() as job:
            return _in_flight(row, job, move)
        case Finished(result=result):
            cost = NONE if move.usd is None else price_of(result.cost_usd)
            drawn, tried = _with_image(row, result), (*row.attempts, Attempt(move.t, "done", result.sha256))
            timings = _until(row.timings, move.t)
            return replace(drawn, status="succeeded", cost_usd=cost, attempts=tried, timings=timings)
        case Without(code=code):
            return _failed(row, code, move)


def _in_flight(row: Row, job: InFlight, move: Move) -> Row:
    if job.unseen:
        failure = Failure("job_unseen", UNSEEN, "uncertain")
        return replace(row, status="uncertain", error=failure, cost_usd=price_of(move.usd))
    if job.unfetched == move.run:
        failure = Failure("image_unfetched", UNFETCHED, "transient")
        return replace(row, status="failed", error=failure, cost_usd=price_of(move.usd))
    is_new = job.t == move.t
    is_sent = is_new and not job.adopted
    event = "submitted" if is_sent else "adopted" if is_new else "attached"
    return replace(
        row,
        status="pending",
        error=None,
        cost_usd=NONE,
        job_id=job.job_id,
        adopted=job.adopted,
        attempts=(*row.attempts, Attempt(move.t, event, job.job_id)),
        timings=replace(row.timings, submitted_at=move.t) if is_sent else row.timings,
    )


def _failed(row: Row, code: str, move: Move) -> Row:
    if code == "cancelled":
        return replace(row, status="pending", error=None, cost_usd=NONE, job_id=None)
    failure = Failure(code, f"it failed: {code}", "empty" if code == "empty" else "failed")
    return replace(
        row,
        status="failed",
        error=failure,
        cost_usd=price_of(move.usd) if code == "empty" else NONE,
        attempts=(*row.attempts, Attempt(move.t, "failed", code)),
        timings=_until(row.timings, move.t),
    )


def _with_image(row: Row, result: Result) -> Row:
    return replace(
        row,
        error=None,
        job_id=result.job_id,
        sha256=result.sha256,
        width=result.width,
        height=result.height,
        likeness=result.likeness or "",
    )


def _until(timings: Timings, end: str) -> Timings:
    if timings.submitted_at is None:
        return Timings(None, end)
    took = datetime.fromisoformat(end) - datetime.fromisoformat(timings.submitted_at)
    return Timings(timings.submitted_at, end, round(took.total_seconds(), 3))


def price_of(usd: "Json | Decimal") -> Decimal:
    """A price in US dollars as the journal writes it; none where others pay it, or where it is no amount."""
    try:
        price = NONE if usd is None else Decimal(str(usd))
    except InvalidOperation:
        return NONE
    return price if price.is_finite() else NONE
