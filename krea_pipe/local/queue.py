"""The machines of an account: which job runs from when, computed when it is asked for."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush

from krea_pipe.local.job import Job


@dataclass(slots=True, eq=False)
class Queue:
    """Jobs in order of submission on a number of places, None for as many as there are jobs.

    Nothing runs in the background. `advance` works off the ends of jobs up to an instant, one after the other, so that
    a job starts at the moment its place became free, however late anyone looks. Jobs that have started and whose end is
    open go to `undrawn` for whoever draws them.
    """

    places: int | None = None
    running: int = 0
    waiting: int = 0
    undrawn: deque[Job] = field(default_factory=deque)
    _ends: list[tuple[datetime, datetime, Job]] = field(default_factory=list)
    _line: deque[Job] = field(default_factory=deque)

    def add(self, job: Job, now: datetime) -> None:
        """Start a job, or queue it; the queue must be up to date at `now`."""
        self._line.append(job)
        self.waiting += 1
        self._fill(now)

    def advance(self, now: datetime) -> list[Job]:
        """The jobs that ended up to that instant, in the order of their ends."""
        ended = []
        while self._ends and self._ends[0][0] <= now:
            instant, _, job = heappop(self._ends)
            # A cancelled job gave its place back when it was cancelled.
            if job.cancelled_at is None:
                self.running -= 1
                ended.append(job)
                self._fill(instant)
        # Only after more places were given does a job still wait for one here.
        self._fill(now)
        return ended

    def cancel(self, job: Job, now: datetime) -> None:
        """End a job early, and give its place to the next one."""
        job.cancelled_at = now
        if job.started_at is None:
            self.waiting -= 1
        else:
            self.running -= 1
            self._fill(now)

    def end(self, job: Job) -> None:
        """Note the end of a job that was open."""
        assert job.ends_at is not None
        heappush(self._ends, (job.ends_at, job.created_at, job))

    def next_end(self) -> datetime | None:
        """An instant before which no running job ends, or None when none will by itself."""
        return self._ends[0][0] if self._ends else None

    def _fill(self, instant: datetime) -> None:
        while self._line and (self.places is None or self.running < self.places):
            job = self._line.popleft()
            if job.cancelled_at is None:
                self.waiting -= 1
                self._start(job, instant)

    def _start(self, job: Job, instant: datetime) -> None:
        job.start(instant)
        self.running += 1
        if job.fate.outcome == "open":
            self.undrawn.append(job)
        if job.ends_at is not None:
            self.end(job)
