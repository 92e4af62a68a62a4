"""Builds a report from a plan and its outcomes: cells, totals, axes, and the origins of prompts and images."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import cast

from krea_pipe._version import __version__
from krea_pipe.core.errors import Problem
from krea_pipe.core.fields import DEFAULTS
from krea_pipe.core.git import GitFailed, ask
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Outcome, Result
from krea_pipe.core.request import ByDigest, ByKey, Key, Source, source_text
from krea_pipe.core.settings import Target
from krea_pipe.matrix.cell import Cell
from krea_pipe.pipeline.cell_ids import Scalar, label_of
from krea_pipe.pipeline.model import Pipeline, Stage
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.template import VariablePath, paths_in
from krea_pipe.planning.plan import Plan, Step, is_read_again
from krea_pipe.report.model import (
    ZERO_USD,
    AxisView,
    CostTotals,
    DeliveredFile,
    GitState,
    PipelineView,
    ReferenceView,
    Report,
    ReportLayout,
    Row,
    StageView,
    TargetView,
    by_stage,
    costs,
    seen_from,
    totals,
)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The parts of a report about the run as a whole."""

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
    pipeline_cells: int | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a run did in the output folder besides its usual deliveries.

    `rewritten` holds the keys of reused images that had to be put there again, `beside` the paths of images that were
    put beside changed files, below the folder, by the ids of their cells; `files` are those that recipes made, by the
    same.
    """

    rewritten: frozenset[str] = frozenset()
    beside: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, tuple[DeliveredFile, ...]] = field(default_factory=dict)


def build_report(
    pipeline: Pipeline,
    fingerprints: Fingerprints,
    plan: Plan,
    outcomes: Mapping[Key, Outcome],
    *,
    facts: RunFacts,
    delivered: Delivered,
) -> Report:
    """The report of one run."""
    here = Path.cwd()
    origins = _PromptOrigins(pipeline, plan)
    out = (Path(seen_from(here, facts.out)) / "-").as_posix().removesuffix("-")
    building = _Building(outcomes, out, delivered, origins)
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
        stages=_stage_views(pipeline, rows),
        rows=tuple(rows),
        templates=tuple(origins.templates),
        references=_references(plan, fingerprints),
        pipeline_cells=facts.pipeline_cells,
        shard=None if plan.shard is None else str(plan.shard),
        view=None if (said := pipeline.report) is None else ReportLayout(said.rows, said.columns, said.size, said.sort),
    )


@dataclass(frozen=True, slots=True)
class _Building:
    """The values that the rows of one report share; `out` is what the path of an image begins with.

    That is a text, because a `Path` for each row would take longer, and Python keeps every part of one.
    """

    outcomes: Mapping[Key, Outcome]
    out: str
    delivered: Delivered
    origins: "_PromptOrigins"

    def rows(self, steps: Iterable[Step]) -> Iterator[tuple[int, Row]]:
        """Each row with its place."""
        for step in steps:
            outcome = self.outcomes[step.key]
            for index, cell in enumerate(step.cells):
                reason = f"{step.reason}; output rewritten" if step.key in self.delivered.rewritten else step.reason
                if index:  # its request is paid, and counted, once
                    reason, outcome = f"same request as {step.cells[0].id}", replace(outcome, cost_usd=ZERO_USD)
                yield cell.position, self._row(step, cell, outcome, reason)

    def _row(self, step: Step, cell: Cell, outcome: Outcome, reason: str) -> Row:
        result = outcome.result
        has_image, shown = result is not None and outcome.status != "failed", result or outcome.unfit
        template, values = self.origins.of(cell)
        axes = dict(zip(cell.names, cell.axes, strict=True))
        return Row(
            id=cell.id,
            stage=cell.stage,
            axes=axes,
            prompt=step.request.prompt,
            request=step.request.fields(),
            key=step.key,
            status=outcome.status,
            reason=reason,
            image=f"{self.out}{self._file(cell, result)}" if result and has_image else None,
            sha256=shown.sha256 if shown else None,
            job_id=outcome.job_id,
            cost_usd=outcome.cost_usd,
            attempts=outcome.history,
            timings=outcome.timings,
            error=outcome.failure,
            adopted=outcome.adopted,
            width=shown.width if shown else None,
            height=shown.height if shown else None,
            likeness=shown.likeness if shown else "",
            template=template,
            values=axes if values == axes else values,  # one dictionary: there are as many as cells
            source=cell.source,
            delivered=self.delivered.files.get(cell.id, ()),
        )

    def _file(self, cell: Cell, result: Result) -> str:
        return self.delivered.beside.get(cell.id) or f"{cell.out}.{result.extension}"


def _cost_totals(plan: Plan, outcomes: Mapping[Key, Outcome], cap: Decimal | None) -> CostTotals:
    """Money by distinct request: what cells share is paid once, and saved once."""
    saved, in_flight = ZERO_USD, ZERO_USD
    for step in plan.steps:
        outcome = outcomes[step.key]
        if outcome.status == "reused" and not outcome.cost_usd:  # one that no report has counted yet is counted here
            saved += step.price
        is_awaited = outcome.status == "pending" and outcome.job_id is not None
        if is_awaited and not is_read_again(step.action):  # the run that sees its end counts it
            in_flight += step.price
    return costs(outcomes.values(), cap=cap, saved=saved, in_flight=in_flight)


def _stage_views(pipeline: Pipeline, rows: Collection[Row]) -> tuple[StageView, ...]:
    """Every stage with the axes of its cells; in a chained stage, those of its sources come first.

    Values are in the order of the file; those that are only known in cells follow in the order of the cells. They are
    told apart by `repr`: 1, True and "1" are three values.
    """
    stages = {stage.name: stage for stage in pipeline.stages}
    found = by_stage(stages, rows)
    return tuple(StageView(name, _axes(stages[name], stages, found[name])) for name in stages)


def _axes(stage: Stage, stages: Mapping[str, Stage], rows: Sequence[Row]) -> tuple[AxisView, ...]:
    labels = _labels(stage, stages)
    own = {axis.name for axis in stage.axes if not any(value.is_dynamic for value in axis.values)}
    names = dict.fromkeys([*labels, *(name for row in rows for name in row.axes)])
    found = []
    for name in names:
        known = labels.get(name, {})
        used = {repr(row.axes[name]): row.axes[name] for row in rows if name in row.axes}
        values = {mark: pair for mark, pair in known.items() if mark in used or name in own}
        values |= {mark: (value, label_of(value)) for mark, value in used.items() if mark not in values}
        if values:
            found.append(AxisView(name, tuple(values.values())))
    return tuple(found)


def _labels(stage: Stage, stages: Mapping[str, Stage]) -> dict[str, dict[str, tuple[Scalar, str]]]:
    """The values that the file names, with their labels, by axis; of sources under the names that cells give them."""
    found: dict[str, dict[str, tuple[Scalar, str]]] = {}
    own = {axis.name for axis in stage.axes}
    if stage.upstream is not None and stage.upstream.stage in stages:
        for name, values in _labels(stages[stage.upstream.stage], stages).items():
            found[f"source.{name}" if name in own else name] = values
    for axis in stage.axes:
        static = [value for value in axis.values if not value.is_dynamic or isinstance(value.data, dict)]
        found[axis.name] = {repr(value.scalar): (value.scalar, value.label) for value in static}
    return found


class _PromptOrigins:
    """The templates of a plan's prompts, each once, and what they read in each cell."""

    def __init__(self, pipeline: Pipeline, plan: Plan) -> None:
        self.templates: dict[str, int] = {}
        self._files = pipeline.document.templates
        self._paths: dict[str, dict[str, VariablePath]] = {}
        self._cells = {cell.id: cell for step in plan.steps for cell in step.cells}
        self._rows = {stage.name: _rows_of(pipeline, stage.name) for stage in pipeline.stages}
        self._given = {stage.name: _given_in(pipeline, stage) for stage in pipeline.stages}

    def of(self, cell: Cell) -> tuple[int | None, dict[str, Json]]:
        """The place of a cell's template in `templates`, and the values that it reads."""
        if cell.template is None:
            return None, {}
        number = self.templates.setdefault(cell.template, len(self.templates))
        if cell.template not in self._paths:
            paths = paths_in(cell.template, self._files)
            self._paths[cell.template] = {".".join(path): path for path in paths}
        found = {name: self._read(path, cell) for name, path in self._paths[cell.template].items()}
        return number, {name: value for name, value in found.items() if value is not None}

    def _read(self, path: VariablePath, cell: Cell) -> Json:
        name, *rest = path
        if name == "source":
            return self._of_source(rest, cell)
        if name in cell.names:
            return _at(self._of_axis(name, cell), rest)
        if name in DEFAULTS:
            return cast("Json", getattr(cell.request, name))
        return _at(self._given[cell.stage].get(name), rest)

    def _of_axis(self, name: str, cell: Cell) -> Json:
        scalar = cell.axes[cell.names.index(name)]
        return self._rows[cell.stage].get((name, repr(scalar)), scalar)

    def _of_source(self, rest: list[str], cell: Cell) -> Json:
        source = self._cells.get(cell.source or "")
        if source is None:
            return None
        axes = {name: self._of_axis(name, source) for name in source.names}
        data = {**source.request.fields(), "id": source.id, "axes": cast("Json", axes)}
        return _at(data, rest)


