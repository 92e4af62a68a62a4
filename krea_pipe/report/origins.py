"""Where the prompts and the images of a report's cells come from."""

from collections.abc import Mapping
from typing import cast

from krea_pipe.core.fields import DEFAULTS
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import ByDigest, ByKey, Source, source_text
from krea_pipe.matrix.cell import Cell
from krea_pipe.pipeline.model import Pipeline, Stage
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.template import VariablePath, paths_in
from krea_pipe.planning.plan import Plan
from krea_pipe.report.axes import mark_of
from krea_pipe.report.model import ReferenceView


class Origins:
    """The templates of a plan's prompts, each once, and what they read in each cell."""

    def __init__(self, pipeline: Pipeline, plan: Plan) -> None:
        self.templates: dict[str, int] = {}
        self._paths: dict[str, list[VariablePath]] = {}
        self._cells = {cell.id: cell for step in plan.steps for cell in step.cells}
        self._rows = {stage.name: _rows_of(pipeline, stage.name) for stage in pipeline.stages}
        self._given = {stage.name: _given_in(pipeline, stage) for stage in pipeline.stages}

    def of(self, cell: Cell) -> tuple[int | None, dict[str, Json]]:
        """The place of a cell's template in `templates`, and the values that it reads."""
        if cell.template is None:
            return None, {}
        number = self.templates.setdefault(cell.template, len(self.templates))
        if cell.template not in self._paths:
            self._paths[cell.template] = paths_in(cell.template)
        found = {".".join(path): self._read(path, cell) for path in self._paths[cell.template]}
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
        return self._rows[cell.stage].get((name, mark_of(scalar)), scalar)

    def _of_source(self, rest: list[str], cell: Cell) -> Json:
        source = self._cells.get(cell.source or "")
        if source is None:
            return None
        axes = {name: self._of_axis(name, source) for name in source.names}
        data = {**source.request.fields(), "id": source.id, "axes": cast("Json", axes)}
        return _at(data, rest)


def references_of(plan: Plan, fingerprints: Fingerprints) -> tuple[ReferenceView, ...]:
    """Every image that requests of a plan name by its bytes or its URL, in the order of the cells."""
    used = dict.fromkeys(source for step in plan.steps for source in step.request.images)
    return tuple(_view(source, fingerprints) for source in used if not isinstance(source, ByKey))


def _view(source: Source, fingerprints: Fingerprints) -> ReferenceView:
    image, text = fingerprints.by_source.get(source), source_text(source)
    return ReferenceView(text, image.label if image else text, source.sha256 if isinstance(source, ByDigest) else None)


def _given_in(pipeline: Pipeline, stage: Stage) -> dict[str, Json]:
    """What is the same in all cells of a stage."""
    fixed = {axis.name: axis.values[0].data for axis in stage.fixed}
    return {"stage": stage.name, "pipeline": pipeline.name, **pipeline.variables, **fixed}


def _rows_of(pipeline: Pipeline, stage: str) -> Mapping[tuple[str, str], Json]:
    """The data of axis values that are more than the scalar that stands for them."""
    axes = (axis for one in pipeline.stages if one.name == stage for axis in one.axes)
    values = ((axis.name, value) for axis in axes for value in axis.values)
    return {(name, mark_of(value.scalar)): value.data for name, value in values if isinstance(value.data, dict)}


def _at(data: Json, path: list[str]) -> Json:
    for name in path:
        if not isinstance(data, dict) or name not in data:
            return None
        data = data[name]
    return data
