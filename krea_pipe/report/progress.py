"""A run as it stands: what it set out to do, and what the journal has said since.

A run that has something to do writes `started.json` before it begins, in the form of its report; `report.json`, which
it writes at its end, replaces that. In between, and for a run that was killed, the journal's lines about its requests
tell what became of its cells.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeAlias

from krea_pipe.core.outcome import iso
from krea_pipe.report.folder import PLANNED, RECORD, read_record, read_report, space_of
from krea_pipe.report.model import CostTotals, Report, Row
from krea_pipe.report.moves import Move, moved, price_of
from krea_pipe.report.narrow import totals
from krea_pipe.report.thumbnails import digests_of
from krea_pipe.store.events import Counted, Done, Failed, Line, Reported
from krea_pipe.store.plain import is_plain
from krea_pipe.store.replay import Finished, Idle, Replay, Unknown, Without
from krea_pipe.store.space import Space

State: TypeAlias = Literal["running", "ended", "cut_off"]
"""`ended` has a report; `cut_off` has none, and its process is gone."""


def open_progress(home: Path, folder: Path) -> "Progress":
    """The run of a folder, as it stands now.

    Raises:
        StateError: what is written there, or the journal, cannot be read. UsageError: there is no run.
    """
    state: State = "running"
    try:
        report = read_record(folder / PLANNED)
    except FileNotFoundError:
        report, state = read_report(folder), "ended"
    progress = Progress(folder, report, space_of(report, home), state)
    progress.look()
    return progress


@dataclass(slots=True)
class Progress:
    """A run and its report as it stands; `look` brings it up to date. Used by one thread at a time.

    `digests` are the images that it names. Until the run ends, the report's `finished_at` is the time of the look that
    changed it last, later each time.
    """

    folder: Path
    report: Report
    space: Space
    state: State
    digests: frozenset[str] = frozenset()
    _replay: Replay = field(default_factory=Replay)
    _rows: list[Row] = field(default_factory=list)
    _places: dict[str, list[int]] = field(default_factory=dict)
    """Where the rows of each request are that this run had to do; the one that pays comes first."""
    _saved: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        self._rows, self._saved = list(self.report.rows), self.report.cost.saved_usd
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
        changed = self._read_journal()
        if not is_alive and self.state == "running":
            self.state = "cut_off"
            changed |= self._leave_open()
        if changed:
            self._rebuild()
        return sorted(changed)

    def _read_journal(self) -> set[int]:
        changed: set[int] = set()
        for line in self.space.journal.follow(self._replay):
            changed |= self._changed_by(line)
        return changed

    def _changed_by(self, line: Line) -> set[int]:
        """Apply a line, and move the rows that it is about; its price is that of the job or POST before it."""
        places = self._places.get(line.key, [])
        if not places or line.t < self.report.started_at or isinstance(line.event, Reported | Counted):
            self._replay.take(line)
            return set()
        job, post = self._replay.in_flight.get(line.key), self._replay.unanswered(line.key)
        is_counted = job is not None and job.unfetched in self._replay.reported
        before = self._replay.state(line.key)
        self._replay.take(line)
        state, is_end = self._replay.state(line.key), isinstance(line.event, Done | Failed)
        if is_end and state == before:  # of a job that another has taken the place of
            return set()
        if isinstance(state, Finished | Without) and not is_end:  # that was before
            state = Idle()
        usd = (job and job.usd) or (post and post.usd) or "0"
        changed = set()
        for index in places:
            move = Move(state, line.t, line.run, None if index != places[0] or is_counted else usd)
            row = moved(self._rows[index], move, run=self.report.run_id)
            if row != self._rows[index]:
                self._rows[index] = row
                changed.add(index)
        return changed

    def _leave_open(self) -> set[int]:
        """Requests of a dead run that were being sent may have been taken."""
        changed: set[int] = set()
        for key, post in self._replay.open.items():
            if post.run == self.report.run_id and key in self._places:
                for index in self._places[key]:
                    price = post.usd if index == self._places[key][0] else None
                    move = Move(Unknown(post), post.after, post.run, price)
                    self._rows[index] = moved(self._rows[index], move, run=post.run)
                    changed.add(index)
        return changed

    def _rebuild(self) -> None:
        rows, now = tuple(self._rows), datetime.now(UTC)
        if iso(now) <= self.report.finished_at:
            now = datetime.fromisoformat(self.report.finished_at) + timedelta(milliseconds=1)
        self.report = replace(self.report, finished_at=iso(now), rows=rows, cells=totals(rows), cost=self._cost(rows))
        self.digests = frozenset(digests_of(self.report))

    def _cost(self, rows: Iterable[Row]) -> CostTotals:
        none, flying = Decimal(0), self._replay.in_flight
        waiting = {row.key for row in rows if row.status == "pending" and row.job_id is not None}
        return CostTotals(
            spent_usd=sum((row.cost_usd for row in rows if row.status != "uncertain"), none),
            saved_usd=self._saved,
            uncertain_usd=sum((row.cost_usd for row in rows if row.status == "uncertain"), none),
            in_flight_usd=sum((price_of(flying[key].usd) for key in waiting if key in flying), none),
            cap_usd=self.report.cost.cap_usd,
        )
