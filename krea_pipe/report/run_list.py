"""The runs in a home folder, newest first, from the heads of their reports."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.report.batch_page import BATCHES
from krea_pipe.report.decisions import pipeline_file
from krea_pipe.report.folder import PAGE_NAME, PLANNED, RECORD, read_head, run_folders, space_of
from krea_pipe.report.model import Report
from krea_pipe.report.progress import RunState, open_progress
from krea_pipe.store.plain import is_plain
from krea_pipe.store.presence import RUN_ID, moment_in


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in a home folder: its report without the cells, its state, and the batch that it is of, "" for none.

    `file` is the path of its pipeline file from the working folder; it may be gone.
    """

    home: Path
    folder: Path
    file: Path
    report: Report
    state: RunState
    batch: str = ""

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def page(self) -> Path | None:
        """The page of its report; None without a report."""
        return self.folder / PAGE_NAME if self.state == "ended" else None

    @property
    def is_failed(self) -> bool:
        """Whether it has ended with another exit code than 0, or without a report."""
        return self.state == "cut_off" or (self.state == "ended" and self.report.exit_code != 0)


@dataclass(frozen=True, slots=True)
class RunList:
    """The runs of a home folder, newest first, and the problems of those that cannot be read."""

    runs: tuple[ListedRun, ...]
    problems: tuple[Problem, ...] = ()

    def named(self, name: str) -> list[ListedRun]:
        """The runs of all pipelines with a name."""
        return [run for run in self.runs if run.report.pipeline.name == name]

    def of_file(self, file: Path) -> list[ListedRun]:
        """The runs of a pipeline file."""
        wanted = file.resolve()
        return [run for run in self.runs if run.file.name == file.name and run.file.resolve() == wanted]

    @property
    def names(self) -> list[str]:
        """The names of the pipelines, that of the latest run first."""
        return list(dict.fromkeys(run.report.pipeline.name for run in self.runs))


def list_runs(home: Path) -> RunList:
    """Every run in a home folder that has a report, or was about to have one, in the order in which they began.

    Args:
        home: the home folder.

    Returns:
        The runs, newest first. The counts of those without a report are those of their plans: see `with_progress`.
    """
    batches = _batches(home)
    runs, problems = list[ListedRun](), list[Problem]()
    for folder in reversed(run_folders(home)):
        try:
            run = _listed(home, folder, batches.get(moment_in(folder.name), ""))
        except KreaPipeError as error:
            problems += error.problems
        else:
            runs += [] if run is None else [run]
    return RunList(tuple(runs), tuple(problems))


def _listed(home: Path, folder: Path, batch: str) -> ListedRun | None:
    state: RunState = "ended"
    report = _head(folder, RECORD)
    if report is None and (report := _head(folder, PLANNED)) is not None:
        presence = space_of(report, home).presence
        state = "running" if presence.is_in_progress(folder.name) else "cut_off"
        if (ended := _head(folder, RECORD)) is not None:  # it has ended in the meantime
            report, state = ended, "ended"
    return None if report is None else ListedRun(home, folder, pipeline_file(report, folder), report, state, batch)


def _head(folder: Path, name: str) -> Report | None:
    return read_head(folder / name) if is_plain(folder / name) else None


def with_progress(run: ListedRun) -> ListedRun:
    """A run with what has come of it so far.

    Args:
        run: a run of `list_runs`.

    Returns:
        The same run; one without a report with the counts and the cost that the journal gives.

    Raises:
        StateError: the journal cannot be read.
    """
    if run.state == "ended":
        return run
    progress = open_progress(run.home, run.folder)
    state = progress.state if progress.state == "ended" else run.state
    return replace(run, report=replace(progress.report, rows=()), state=state)


def _batches(home: Path) -> dict[str, str]:
    """The ids of batches by the moment in them."""
    with suppress(OSError):
        names: Iterable[str] = (one.name for one in (home / BATCHES).iterdir())
        return {moment_in(name): name for name in names if RUN_ID.fullmatch(name)}
    return {}
