"""The current cells of a pipeline as a report, with the stored image of each, whichever run generated it.

The cells are those of the file as it is now. It is planned as for a run, so nothing is sent and no key is needed.
"""

import hashlib
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from krea_pipe.app.lock_place import lock_of_run
from krea_pipe.app.pictures import measure, shrink
from krea_pipe.app.planned_run import PlannedRun, RunOptions, out_folder, planned, status_of
from krea_pipe.app.reading import load_pipeline
from krea_pipe.app.run_argument import NamedPipeline
from krea_pipe.app.workspace import target_of
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.outcome import Failure, Outcome, Result
from krea_pipe.core.request import Key
from krea_pipe.core.settings import Target, image_kind, with_engine
from krea_pipe.matrix.cell import Waiting
from krea_pipe.pipeline.input_files import inputs_of
from krea_pipe.pipeline.model import ImageCheck
from krea_pipe.pipeline.spec import Loaded, Overrides
from krea_pipe.planning.lockfile import read_lock
from krea_pipe.planning.out_folder import look_over
from krea_pipe.planning.plan import Attach, Plan, Reuse, Step
from krea_pipe.planning.recipe_files import look_over_recipes
from krea_pipe.report.build import Delivered, RunFacts, build_report, git_state
from krea_pipe.report.checks.checking import CheckOptions, check_images
from krea_pipe.report.checks.commands import CommandRunner, Measured
from krea_pipe.report.decisions import decisions_json, read_decisions
from krea_pipe.report.folder import ASSEMBLED
from krea_pipe.report.html import HtmlOptions
from krea_pipe.report.model import DeliveredFile, Report, Row, seen_from
from krea_pipe.report.progress import RunProgress, open_progress
from krea_pipe.report.recipe_delivery import not_made
from krea_pipe.report.rendered_forms import write_report
from krea_pipe.report.run_list import ListedRun
from krea_pipe.report.thumbnails import keep_reference_thumbnails
from krea_pipe.store.blobs import Stamp, stamp_of
from krea_pipe.store.home import make_home
from krea_pipe.store.plain import check_folders
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import Space, open_space

