"""Cells become lines and columns: the last axis over the columns, the one before over the rows, the others as blocks.

The page of a report lays a stage out in the same way: `report/templates/arrange.js`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.pipeline.cell_ids import label_of
from krea_pipe.pipeline.spec.hints import suggestion
from krea_pipe.report.model import AxisScalar, AxisView, Report, Row, StageView, by_stage

TALLEST = 1.25
_MIN_ASPECT = 0.4
_MAX_ASPECT = 4.0
_NO_VALUE = "–"


@dataclass(frozen=True, slots=True)
class AxisChoice:
    """Which axes a reader wants where; None leaves it to the order of the file."""

    rows: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _SheetRow:
    """One row of a block: its label, a cell or nothing for each column, and its height in sides of a picture."""

    label: str
    slots: tuple[Row | None, ...]
    height: float


@dataclass(frozen=True, slots=True)
class Block:
    """A table of cells under the labels of the outer axes."""

    heading: str
    lines: tuple[_SheetRow, ...]


@dataclass(frozen=True, slots=True)
class StageLayout:
    """A stage: blocks with the same columns, whose widths are in sides of a picture; or cells that just follow."""

    name: str
    said: str
    constants: str
    outer: str
    rows: str
    columns: str
    labels: tuple[str, ...]
    widths: tuple[float, ...]
    blocks: tuple[Block, ...]
    flow: tuple[tuple[Row, str], ...] = ()


def check_axes(stages: Iterable[StageView], wanted: AxisChoice) -> None:
    """Refuse axes that no stage has, or that are named twice.

    Raises:
        UsageError: there is one.
    """
    known = {axis.name for stage in stages for axis in stage.axes}
    named = [*(wanted.rows or ()), *(wanted.columns or ())]
    for number, name in enumerate(named):
        if name not in known:
            raise UsageError(Problem("unknown_axis", f"there is no axis `{name}`", hint=suggestion(name, known)))
        if name in named[:number]:
            raise UsageError(Problem("repeated_axis", f"the axis `{name}` is named twice", hint="list it only once"))


def arrange_stage(stage: StageView, rows: Sequence[Row], wanted: AxisChoice) -> StageLayout:
    """A stage with its cells in lines and columns, or one after the other when fewer than two axes differ."""
    table = _Table(stage, rows)
    differing = [axis.name for axis in stage.axes if len(table.values(axis.name, rows)) > 1]
    across, down = _placed(differing, [axis.name for axis in stage.axes], wanted)
    if not across:
        ordered = [row for members in table.groups(differing, rows).values() for row in members]
        labelled = [(row, table.label(differing, table.key(differing, row))) for row in ordered]
        return _flow(stage.name, labelled, table.constants(differing), " · ".join(differing))
    outer = [name for name in differing if name not in (*across, *down)]
    columns = table.keys(across, rows)
    groups = table.groups(outer, rows)
    lines = {key: table.lines(down, across, members, columns) for key, members in groups.items()}
    widths = _column_widths([slots for found in lines.values() for _, slots in found], len(columns))
    return StageLayout(
        name=stage.name,
        said=_counts(rows),
        constants=table.constants([*across, *down, *outer]),
        outer=" · ".join(outer),
        rows=" · ".join(down),
        columns=" · ".join(across),
        labels=tuple(table.label(across, key) for key in columns),
        widths=widths,
        blocks=tuple(_block(table.label(outer, key), found, widths) for key, found in lines.items()),
    )


def list_cells(stage: StageView, rows: Sequence[Row], notes: Mapping[str, str]) -> StageLayout:
    """The cells of a stage one after the other, each with its labels and notes, by its id."""
    table = _Table(stage, rows)
    names = [axis.name for axis in stage.axes]
    told = ((row, [table.label(names, table.key(names, row)), notes.get(row.id, "")]) for row in rows)
    return _flow(stage.name, [(row, "\n".join(filter(None, texts))) for row, texts in told])


def ratio_of(row: Row) -> float:
    """The width and height of a cell's picture: the actual ones, or else the requested ones."""
    if row.width and row.height:
        ratio = row.width / row.height
    else:
        wide, _, high = str(row.request.get("aspect_ratio", "")).partition(":")
        try:
            ratio = float(wide) / float(high)
        except (ValueError, ZeroDivisionError):
            ratio = 1.0
    return min(max(ratio, 1 / _MAX_ASPECT), _MAX_ASPECT) if math.isfinite(ratio) else 1.0


def _placed(differing: list[str], known: list[str], wanted: AxisChoice) -> tuple[list[str], list[str]]:
    """The axes over the columns and over the rows; no columns mean that cells follow each other."""
    across = None if wanted.columns is None else [name for name in wanted.columns if name in known]
    down = None if wanted.rows is None else [name for name in wanted.rows if name in known]
    free = [name for name in differing if name not in (*(across or ()), *(down or ()))]
    if not across:
        across = free[-1:] if len(differing) > 1 or down else []
        free = free[: len(free) - len(across)]
    if not down:
        down = free[-1:] if across else []
    return across, down


_GroupKey = tuple[str, ...]


