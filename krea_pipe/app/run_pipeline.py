"""A prepared plan is carried out: its outcomes are kept, delivered and reported."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from krea_pipe.app.execution import Execution, Listen, Prepared
from krea_pipe.app.finished_run import FinishedRun
from krea_pipe.app.maintenance.remote_cache import push
from krea_pipe.app.packed_runs import pack_runs
from krea_pipe.app.pictures import measure, shrink, transcode
from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.outcome import Ending, Failure, FailureClass, Outcome, iso
from krea_pipe.core.request import Key
from krea_pipe.core.settings import image_kind
from krea_pipe.executor.deliver import mark_reported, remember, remember_lock, take_over_costs
from krea_pipe.executor.prune import Pruned, prune
from krea_pipe.planning.budget import FROZEN, NOT_ALLOWED
from krea_pipe.planning.lock_check import LockUpdate, update_lock
from krea_pipe.planning.lockfile import read_lock
from krea_pipe.planning.out_folder import in_the_way
from krea_pipe.planning.plan import Attach, Fetch, Hold, Plan, Rejected, Reuse, Step, Submit
from krea_pipe.planning.recipe_files import look_over_recipes
from krea_pipe.planning.shard_record import write_shard_record
from krea_pipe.planning.stale_files import find_stale_files
from krea_pipe.report.build import Delivered, RunFacts, build_report, git_state
from krea_pipe.report.checks.checking import CheckOptions, check_images, has_failed
from krea_pipe.report.checks.commands import CommandRunner
from krea_pipe.report.decisions import decisions_json, read_decisions
from krea_pipe.report.folder import note_run
from krea_pipe.report.html import HtmlOptions
from krea_pipe.report.model import Report, seen_from
from krea_pipe.report.recipe_delivery import RecipeDelivery, deliver_recipes, not_made
from krea_pipe.report.rendered_forms import write_planned, write_report
from krea_pipe.report.thumbnails import keep_reference_thumbnails
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.lock import exclusive, lockfiles_lock
from krea_pipe.store.remote.bucket import RemoteFailed

_MOST_NAMED = 5
_PENDING = Outcome("pending")
"""The outcome of every request that has not been sent: one object, because there may be as many as cells."""


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run whose stored images are delivered; `outcomes` has what is known of each request so far."""

    prepared: Prepared
    folder: Path
    facts: RunFacts
    outcomes: dict[Key, Outcome]
    rewritten: frozenset[str]

    def build(self, facts: RunFacts, recipes: RecipeDelivery | None = None) -> Report:
        """The report of what is known."""
        files = {} if recipes is None else recipes.of_cells
        loaded, delivered = self.prepared.loaded, Delivered(self.rewritten, self.prepared.delivery.beside, files)
        return build_report(
            loaded.pipeline,
            loaded.fingerprints,
            self.prepared.plan,
            self.outcomes,
            facts=facts,
            delivered=delivered,
        )


def finish_run(
    prepared: Prepared, folder: Path, started_at: datetime, execution: Execution, listen: Listen
) -> FinishedRun:
    """Make what is missing, put every image in its place, and report."""
    begun = begin_run(prepared, folder, started_at, folder.name)
    ending = Ending()
    if prepared.plan.has_calls:
        work = prepared.work
        with listen(work, folder.name) as listeners:
            done, ending = execution.carry_out(work, folder.name, listeners)
        begun.outcomes.update(done)
    finished = end_run(begun, ending)
    mark_reported(prepared.space, prepared.plan, folder.name)
    return finished


def begin_run(prepared: Prepared, folder: Path, started_at: datetime, journal_run: str) -> BegunRun:
    """Deliver what is stored, and write down what is about to be done.

    Args:
        prepared: a plan that is ready to run.
        folder: the folder of the run, which need not exist.
        started_at: when the run started (UTC).
        journal_run: the run that the journal names for its requests.

    Returns:
        The run, as far as it is known.
    """
    note_run(folder.parent.parent, folder.name)
    taken = take_over_costs(prepared.space, prepared.plan, journal_run)
    outcomes = {step.key: initial_outcome(step, is_counted=step.key not in taken) for step in prepared.plan.steps}
    rewritten = _deliver_reused(prepared, outcomes)
    begun = BegunRun(prepared, folder, _facts(prepared, folder, started_at), outcomes, rewritten)
    if prepared.plan.has_calls:
        planned = begun.build(begun.facts)
        keep_reference_thumbnails(planned, prepared.loaded.fingerprints, prepared.space, shrink)
        write_planned(planned, folder)
    return begun