_NOT_RUN = Measured(None, "not measured yet; run the pipeline with --allow-commands", is_open=True)
_EVER = "1970-01-01T00:00:00.000Z"
"""The time of a report without an image."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """An assembled report, the folder that its paths count from, and the stages whose cells are not known yet.

    `command` generates what is missing.
    """

    report: Report
    folder: Path
    space: Space
    loaded: Loaded
    plan: Plan
    command: str

    @property
    def missing(self) -> list[Row]:
        """The cells without an image."""
        return [row for row in self.report.rows if row.image is None]

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """The stages that wait for picks."""
        return self.plan.waiting

    def write(self) -> Path:
        """Write the report and its page into the home folder, apart from the runs.

        Returns:
            Its folder.

        Raises:
            StateError: it cannot be written.
        """
        check_folders(self.folder.parent, self.folder)
        make_home(self.folder.parent.parent)
        keep_reference_thumbnails(self.report, self.loaded.fingerprints, self.space, shrink)
        decisions = decisions_json(read_decisions(self.report, self.folder, self.loaded.pipeline))
        report = _with_stored_paths(self.report, self)
        write_report(report, self.folder, self.space, shrink, HtmlOptions(decisions=decisions))
        return self.folder


@dataclass(slots=True)
class Reassembly:
    """Assembles a report again when the pipeline file or the journal has changed.

    Used by one thread at a time. Nothing is assembled while a run is in progress, so that the page is not loaded again
    for each image.
    """

    pipeline: NamedPipeline
    overrides: Overrides
    local: bool
    current: Assembled
    _files: list[Path] = field(init=False)
    _stamps: list[Stamp | None] = field(init=False)

    def __post_init__(self) -> None:
        self._files = _read_files(self.current)
        self._stamps = [stamp_of(file) for file in self._files]

    def after(self, progress: RunProgress) -> RunProgress | None:
        """The report as it is now, if other cells or images are in it and no run is generating more of them.

        Args:
            progress: the report that is shown.

        Returns:
            The other report; None if nothing has changed.

        Raises:
            KreaPipeError: the file is invalid, or the store cannot be read.
        """
        stamps = [stamp_of(file) for file in self._files]
        if stamps == self._stamps or self.current.space.presence.alive():
            return None
        self._stamps = stamps
        self.current = assemble(self.pipeline, self.overrides, local=self.local)
        self._files = _read_files(self.current)
        self._stamps = [stamp_of(file) for file in self._files]
        if self.current.report.run_id == progress.report.run_id:
            return None
        return open_progress(self.pipeline.home, self.current.write())


def _read_files(found: Assembled) -> list[Path]:
    """The files on which a report depends, without picks: those made on its page would load it again each time."""
    pipeline = found.loaded.pipeline
    picks = {stage.upstream.file.resolve() for stage in pipeline.stages if stage.upstream and stage.upstream.file}
    inputs = inputs_of(pipeline, found.loaded.fingerprints) - picks
    return [found.space.folder / "journal.jsonl", pipeline.document.file, *sorted(inputs)]


def assemble(pipeline: NamedPipeline, overrides: Overrides, *, local: bool) -> Assembled:
    """Make the report of every current cell of a pipeline.

    Args:
        pipeline: the pipeline file.
        overrides: what the command line says over it.
        local: take the proofs of the local Krea; otherwise they are taken only where there is no other image.

    Returns:
        The report.

    Raises:
        InvalidInput: with every problem of the file. UsageError: it is gone. StateError: the store cannot be read.
    """
    if not pipeline.file.exists():
        hint = "specify the file, or add --run latest for its latest run"
        raise UsageError(Problem("no_such_file", f"the pipeline file {pipeline.file} is missing", hint=hint))
    loaded = load_pipeline(pipeline.file, overrides)
    target = with_engine(target_of(overrides.environment, local=local), loaded.pipeline.engine)
    basis = planned(loaded, open_space(pipeline.home, target.space), target, RunOptions())
    if not local and not _results(basis.plan):
        proofs = target_of(overrides.environment, local=True)
        drawn = planned(loaded, open_space(pipeline.home, proofs.space), proofs, RunOptions())
        if _results(drawn.plan):
            basis, target = drawn, proofs
    return _assembled(pipeline, loaded, basis, target, overrides)


def _assembled(
    pipeline: NamedPipeline, loaded: Loaded, basis: PlannedRun, target: Target, overrides: Overrides
) -> Assembled:
    plan, space = basis.plan, open_space(pipeline.home, target.space)
    results = _results(plan)
    latest = max((result.finished_at for result in results.values()), default=_EVER)
    out = _out(pipeline.runs, target, loaded.pipeline.name)
    folder = pipeline.home / ASSEMBLED / _folder_name(loaded.pipeline.name, pipeline.file)
    facts = RunFacts(
        run_id=f"assembled-{loaded.pipeline.name}",
        folder=folder,
        started_at=latest,
        finished_at=latest,
        exit_code=0,
        target=target,
        out=out,
        cap=None,
        git=git_state(pipeline.file),
        warnings=(*loaded.warnings, *basis.warnings),
        pipeline_cells=len(basis.found),
    )
    files = _delivered(space, _absolute(out), target, plan, pipeline.file)
    outcomes = {step.key: _outcome(step, basis.replay, target) for step in plan.steps}
    report = build_report(
        *(loaded.pipeline, loaded.fingerprints, plan, outcomes), facts=facts, delivered=Delivered(files=files)
    )
    report = replace(report, run_id=f"{report.run_id}-{_identity(report)}", assembled=True)
    report = _checked(report, loaded, space, overrides)
    return Assembled(report, folder, space, loaded, plan, _command(pipeline.file, overrides, target))


def _command(file: Path, overrides: Overrides, target: Target) -> str:
    """The command that generates what is missing."""
    options = {"--profile": overrides.profiles, "--set": overrides.sets, "--vars": overrides.var_files}
    given = [word for name, values in options.items() for value in values for word in (name, str(value))]
    local = ["--local"] if target.kind == "local" else []
    return shlex.join(["krea-pipe", "run", str(file), *given, *local])


class _NoCommands(CommandRunner):
    """Runs no command, because only a run can be allowed to; values that runs have stored are used."""

    def measure(self, check: ImageCheck, data: bytes, prompt: str) -> Measured:  # noqa: ARG002 (the signature)
        return _NOT_RUN


def _checked(report: Report, loaded: Loaded, space: Space, overrides: Overrides) -> Report:
    """The report with the results of the checks that its images are held to now."""
    pipeline, file = loaded.pipeline, loaded.pipeline.document.file
    checks = {stage.name: stage.checks for stage in pipeline.stages if stage.checks}
    if not checks:
        return report
    is_local = report.target.kind == "local"
    path = None if is_local else lock_of_run(file, None, overrides, frozen=False)
    lock = None if path is None else read_lock(path)
    runner = _NoCommands(overrides.environment)
    return check_images(report, CheckOptions(pipeline.name, checks, space, measure, runner, lock)).report


def _results(plan: Plan) -> dict[Key, Result]:
    return {step.key: step.action.result for step in plan.steps if isinstance(step.action, Reuse)}


def _outcome(step: Step, journal: Replay, target: Target) -> Outcome:
    """What the store and the journal know about a request; its price is what its image has cost."""
    match step.action, status_of(step, journal):
        case Reuse(result=result, adopted=adopted), _:
            cost = result.cost_usd * 0 if target.kind == "local" else result.cost_usd
            return Outcome("succeeded", result=result, job_id=result.job_id, cost_usd=cost, adopted=adopted)
        case Attach(job_id=job_id), _:
            return Outcome("pending", job_id=job_id)
        case _, "failed":
            return Outcome("failed", failure=Failure(journal.failed.get(step.key) or "empty", step.reason))
        case _, "uncertain":
            return Outcome("uncertain", failure=Failure("answer_lost", step.reason, "uncertain"), cost_usd=step.price)
    return Outcome("pending")


def _out(runs: Iterable[ListedRun], target: Target, name: str) -> Path:
    """The output folder of the latest run with the same kind of images, or the usual one."""
    for run in runs:
        if run.report.target.kind == target.kind:
            return Path(seen_from(Path.cwd(), (run.folder / run.report.base / run.report.out).resolve()))
    return out_folder(None, name, local=target.kind == "local")


def _absolute(path: Path) -> Path:
    """A path under which no `..` is left, as it is in the names of facts."""
    return Path(os.path.normpath(path.absolute()))


def _folder_name(name: str, file: Path) -> str:
    """A name that no other pipeline of the home folder has."""
    return f"{name}-{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]}"


def _identity(report: Report) -> str:
    """What differs between two assembled reports with other cells or images."""
    rows = "".join(f"{row.id} {row.key} {row.sha256} {row.status}\n" for row in report.rows)
    return hashlib.sha256(rows.encode()).hexdigest()[:8]


def _delivered(
    space: Space, out: Path, target: Target, plan: Plan, file: Path
) -> Mapping[str, tuple[DeliveredFile, ...]]:
    """The files of recipes that are up to date, by the ids of their cells."""
    if not any(cell.files for step in plan.steps for cell in step.cells):
        return {}
    return not_made(look_over_recipes(space, out, image_kind(target.kind), plan, source=file)).of_cells


def _with_stored_paths(report: Report, assembled: Assembled) -> Report:
    """The report with the stored image where the file in the output folder is missing or another one."""
    space, file = assembled.space, Path(report.pipeline.file)
    over = look_over(space, _absolute(Path(report.out)), image_kind(report.target.kind), assembled.plan, file=file)
    settled = {Path(over.out.shown(name)) for name in over.settled}

    def placed(row: Row) -> Row:
        if row.image is None or row.sha256 is None or _absolute(Path(row.image)) in settled:
            return row
        return replace(row, image=seen_from(Path.cwd(), space.blobs.path(row.sha256)))

    return replace(report, rows=tuple(map(placed, report.rows)))
