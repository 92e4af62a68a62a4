"""Follows a pipeline file while it is being edited: after each save its plan, its problems, and proofs on a page.

Nothing here can pay: proofs are drawn by the local Krea in this process, and the environment that is handed on has
neither a key nor a shared store. Three threads share the work: one waits for changes of files, one reads and draws,
and the main thread serves the page.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from krea_pipe.app import flow
from krea_pipe.app.execution import SendOptions, open_execution
from krea_pipe.app.file_events import FileEvents
from krea_pipe.app.plan_files import Forecast, forecast
from krea_pipe.app.proof_drawing import ProofDrawing
from krea_pipe.app.workspace import open_workspace
from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.core.settings import KEY_NAMES
from krea_pipe.pipeline.input_paths import InputPaths, input_paths, input_paths_of_broken
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.report.compare.comparison import CellChange, PipelineState, compare
from krea_pipe.report.view.watched_report import WatchedReport, WatchStatus
from krea_pipe.store.remote.remote import ADDRESS_NAME

_CONCURRENCY = max(2, min(8, (os.cpu_count() or 1) // 2))
"""Few proofs at once, so that the first one is there soon, and a newer save waits for few of them."""
_SETTLE_SECONDS = 0.3
"""A problem that a save within so many seconds has removed is not told: the file was still being written."""
_DRAWING, _UP_TO_DATE = WatchStatus("drawing proofs"), WatchStatus("up to date")


def without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """Take what can be paid with, and what is shared, out of an environment.

    Args:
        environment: the environment of the process.

    Returns:
        The same without keys and without the address of a shared store.
    """
    return {name: value for name, value in environment.items() if name not in (*KEY_NAMES, ADDRESS_NAME)}


@dataclass(frozen=True, slots=True)
class WatchOrder:
    """What is watched: a pipeline file with its overrides; `overrides.environment` has no key."""

    file: Path
    overrides: Overrides
    options: flow.RunOptions

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment, without a key."""
        return self.overrides.environment


@dataclass(frozen=True, slots=True)
class SavedState:
    """A saved state of the file: what a run would do with it, or the problems why there is no plan.

    `changes` are its cells compared with those of the last state without problems, if there was one.
    """

    forecast: Forecast | None = None
    problems: tuple[Problem, ...] = ()
    changes: tuple[CellChange, ...] | None = None


@dataclass(frozen=True, slots=True)
class DrawnProofs:
    """The end of the drawing of one state: how many proofs were drawn, and which cells failed."""

    count: int
    failures: Mapping[str, str] = field(default_factory=dict)


Tell = Callable[[SavedState | DrawnProofs], None]


