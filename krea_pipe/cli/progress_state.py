"""How far a run has come."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from krea_pipe.core.outcome import Failure, Outcome, Status
from krea_pipe.pipeline.pricing import usd
from krea_pipe.planning.plan import Step


@dataclass(slots=True)
class ProgressState:
    """Counts of requests and US dollars, kept while a run goes on."""

    total: int
    local: bool
    running: int = 0
    done: int = 0
    failed: int = 0
    spent: Decimal = Decimal(0)

    def tail(self) -> str:
        """What has been spent and failed so far, in words."""
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
    """Something that shows a tally each time that it changes."""

    def changed(self, settled: Settled | None, *, failed: bool) -> None:
        """The tally has changed; `settled` says what has ended, if anything has."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """Keeps the tally from what the engine tells, and has it shown."""

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
