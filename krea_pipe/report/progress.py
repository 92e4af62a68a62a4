"""A run as it stands: what it set out to do, and what the journal has said since.

A run that has something to do writes `started.json` before it begins, in the form of its report; `report.json`, which
it writes at its end, replaces that. In between, and for a run that was killed, the journal's lines about its requests
tell what became of its cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal, TypeAlias

from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Attempt, Failure, FailureClass, Result, Timings, iso
from krea_pipe.report.folder import PLANNED, RECORD, read_record, read_report, space_of
from krea_pipe.report.model import ZERO_USD, Report, Row, costs, totals
from krea_pipe.report.thumbnails import digests_of
from krea_pipe.store.events import Counted, Done, Failed, JournalLine, Reported
from krea_pipe.store.plain import is_plain
from krea_pipe.store.replay import Finished, Idle, InFlight, Replay, Sending, State, Unknown, Without
from krea_pipe.store.space import Space

RunState: TypeAlias = Literal["running", "ended", "cut_off"]
"""`ended` has a report; `cut_off` has none, and its process is gone."""

UNANSWERED = "Krea's answer was lost; it may have drawn the image"
UNSEEN = "Krea took the request, but does not show the job; it may be drawn and billed"
GONE = "the image was drawn and is missing here, and Krea does not give it any more"
UNFETCHED = "the image is drawn but could not be fetched; run again to fetch it"
_LACKS: Mapping[str, tuple[str, FailureClass]] = {
    "empty": ("the job was completed, and gives no image; run again to read it again at no cost", "empty"),
    "wrong_size": ("the image has another size than was asked for; run again to read the job again", "wrong_size"),
    "stuck": ("the job did not end in time, and Krea did not cancel it; run again to look for it", "stuck"),
}
"""What is wrong with a job that may be billed and has no image here, by the code of its failure."""


@dataclass(frozen=True, slots=True)
class _RequestChange:
    """How a request stands after a line that `run` wrote at `t`; `usd` is its price, None if others pay it."""

    state: State
    t: str
    run: str
    usd: str | None


def changed_row(row: Row, change: _RequestChange, *, run: str) -> Row:
    """The cell after a line about its request; `run` is the cell's own run.

    Times that cannot be read leave it as it is.
    """
    try:
        return _after_own_run(row, change) if change.run == run else _after_other_run(row, change)
    except (ValueError, TypeError, ArithmeticError):
        return row


def _after_other_run(row: Row, change: _RequestChange) -> Row:
    """What another run's line says of a cell that is not done yet; what fails there, this run tries by itself."""
    match change.state:
        case Finished(result=result) if row.status in ("pending", "uncertain"):
            tried = (*row.attempts, Attempt(change.t, "shared", f"drawn by run {change.run}"))
            return replace(_with_image(row, result), status="reused", cost_usd=ZERO_USD, attempts=tried)
        case InFlight(job_id=job_id, unfetched="", unseen=False) if row.status == "pending":
            return replace(row, job_id=job_id)
    return row


def _after_own_run(row: Row, change: _RequestChange) -> Row:
    match change.state:
        case Idle() | Sending():
            return replace(row, status="pending", error=None, cost_usd=ZERO_USD, job_id=None, adopted=False)
        case Unknown(post=post):
            failure = Failure("answer_lost", UNANSWERED, "uncertain")
            price = ZERO_USD if change.usd is None else _recorded_price(post.usd)
            return replace(row, status="uncertain", error=failure, cost_usd=price, job_id=None, adopted=False)
        case InFlight() as job:
            return _in_flight(row, job, change)
        case Finished(result=result):
            cost = ZERO_USD if change.usd is None else _recorded_price(result.cost_usd)
            drawn, tried = _with_image(row, result), (*row.attempts, Attempt(change.t, "done", result.sha256))
            timings = _until(row.timings, change.t)
            return replace(drawn, status="succeeded", cost_usd=cost, attempts=tried, timings=timings)
        case Without(code=code):
            return _failed(row, code, change)


def _in_flight(row: Row, job: InFlight, change: _RequestChange) -> Row:
    if job.unseen and job.was_stored:
        failure = Failure("image_gone", GONE, "gone")
        return replace(row, status="failed", error=failure, cost_usd=_recorded_price(change.usd))
    if job.unseen:
        failure = Failure("job_unseen", UNSEEN, "uncertain")
        return replace(row, status="uncertain", error=failure, cost_usd=_recorded_price(change.usd))
    if job.unfetched == change.run:
        words, kind = _LACKS.get(job.lack, (UNFETCHED, "transient"))
        failure = Failure(job.lack, words, kind)
        return replace(row, status="failed", error=failure, cost_usd=_recorded_price(change.usd))
    is_new = job.t == change.t
    is_sent = is_new and not job.adopted
    event = "submitted" if is_sent else "adopted" if is_new else "attached"
    return replace(
        row,
        status="pending",
        error=None,
        cost_usd=ZERO_USD,
        job_id=job.job_id,
        adopted=job.adopted,
        attempts=(*row.attempts, Attempt(change.t, event, job.job_id)),
        timings=replace(row.timings, submitted_at=change.t) if is_sent else row.timings,
    )


