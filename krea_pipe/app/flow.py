"""The whole flow, in order: load → expand → plan → run → report. Every command is a prefix of it."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from krea_pipe.app.execution import Execution, Listen, Prepared
from krea_pipe.app.run_pipeline import FinishedRun as FinishedRun
from krea_pipe.app.run_pipeline import finish_run
from krea_pipe.core.errors import InvalidInput, Problem, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import Key, canonical_json, key_of, key_of_text
from krea_pipe.core.settings import Target, Token, home_folder
from krea_pipe.executor.deliver import open_delivery
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.graph import Graph, build_graph
from krea_pipe.matrix.matrix import MAX_CELLS, Expansion
from krea_pipe.matrix.selecting import drawable, selected
from krea_pipe.matrix.selection import Selection, parse_selection
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.pipeline.references import check_bytes
from krea_pipe.pipeline.spec import Loaded as Loaded
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.pipeline.spec import load_pipeline as read_pipeline
from krea_pipe.planning.budget import Limits, cap_of, check_budget, max_new_of
from krea_pipe.planning.lock_check import LockOptions, check_frozen
from krea_pipe.planning.lockfile import Lockfile, read_lock
from krea_pipe.planning.out_folder import Changed
from krea_pipe.planning.plan import Plan, PlanOptions, Step, make_plan, status_of
from krea_pipe.planning.plan_file import PlanFile, check_planned, limits_for, planned_cells
from krea_pipe.report.folder import runs_folder
from krea_pipe.store.atomic import make_folder
from krea_pipe.store.checked_images import CheckedImages
from krea_pipe.store.known import look_up
from krea_pipe.store.remote.remote import Remote
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import Space, open_space

ALL = parse_selection((), ())


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says about a run: which cells, its limits, and whether to send lost answers again.

    `lock` is the lock file that a live run keeps, and whose jobs are asked for what is missing; with `frozen` it draws
    what stands there and nothing else. With an `approval` it carries out just that. `changed` is for files in the
    output folder that are someone's work.
    """

    max_cells: int = MAX_CELLS
    limits: Limits = field(default_factory=Limits)
    resubmit: bool = False
    selection: Selection = ALL
    lock: Path | None = None
    frozen: bool = False
    approval: PlanFile | None = None
    changed: Changed = "keep"
    remote: Remote | None = None


KeyedCell: TypeAlias = tuple[Cell, Key]
"""A cell, and the key of its request."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A plan, the journal as it was read for it, all cells that the pipeline has, and the stages that wait.

    `lock` is the lock file, if it had to be read.
    """

    plan: Plan
    replay: Replay
    found: Sequence[KeyedCell]
    idle: frozenset[str]
    lock: Lockfile | None = None

    def cells_gone(self) -> Callable[[str], bool]:
        """Whether there is no cell of an id any more; those of stages that wait are not known."""
        ids = {cell.id for cell, _ in self.found}
        return lambda one: one not in ids and one.partition("/")[0] not in self.idle


def load_pipeline(file: Path, overrides: Overrides = Overrides()) -> Loaded:  # noqa: B008 (frozen)
    """Read a pipeline file and every image that it names; an image that was found to be whole is not decoded again.

    Args:
        file: the pipeline file.
        overrides: what the command line says over it; its environment names the home folder.

    Returns:
        The pipeline and its images.

    Raises:
        InvalidInput: with every problem of the file and of its images. UsageError: what stands over it is wrong.
    """
    return read_pipeline(file, overrides, CheckedImages(home_folder(overrides.environment, file)))


def cells(
    loaded: Loaded, *, max_cells: int = MAX_CELLS, selection: Selection | None = None
) -> Iterator[tuple[Cell, Key]]:
    """Every cell with the key of its request, streamed unless some are selected.

    Args:
        loaded: the pipeline.
        max_cells: refuse a matrix with more cells.
        selection: which cells; None is all of them.

    Yields:
        Cells in the order of the stages, each with its key.

    Raises:
        InvalidInput: with every problem. NothingSelected: no cell fits the selection.
    """
    for cell, key, _ in texts(loaded, max_cells=max_cells, selection=selection):
        yield cell, key