def _references(plan: Plan, fingerprints: Fingerprints) -> tuple[ReferenceView, ...]:
    """Every image that requests of a plan name by its bytes or its URL, in the order of the cells."""
    used = dict.fromkeys(source for step in plan.steps for source in step.request.images)
    return tuple(_view(source, fingerprints) for source in used if not isinstance(source, ByKey))


def _view(source: Source, fingerprints: Fingerprints) -> ReferenceView:
    image, text = fingerprints.by_source.get(source), source_text(source)
    return ReferenceView(text, image.label if image else text, source.sha256 if isinstance(source, ByDigest) else None)


def _given_in(pipeline: Pipeline, stage: Stage) -> dict[str, Json]:
    """The values that are equal in all cells of a stage."""
    fixed = {axis.name: axis.values[0].data for axis in stage.fixed}
    return {"stage": stage.name, "pipeline": pipeline.name, **pipeline.variables, **fixed}


def _rows_of(pipeline: Pipeline, stage: str) -> Mapping[tuple[str, str], Json]:
    """The data of axis values that are more than a scalar."""
    axes = (axis for one in pipeline.stages if one.name == stage for axis in one.axes)
    values = ((axis.name, value) for axis in axes for value in axis.values)
    return {(name, repr(value.scalar)): value.data for name, value in values if isinstance(value.data, dict)}


def _at(data: Json, path: list[str]) -> Json:
    for name in path:
        if not isinstance(data, dict) or name not in data:
            return None
        data = data[name]
    return data


GIT_TIMEOUT = 10


def git_state(file: Path) -> GitState | None:
    """The commit that is checked out around a pipeline file, and whether it holds all that is there; None outside git.

    A tracked file that differs makes it dirty, as does a pipeline file that git does not know; so does a status that
    cannot be had, because git takes too long.
    """
    real = file.resolve()
    commit = _git(real.parent, "rev-parse", "HEAD")
    if commit is None:
        return None
    known = _git(real.parent, "--literal-pathspecs", "ls-files", "--error-unmatch", "--", real.name)
    clean = known and _git(real.parent, "status", "--porcelain", "--untracked-files=no") == ""
    return GitState(commit, dirty=not clean)


def _git(folder: Path, *words: str) -> str | None:
    try:
        return ask(folder, os.environ, *words, seconds=GIT_TIMEOUT).decode().strip()
    except (GitFailed, UnicodeDecodeError):
        return None