def _failed(row: Row, code: str, change: _RequestChange) -> Row:
    if code == "cancelled":
        return replace(row, status="pending", error=None, cost_usd=ZERO_USD, job_id=None)
    failure = Failure(code, f"it failed: {code}")
    return replace(
        row,
        status="failed",
        error=failure,
        cost_usd=_recorded_price(change.usd) if code == "job_gone" else ZERO_USD,
        attempts=(*row.attempts, Attempt(change.t, "failed", code)),
        timings=_until(row.timings, change.t),
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


def _recorded_price(usd: "Json | Decimal") -> Decimal:
    """A price in USD as the journal writes it; none where others pay it, or where it is no amount."""
    try:
        price = ZERO_USD if usd is None else Decimal(str(usd))
    except InvalidOperation:
        return ZERO_USD
    return price if price.is_finite() else ZERO_USD


def open_progress(home: Path, folder: Path) -> "RunProgress":
    """The run of a folder, as it stands now.

    Raises:
        StateError: what is written there, or the journal, cannot be read. UsageError: there is no run.
    """
    state: RunState = "running"
    try:
        report = read_record(folder / PLANNED)
    except FileNotFoundError:
        report, state = read_report(folder), "ended"
    progress = RunProgress(folder, report, space_of(report, home), state)
    progress.look()
    return progress


@dataclass(slots=True)
class RunProgress:
    """A run and its report as it stands; `look` brings it up to date. Used by one thread at a time.

    `digests` are the images that it names. Until the run ends, the report's `finished_at` is the time of the look that
    changed it last, later each time.
    """

    folder: Path
    report: Report
    space: Space
    state: RunState
    digests: frozenset[str] = frozenset()
    _replay: Replay = field(default_factory=Replay)
    _rows: list[Row] = field(init=False)
    _places: dict[str, list[int]] = field(default_factory=dict)
    """Where the rows of each request are that this run had to do; the one that pays comes first."""

    def __post_init__(self) -> None:
        self._rows = list(self.report.rows)
        self.digests = frozenset(digests_of(self.report))
        for index, row in enumerate(self._rows):
            if row.status != "reused":
                places = self._places.setdefault(row.key, [])
                places.insert(len(places) if row.reason.startswith("same request as ") else 0, index)

    def look(self) -> list[int]:
        """Take in what has been written since the last look; the places of the rows that have changed by the journal.

        Once the report is there it is taken whole, and no place is named.

        Raises:
            StateError: something cannot be read.
        """
        if self.state == "ended":
            return []
        # Asked before the report is looked for: a run that ends in between must not be taken for a dead one.
        is_alive = self.state == "running" and self.space.presence.is_alive(self.report.run_id)
        if is_plain(self.folder / RECORD):
            self.report, self.state = read_report(self.folder), "ended"
            self.digests = frozenset(digests_of(self.report))
            return []
        changed: set[int] = set()
        for line in self.space.journal.follow(self._replay):
            changed |= self._take(line)
        if not is_alive and self.state == "running":
            self.state = "cut_off"
            for key, post in self._replay.open.items():
                if post.run == self.report.run_id:  # it was being sent, and may have been taken
                    changed |= self._change_rows(key, _RequestChange(Unknown(post), post.after, post.run, post.usd))
        if changed:
            self._rebuild()
        return sorted(changed)

    def _take(self, line: JournalLine) -> set[int]:
        """Apply a line, and change the rows that it is about; its price is that of the job or POST before it."""
        if (
            line.t < self.report.started_at
            or isinstance(line.event, Reported | Counted)
            or line.key not in self._places
        ):
            self._replay.take(line)
            return set()
        job, post = self._replay.in_flight.get(line.key), self._replay.unanswered(line.key)
        is_counted = self._replay.is_counted(line.key)
        before = self._replay.state(line.key)
        self._replay.take(line)
        state, is_end = self._replay.state(line.key), isinstance(line.event, Done | Failed)
        if is_end and state == before:  # of a job that another has taken the place of
            return set()
        if isinstance(state, Finished | Without) and not is_end:  # that was before
            state = Idle()
        usd = (job and job.usd) or (post and post.usd) or "0"
        return self._change_rows(line.key, _RequestChange(state, line.t, line.run, None if is_counted else usd))

    def _change_rows(self, key: str, change: _RequestChange) -> set[int]:
        """Change the rows of a request, of which the first pays; the places of those that differ now."""
        found = set()
        for index in self._places.get(key, []):
            row = changed_row(self._rows[index], change, run=self.report.run_id)
            change = replace(change, usd=None)
            if row != self._rows[index]:
                self._rows[index] = row
                found.add(index)
        return found

    def _rebuild(self) -> None:
        rows, now = tuple(self._rows), datetime.now(UTC)
        if iso(now) <= self.report.finished_at:
            now = datetime.fromisoformat(self.report.finished_at) + timedelta(milliseconds=1)
        jobs = {key: job for key, job in self._replay.in_flight.items() if not job.was_stored}
        waiting = {row.key for row in rows if row.status == "pending" and row.job_id is not None}
        in_flight = sum((_recorded_price(jobs[key].usd) for key in waiting if key in jobs), ZERO_USD)
        cost = costs(rows, cap=self.report.cost.cap_usd, saved=self.report.cost.saved_usd, in_flight=in_flight)
        self.report = replace(self.report, finished_at=iso(now), rows=rows, cells=totals(rows), cost=cost)
        self.digests = frozenset(digests_of(self.report))
