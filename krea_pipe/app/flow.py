"""The whole flow, in order: load → expand → plan → run → report. Every command is a prefix of it."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path

from krea_pipe.app.execution import Execution, Fetched, Listen, Prepared
from krea_pipe.app.run_pipeline import FinishedRun as FinishedRun
from krea_pipe.app.run_pipeline import finish_run
from krea_pipe.core.errors import InvalidInput, Problem, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import Key, canonical_json, key_of, key_of_text
from krea_pipe.core.settings import Target, Token
from krea_pipe.executor.deliver import open_delivery
from krea_pipe.executor.fetch import Copied, fetch_images, with_fetched
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.graph import Graph, build_graph
from krea_pipe.matrix.matrix import MAX_CELLS, Expansion
from krea_pipe.matrix.selecting import drawable, selected
from krea_pipe.matrix.selection import Selection, parse_selection
from krea_pipe.matrix.sharding import Shard, of_shard, shard_numbers
from krea_pipe.pipeline.model import Budget, Pipeline
from krea_pipe.pipeline.references import check_bytes
from krea_pipe.pipeline.spec import Loaded as Loaded
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.pipeline.spec import load_pipeline as read_pipeline
from krea_pipe.planning.budget import (
    FROZEN,
    NO_CAP,
    Limits,
    Permission,
    cap_of,
    check_budget,
    max_new_of,
    share_of,
    without_payment,
)
from krea_pipe.planning.free_sources import FreePlaces, FreeSource, Offers, find_offers
from krea_pipe.planning.lock_check import LockOptions, check_frozen, moved_lock
from krea_pipe.planning.lockfile import Lockfile, read_lock
from krea_pipe.planning.out_folder import Changed
from krea_pipe.planning.plan import (
    Plan,
    PlanOptions,
    Step,
    make_plan,
    status_of,
)
from krea_pipe.planning.plan_file import PlanFile, check_planned, limits_for, planned_cells
from krea_pipe.planning.shard_record import ShardRecord
from krea_pipe.report.compare.comparison import KeyedCell as KeyedCell
from krea_pipe.report.folder import runs_folder
from krea_pipe.store.atomic import make_folder
from krea_pipe.store.checked_images import CheckedImages
from krea_pipe.store.home import OtherHomes, make_home
from krea_pipe.store.home_place import find_home
from krea_pipe.store.known import look_up
from krea_pipe.store.remote.remote import Remote
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import Space, open_space

ALL = parse_selection((), ())


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says about a run: which cells, its limits, and whether to send lost answers again.

    `lock` is the lock file that a live run keeps, and whose images and jobs are looked for when they are missing; with
    `frozen` it makes what stands there and nothing else, and pays only with `allow_render`. With an `approval` it
    carries out just that. `out` is the output folder, None for the usual one, and `homes` are other home folders: there
    images may lie that the store lacks. `changed` is for files in the output folder that are someone's work. Of what is
    selected, a `shard` is all that is generated.
    """

    max_cells: int = MAX_CELLS
    limits: Limits = field(default_factory=Limits)
    resubmit: bool = False
    selection: Selection = ALL
    lock: Path | None = None
    frozen: bool = False
    allow_render: bool = False
    approval: PlanFile | None = None
    changed: Changed = "keep"
    remote: Remote | None = None
    out: Path | None = None
    homes: OtherHomes = field(default_factory=OtherHomes)
    discarded: frozenset[tuple[Key, FreeSource]] = frozenset()
    """Sources that did not give the image that they promised."""
    shard: Shard | None = None


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A plan, the journal as it was read for it, all cells that the pipeline has, and the stages that wait.

    `lock` is the lock file, if it had to be read. `problems` say which other home folders cannot be read, `warnings`
    are about picks and lock files. `whole` is the plan of all shards; without shards it is `plan`.
    """

    plan: Plan
    whole: Plan
    replay: Replay
    found: Sequence[KeyedCell]
    idle: frozenset[str]
    lock: Lockfile | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

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
    return read_pipeline(file, overrides, CheckedImages(find_home(overrides.environment, file)))


def cells(
    loaded: Loaded,
    *,
    max_cells: int = MAX_CELLS,
    selection: Selection | None = None,
    warnings: list[Problem] | None = None,
) -> Iterator[tuple[Cell, Key]]:
    """Every cell with the key of its request, streamed unless some are selected.

    Args:
        loaded: the pipeline.
        max_cells: refuse a matrix with more cells.
        selection: which cells; None is all of them.
        warnings: takes what is allowed but probably not meant.

    Yields:
        Cells in the order of the stages, each with its key.

    Raises:
        InvalidInput: with every problem. NothingSelected: no cell fits the selection.
    """
    for cell, key, _ in texts(loaded, max_cells=max_cells, selection=selection, warnings=warnings):
        yield cell, key


def texts(
    loaded: Loaded,
    *,
    max_cells: int = MAX_CELLS,
    selection: Selection | None = None,
    warnings: list[Problem] | None = None,
) -> Iterator[tuple[Cell, Key, str]]:
    """Every cell with its key and its request as canonical JSON, of which the key is made.

    Args:
        loaded: the pipeline.
        max_cells: refuse a matrix with more cells.
        selection: which cells; None is all of them.
        warnings: takes what is allowed but probably not meant.

    Yields:
        Cells in the order of the stages, each with its key and that text.

    Raises:
        UsageError: the selection asks for a status.
        InvalidInput: with every problem. NothingSelected: no cell fits the selection.
    """
    expansion = Expansion(
        loaded.pipeline, loaded.fingerprints, max_cells, warnings=[] if warnings is None else warnings
    )
    encoded = ((cell, canonical_json(cell.request.fields())) for cell in expansion.cells())
    found = ((cell, key_of_text(text), text) for cell, text in encoded)
    if selection is None or selection.is_all:
        yield from found
        return
    if selection.needs_status:
        hint = "use it with plan, run or report"
        raise UsageError(Problem("bad_selection", "a status is not known without the store", hint=hint))
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
    locked = {} if lock is None else lock.drawn_by(target.space, known.journal.jobs)
    plan_options = PlanOptions(name, origin, free, options.resubmit, loaded.pipeline.prices, locked)
    statuses: dict[Key, str] = {}
    if options.selection.needs_status:
        whole = make_plan(found, known, loaded.fingerprints, plan_options)
        statuses = {step.key: status_of(step, known.journal) for step in whole.steps}
    chosen = selected(found, options.selection, loaded.pipeline, statuses)
    if options.approval is not None:
        chosen = planned_cells(found, options.approval)
    missing = [] if free else [one for one in chosen if one[1] not in known.results]
    offers = find_free(missing, space, target, options, plan_options)
    plan_options = replace(plan_options, offers=offers.by_key)
    plan = whole = make_plan(chosen, known, loaded.fingerprints, plan_options)
    if options.shard is not None:
        chosen = of_shard(chosen, found, options.shard)
        plan = make_plan(chosen, known, loaded.fingerprints, plan_options)
    needs = {stage.name: stage.needs for stage in loaded.pipeline.stages if stage.needs}
    waiting = [one for one in able.waiting if options.selection.is_all]
    plan = replace(plan, needs=needs, waiting=tuple(waiting), shard=options.shard)
    moved = None
    if options.lock is not None and not free:
        moved = moved_lock(lock or Lockfile(options.lock), {key for _, key in found})
    warnings = (*able.warnings, *([moved] if moved else []))
    return PlannedRun(plan, whole, known.journal, found, able.idle, lock, offers.problems, warnings)


def find_free(
    missing: Sequence[KeyedCell], space: Space, target: Target, options: RunOptions, plan_options: PlanOptions
) -> Offers:
    """Look for the images of cells where they can be copied from for nothing.

    Args:
        missing: the cells that lack an image.
        space: what is stored of the API.
        target: the API.
        options: where images may lie, and which of these were tried in vain.
        plan_options: for which pipeline and lines of the lock file.

    Returns:
        What was found.

    Raises:
        StateError: the store cannot be read.
    """
    homes = tuple(home for home in options.homes.homes if (home / target.space).is_dir())
    out = out_folder(options.out, plan_options.pipeline, local=False)
    found = find_offers(missing, plan_options.locked, FreePlaces(space, out, homes, options.discarded))
    return replace(found, problems=(*options.homes.problems, *found.problems)) if missing else found


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
        hint = "remove it, and make a new key: this one has been in a file"
        raise InvalidInput(Problem("secret_in_file", "your API key stands in this file", at, hint))
    made: Iterable[Json] = ([step.request.fields(), [cell.id for cell in step.cells]] for step in steps)
    if any(token.masked_data(data) != data for data in chain([document.data], made)):
        hint = "look at its tables, variables, `--set` and what `env:` names; remove it, and make a new key"
        raise InvalidInput(Problem("secret_in_file", "your API key gets into what this file sends", hint=hint))


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
        KreaPipeError: before anything is sent, when something stands in the way.
    """
    target = execution.target
    started_at, space = datetime.now(UTC), open_space(home, target.space)
    run_id = new_run_id(loaded.pipeline.name, started_at)
    options = replace(options, out=out)
    make_home(home)
    with space.presence.shown(run_id):
        basis = planned(loaded, space, target, options)
        locking = _locking(basis, target, options)
        if locking is not None and options.frozen:
            check_frozen(basis.plan, locking.lock)
        fetched = _fetch(loaded, space, target, options, basis)
        plan = without_payment(fetched.plan) if _is_unpaid(target, options) else fetched.plan
        basis = replace(basis, plan=plan, whole=plan if options.shard is None else basis.whole)
        prepared = _prepared(loaded, space, execution, options, basis, fetched, locking)
        if plan.has_calls:
            space.prepare()
            prepared.delivery.prepare()
            make_folder(runs_folder(home))
        return finish_run(prepared, runs_folder(home) / run_id, started_at, execution, listen)


