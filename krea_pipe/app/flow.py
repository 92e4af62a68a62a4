"""The whole flow, in order: load → expand → plan → run → report. Every command is a prefix of it."""

import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path

from krea_pipe.app.execution import Execution, Fetched, Listen, Prepared
from krea_pipe.app.expansion import cells as cells
from krea_pipe.app.expansion import stage_cells as stage_cells
from krea_pipe.app.expansion import stage_graph as stage_graph
from krea_pipe.app.expansion import texts as texts
from krea_pipe.app.finished_run import FinishedRun as FinishedRun
from krea_pipe.app.planned_run import ALL as ALL
from krea_pipe.app.planned_run import PlannedRun as PlannedRun
from krea_pipe.app.planned_run import RunOptions as RunOptions
from krea_pipe.app.planned_run import fetch_kinds as fetch_kinds
from krea_pipe.app.planned_run import out_folder as out_folder
from krea_pipe.app.planned_run import plan_run as plan_run
from krea_pipe.app.planned_run import planned as planned
from krea_pipe.app.planned_run import record_of
from krea_pipe.app.reading import load_pipeline as load_pipeline
from krea_pipe.app.unchanged import note_state, unchanged_run
from krea_pipe.core.errors import InvalidInput, Problem
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import Key
from krea_pipe.core.settings import Target, Token, image_kind
from krea_pipe.executor.deliver import open_delivery
from krea_pipe.executor.fetch import Copied, fetch_images, with_fetched
from krea_pipe.pipeline.model import Budget, Pipeline
from krea_pipe.pipeline.references import check_bytes
from krea_pipe.pipeline.spec import Loaded as Loaded
from krea_pipe.planning.budget import (
    FROZEN,
    NO_CAP,
    NOT_ALLOWED,
    Limits,
    Permission,
    cap_of,
    check_budget,
    max_new_of,
    shards_of,
    share_of,
)
from krea_pipe.planning.keyed_cells import KeyedCell as KeyedCell
from krea_pipe.planning.lock_check import LockOptions, check_frozen
from krea_pipe.planning.plan import (
    Hold,
    Plan,
    Step,
    Submit,
)
from krea_pipe.planning.plan_file import check_planned, limits_for
from krea_pipe.report.checks.commands import check_commands
from krea_pipe.report.folder import runs_folder
from krea_pipe.store.atomic import make_folder
from krea_pipe.store.home import make_home
from krea_pipe.store.space import Space, open_space


def check_secret(pipeline: Pipeline, token: Token, steps: Iterable[Step] = ()) -> None:
    """Refuse a file that contains the key used to send it; its overrides and the files it reads count as well.

    Raises:
        InvalidInput: it does.
    """
    if not token.can_be_masked:
        return
    document = pipeline.document
    for file in document.files:
        index = file.text.find(token.secret)
        if index >= 0:
            at = replace(file.lines.place(index), text="")
            hint = "remove it, and create a new key: this one has been in a file"
            raise InvalidInput(Problem("secret_in_file", "this file contains your API key", at, hint))
    made: Iterable[Json] = ([step.request.fields(), [cell.id for cell in step.cells]] for step in steps)
    if any(token.is_in(data) for data in chain([document.data], made)):
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
    """Generate every missing image of a pipeline and report.

    Args:
        loaded: the pipeline.
        home: the home folder.
        execution: how the work is carried out, and at which API.
        out: the folder for images.
        options: which cells, and the limits.
        listen: called when there is work; the receiver it returns gets its events.

    Returns:
        The report, its folder, how the work ended, and the lock file.

    Raises:
        KreaPipeError: the run cannot start; nothing was sent.
    """
    execution = execution.drawn_by(loaded.pipeline.engine)
    started_at, space = datetime.now(UTC), open_space(home, execution.target.space)
    run_id = new_run_id(loaded.pipeline.name, started_at)
    make_home(home)
    with space.presence.shown(run_id):
        prepared = prepare_run(loaded, home, execution, out=out, options=options)
        if options.names_last_report and (last := unchanged_run(prepared, home)) is not None:
            return last
        if prepared.locking is not None:
            prepared.locking.check()
        from krea_pipe.app.run_pipeline import finish_run  # noqa: PLC0415 (the report, which others do without)

        finished = finish_run(prepared, runs_folder(home) / run_id, started_at, execution, listen)
        note_state(prepared, finished)
        return finished