def end_run(begun: BegunRun, ending: Ending) -> FinishedRun:
    """Keep and report what came of a run; `mark_reported` has to follow.

    Args:
        begun: the run, with the outcomes of all its requests.
        ending: how the work ended.

    Returns:
        The finished run.
    """
    prepared, folder, outcomes = begun.prepared, begun.folder, begun.outcomes
    loaded, facts = prepared.loaded, replace(begun.facts, warnings=(*begun.facts.warnings, *ending.warnings))
    remember(prepared.space, prepared.plan, outcomes)
    _share(prepared)
    prepared.delivery.remember()
    recipes = _deliver_recipes(prepared, outcomes, ending)
    ending = replace(ending, interrupted=ending.interrupted or recipes.interrupted)
    lock, problem = _keep_lock(prepared, outcomes)
    code = exit_code_of(prepared.plan, outcomes, ending)
    if code is ExitCode.SOME_FAILED and _lacks_only_payment(outcomes):
        code = ExitCode.NOT_AS_LOCKED
    if code in (ExitCode.DONE, ExitCode.WAITING):
        code = _code_of_lock(prepared, lock, problem) or code
    if code in (ExitCode.DONE, ExitCode.WAITING) and not recipes.is_complete:
        code = ExitCode.SOME_FAILED
    pruned = _prune(prepared, ending)
    if code in (ExitCode.DONE, ExitCode.WAITING) and pruned is not None and pruned.failed:
        code = ExitCode.SOME_FAILED
    facts = replace(facts, warnings=(*facts.warnings, *recipes.warnings))
    report = begun.build(replace(facts, exit_code=code), recipes)
    report, code, interrupted = _checked(prepared, report, code)
    report = replace(report, finished_at=iso(datetime.now(UTC)), exit_code=code)
    _note_shard(prepared, folder, lock)
    decisions = decisions_json(read_decisions(report, folder, loaded.pipeline))
    write_report(report, folder, prepared.space, shrink, HtmlOptions(decisions=decisions))
    _share_shard(prepared, folder)
    kept = in_the_way([*prepared.delivery.kept, *recipes.taken])
    problems = (*kept, *recipes.problems, *_unpruned(pruned), *([problem] if problem else []), *interrupted)
    warnings = (*loaded.of_cells, *recipes.warnings)
    return FinishedRun(
        *(report, folder, ending, prepared.plan.waiting, lock, problems, prepared.fetched, warnings, recipes, pruned)
    )


def _prune(prepared: Prepared, ending: Ending) -> Pruned | None:
    """Remove what no cell produces any longer, unless the run was stopped."""
    if prepared.produced is None or ending.interrupted or ending.error or ending.refusal or ending.limit:
        return None
    folder = prepared.delivery.folder
    return prune(folder, find_stale_files(prepared.space, folder, image_kind(prepared.target.kind), prepared.produced))


def _unpruned(pruned: Pruned | None) -> tuple[Problem, ...]:
    """The stale files that could not be removed."""
    if pruned is None or not pruned.failed:
        return ()
    named = "; ".join(f"{path}: {why}" for path, why in pruned.failed[:_MOST_NAMED])
    more = f"; and {len(pruned.failed) - _MOST_NAMED:,} more" if len(pruned.failed) > _MOST_NAMED else ""
    return (Problem("not_pruned", f"stale files could not be removed: {named}{more}"),)


def _deliver_recipes(prepared: Prepared, outcomes: Mapping[Key, Outcome], ending: Ending) -> RecipeDelivery:
    """Make the files of recipes from the images that are stored, unless the run was stopped."""
    if not any(cell.files for step in prepared.plan.steps for cell in step.cells):
        return RecipeDelivery()
    delivery, kind = prepared.delivery, image_kind(prepared.target.kind)
    results = {key: outcome.result for key, outcome in outcomes.items() if outcome.result is not None}
    source = prepared.loaded.pipeline.document.file
    files = look_over_recipes(
        *(prepared.space, delivery.folder, kind, prepared.plan, results),
        source=source,
        changed=delivery.out.changed,
        is_over=delivery.is_over,
    )
    if ending.interrupted or ending.error is not None:
        return not_made(files)
    return deliver_recipes(files, prepared.space, kind, transcode)


