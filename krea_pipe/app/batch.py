"""A batch: the runs of several pipelines, whose requests are sent as those of one run.

Each pipeline keeps its report, its lock file and its exit code; the cap, the place at Krea and the price of a request
that two of them share are those of all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from krea_pipe.app.execution import Execution, Listen, Prepared, RunWork
from krea_pipe.app.finished_run import FinishedRun
from krea_pipe.app.flow import RunOptions, new_run_id, prepare_run
from krea_pipe.app.run_pipeline import BegunRun, begin_run, end_run
from krea_pipe.core.engine import EngineSpec
from krea_pipe.core.errors import KreaPipeError, Problem, RefusedByKrea, UsageError, whole_file
from krea_pipe.core.exit_codes import worst
from krea_pipe.core.outcome import Ending, Failure, Result
from krea_pipe.core.request import Key
from krea_pipe.executor.deliver import mark_reported
from krea_pipe.pipeline.spec import Loaded
from krea_pipe.planning.budget import Limits, Permission, sum_within
from krea_pipe.planning.joint_plan import joint_plan
from krea_pipe.planning.plan import Step, is_read_again
from krea_pipe.report.batch_page import BATCHES, BatchRow, write_batch_page
from krea_pipe.report.folder import runs_folder
from krea_pipe.report.model import ZERO_USD, CostTotals, PipelineView, Report, totals
from krea_pipe.store.home import make_home
from krea_pipe.store.space import open_space


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A pipeline that is ready to be planned: where its home is, where its images go, and how it is run."""

    file: Path
    loaded: Loaded
    home: Path
    out: Path
    options: RunOptions


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """How one file has ended: with a run, or with the problems that prevented one."""

    file: Path
    code: int
    finished: FinishedRun | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Every file of a batch with its end, the joint report, and the page that links the reports."""

    ends: tuple[BatchEnd, ...]
    report: Report | None
    page: Path | None
    ending: Ending


@dataclass(frozen=True, slots=True)
class _Member:
    """A file of a batch that is ready to run."""

    file: Path
    prepared: Prepared
    begun: BegunRun


def run_batch(
    files: Sequence[Path],
    read: Callable[[Path], BatchFile],
    execution: Execution,
    limits: Limits,
    listen: Listen,
) -> Batch:
    """Generate every missing image of several pipelines, and report each of them.

    Pipelines with one home folder and one engine, or none, are sent together; the others follow, within what is left of
    the limits.

    Args:
        files: the pipeline files.
        read: reads a file, with the options of its run.
        execution: how the work is carried out, and at which API.
        limits: what all of them together may spend and generate.
        listen: called when there is work; the receiver it returns gets its events.

    Returns:
        The end of each file, in their order.

    Raises:
        RefusedByKrea: Krea refuses the account, or there is no key; nothing was sent.
    """
    started_at = datetime.now(UTC)
    batch_id = new_run_id("batch", started_at)
    ends, ready = dict[Path, BatchEnd](), dict[tuple[Path, EngineSpec | None], list[BatchFile]]()
    for file in files:
        with _noting(file, ends):
            found = read(file)
            _check_folder(found, ready)
            ready.setdefault((found.home, found.loaded.pipeline.engine), []).append(found)
    ending = refused = Ending()
    # Krea first: without a key for it, nothing is drawn.
    for (home, engine), members in sorted(ready.items(), key=lambda one: one[0][1] is not None):
        left, own = _left(limits, ends), execution.drawn_by(engine)
        home_ends, how = _run_home(home, members, started_at, batch_id, own, left, listen, ending)
        ends |= home_ends
        if engine is not None and how.refusal is not None and not how.interrupted:
            refused = how  # which says nothing of other engines
        else:
            ending = how
    if ending == Ending():
        ending = refused
    found_ends = tuple(ends[file] for file in files)
    report, page = _reported(found_ends, batch_id, next((home for home, _ in ready), None))
    return Batch(found_ends, report, page, ending)


def _check_folder(found: BatchFile, ready: Mapping[tuple[Path, EngineSpec | None], Sequence[BatchFile]]) -> None:
    """Refuse a pipeline whose images would be in the folder of another one.

    Raises:
        UsageError: there is such a pipeline before it.
    """
    for other in (one for members in ready.values() for one in members):
        if other.out.resolve() == found.out.resolve():
            message = f"{other.file} has the same name, so their images would be in the same folder, {found.out}"
            hint = "give one of them another `name:`, or run it by itself with --out"
            raise UsageError(Problem("same_name", message, whole_file(found.file), hint))


def _run_home(
    home: Path,
    files: Sequence[BatchFile],
    started_at: datetime,
    batch_id: str,
    execution: Execution,
    limits: Limits,
    listen: Listen,
    before: Ending,
) -> tuple[dict[Path, BatchEnd], Ending]:
    """Run the pipelines of one home folder and one engine, unless earlier ones have stopped the batch."""
    make_home(home)
    space, ends, members = open_space(home, execution.target.space), dict[Path, BatchEnd](), list[_Member]()
    with space.presence.shown(batch_id):
        for one in files:
            with _noting(one.file, ends):
                prepared = prepare_run(one.loaded, home, execution, out=one.out, options=one.options)
                folder = runs_folder(home) / new_run_id(one.loaded.pipeline.name, started_at)
                members.append(_Member(one.file, prepared, begin_run(prepared, folder, started_at, batch_id)))
        ending = before
        if members and not _is_over(before):
            ending = _carry_out(members, execution, batch_id, limits, listen)
        for member in members:
            with _noting(member.file, ends):
                finished = end_run(member.begun, _own(member, ending))
                ends[member.file] = BatchEnd(member.file, finished.report.exit_code, finished)
        if members:
            mark_reported(space, joint_plan([member.prepared.plan for member in members]), batch_id)
    return ends, ending


def _carry_out(
    members: Sequence[_Member], execution: Execution, batch_id: str, limits: Limits, listen: Listen
) -> Ending:
    """Carry out the joint plan, and give each member the outcomes of its requests; what is shared is paid once."""
    work = joint_work([member.prepared for member in members], limits)
    if not work.plan.has_calls:
        return Ending()
    with listen(work, batch_id) as listeners:
        done, ending = execution.carry_out(work, batch_id, listeners)
    counted = set[Key]()
    for member in members:
        own = {step.key: done[step.key] for step in member.prepared.plan.steps if step.key in done}
        shared = {key: replace(outcome, cost_usd=ZERO_USD) for key, outcome in own.items() if key in counted}
        member.begun.outcomes.update(own | shared)
        counted |= own.keys()
    return ending


def joint_work(prepared: Sequence[Prepared], limits: Limits) -> RunWork:
    """What several runs ask of Krea together.

    Args:
        prepared: the runs, of one home folder and one API.
        limits: what all of them together may spend and generate.

    Returns:
        Their work as that of one run.
    """
    first, works = prepared[0], [one.work for one in prepared]
    caps = [one.cap for one in prepared if one.plan.has_calls]
    cap = None if None in caps and first.target.kind == "local" else sum((one for one in caps if one), ZERO_USD)
    allowed: dict[str, tuple[str, ...]] = {}
    for work in works:
        allowed |= {name: (*allowed.get(name, ()), *map(str, values)) for name, values in work.allowed.items()}
    return replace(
        works[0],
        replay=next((work.replay for work in works if not work.replay.is_partial), works[0].replay),
        plan=joint_plan([work.plan for work in works]),
        deliver=_delivering(prepared),
        token=next((work.token for work in works if work.token is not None), None),
        cap=cap if limits.max_cost is None or cap is None else min(cap, limits.max_cost),
        most=limits.max_new,
        permission=_permission(prepared),
        file=", ".join(work.file for work in works),
        allowed=allowed,
        accepted=_joined_digests(works),
        locked_jobs={job: key for work in works for job, key in work.locked_jobs.items()},
    )


def _delivering(prepared: Sequence[Prepared]) -> Callable[[Step, Result], bool | Failure]:
    """Puts the image of a request where each pipeline wants it."""
    wanted: dict[Key, list[tuple[Prepared, Step]]] = {}
    for one in prepared:
        for step in one.plan.steps:
            wanted.setdefault(step.key, []).append((one, step))

    def deliver(step: Step, result: Result) -> bool | Failure:
        ends = [one.delivery.deliver(own, result) for one, own in wanted[step.key]]
        failed = next((end for end in ends if isinstance(end, Failure)), None)
        return any(ends) if failed is None else failed

    return deliver


def _joined_digests(works: Sequence[RunWork]) -> Mapping[Key, frozenset[str]]:
    found: dict[Key, frozenset[str]] = {}
    for work in works:
        for key, digests in work.accepted.items():
            found[key] = found.get(key, frozenset()) | digests
    return found


def _permission(prepared: Sequence[Prepared]) -> Permission:
    """What may be paid: nothing that no pipeline may pay for, and nothing beyond a plan that its budget has no room
    for.
    """
    refused, allowed = dict[Key, Failure](), set[Key]()
    for one in prepared:
        spare = _fits(one)
        for step in one.plan.steps:
            failure = one.permission.refusal_of(step.key)
            if failure is None and not spare and is_read_again(step.action):
                failure = _NO_ROOM
            refused |= {} if failure is None else {step.key: failure}
            allowed |= {step.key} if failure is None else set()
    return Permission(refused={key: failure for key, failure in refused.items() if key not in allowed})


_NO_ROOM = Failure(
    "over_budget", "Krea no longer has its image, and the budget of this file has no room for another one", "local"
)


def _fits(prepared: Prepared) -> bool:
    """Whether a budget has room for everything that a plan sends, and for what Krea might no longer have."""
    budget, plan = prepared.loaded.pipeline.budget.usd, prepared.plan
    return budget is None or sum_within(plan, Limits()).usd + plan.in_doubt().usd <= budget


def _own(member: _Member, ending: Ending) -> Ending:
    """How the work ended for one pipeline: one that is complete has reached no limit."""
    outcomes = member.begun.outcomes.values()
    is_complete = all(outcome.status in ("succeeded", "reused", "failed") for outcome in outcomes)
    return Ending(warnings=ending.warnings) if is_complete else ending


def _is_over(ending: Ending) -> bool:
    return bool(ending.error or ending.refusal or ending.interrupted or ending.limit)


def _left(limits: Limits, ends: Mapping[Path, BatchEnd]) -> Limits:
    """The limits that earlier homes of a batch have left."""
    reports = [end.finished.report for end in ends.values() if end.finished is not None]
    spent = sum((one.cost.spent_usd + one.cost.uncertain_usd + one.cost.in_flight_usd for one in reports), ZERO_USD)
    drawn = sum(one.cells.succeeded for one in reports)
    return Limits(
        None if limits.max_cost is None else max(limits.max_cost - spent, ZERO_USD),
        None if limits.max_new is None else max(limits.max_new - drawn, 0),
    )


@contextmanager
def _noting(file: Path, ends: dict[Path, BatchEnd]) -> Iterator[None]:
    """Note an error of one file, so that the others continue; a refused account concerns all of them."""
    try:
        yield
    except RefusedByKrea:
        raise
    except KreaPipeError as error:
        ends[file] = BatchEnd(file, error.exit_code, problems=error.problems)


def _row(end: BatchEnd) -> BatchRow:
    run = end.finished
    report, folder = (None, None) if run is None else (run.report, run.folder)
    return BatchRow(str(end.file), end.code, report, folder, end.problems)


def _reported(ends: Sequence[BatchEnd], batch_id: str, home: Path | None) -> tuple[Report | None, Path | None]:
    """The joint report, and the page with a link to each."""
    runs = [end.finished for end in ends if end.finished is not None]
    if home is None or not runs:
        return None, None
    page = write_batch_page(home / BATCHES / batch_id, [_row(end) for end in ends])
    reports = [run.report for run in runs]
    all_rows = tuple(row for one in reports for row in one.rows)
    cost = CostTotals(
        spent_usd=sum((one.cost.spent_usd for one in reports), ZERO_USD),
        saved_usd=sum((one.cost.saved_usd for one in reports), ZERO_USD),
        uncertain_usd=sum((one.cost.uncertain_usd for one in reports), ZERO_USD),
        in_flight_usd=sum((one.cost.in_flight_usd for one in reports), ZERO_USD),
        cap_usd=None,
    )
    name = f"{len(ends)} pipelines"
    joint = replace(
        reports[0],
        run_id=batch_id,
        finished_at=max(one.finished_at for one in reports),
        exit_code=worst(end.code for end in ends),
        pipeline=PipelineView(name, "", ", ".join(one.pipeline.file for one in reports), ""),
        cells=totals(all_rows),
        cost=cost,
        rows=all_rows,
    )
    return joint, page