def prepare_run(loaded: Loaded, home: Path, execution: Execution, *, out: Path, options: RunOptions) -> Prepared:
    """Plan a run, copy what lies elsewhere, and check everything that could stop it.

    Args:
        loaded: the pipeline.
        home: the home folder.
        execution: how the work will be carried out, and at which API.
        out: the folder for images.
        options: which cells, and the limits.

    Returns:
        The plan, ready to run; the home folder has what it needs.

    Raises:
        KreaPipeError: the run cannot start; nothing was sent.
    """
    target, options = execution.target, replace(options, out=out)
    check_commands(loaded.pipeline, allowed=options.allow_commands)
    space = open_space(home, target.space)
    basis = planned(loaded, space, target, options)
    locking = _locking(basis, target, options)
    if locking is not None and not options.names_last_report:
        locking.check()
    if locking is not None and options.frozen:
        check_frozen(basis.plan, locking.lock)
    fetched = fetch_copies(loaded, space, target, options, basis)
    basis = replace(basis, plan=fetched.plan, whole=fetched.plan if options.shard is None else basis.whole)
    prepared = _prepared(loaded, space, execution, options, basis, fetched, locking)
    if prepared.plan.has_calls:
        space.prepare()
        prepared.delivery.prepare()
        make_folder(runs_folder(home))
    return prepared


def _prepared(
    loaded: Loaded,
    space: Space,
    execution: Execution,
    options: RunOptions,
    basis: PlannedRun,
    fetched: Fetched,
    locking: LockOptions | None,
) -> Prepared:
    """Everything needed to run a plan, once all checks have passed."""
    target, budget = execution.target, loaded.pipeline.budget
    if _is_unpaid(target, options):
        basis = replace(basis, plan=_unpaid(basis.plan), whole=_unpaid(basis.whole))
    plan = basis.plan
    limits = _approved_limits(plan, budget, options).for_price(bills=target.bills)
    check_bytes(plan.images)
    source, is_local = loaded.pipeline.document.file, target.kind == "local"
    out = out_folder(options.out, loaded.pipeline.name, local=is_local)
    delivery = open_delivery(
        space, out, image_kind(target.kind), plan, file=source, changed=options.changed, is_over=loaded.pipeline.is_over
    )
    token = execution.token() if plan.has_calls else None
    if token is not None:
        check_secret(loaded.pipeline, token, plan.steps)
    cap, most = _allowed(basis, target, budget, limits)
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
        permission=_permission(target, options, cap),
        fetched=fetched,
        remote=options.remote,
        run_name=options.run_name,
        pipeline_cells=len(basis.found),
        produced=basis.produced(source) if options.prunes else None,
        record=record_of(basis, options, cap_of(budget, limits.of_all(shards_of(plan)))),
        environment=execution.environment,
    )


def fetch_copies(loaded: Loaded, space: Space, target: Target, options: RunOptions, basis: PlannedRun) -> Fetched:
    """Copy what lies elsewhere; where that is not what was promised, the plan is made once more.

    Args:
        loaded: the pipeline.
        space: where the images are stored.
        target: the API.
        options: which cells, and where images may lie.
        basis: the plan.

    Returns:
        The plan with what was copied.

    Raises:
        StateError: the store cannot be read or written.
    """
    copied, reasons = dict[Key, Copied](), dict[Key, str]()
    problems = list(basis.problems)
    while True:
        found = fetch_images(space, basis.plan, options.remote)
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
    return target.kind != "local" and options.frozen and not options.allow_render


def _unpaid(plan: Plan) -> Plan:
    """A plan that sends nothing."""
    held = {step.key: step._replace(action=Hold(NOT_ALLOWED)) for step in plan.steps if isinstance(step.action, Submit)}
    return replace(plan, steps=tuple(held.get(step.key, step) for step in plan.steps), uploads=())


def _permission(target: Target, options: RunOptions, cap: Decimal | None) -> Permission:
    """The requests that a run may pay for if Krea no longer has an image."""
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
    """The amount in US dollars that a run may spend, and the images it may generate, within the limits for all shards.

    Raises:
        KreaPipeError: there is no cap, or it costs more.
    """
    if target.kind == "local":
        return None, limits.max_new
    share = share_of(budget, basis.plan, basis.whole, limits)
    check_budget(basis.plan, basis.whole, budget, limits)
    return cap_of(share, limits), max_new_of(share, limits)


def _locking(basis: PlannedRun, target: Target, options: RunOptions) -> LockOptions | None:
    """What a run does with the lock file.

    Proofs are not results, so their runs write none.
    """
    if options.lock is None or not (options.frozen or target.kind != "local"):
        return None
    keys = {cell.id: key for cell, key in basis.found}
    return LockOptions(
        options.lock, basis.lock, basis.cells_gone(), not options.frozen, options.frozen, target.space, keys
    )


def new_run_id(name: str, moment: datetime) -> str:
    """A name for a run that sorts by time and contains the name of its pipeline."""
    return f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03}-{name}-{secrets.token_hex(2)}"