def _checked(prepared: Prepared, report: Report, code: ExitCode) -> tuple[Report, ExitCode, tuple[Problem, ...]]:
    """The report with the results of its checks, the exit code that follows, and a problem if they were interrupted.

    A run that was interrupted before has no results.
    """
    pipeline, locking = prepared.loaded.pipeline, prepared.locking
    checks = {stage.name: stage.checks for stage in pipeline.stages if stage.checks}
    if not checks or code in (ExitCode.INTERRUPTED, ExitCode.BUG):
        return report, code, ()
    runner = CommandRunner(prepared.environment)
    lock = None if locking is None else locking.lock
    found = check_images(report, CheckOptions(pipeline.name, checks, prepared.space, measure, runner, lock))
    if found.interrupted:
        hint = "run it again to check the rest; nothing is charged twice"
        return (
            found.report,
            ExitCode.INTERRUPTED,
            (Problem("checks_interrupted", "not all images were checked, because the run was interrupted", hint=hint),),
        )
    is_whole = code in (ExitCode.DONE, ExitCode.WAITING)
    return found.report, ExitCode.CHECK_FAILED if is_whole and has_failed(found.report) else code, ()


def _share(prepared: Prepared) -> None:
    """Copy to the shared store what this home had before: a killed run might not have shared it."""
    remote, copied = prepared.remote, prepared.fetched.copied
    steps = [step for step in prepared.plan.steps if isinstance(step.action, Reuse) and step.key not in copied]
    if remote is None or remote.bucket.is_read_only or not steps:
        return
    try:
        push(remote, prepared.space, replace(prepared.plan, steps=tuple(steps)))
    except RemoteFailed as error:
        hint = "`krea-pipe cache push` copies them later"
        remote.warn(Problem("not_shared", f"the stored images are not in the shared store: {error}", hint=hint))


def _share_shard(prepared: Prepared, folder: Path) -> None:
    """Leave the run of a shard in the shared store, for `merge --remote`."""
    remote, name = prepared.remote, prepared.run_name
    if prepared.record is None or remote is None or remote.bucket.is_read_only or not name:
        return
    try:
        remote.shard_runs.publish(name, folder.name, pack_runs([folder]))
    except RemoteFailed as error:
        hint = "run the shard again before `krea-pipe merge --remote`; nothing is paid twice"
        remote.warn(Problem("not_shared", f"this run is not in the shared store: {error}", hint=hint))


def _note_shard(prepared: Prepared, folder: Path, lock: LockUpdate | None) -> None:
    """Note in the folder of a shard's run what merging needs, with its lines of the lock file that was kept."""
    if prepared.record is None:
        return
    record = replace(prepared.record, images=seen_from(Path.cwd(), prepared.delivery.folder))
    if prepared.locking is not None and prepared.locking.writes and lock is not None:
        lines = tuple(line for line in lock.lock.lines if record.is_own(line.id))
        record = replace(record, lock=lock.lock.file.as_posix(), lines=lines)
    write_shard_record(record, folder)


def _keep_lock(prepared: Prepared, outcomes: Mapping[Key, Outcome]) -> tuple[LockUpdate | None, Problem | None]:
    """Bring the lock file up to date; why that could not be done."""
    locking = prepared.locking
    if locking is None:
        return None, None
    found = update_lock(locking, prepared.plan, outcomes)
    if not locking.writes or not found.changes:
        return found, None
    try:
        with exclusive(lockfiles_lock(prepared.space.folder.parent)):
            current = read_lock(locking.file)
            if current != locking.lock:  # another run has written since
                found = update_lock(replace(locking, read=current), prepared.plan, outcomes)
            remember_lock(prepared.space, found.lock.file)
            write_atomically(found.lock.file, found.lock.to_lines())
    except KreaPipeError as error:
        return None, error.problems[0]
    return found, None


