"""Plan and outcomes become cells and totals."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from krea_pipe._version import __version__
from krea_pipe.core.errors import Problem
from krea_pipe.core.outcome import Outcome
from krea_pipe.core.request import Key
from krea_pipe.core.settings import Target
from krea_pipe.matrix.cell import Cell
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.planning.plan import Plan, Step
from krea_pipe.report.axes import stage_views
from krea_pipe.report.model import CostTotals, GitState, PipelineView, Report, Row, TargetView
from krea_pipe.report.narrow import totals
from krea_pipe.report.origins import Origins, references_of
from krea_pipe.report.places import seen_from


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
    fingerprints: Fingerprints,
    plan: Plan,
    outcomes: Mapping[Key, Outcome],
    *,
    facts: RunFacts,
    rewritten: frozenset[str],
) -> Report:
    """The report of one run; `rewritten` holds the keys of reused images that had to be put into `out` again."""
    here = Path.cwd()
    origins = Origins(pipeline, plan)
    building = _Building(outcomes, Path(seen_from(here, facts.out)), rewritten, origins)
    rows = dict(sorted(building.rows(plan.steps))).values()
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
        base=seen_from(facts.folder, here),
        cells=totals(tuple(rows)),
        cost=_cost_totals(plan, outcomes, facts.cap),
        warnings=tuple(str(warning) for warning in facts.warnings),
        stages=stage_views(pipeline, rows),
        rows=tuple(rows),
        templates=tuple(origins.templates),
        references=references_of(plan, fingerprints),
    )


@dataclass(frozen=True, slots=True)
class _Building:
    """What the rows of one report have in common."""

    outcomes: Mapping[Key, Outcome]
    out: Path
    rewritten: frozenset[str]
    origins: Origins

    def rows(self, steps: Iterable[Step]) -> Iterator[tuple[int, Row]]:
        """Each row with its place."""
        for step in steps:
            outcome = self.outcomes[step.key]
            for index, cell in enumerate(step.cells):
                reason = f"{step.reason}; output written again" if step.key in self.rewritten else step.reason
                if index:  # its request is paid, and counted, once
                    reason, outcome = f"same request as {step.cells[0].id}", replace(outcome, cost_usd=Decimal(0))
                yield cell.position, self._row(step, cell, outcome, reason)

    def _row(self, step: Step, cell: Cell, outcome: Outcome, reason: str) -> Row:
        result = outcome.result
        has_image = result is not None and outcome.status != "failed"
        template, values = self.origins.of(cell)
        return Row(
            id=cell.id,
            stage=cell.stage,
            axes=dict(zip(cell.names, cell.axes, strict=True)),
            prompt=step.request.prompt,
            request=step.request.fields(),
            key=step.key,
            status=outcome.status,
            reason=reason,
            image=(self.out / f"{cell.out}.{result.extension}").as_posix() if result and has_image else None,
            sha256=result.sha256 if result else None,
            job_id=outcome.job_id,
            cost_usd=outcome.cost_usd,
            attempts=outcome.history,
            timings=outcome.timings,
            error=outcome.failure,
            adopted=outcome.adopted,
            width=result.width if result else None,
            height=result.height if result else None,
            likeness=result.likeness if result else "",
            template=template,
            values=values,
            source=cell.source,
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