def _prepared(
    loaded: Loaded,
    space: Space,
    execution: Execution,
    options: RunOptions,
    basis: PlannedRun,
    fetched: Fetched,
    locking: LockOptions | None,
) -> Prepared:
    """What is needed to carry out a plan, once nothing stands in its way."""
    target, plan, pipeline = execution.target, basis.plan, loaded.pipeline
    limits = _approved_limits(plan, pipeline.budget, options)
    check_bytes(plan.images)
    out = out_folder(options.out, pipeline.name, local=target.kind == "local")
    delivery = open_delivery(space, out, target.kind, plan, file=pipeline.document.file, changed=options.changed)
    if (token := execution.token() if plan.has_calls else None) is not None:
        check_secret(pipeline, token, plan.steps)
    cap, most = _allowed(basis, target, pipeline.budget, limits)
    return Prepared(
        loaded=replace(loaded, of_cells=basis.warnings),
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
        permission=_permission(target, options, cap),
        fetched=fetched,
        record=None if options.shard is None else _record_of(basis, options.shard, options.selection),
    )


def _fetch(loaded: Loaded, space: Space, target: Target, options: RunOptions, basis: PlannedRun) -> Fetched:
    """Copy what lies elsewhere on this machine; where that is not what was promised, the plan is made once more."""
    copied, reasons = dict[Key, Copied](), dict[Key, str]()
    problems = list(basis.problems)
    while True:
        found = fetch_images(space, basis.plan)
        copied |= found.copied
        reasons |= {step.key: step.reason for step in basis.plan.steps if step.key in found.copied}
        problems += [one.problem for one in found.discarded]
        if not found.discarded:
            return Fetched(with_fetched(basis.plan, copied, reasons), copied, tuple(problems))
        discarded = {(one.key, one.source) for one in found.discarded}
        options = replace(options, discarded=options.discarded | discarded)
        basis = planned(loaded, space, target, options)