def _lacks_only_payment(outcomes: Mapping[Key, Outcome]) -> bool:
    """Whether all cells without an image are those that a frozen run must not pay for."""
    lacking = [one for one in outcomes.values() if one.status not in ("succeeded", "reused")]
    return all(one.failure is not None and one.failure.code == NOT_ALLOWED for one in lacking)


def _code_of_lock(prepared: Prepared, lock: LockUpdate | None, problem: Problem | None) -> ExitCode:
    if problem is not None:
        return ExitCode.SOME_FAILED
    is_frozen = prepared.locking is not None and prepared.locking.frozen
    return ExitCode.NOT_AS_LOCKED if is_frozen and lock is not None and lock.drifted else ExitCode.DONE


def _facts(prepared: Prepared, folder: Path, started_at: datetime) -> RunFacts:
    """The facts about a run that are known when it starts."""
    return RunFacts(
        run_id=folder.name,
        folder=folder,
        started_at=iso(started_at),
        finished_at=iso(started_at),
        exit_code=ExitCode.DONE,
        target=prepared.target,
        out=prepared.delivery.folder,
        cap=prepared.cap,
        git=git_state(prepared.loaded.pipeline.document.file),
        warnings=(*prepared.loaded.warnings, *prepared.fetched.problems),
        pipeline_cells=prepared.pipeline_cells,
    )


def _deliver_reused(prepared: Prepared, outcomes: dict[Key, Outcome]) -> frozenset[str]:
    """Put stored images where they belong, noting those that cannot be; the keys of those that were missing."""
    rewritten = set()
    for step in prepared.plan.steps:
        if isinstance(step.action, Reuse):
            delivered = prepared.delivery.deliver(step, step.action.result)
            if isinstance(delivered, Failure):
                outcomes[step.key] = replace(outcomes[step.key], status="failed", failure=delivered)
            elif delivered:
                rewritten.add(step.key)
    return frozenset(rewritten)


def exit_code_of(plan: Plan, outcomes: Mapping[Key, Outcome], ending: Ending) -> ExitCode:
    """The exit code of a run that has ended."""
    if ending.error is not None:
        return ending.error.exit_code if isinstance(ending.error, KreaPipeError) else ExitCode.BUG
    if ending.refusal is not None:
        return ExitCode.REFUSED
    if ending.interrupted:
        return ExitCode.INTERRUPTED
    if ending.limit is not None:
        return ExitCode.LIMIT_REACHED
    if not all(outcome.status in ("succeeded", "reused") for outcome in outcomes.values()):
        return ExitCode.SOME_FAILED
    return ExitCode.WAITING if plan.waiting else ExitCode.DONE


def initial_outcome(step: Step, *, is_counted: bool) -> Outcome:
    """The outcome of a step that no run has touched: reused, held, or still to be done.

    Args:
        step: the step.
        is_counted: whether an earlier report contains the price of its image.

    Returns:
        Its outcome for now.
    """
    match step.action:
        case Reuse(result=result, adopted=adopted):
            cost = Decimal(0) if is_counted else step.price
            return Outcome("reused", result=result, job_id=result.job_id, cost_usd=cost, adopted=adopted)
        case Hold(code=code) if code == NOT_ALLOWED:
            message = f"its image has no free source; {FROZEN.message}"
            return Outcome("failed", failure=replace(FROZEN, message=message))
        case Hold(code=code):
            kind: FailureClass = "empty" if code == "empty" else "uncertain"
            failure = Failure(code, f"{step.reason}; `--uncertain resubmit` sends it again", kind)
            if code == "empty":  # the run that met it has counted it
                return Outcome("failed", failure=failure)
            return Outcome("uncertain", failure=failure, cost_usd=step.price)
        case Rejected(code=code):
            return Outcome("failed", failure=Failure(code, step.reason, "rejected"))
        case Attach(job_id=job_id, was_stored=True) if not is_counted:
            return Outcome("pending", job_id=job_id, cost_usd=step.price)
        case Attach(job_id=job_id):
            return Outcome("pending", job_id=job_id)
        case Submit() | Fetch():
            return _PENDING
