"""The whole flow, in order: load → expand → plan → run → report. Every command is a prefix of it."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from krea_pipe.errors import InvalidInput, KreaPipeError, Problem
from krea_pipe.matrix import MAX_CELLS, Cell, expand
from krea_pipe.nodes import place_at
from krea_pipe.outcome import Ending, Failure, Outcome, Result, iso
from krea_pipe.pipeline import Pipeline
from krea_pipe.plan import Plan, Reuse, Step, make_plan
from krea_pipe.references import Fingerprints, fingerprint_images
from krea_pipe.report.build import RunFacts, build_report
from krea_pipe.report.folder import runs_folder, write_report
from krea_pipe.report.git import git_state
from krea_pipe.report.model import Report
from krea_pipe.request import Key, key_of
from krea_pipe.run.deliver import Delivery, open_delivery
from krea_pipe.run.settle import settled_outcome
from krea_pipe.settings import SHORTEST_SECRET, Target, Token
from krea_pipe.spec import draft_pipeline
from krea_pipe.spending import Limits, cap_of, check_budget, most_of
from krea_pipe.store.atomic import make_folder
from krea_pipe.store.known import look_up, remember_cells, remember_results
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import Space, open_space


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline file and the images that it names."""

    pipeline: Pipeline
    fingerprints: Fingerprints

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is allowed but probably not meant."""
        return (*self.pipeline.warnings, *self.fingerprints.warnings)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says about a run: the most cells, its limits, and whether to send lost answers again."""

    max_cells: int = MAX_CELLS
    limits: Limits = field(default_factory=Limits)
    resubmit: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and where its images come from and go."""

    loaded: Loaded
    plan: Plan
    replay: Replay
    space: Space
    target: Target
    delivery: Delivery
    token: Token | None
    cap: Decimal | None
    most: int | None


Execute: TypeAlias = Callable[[Prepared, str], tuple[dict[Key, Outcome], Ending]]
"""Carries out the work of a plan for a run id. It is handed in, so that a plan without work needs no network code."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that has ended: its report, its folder, and how its work ended."""

    report: Report
    folder: Path
    ending: Ending


def load(file: Path) -> Loaded:
    """Read a pipeline file and every image that it names.

    Raises:
        InvalidInput: with every problem of the file and of its images.
    """
    draft = draft_pipeline(file)
    fingerprints = fingerprint_images(draft.pipeline)
    problems = draft.problems.all(*fingerprints.problems)
    if problems:
        raise InvalidInput(*problems)
    return Loaded(draft.pipeline, fingerprints)


def cells(loaded: Loaded, *, max_cells: int = MAX_CELLS) -> Iterator[tuple[Cell, Key]]:
    """Every cell with the key of its request, streamed.

    Raises:
        InvalidInput: with every problem.
    """
    for cell in expand(loaded.pipeline, loaded.fingerprints, max_cells=max_cells):
        yield cell, key_of(cell.request)


def plan(loaded: Loaded, space: Space, target: Target, *, max_cells: int = MAX_CELLS, resubmit: bool = False) -> Plan:
    """Decide what a run would do, from the files and the store alone.

    Raises:
        InvalidInput: with every problem of the file. StateError: the store can not be read.
    """
    return _planned(loaded, space, target, max_cells=max_cells, resubmit=resubmit)[0]


def _planned(loaded: Loaded, space: Space, target: Target, *, max_cells: int, resubmit: bool) -> tuple[Plan, Replay]:
    """A plan, and the journal as it was read for it."""
    name = loaded.pipeline.name
    found = list(cells(loaded, max_cells=max_cells))
    known = look_up(space, {f"{name}/{cell.id}": key for cell, key in found})
    origin = target.base if target.lasting else ""
    free = target.kind == "local"
    made = make_plan(found, known, loaded.fingerprints, pipeline=name, origin=origin, free=free, resubmit=resubmit)
    return made, known.journal


def check_secret(pipeline: Pipeline, token: Token) -> None:
    """Refuse a file that holds the very key that would send it.

    Raises:
        InvalidInput: it does.
    """
    index = pipeline.document.text.find(token.secret) if len(token.secret) >= SHORTEST_SECRET else -1
    if index >= 0:
        at = replace(place_at(pipeline.document.file, pipeline.document.text, index), text="")
        hint = "remove it, and make a new key: this one has been in a file"
        raise InvalidInput(Problem("secret_in_file", "your API key stands in this file", at, hint))


