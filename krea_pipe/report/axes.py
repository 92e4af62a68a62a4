"""The axes of each stage as a reader of a report sees them."""

from collections.abc import Collection, Mapping, Sequence

from krea_pipe.pipeline.cell_ids import Scalar, label_of
from krea_pipe.pipeline.model import Pipeline, Stage
from krea_pipe.report.model import AxisView, Row, StageView


def stage_views(pipeline: Pipeline, rows: Collection[Row]) -> tuple[StageView, ...]:
    """Every stage with the axes of its cells, those of a chained stage's sources first.

    Values stand in the order of the file; those that are only known in cells follow in the order of the cells.
    """
    stages = {stage.name: stage for stage in pipeline.stages}
    by_stage: dict[str, list[Row]] = {name: [] for name in stages}
    for row in rows:
        by_stage[row.stage].append(row)
    return tuple(StageView(name, _axes(stages[name], stages, by_stage[name])) for name in stages)


def _axes(stage: Stage, stages: Mapping[str, Stage], rows: Sequence[Row]) -> tuple[AxisView, ...]:
    labels = _labels(stage, stages)
    names = dict.fromkeys([*labels, *(name for row in rows for name in row.axes)])
    found = []
    for name in names:
        known = labels.get(name, {})
        used = {mark_of(row.axes[name]): row.axes[name] for row in rows if name in row.axes}
        values = {mark: pair for mark, pair in known.items() if mark in used or name in _own(stage)}
        values |= {mark: (value, label_of(value)) for mark, value in used.items() if mark not in values}
        if values:
            found.append(AxisView(name, tuple(values.values())))
    return tuple(found)


def _own(stage: Stage) -> set[str]:
    return {axis.name for axis in stage.axes if not any(value.is_dynamic for value in axis.values)}


def _labels(stage: Stage, stages: Mapping[str, Stage]) -> dict[str, dict[str, tuple[Scalar, str]]]:
    """The values that the file names, with their labels, by axis; of sources under the names that cells give them."""
    found: dict[str, dict[str, tuple[Scalar, str]]] = {}
    own = {axis.name for axis in stage.axes}
    if stage.upstream is not None and stage.upstream.stage in stages:
        for name, values in _labels(stages[stage.upstream.stage], stages).items():
            found[f"source.{name}" if name in own else name] = values
    for axis in stage.axes:
        static = [value for value in axis.values if not value.is_dynamic or isinstance(value.data, dict)]
        found[axis.name] = {mark_of(value.scalar): (value.scalar, value.label) for value in static}
    return found


def mark_of(value: Scalar) -> str:
    """1, True and "1" are three values."""
    return repr(value)
