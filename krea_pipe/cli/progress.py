"""The progress of a run, and lines about it for logs."""

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from krea_pipe.cli.stderr_log import StderrLog
from krea_pipe.core.money import exact
from krea_pipe.core.outcome import Failure, Outcome, Status
from krea_pipe.pipeline.pricing import usd
from krea_pipe.planning.plan import Step

_LINE_SECONDS = 5.0
"""Seconds between two lines of a run with many requests."""
_FEW_REQUESTS = 100


@dataclass(slots=True)
class ProgressState:
    """Counts of requests and US dollars, kept during a run."""

    total: int
    local: bool
    running: int = 0
    done: int = 0
    failed: int = 0
    spent: Decimal = Decimal(0)

    def tail(self) -> str:
        """The amount spent and the number of failures so far, as text."""
        spent = "" if self.local else f", {usd(self.spent)} spent"
        return f"{spent}{f', {self.failed} failed' if self.failed else ''}"


@dataclass(frozen=True, slots=True)
class Settled:
    """A request that has ended: its first cell, how, and why if it failed."""

    cell: str
    status: Status
    failure: Failure | None

    def __str__(self) -> str:
        why = f": {self.failure.message}" if self.failure else ""
        return f"{self.cell} {self.status}{why}"


class Display(Protocol):
    """Something that shows the counts each time that they change."""

    def changed(self, settled: Settled | None, *, failed: bool) -> None:
        """The counts have changed; `settled` says what has ended, if anything has."""


@dataclass(frozen=True, slots=True)
class ProgressObserver:
    """Counts the steps that the executor reports, and shows them."""

    progress_state: ProgressState
    display: Display

    def __call__(self, step: Step, outcome: Outcome | None) -> None:
        """Take one change: a request is running, or has ended."""
        if outcome is None:
            self.progress_state.running += 1
            self.display.changed(None, failed=False)
            return
        failed = outcome.status in ("failed", "uncertain")
        self.progress_state.running -= 1
        self.progress_state.done += 1
        self.progress_state.failed += failed
        self.progress_state.spent += Decimal(0) if outcome.status == "uncertain" else outcome.cost_usd
        self.display.changed(Settled(step.cells[0].id, outcome.status, outcome.failure), failed=failed)


class LineProgress:
    """A line for each request when they are few, else one every few seconds; failures always."""

    def __init__(self, progress_state: ProgressState, stderr_log: StderrLog) -> None:
        self.progress_state, self.stderr_log, self.last = progress_state, stderr_log, time.monotonic()

    def __enter__(self) -> "LineProgress":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def changed(self, settled: Settled | None, *, failed: bool) -> None:
        """Say what has just ended, if anything has."""
        if settled is None:
            return
        due = time.monotonic() - self.last >= _LINE_SECONDS or self.progress_state.done == self.progress_state.total
        if failed or due or self.progress_state.total <= _FEW_REQUESTS:
            self.last = time.monotonic()
            self._say(settled)

    def _say(self, settled: Settled) -> None:
        progress_state, code = self.progress_state, settled.failure.code if settled.failure else None
        self.stderr_log.say(
            "info",
            "progress",
            f"[{progress_state.done}/{progress_state.total}] {settled}{progress_state.tail()}",
            cell=settled.cell,
            status=settled.status,
            code=code,
            done=progress_state.done,
            total=progress_state.total,
            running=progress_state.running,
            failed=progress_state.failed,
            spent_usd=exact(progress_state.spent),
        )