def _is_unpaid(target: Target, options: RunOptions) -> bool:
    """Whether a run must not pay for anything."""
    return target.kind == "live" and options.frozen and not options.allow_render


def _permission(target: Target, options: RunOptions, cap: Decimal | None) -> Permission:
    """What a run may pay for, should it turn out that Krea has an image no longer."""
    if target.kind == "local":
        return Permission()
    approval = options.approval
    approved = None if approval is None else frozenset((*approval.sends, *approval.fetches))
    return Permission(FROZEN if _is_unpaid(target, options) else NO_CAP if cap is None else None, approved)


def _approved_limits(plan: Plan, budget: Budget, options: RunOptions) -> Limits:
    """The limits of a run, once it sends nothing that its plan file does not."""
    if options.approval is None:
        return options.limits
    check_planned(plan, options.approval)
    return limits_for(plan, budget, options.limits)


def _allowed(basis: PlannedRun, target: Target, budget: Budget, limits: Limits) -> tuple[Decimal | None, int | None]:
    """What a run may spend, in US dollars, and how many images it may draw, once all shards together stay within that.

    Raises:
        KreaPipeError: there is no cap, or it costs more.
    """
    if target.kind == "local":
        return None, limits.max_new
    share = share_of(budget, basis.plan, basis.whole, limits)
    check_budget(basis.plan, basis.whole, budget, limits)
    return cap_of(share, limits), max_new_of(share, limits)


def _record_of(basis: PlannedRun, shard: Shard, selection: Selection) -> ShardRecord:
    """What is noted of a shard; a status is not the same in all shards, so that it leaves no cell out for good."""
    by_key = shard_numbers(basis.found, shard.total)
    numbers = {cell.id: by_key[key] for cell, key in basis.found}
    taken = {cell.id for step in basis.whole.steps for cell in step.cells}
    left_out = frozenset() if selection.needs_status else frozenset(numbers.keys() - taken)
    return ShardRecord(shard, {cell.id: key for cell, key in basis.found}, numbers, left_out)


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
    keys = {cell.id: key for cell, key in basis.found}
    return LockOptions(lock, basis.cells_gone(), not options.frozen, options.frozen, target.space, keys)


def new_run_id(name: str, moment: datetime) -> str:
    """A name for a run that sorts by time and tells its pipeline."""
    return f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03}-{name}-{secrets.token_hex(2)}"
