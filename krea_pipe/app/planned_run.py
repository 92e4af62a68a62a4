"""Plans a run from the files and the store alone: its cells, and the action for each request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from krea_pipe.core.cycle_search import rare_full_searches
from krea_pipe.core.errors import Problem
from krea_pipe.core.request import Key
from krea_pipe.core.settings import Target
from krea_pipe.matrix.matrix import MAX_CELLS
from krea_pipe.matrix.selecting import Drawable, drawable, selected
from krea_pipe.matrix.selection import Selection, parse_selection
from krea_pipe.matrix.sharding import Shard, of_shard, shard_numbers
from krea_pipe.pipeline.spec import Loaded as Loaded
from krea_pipe.planning.budget import (
    Limits,
)
from krea_pipe.planning.free_sources import FreePlaces, FreeSource, Offers, find_offers
from krea_pipe.planning.keyed_cells import FetchKind, KeyedCell
from krea_pipe.planning.lock_check import moved_lock
from krea_pipe.planning.lockfile import Lockfile, LockLine, read_lock
from krea_pipe.planning.out_folder import Changed
from krea_pipe.planning.plan import (
    Attach,
    Fetch,
    Hold,
    Plan,
    PlanOptions,
    Rejected,
    Reuse,
    Step,
    Submit,
    action_kind,
    is_read_again,
    make_plan,
)
from krea_pipe.planning.plan_file import PlanFile, planned_cells
from krea_pipe.planning.shard_record import ShardRecord
from krea_pipe.planning.stale_files import Produced
from krea_pipe.store.home import OtherHomes
from krea_pipe.store.known import Known, failed_checks, look_up
from krea_pipe.store.remote.remote import Remote
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import Space

ALL = parse_selection((), ())


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run: its cells, its limits, and whether to resubmit lost answers and rejected requests.

    `lock` is the lock file that a live run keeps, and whose images and jobs are searched for when they are missing;
    with `frozen` it generates only what is in it, and pays only with `allow_render`. With an `approval` it carries out
    just that. `out` is the output folder, None for the usual one, and `homes` are other home folders: there images may
    lie that the store lacks. `changed` is for changed files in the output folder. Of what is selected, a `shard` is all
    that is generated.
    """

    max_cells: int = MAX_CELLS
    limits: Limits = field(default_factory=Limits)
    resubmit: bool = False
    retry_rejected: bool = False
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
    allow_commands: bool = False
    """Whether checks may run the commands of the file."""
    prunes: bool = False
    """Whether files that no cell produces any longer are removed from the output folder."""
    run_name: str = ""
    """What shards that belong together are named in the shared store."""
    names_last_report: bool = False
    """Whether a run that has nothing to do, and would report what the last one has, names its report."""
    cells: Sequence[KeyedCell] | None = None
    """What is generated in place of the cells of the pipeline."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A plan, the journal that it is based on, all cells of the pipeline, and the stages that wait.

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
        """Decide which cells no longer exist.

        Returns:
            Whether no cell has an id any longer. The cells of stages that wait are not known, and such a stage
            may have had another name.
        """
        ids, stages = {cell.id for cell, _ in self.found}, {cell.stage for cell, _ in self.found}

        def is_gone(identity: str) -> bool:
            stage = identity.partition("/")[0]
            may_wait = stage in self.idle or (bool(self.idle) and stage not in stages)
            return identity not in ids and not may_wait

        return is_gone

    def produced(self, source: Path) -> Produced:
        """What the pipeline produces in its output folder, selected or not.

        Args:
            source: the pipeline file.
        """
        return Produced(source.absolute().as_posix(), self.found, self.cells_gone(), not self.idle)


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


@rare_full_searches()
def planned(loaded: Loaded, space: Space, target: Target, options: RunOptions) -> PlannedRun:
    """The plan with what it was made of; arguments and errors as for `plan`."""
    name = loaded.pipeline.name
    able = _drawable(loaded, options)
    found = able.found
    known = look_up(space, [key for _, key in found], (f"{name}/{cell.id}" for cell, _ in found))
    origin = target.origin if target.lasting else ""
    is_local = target.kind == "local"
    lock = None if options.lock is None or is_local or not known.missing else read_lock(options.lock)
    locked = {} if lock is None else _drawn_by(lock, target.space, known.journal)
    plan_options = PlanOptions(
        *(name, origin, not target.bills, options.resubmit, options.retry_rejected),
        prices=loaded.pipeline.prices,
        locked=locked,
    )
    statuses: dict[Key, str] = {}
    if options.selection.needs_status:
        whole = make_plan(found, known, loaded.fingerprints, plan_options)
        statuses = {step.key: status_of(step, known.journal) for step in whole.steps}
    failed = failed_of(space, name, found) if options.selection.needs_checks else {}
    chosen = selected(found, options.selection, loaded.pipeline, statuses, failed)
    if options.approval is not None:
        chosen = planned_cells(found, options.approval)
    missing = [] if is_local else [one for one in chosen if one[1] in known.missing]
    offers = _offers(missing, space, target, options, plan_options)
    plan_options = replace(plan_options, offers=offers.by_key)
    plan = whole = make_plan(chosen, known, loaded.fingerprints, plan_options)
    if options.shard is not None:
        chosen = of_shard(chosen, found, options.shard)
        plan = make_plan(chosen, known, loaded.fingerprints, plan_options)
    needs = {stage.name: stage.needs for stage in loaded.pipeline.stages if stage.needs}
    waiting = [one for one in able.waiting if options.selection.is_all]
    plan = replace(plan, needs=needs, waiting=tuple(waiting), shard=options.shard)
    moved = None
    if options.lock is not None and not is_local:
        moved = moved_lock(lock or Lockfile(options.lock), lambda: (key for _, key in found))
    warnings = (*able.warnings, *([moved] if moved else []))
    return PlannedRun(plan, whole, known.journal, found, able.idle, lock, offers.problems, warnings)


def failed_of(space: Space, pipeline: str, found: Sequence[KeyedCell]) -> dict[str, tuple[str, ...]]:
    """The checks that the images of cells do not pass, as the last run found.

    Args:
        space: what is stored of the API.
        pipeline: the name of the pipeline.
        found: its cells with the keys of their requests.

    Returns:
        The names of the checks, by the ids of cells.
    """
    checked = failed_checks(space, {f"{pipeline}/{cell.id}": key for cell, key in found})
    return {cell.removeprefix(f"{pipeline}/"): names for cell, names in checked.items()}


def _drawable(loaded: Loaded, options: RunOptions) -> Drawable:
    """The cells to plan: those of the pipeline, or others in their place."""
    if options.cells is not None:
        return Drawable(options.cells, (), frozenset())
    return drawable(loaded.pipeline, loaded.fingerprints, options.max_cells)


def status_of(step: Step, journal: Replay) -> str:
    """The status of a request before a run, in the words of a report; `new` for one that was never sent.

    Args:
        step: The request, with what would be done with it.
        journal: The state of the journal that the plan was made with.

    Returns:
        `reused`, `pending`, `failed`, `uncertain` or `new`.
    """
    match step.action:
        case Reuse():
            return "reused"
        case Fetch():
            return "pending"
        case Attach(job_id=job_id):
            job = journal.in_flight.get(step.key)
            return "failed" if job is not None and job.job_id == job_id and (job.lack or job.unseen) else "pending"
        case Hold(code=code):
            return "failed" if code == "empty" else "uncertain"
        case Rejected():
            return "failed"
        case Submit():
            failed = journal.failed.get(step.key)
            return "new" if failed in (None, "cancelled") else "failed"


def fetch_kinds(
    loaded: Loaded, found: Sequence[KeyedCell], known: Known, space: Space, target: Target, options: RunOptions
) -> dict[Key, FetchKind]:
    """The images that a run would fetch at no cost.

    Args:
        loaded: the pipeline.
        found: its cells with the keys of their requests.
        known: what the store knows of them.
        space: what is stored of the API.
        target: the API.
        options: the lock file, and where images may lie.

    Returns:
        For each of these requests whether its image is on this machine, or whether only Krea can tell.

    Raises:
        InvalidInput: the lock file cannot be read. StateError: the store cannot be read.
    """
    missing = [one for one in found if one[1] in known.missing]
    if not missing:
        return {}
    locked = {} if options.lock is None else _drawn_by(read_lock(options.lock), target.space, known.journal)
    name, prices = loaded.pipeline.name, loaded.pipeline.prices
    plan_options = PlanOptions(name, target.origin, prices=prices, locked=locked)
    offers = _offers(missing, space, target, options, plan_options)
    plan = make_plan(missing, known, loaded.fingerprints, replace(plan_options, offers=offers.by_key))
    fetched = (step for step in plan.steps if action_kind(step.action) is Fetch)
    return {step.key: "krea" if is_read_again(step.action) else "machine" for step in fetched}


def _drawn_by(lock: Lockfile, space: str, journal: Replay) -> dict[Key, list[LockLine]]:
    """The lines that an API has generated by key, without those of jobs that the journal has for another request."""
    named = lock.drawn_by(space).items()
    own = {key: [line for line in lines if journal.jobs.get(line.job_id, key) == key] for key, lines in named}
    return {key: lines for key, lines in own.items() if lines}


def _offers(
    missing: Sequence[KeyedCell], space: Space, target: Target, options: RunOptions, plan_options: PlanOptions
) -> Offers:
    """The images of cells that can be copied from elsewhere, without those that already failed."""
    if not missing:
        return Offers()
    homes = tuple(home for home in options.homes.homes if (home / target.space).is_dir())
    out = out_folder(options.out, plan_options.pipeline, local=False)
    found = find_offers(missing, plan_options.locked, FreePlaces(space, out, homes, options.remote))
    left = {
        key: [one for one in offers if (key, one.source) not in options.discarded]
        for key, offers in found.by_key.items()
    }
    return Offers(left, (*options.homes.problems, *found.problems))


def record_of(basis: PlannedRun, options: RunOptions, cap: Decimal | None) -> ShardRecord | None:
    """Note what merging needs to know of a shard.

    Args:
        basis: the plan.
        options: which shard, and which cells; a status is not the same in all shards, so it leaves out no cell.
        cap: what all shards together may spend, in US dollars; None for no limit.

    Returns:
        The record; None when the run is not of a shard.
    """
    shard, selection = options.shard, options.selection
    if shard is None:
        return None
    by_key = shard_numbers(basis.found, shard.total)
    numbers = {cell.id: by_key[key] for cell, key in basis.found}
    taken = {cell.id for step in basis.whole.steps for cell in step.cells}
    left_out = frozenset() if selection.needs_results else frozenset(numbers.keys() - taken)
    return ShardRecord(shard, {cell.id: key for cell, key in basis.found}, numbers, left_out, cap=cap)


def out_folder(out: Path | None, name: str, *, local: bool) -> Path:
    """The folder of the images; proofs have a separate one, so that they never mix with real images.

    Args:
        out: the folder that was asked for, which is used unchanged.
        name: the name of the pipeline.
        local: whether proofs are drawn.

    Returns:
        The folder, relative to the working directory unless `out` is absolute.
    """
    return out if out is not None else Path("proofs" if local else "out") / name