class _Table:
    """The values of a stage's axes as its cells have them, in the order of the file."""

    def __init__(self, stage: StageView, rows: Sequence[Row]) -> None:
        self.axes = {axis.name: axis for axis in stage.axes}
        self._orders = {axis.name: _order(axis, rows) for axis in stage.axes}

    def values(self, name: str, rows: Iterable[Row]) -> set[str]:
        return {_mark(row, name) for row in rows}

    def key(self, names: Sequence[str], row: Row) -> _GroupKey:
        return tuple(_mark(row, name) for name in names)

    def keys(self, names: Sequence[str], rows: Iterable[Row]) -> list[_GroupKey]:
        found = dict.fromkeys(self.key(names, row) for row in rows)
        orders = [self._orders[name] for name in names]
        return sorted(found, key=lambda key: [list(order).index(mark) for order, mark in zip(orders, key, strict=True)])

    def groups(self, names: Sequence[str], rows: Sequence[Row]) -> dict[_GroupKey, list[Row]]:
        found: dict[_GroupKey, list[Row]] = {key: [] for key in self.keys(names, rows)}
        for row in rows:
            found[self.key(names, row)].append(row)
        return found

    def label(self, names: Sequence[str], key: _GroupKey) -> str:
        return " · ".join(self._orders[name][mark] for name, mark in zip(names, key, strict=True))

    def constants(self, placed: Sequence[str]) -> str:
        left = [name for name in self.axes if name not in placed and len(self._orders[name]) == 1]
        return ", ".join(f"{name} {next(iter(self._orders[name].values()))}" for name in left)

    def lines(
        self, down: Sequence[str], across: Sequence[str], rows: Sequence[Row], columns: Sequence[_GroupKey]
    ) -> list[tuple[str, tuple[Row | None, ...]]]:
        """Every row with its label; where cells share a slot, more lines follow without one."""
        found = []
        for key, members in self.groups(down, rows).items():
            slots = self.groups(across, members)
            deepest = max(map(len, slots.values()))
            for depth in range(deepest):
                line = tuple(slots.get(column, [])[depth : depth + 1] for column in columns)
                label = self.label(down, key) if depth == 0 else ""
                found.append((label, tuple(slot[0] if slot else None for slot in line)))
        return found


def _order(axis: AxisView, rows: Iterable[Row]) -> dict[str, str]:
    """The labels of the values that cells have: those that the file lists, then the others."""
    used: dict[str, AxisScalar] = {_mark(row, axis.name): row.axes.get(axis.name) for row in rows}
    listed = {repr(value): label for value, label in axis.values}
    found = {mark: label for mark, label in listed.items() if mark in used}
    return found | {mark: label_of(used[mark]) if mark else _NO_VALUE for mark in used if mark not in listed}


def _mark(row: Row, name: str) -> str:
    """1, True and "1" are three values, and having none is another."""
    return repr(row.axes[name]) if name in row.axes else ""


def _flow(stage: str, flow: Sequence[tuple[Row, str]], constants: str = "", columns: str = "") -> StageLayout:
    rows = [row for row, _ in flow]
    width = math.sqrt(_mean(map(ratio_of, rows)))
    return StageLayout(stage, _counts(rows), constants, "", "", columns, (), (width,), (), tuple(flow))


def _block(heading: str, lines: Iterable[tuple[str, tuple[Row | None, ...]]], widths: Sequence[float]) -> Block:
    return Block(heading, tuple(_SheetRow(label, slots, _line_height(slots, widths)) for label, slots in lines))


def _column_widths(lines: Sequence[tuple[Row | None, ...]], count: int) -> tuple[float, ...]:
    """A column is as wide as its ratios are on (geometric) average; the root of the mean keeps areas alike."""
    typical = []
    for at in range(count):
        slots = (line[at] for line in lines)
        typical.append(_mean(ratio_of(row) for row in slots if row is not None))
    mean = sum(typical) / len(typical)
    return tuple(width / math.sqrt(mean) for width in typical)


def _line_height(slots: Sequence[Row | None], widths: Sequence[float]) -> float:
    """A line is as high as its highest picture wants to be, but portraits among landscapes do not tower."""
    wanted = [width / ratio_of(row) for row, width in zip(slots, widths, strict=True) if row is not None]
    return min(max(wanted), TALLEST / (sum(widths) / len(widths)))


def _counts(rows: Sequence[Row]) -> str:
    """The number of cells, and the number of those without new pictures."""
    counts = Counter(row.status for row in rows)
    odd = [f"{counts[word]} {word}" for word in ("reused", "failed", "uncertain", "pending") if counts[word]]
    return ", ".join([f"{len(rows)} {'image' if len(rows) == 1 else 'images'}", *odd])


def _mean(ratios: Iterable[float]) -> float:
    logs = [math.log(ratio) for ratio in dict.fromkeys(ratios)]
    return max(_MIN_ASPECT, math.exp(sum(logs) / len(logs)))


def stages_of(report: Report, stages: Sequence[str]) -> list[tuple[StageView, list[Row]]]:
    """The stages that have cells, in the order of the file, or just those named.

    Raises:
        UsageError: a name is unknown, or its stage has no cells.
    """
    known = [stage.name for stage in report.stages]
    for name in stages:
        if name not in known:
            raise UsageError(Problem("unknown_stage", f"there is no stage `{name}`", hint=suggestion(name, known)))
    rows = by_stage(known, report.rows)
    return [(one, rows[one.name]) for one in report.stages if rows[one.name] and (not stages or one.name in stages)]
