"""Plan and outcomes become cells and totals."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from krea_pipe import __version__
from krea_pipe.cell import Cell
from krea_pipe.errors import Problem
from krea_pipe.outcome import Outcome
from krea_pipe.pipeline import Pipeline
from krea_pipe.plan import Plan, Step
from krea_pipe.report.axes import stage_views
from krea_pipe.report.model import (
    CostTotals,
    GitState,
    PipelineView,
    Report,
    Row,
    Scalar,
    TargetView,
)
from krea_pipe.report.narrow import totals
from krea_pipe.request import Key
from krea_pipe.settings import Target


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a report says about the run as a whole."""

    run_id: str
    folder: Path
    started_at: str
    finished_at: str
    exit_code: int
    target: Target
    out: Path
    cap: Decimal | None
    git: GitState | None
    warnings: tuple[Problem, ...]


def build_report(
    pipeline: Pipeline,
    plan: Plan,
    outcomes: Mapping[Key, Outcome],
    *,
    facts: RunFacts,
    rewritten: frozenset[str],
) -> Report:
    """The report of one run; `rewritten` holds the keys of reused images that had to be put into `out` again."""
    here = Path.cwd()
    out = _seen_from(here, facts.out)
    rows = dict(sorted(_rows(plan, outcomes, out=out, rewritten=rewritten))).values()
    return Report(
        run_id=facts.run_id,
        tool_version=__version__,
        started_at=facts.started_at,
        finished_at=facts.finished_at,
        exit_code=facts.exit_code,
        pipeline=PipelineView(
            pipeline.name, pipeline.description, pipeline.document.file.as_posix(), pipeline.document.digest
        ),
        git=facts.git,
        target=TargetView(facts.target.kind, facts.target.base),
        out=facts.out.as_posix(),
        base=_seen_from(facts.folder, here).as_posix(),
        cells=totals(tuple(rows)),
        cost=_cost_totals(plan, outcomes, facts.cap),
        warnings=tuple(str(warning) for warning in facts.warnings),
        stages=stage_views(pipeline, rows),
        rows=tuple(rows),
    )


def _seen_from(folder: Path, path: Path) -> Path:
    """A path relative to a folder, or absolute when it is on another drive of Windows."""
    try:
        return Path(os.path.relpath(path, folder))
    except ValueError:
        return path.absolute()


def _rows(
    plan: Plan,
    outcomes: Mapping[Key, Outcome],
    *,
    out: Path,
    rewritten: frozenset[str],
) -> Iterator[tuple[int, Row]]:
    for step in plan.steps:
        outcome = outcomes[step.key]
        for index, cell in enumerate(step.cells):
            reason = f"{step.reason}; output written again" if step.key in rewritten else step.reason
            if index:
                reason = f"same request as {step.cells[0].id}"
            named = dict(zip(cell.names, cell.axes, strict=True))
            cost = Decimal(0) if index else outcome.cost_usd
            yield cell.position, _row(step, cell, outcome, axes=named, out=out, reason=reason, cost=cost)


def _row(
    step: Step,
    cell: Cell,
    outcome: Outcome,
    *,
    axes: Mapping[str, Scalar],
    out: Path,
    reason: str,
    cost: Decimal,
) -> Row:
    result = outcome.result
    return Row(
        id=cell.id,
        stage=cell.stage,
        axes=axes,
        prompt=step.request.prompt,
        request=step.request.fields(),
        key=step.key,
        status=outcome.status,
        reason=reason,
        image=(out / f"{cell.out}.{result.extension}").as_posix() if result and outcome.status != "failed" else None,
        sha256=result.sha256 if result else None,
        job_id=outcome.job_id,
        cost_usd=cost,
        attempts=outcome.history,
        timings=outcome.timings,
        error=outcome.failure,
        adopted=outcome.adopted,
    )


def _cost_totals(plan: Plan, outcomes: Mapping[Key, Outcome], cap: Decimal | None) -> CostTotals:
    """Money by distinct request: what cells share is paid once, and saved once."""
    none = Decimal(0)
    saved = sum((step.price for step in plan.steps if _is_saved(outcomes[step.key])), none)
    paid = [outcome for outcome in outcomes.values() if outcome.status != "uncertain"]
    uncertain = [outcome for outcome in outcomes.values() if outcome.status == "uncertain"]
    return CostTotals(
        spent_usd=sum((outcome.cost_usd for outcome in paid), none),
        saved_usd=saved,
        uncertain_usd=sum((outcome.cost_usd for outcome in uncertain), none),
        in_flight_usd=sum((step.price for step in plan.steps if _is_in_flight(outcomes[step.key])), none),
        cap_usd=cap,
    )


def _is_saved(outcome: Outcome) -> bool:
    """Whether a result cost this run nothing; one that no report has counted yet is counted here."""
    return outcome.status == "reused" and not outcome.cost_usd


def _is_in_flight(outcome: Outcome) -> bool:
    """Whether Krea has the job and will bill it when it ends well; the run that sees that counts it."""
    return outcome.status == "pending" and outcome.job_id is not None