def texts(
    loaded: Loaded, *, max_cells: int = MAX_CELLS, selection: Selection | None = None
) -> Iterator[tuple[Cell, Key, str]]:
    """Every cell with its key and its request as canonical JSON, of which the key is made.

    Args:
        loaded: the pipeline.
        max_cells: refuse a matrix with more cells.
        selection: which cells; None is all of them.

    Yields:
        Cells in the order of the stages, each with its key and that text.

    Raises:
        UsageError: the selection asks for a status.
        InvalidInput: with every problem. NothingSelected: no cell fits the selection.
    """
    expansion = Expansion(loaded.pipeline, loaded.fingerprints, max_cells)
    encoded = ((cell, canonical_json(cell.request.fields())) for cell in expansion.cells())
    found = ((cell, key_of_text(text), text) for cell, text in encoded)
    if selection is None or selection.is_all:
        yield from found
        return
    if selection.needs_status:
        hint = "use it with plan, run or report"
        raise UsageError(Problem("bad_selection", "cells cannot be selected by status here", hint=hint))
    whole = list(found)
    chosen = selected([(cell, key) for cell, key, _ in whole], selection, loaded.pipeline, {})
    taken = {cell.id for cell, _ in chosen}
    yield from (one for one in whole if one[0].id in taken)


def stage_cells(loaded: Loaded, stage: str) -> list[KeyedCell]:
    """Every cell of one stage with its key.

    Raises:
        InvalidInput: some cannot be made.
    """
    expansion = Expansion(loaded.pipeline, loaded.fingerprints)
    return [(cell, key_of(cell.request)) for cell in expansion.of_stage(stage)]


def stage_graph(loaded: Loaded, max_cells: int) -> Graph:
    """The stages with their images and prices, drawn or not, and which of them wait for others.

    Args:
        loaded: the pipeline.
        max_cells: refuse a matrix with more cells.

    Returns:
        The stages in the order of the file; prices are in US dollars.

    Raises:
        InvalidInput: with every problem.
    """
    expansion = Expansion(loaded.pipeline, loaded.fingerprints, max_cells)
    cells = ((cell, key_of(cell.request)) for cell in expansion.cells())
    return build_graph(loaded.pipeline, cells, expansion.waiting)


def plan_run(loaded: Loaded, space: Space, target: Target, options: RunOptions) -> Plan:
    """Decide what a run would do, from the files and the store alone.

    Args:
        loaded: the pipeline.
        space: what is stored of the API.
        target: the API.
        options: which cells; what an approval allows, if there is one.

    Returns:
        The distinct requests, each with what is done about it.

    Raises:
        InvalidInput: with every problem of the file. StateError: the store cannot be read.
        NothingSelected: no cell fits the selection.
    """
    return planned(loaded, space, target, options).plan


def planned(loaded: Loaded, space: Space, target: Target, options: RunOptions) -> PlannedRun:
    """The plan with what it was made of; arguments and errors as for `plan`."""
    name = loaded.pipeline.name
    able = drawable(loaded.pipeline, loaded.fingerprints, options.max_cells)
    found = able.found
    known = look_up(space, {f"{name}/{cell.id}": key for cell, key in found})
    origin = target.origin if target.lasting else ""
    free = target.kind == "local"
    is_whole = all(key in known.results for _, key in found)
    lock = None if options.lock is None or free or is_whole else read_lock(options.lock)
    locked = {} if lock is None else lock.drawn_by(target.space)
    plan_options = PlanOptions(name, origin, free, options.resubmit, loaded.pipeline.prices, locked)
    statuses: dict[Key, str] = {}
    if options.selection.needs_status:
        whole = make_plan(found, known, loaded.fingerprints, plan_options)
        statuses = {step.key: status_of(step, known.journal) for step in whole.steps}
    chosen = selected(found, options.selection, loaded.pipeline, statuses)
    if options.approval is not None:
        chosen = planned_cells(found, options.approval)
    plan = make_plan(chosen, known, loaded.fingerprints, plan_options)
    needs = {stage.name: stage.needs for stage in loaded.pipeline.stages if stage.needs}
    waiting = [one for one in able.waiting if options.selection.is_all]
    plan = replace(plan, needs=needs, waiting=tuple(waiting))
    return PlannedRun(plan, known.journal, found, able.idle, lock)