class PipelineWatch:
    """Reads and draws a pipeline after each save, in threads that `begin` starts and `end` ends."""

    def __init__(self, order: WatchOrder, tell: Tell) -> None:
        self._order, self._tell = order, tell
        self._workspace = open_workspace(order.environment, order.file, local=True)
        self._execution = open_execution(
            self._workspace.target, SendOptions(concurrency=_CONCURRENCY), order.environment
        )
        self._events = FileEvents(self._saved)
        self._paths = InputPaths(frozenset())
        self._last: PipelineState | None = None
        self._changed, self._ready = threading.Event(), threading.Event()
        self._is_ending = False
        self._interrupt: Callable[[], None] = _nothing
        self._threads = ThreadPoolExecutor(2, "watch")
        self._work: list[Future[None]] = []
        self.shown: WatchedReport | None = None
        """What the page shows, once there was a state without problems."""

    def begin(self) -> None:
        """Read the file for the first time, and follow it."""
        self._changed.set()
        self._submit(self._draw_states)
        self._submit(self._events.run)

    def wait(self, seconds: float) -> WatchedReport | None:
        """Wait for the first state without problems.

        Args:
            seconds: how long.

        Returns:
            What the page shows; None before such a state.
        """
        self._ready.wait(seconds)
        return self.shown

    @property
    def has_failed(self) -> bool:
        """Whether a thread has ended with an error, which `end` raises."""
        return any(work.done() and work.exception() is not None for work in self._work)

    def when_failed(self, act: Callable[[], None]) -> None:
        """Have a function called once a thread has ended, as it only does with an error before `end`.

        Args:
            act: the function, which is called in any thread.
        """
        for work in self._work:
            work.add_done_callback(lambda _: act())

    def end(self) -> None:
        """Stop drawing, and wait until what is being drawn is stored."""
        self._is_ending = True
        self._events.end()
        self._saved()
        self._threads.shutdown()
        for work in self._work:
            work.result()

    def _submit(self, work: Callable[[], None]) -> None:
        self._work.append(self._threads.submit(work))

    def _saved(self) -> None:
        """Note a save, and stop drawing what is out of date."""
        self._changed.set()
        self._interrupt()

    def _draw_states(self) -> None:
        while self._changed.wait() and not self._is_ending:
            self._changed.clear()
            state = self._read()
            if state.forecast is None and self._changed.wait(_SETTLE_SECONDS):
                continue
            self._tell(state)
            if state.forecast is not None:
                self._show(state.forecast)
            elif self.shown is not None:
                self.shown.say(_problem_status(state.problems))

    def _read(self) -> SavedState:
        """Read and plan the file, and follow what it reads."""
        before, order = self._events.stamps(), self._order
        try:
            found = forecast(order.file, order.overrides, order.options, order.environment, local=False)
        except KreaPipeError as error:
            places = {one.at.path.resolve() for one in error.problems if one.at is not None}
            self._paths |= input_paths_of_broken(order.file) | InputPaths(frozenset(places))
            state = SavedState(problems=error.problems)
        else:
            self._paths = input_paths(found.loaded.pipeline, found.loaded.fingerprints)
            state = SavedState(found, changes=self._changes(found))
        tables = InputPaths(frozenset(one.resolve() for one in order.overrides.var_files))
        self._events.follow(self._paths | tables, before)
        return state

    def _changes(self, found: Forecast) -> tuple[CellChange, ...] | None:
        """What has changed since the last state without problems."""
        cells, stages = found.basis.found, tuple(one.name for one in found.loaded.pipeline.stages)
        head = PipelineState(cells, stages, found.plan.waiting, found.basis.idle, found.loaded.pipeline.prices)
        before, self._last = self._last, head
        return None if before is None else compare(before, head, found.loaded.fingerprints)

    def _show(self, forecast: Forecast) -> None:
        """Show a state on the page, and draw the proofs that it lacks."""
        try:
            drawing = ProofDrawing.of(forecast.loaded, self._workspace, self._order.options)
            shown = self._put(drawing)
            failures = drawing.draw(self._execution, self._begun, lambda: shown.show(drawing.report))
        except KreaPipeError as error:
            self._tell(SavedState(problems=error.problems))
            if self.shown is not None:
                self.shown.say(_problem_status(error.problems))
            return
        finally:
            self._interrupt = _nothing
        if not self._changed.is_set():
            shown.say(_UP_TO_DATE)
            self._tell(DrawnProofs(drawing.count, failures))

    def _put(self, drawing: ProofDrawing) -> WatchedReport:
        """Have the page show a state."""
        if self.shown is None:
            self.shown = WatchedReport(self._workspace.home, self._workspace.space, drawing.report(), _DRAWING)
            self._ready.set()
        else:
            self.shown.show(drawing.report)
            self.shown.say(_DRAWING)
        return self.shown

    def _begun(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        if self._changed.is_set():
            interrupt()


def _nothing() -> None: ...


def _problem_status(problems: Sequence[Problem]) -> WatchStatus:
    first = problems[0]
    at = f"{first.at}: " if first.at else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    words = f"{at}{first.message}{more} \u00b7 the page shows the last state without problems"
    return WatchStatus(words, is_problem=True)
