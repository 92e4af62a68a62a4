"""The report of a pipeline file that is being edited, which its watcher replaces from another thread."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from krea_pipe.core.outcome import iso
from krea_pipe.report.model import Report
from krea_pipe.report.progress import RunState
from krea_pipe.report.thumbnails import digests_of
from krea_pipe.store.space import Space


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """What a page says about the file: a sentence, and whether it is about a problem."""

    text: str
    is_problem: bool = False


@dataclass(slots=True, eq=False)
class WatchedReport:
    """The latest state of a pipeline file with its proofs, in place of a run; each state has its own `run_id`.

    `folder` is where the paths of the report count from. `show` and `say` are called by the watcher's threads, the
    rest as for `report.progress.RunProgress`.
    """

    folder: Path
    space: Space
    report: Report
    status: WatchStatus
    state: RunState = "watching"
    digests: frozenset[str] = field(init=False)
    _builds: deque[Callable[[], Report]] = field(default_factory=lambda: deque(maxlen=1))
    """What was shown last and not looked at; its methods are atomic."""

    def __post_init__(self) -> None:
        self.digests = frozenset(digests_of(self.report))

    def show(self, build: Callable[[], Report]) -> None:
        """Have the next look show what `build` returns, which that look calls."""
        self._builds.append(build)

    def say(self, status: WatchStatus) -> None:
        """Have pages say this."""
        self.status = status

    def look(self) -> list[int]:
        """Take in what was shown since the last look; the places of the rows that have changed in the same state."""
        try:
            build = self._builds.pop()
        except IndexError:
            return []
        before, report = self.report, build()
        if report.finished_at <= before.finished_at:
            later = datetime.fromisoformat(before.finished_at) + timedelta(milliseconds=1)
            report = replace(report, finished_at=iso(later))
        self.report, self.digests = report, frozenset(digests_of(report))
        if report.run_id != before.run_id:
            return []
        return [place for place, (old, new) in enumerate(zip(before.rows, report.rows, strict=True)) if old != new]