def check_secret(pipeline: Pipeline, token: Token, steps: Iterable[Step] = ()) -> None:
    """Refuse a file that holds the very key that would send it, also in what stands over it and what it reads.

    Raises:
        InvalidInput: it does.
    """
    if not token.can_be_masked:
        return
    document = pipeline.document
    index = document.text.find(token.secret)
    if index >= 0:
        at = replace(document.lines.place(index), text="")
        hint = "remove it, and create a new key: this one has been in a file"
        raise InvalidInput(Problem("secret_in_file", "this file contains your API key", at, hint))
    made: Iterable[Json] = ([step.request.fields(), [cell.id for cell in step.cells]] for step in steps)
    if any(token.masked_data(data) != data for data in chain([document.data], made)):
        hint = (
            "check its tables, variables, `--set` and the variables under `env:`; remove the key, and create a new one"
        )
        raise InvalidInput(Problem("secret_in_file", "the requests of this file contain your API key", hint=hint))


def run_pipeline(
    loaded: Loaded,
    home: Path,
    execution: Execution,
    *,
    out: Path,
    options: RunOptions,
    listen: Listen,
) -> FinishedRun:
    """Make every image of a pipeline that is not there yet, and report.

    Args:
        loaded: the pipeline.
        home: the home folder.
        execution: how the work is carried out, and at which API.
        out: the folder for images.
        options: which cells, and the limits.
        listen: called when there is work; whom it gives is told of it.

    Returns:
        The report, its folder, how the work ended, and the lock file.

    Raises:
        KreaPipeError: the run cannot start; nothing was sent.
    """
    target = execution.target
    started_at, space = datetime.now(UTC), open_space(home, target.space)
    run_id = new_run_id(loaded.pipeline.name, started_at)
    with space.presence.shown(run_id):
        basis = planned(loaded, space, target, options)
        plan, locking = basis.plan, _locking(basis, target, options)
        if locking is not None and options.frozen:
            check_frozen(plan, locking.lock)
        limits = options.limits
        if options.approval is not None:
            check_planned(plan, options.approval)
            limits = limits_for(plan, loaded.pipeline.budget, limits)
        check_bytes(plan.images)
        source = loaded.pipeline.document.file
        delivery = open_delivery(space, out, target.kind, plan, file=source, changed=options.changed)
        token = execution.token() if plan.has_calls else None
        if token is not None:
            check_secret(loaded.pipeline, token, plan.steps)
        cap = cap_of(loaded.pipeline.budget, limits) if target.kind == "live" else None
        if target.kind == "live":
            check_budget(plan, loaded.pipeline.budget, limits)
        if plan.has_calls:
            space.prepare()
            delivery.prepare()
            make_folder(runs_folder(home))
        most = max_new_of(loaded.pipeline.budget, limits) if target.kind == "live" else limits.max_new
        prepared = Prepared(
            loaded=loaded,
            plan=plan,
            replay=basis.replay,
            space=space,
            target=target,
            delivery=delivery,
            token=token,
            cap=cap,
            most=most,
            locking=locking,
            remote=options.remote,
            pipeline_cells=len(basis.found),
        )
        return finish_run(prepared, runs_folder(home) / run_id, started_at, execution, listen)


def out_folder(out: Path | None, name: str, *, local: bool) -> Path:
    """Where images go: proofs have a folder of their own, so that they never mix with real images.

    Args:
        out: the folder that was asked for, which is taken as it is.
        name: the name of the pipeline.
        local: whether proofs are drawn.

    Returns:
        The folder, relative to the working directory unless `out` is absolute.
    """
    return out if out is not None else Path("proofs" if local else "out") / name


def _locking(basis: PlannedRun, target: Target, options: RunOptions) -> LockOptions | None:
    """What becomes of the lock file. Only live runs write one, as proofs stand for nothing."""
    if options.lock is None or not (options.frozen or target.kind == "live"):
        return None
    lock = basis.lock or read_lock(options.lock)
    return LockOptions(lock, basis.cells_gone(), not options.frozen, options.frozen, target.space)


def new_run_id(name: str, moment: datetime) -> str:
    """A name for a run that sorts by time and tells its pipeline."""
    return f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03}-{name}-{secrets.token_hex(2)}"
