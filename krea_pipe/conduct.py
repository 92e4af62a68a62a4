"""A prepared plan is carried out: its outcomes are kept, delivered and reported."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TypeAlias

from krea_pipe.cell import Waiting
from krea_pipe.exit_codes import exit_code_of
from krea_pipe.keeping import mark_reported, remember
from krea_pipe.loading import Loaded
from krea_pipe.outcome import Ending, Failure, Outcome, iso
from krea_pipe.plan import Plan, Reuse
from krea_pipe.report.build import RunFacts, build_report
from krea_pipe.report.decisions import decisions_json, read_decisions
from krea_pipe.report.folder import Dress, write_planned, write_report
from krea_pipe.report.git import git_state
from krea_pipe.report.model import Report
from krea_pipe.report.thumbnails import Shrink, keep_references
from krea_pipe.request import Key
from krea_pipe.run.deliver import Delivery
from krea_pipe.run.settle import settled_outcome
from krea_pipe.settings import Target, Token
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import Space


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
    waiting: tuple[Waiting, ...] = ()


def carry_out(prepared: Prepared, folder: Path, started_at: datetime, execute: Execute, shrink: Shrink) -> Finished:
    """Make what is missing, put every image in its place, and report."""
    outcomes = {step.key: settled_outcome(step) for step in prepared.plan.steps}
    rewritten = _deliver_reused(prepared, outcomes)
    loaded, facts = prepared.loaded, _facts(prepared, folder, started_at)
    build = partial(build_report, loaded.pipeline, loaded.fingerprints, prepared.plan, rewritten=rewritten)
    ending = Ending()
    if prepared.plan.has_calls:
        planned = build(outcomes, facts=facts)
        keep_references(planned, loaded.fingerprints, prepared.space, shrink)
        write_planned(planned, folder)
        done, ending = execute(prepared, folder.name)
        outcomes |= done
    remember(prepared.space, prepared.plan, outcomes)
    prepared.delivery.remember()
    code = exit_code_of(prepared.plan, outcomes, ending)
    report = build(outcomes, facts=replace(facts, finished_at=iso(datetime.now(UTC)), exit_code=code))
    decisions = decisions_json(read_decisions(report, folder, loaded.pipeline))
    write_report(report, folder, prepared.space, shrink, Dress(decisions))
    mark_reported(prepared.space, prepared.plan, report.run_id)
    return Finished(report, folder, ending, prepared.plan.waiting)


def _facts(prepared: Prepared, folder: Path, started_at: datetime) -> RunFacts:
    """What is known of a run when it begins."""
    return RunFacts(
        run_id=folder.name,
        folder=folder,
        started_at=iso(started_at),
        finished_at=iso(started_at),
        exit_code=0,
        target=prepared.target,
        out=prepared.delivery.folder,
        cap=prepared.cap,
        git=git_state(prepared.loaded.pipeline.document.file),
        warnings=prepared.loaded.warnings,
    )


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
