"""What a line of the journal makes of a cell, until the report of its run tells the whole story."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import cast

from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Attempt, Failure, Result, Timings
from krea_pipe.report.model import Row
from krea_pipe.store.journal import Line

NONE = Decimal(0)
UNANSWERED = "Krea's answer was lost; it may have drawn the image"
UNSEEN = "Krea took the request, but does not show the job; it may be drawn and billed"
UNFETCHED = "the image is drawn but could not be fetched; run again to fetch it"


def moved(row: Row, line: Line, *, run: str, usd: str | None) -> Row:
    """The cell after a line about its request. `run` is the cell's own run, `usd` the price; None if others pay it.

    A line that is damaged, or of a later version, leaves it as it is.
    """
    try:
        if line.get("run") != run:
            return _beside(row, line)
        return _sent(row, line, usd) or _ended(row, line, usd) or row
    except (KeyError, ValueError, TypeError, ArithmeticError, AttributeError):
        return row


def _beside(row: Row, line: Line) -> Row:
    """What another run's line says of a cell that is not done yet; what fails there, this run tries by itself."""
    match line["event"]:
        case "done" if row.status in ("pending", "uncertain"):
            drawn = _with_image(row, line)
            tried = (*row.attempts, Attempt(str(line["t"]), "shared", f"drawn by run {line['run']}"))
            return replace(drawn, status="reused", cost_usd=NONE, attempts=tried)
        case "submitted" | "adopted" | "attached" if row.status == "pending":
            return replace(row, job_id=str(line["job_id"]))
        case _:
            return row


def _sent(row: Row, line: Line, usd: str | None) -> Row | None:
    """The cell after a line about the way to a job; None if it is another line."""
    match line["event"]:
        case "submitting" | "declined" | "cleared":
            return replace(row, status="pending", error=None, cost_usd=NONE, job_id=None, adopted=False)
        case "submitted" | "adopted" | "attached" as event:
            job, when = str(line["job_id"]), str(line["t"])
            submitted = replace(row.timings, submitted_at=when) if event == "submitted" else row.timings
            return replace(
                row,
                status="pending",
                error=None,
                cost_usd=NONE,
                job_id=job,
                adopted=event == "adopted" or (event == "attached" and row.adopted),
                attempts=(*row.attempts, Attempt(when, str(event), job)),
                timings=submitted,
            )
        case "unanswered" | "disowned" as event:
            price = usd if event == "disowned" or usd is None else line.get("usd", usd)
            failure = Failure("answer_lost", UNANSWERED, "uncertain")
            return replace(row, status="uncertain", error=failure, cost_usd=price_of(price), job_id=None, adopted=False)
    return None


def _ended(row: Row, line: Line, usd: str | None) -> Row | None:
    """The cell after a line about the end of its job; None if it is another line."""
    match line["event"]:
        case "done":
            when = str(line["t"])
            drawn = _with_image(row, line)
            cost = NONE if usd is None else price_of(cast("Mapping[str, Json]", line["result"])["cost_usd"])
            tried = (*row.attempts, Attempt(when, "done", drawn.sha256 or ""))
            return replace(drawn, status="succeeded", cost_usd=cost, attempts=tried, timings=_until(row.timings, when))
        case "failed":
            return _failed(row, line, usd)
        case "unseen":
            failure = Failure("job_unseen", UNSEEN, "uncertain")
            return replace(row, status="uncertain", error=failure, cost_usd=price_of(usd))
        case "unfetched":
            failure = Failure("image_unfetched", UNFETCHED, "transient")
            return replace(row, status="failed", error=failure, cost_usd=price_of(usd))
    return None


def _failed(row: Row, line: Line, usd: str | None) -> Row:
    code, job = str(line.get("code", "failed")), line.get("job_id")
    if job not in ("", None, row.job_id):
        return row  # of a job that another has taken the place of
    if code == "cancelled":
        return replace(row, status="pending", error=None, cost_usd=NONE, job_id=None)
    failure = Failure(code, f"it failed: {code}", "empty" if code == "empty" else "failed")
    return replace(
        row,
        status="failed",
        error=failure,
        cost_usd=price_of(usd) if code == "empty" else NONE,
        attempts=(*row.attempts, Attempt(str(line["t"]), "failed", code)),
        timings=_until(row.timings, str(line["t"])),
    )


def _with_image(row: Row, line: Line) -> Row:
    data = cast("Mapping[str, Json]", line["result"])
    result = Result.from_json(data)
    return replace(
        row,
        error=None,
        job_id=result.job_id,
        sha256=result.sha256,
        width=result.width,
        height=result.height,
        likeness=str(data.get("likeness") or ""),
    )


def _until(timings: Timings, end: str) -> Timings:
    if timings.submitted_at is None:
        return Timings(None, end)
    took = datetime.fromisoformat(end) - datetime.fromisoformat(timings.submitted_at)
    return Timings(timings.submitted_at, end, round(took.total_seconds(), 3))


def price_of(usd: Json) -> Decimal:
    """A price in US dollars as the journal writes it; none where others pay it, or where it is no amount."""
    try:
        price = NONE if usd is None else Decimal(str(usd))
    except InvalidOperation:
        return NONE
    return price if price.is_finite() else NONE