def run(
    loaded: Loaded,
    home: Path,
    target: Target,
    *,
    out: Path,
    options: RunOptions,
    find_token: Callable[[], Token],
    execute: Execute,
) -> Finished:
    """Make every image of a pipeline that is not there yet, and report.

    Raises:
        KreaPipeError: before anything is sent, when something stands in the way.
    """
    started_at, space = datetime.now(UTC), open_space(home, target.space)
    run_id = new_run_id(loaded.pipeline.name, started_at)
    with space.presence.shown(run_id):
        made, replay = _planned(loaded, space, target, max_cells=options.max_cells, resubmit=options.resubmit)
        delivery = open_delivery(space, out, target.kind, made, file=loaded.pipeline.document.file)
        token = find_token() if made.has_calls else None
        if token is not None:
            check_secret(loaded.pipeline, token)
        cap = cap_of(loaded.pipeline.budget, options.limits) if target.kind == "live" else None
        if target.kind == "live":
            check_budget(made, loaded.pipeline.budget, options.limits)
        if made.has_calls:
            space.prepare()
            delivery.prepare()
            make_folder(runs_folder(home))
        most = most_of(loaded.pipeline.budget, options.limits) if target.kind == "live" else options.limits.max_new
        prepared = Prepared(loaded, made, replay, space, target, delivery, token, cap, most)
        return _carry_out(prepared, runs_folder(home) / run_id, started_at, execute)


def _carry_out(prepared: Prepared, folder: Path, started_at: datetime, execute: Execute) -> Finished:
    outcomes = {step.key: settled_outcome(step) for step in prepared.plan.steps}
    rewritten = _deliver_reused(prepared, outcomes)
    ending = Ending()
    if prepared.plan.has_calls:
        done, ending = execute(prepared, folder.name)
        outcomes |= done
    _remember(prepared, outcomes)
    facts = RunFacts(
        run_id=folder.name,
        folder=folder,
        started_at=iso(started_at),
        finished_at=iso(datetime.now(UTC)),
        exit_code=_exit_code(outcomes, ending),
        target=prepared.target,
        out=prepared.delivery.folder,
        cap=prepared.cap,
        git=git_state(prepared.loaded.pipeline.document.file),
        warnings=prepared.loaded.warnings,
    )
    report = build_report(prepared.loaded.pipeline, prepared.plan, outcomes, facts=facts, rewritten=rewritten)
    write_report(report, folder, prepared.space)
    _mark_reported(prepared, report.run_id)
    return Finished(report, folder, ending)


def _mark_reported(prepared: Prepared, run_id: str) -> None:
    """Note what now stands in a report, so that no later one counts it again."""
    journal = prepared.space.journal
    if prepared.plan.has_calls:
        journal.append("reported", run_id)
    for step in prepared.plan.steps:
        if isinstance(step.action, Reuse) and not step.action.counted:
            journal.append("counted", step.key)


def _deliver_reused(prepared: Prepared, outcomes: dict[Key, Outcome]) -> frozenset[str]:
    """Put stored images where they belong, noting those that can not be; the keys of those that were not there."""
    rewritten = set()
    for step in prepared.plan.steps:
        if isinstance(step.action, Reuse):
            delivered = prepared.delivery.deliver(step, step.action.result)
            if isinstance(delivered, Failure):
                outcomes[step.key] = replace(outcomes[step.key], status="failed", failure=delivered)
            elif delivered:
                rewritten.add(step.key)
    return frozenset(rewritten)


def _remember(prepared: Prepared, outcomes: dict[Key, Outcome]) -> None:
    """Keep results, cells and output files as facts; the journal already has what was paid."""
    space, steps = prepared.space, prepared.plan.steps
    fresh: dict[str, tuple[Result, Step]] = {}
    for step in steps:
        result = outcomes[step.key].result
        if result is not None and not (isinstance(step.action, Reuse) and step.action.kept):
            fresh[step.key] = (result, step)
    remember_results(space, {key: (result, step.request.fields()) for key, (result, step) in fresh.items()})
    name = prepared.plan.pipeline
    drawn = [step for step in steps if outcomes[step.key].result is not None]
    remember_cells(space, {f"{name}/{cell.id}": step.key for step in drawn for cell in step.cells})
    prepared.delivery.remember()


def _exit_code(outcomes: dict[Key, Outcome], ending: Ending) -> int:
    if ending.error is not None:
        return ending.error.exit_code if isinstance(ending.error, KreaPipeError) else 70
    if ending.refusal is not None:
        return 4
    if ending.interrupted:
        return 130
    if ending.limit is not None:
        return 5
    return 0 if all(outcome.status in ("succeeded", "reused") for outcome in outcomes.values()) else 1


def new_run_id(name: str, moment: datetime) -> str:
    """A name for a run that sorts by time and tells its pipeline."""
    return f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03}-{name}-{secrets.token_hex(2)}"
