"""Runs of several shards become one report: every cell once, in the order of the file, and the costs of all runs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from krea_pipe._version import __version__
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.planning.shard_record import ShardRecord
from krea_pipe.report.model import ZERO_USD, AxisScalar, AxisView, Report, Row, StageView, costs, seen_from, totals

_SHOWN = 5
_WORST_FIRST = (
    ExitCode.BUG,
    ExitCode.REFUSED,
    ExitCode.INTERRUPTED,
    ExitCode.LIMIT_REACHED,
    ExitCode.SOME_FAILED,
    ExitCode.NOT_AS_LOCKED,
    ExitCode.CHECK_FAILED,
    ExitCode.WAITING,
    ExitCode.DONE,
)
_BEST_FIRST = ("succeeded", "reused")


@dataclass(frozen=True, slots=True)
class ShardRun:
    """A run of one shard: its report, its record, the folder that holds both, and where its images may be read.

    `root` is the folder that the user named: nothing outside of it, or of the working folder, is read for its sake.
    """

    report: Report
    record: ShardRecord
    folder: Path
    root: Path

    @property
    def name(self) -> str:
        """The name of the run in messages: its id and its shard."""
        return f"{self.report.run_id} (shard {self.record.shard})"


@dataclass(frozen=True, slots=True)
class MergedRow:
    """A cell of the merged report, and the run that it is taken from."""

    row: Row
    run: ShardRun


@dataclass(frozen=True, slots=True)
class Missing:
    """Cells of a shard that are in no run; `came` says whether the shard has a run."""

    shard: str
    cells: tuple[str, ...]
    came: bool

    def __str__(self) -> str:
        named = f"{', '.join(self.cells[:_SHOWN])}{' …' if len(self.cells) > _SHOWN else ''}"
        count = f"{len(self.cells)} {'cell is' if len(self.cells) == 1 else 'cells are'} missing: {named}"
        return f"the run of shard {self.shard} is incomplete: {count}" if self.came else self._absent(count)

    def _absent(self, count: str) -> str:
        return f"shard {self.shard} has no run: {count}"


def check_same_version(runs: Sequence[ShardRun]) -> None:
    """Refuse runs that are not of the same cells of one pipeline at one API.

    Args:
        runs: the runs, oldest first.

    Raises:
        UsageError: they are not.
    """
    first = runs[-1]
    for run in runs[:-1]:
        one, two = first.report, run.report
        if one.pipeline.name != two.pipeline.name:
            named = f"{one.pipeline.name} in {first.name}, {two.pipeline.name} in {run.name}"
            hint = "merge the runs of one pipeline at a time: their ids contain its name"
            raise UsageError(Problem("other_pipeline", f"the runs are from different pipelines: {named}", hint=hint))
        if one.target != two.target:
            named = f"{_target(one)} in {first.name}, {_target(two)} in {run.name}"
            hint = "merge runs of the same API"
            raise UsageError(Problem("other_target", f"the runs are from different APIs: {named}", hint=hint))
        if first.record.keys != run.record.keys:
            message = f"{first.name} and {run.name} are from different versions of {one.pipeline.name}"
            message = f"{message}: {_difference(first.record.keys, run.record.keys)}"
            hint = "run all shards at the same commit, with the same options and picks, and merge those runs"
            raise UsageError(Problem("other_version", message, hint=hint))


def _target(report: Report) -> str:
    return "local proofs" if report.target.kind == "local" else report.target.base


def _difference(one: Mapping[str, str], two: Mapping[str, str]) -> str:
    """Which cells differ, in a few words."""
    kinds = {
        "changed": [cell for cell, key in one.items() if two.get(cell, key) != key],
        "only in the first": [cell for cell in one if cell not in two],
        "only in the second": [cell for cell in two if cell not in one],
    }
    return "; ".join(
        f"{word}: {', '.join(cells[:_SHOWN])}{' …' if len(cells) > _SHOWN else ''}"
        for word, cells in kinds.items()
        if cells
    )


def merge_rows(runs: Sequence[ShardRun]) -> list[MergedRow]:
    """Each cell that a run has, once, in the order of the file.

    Of several runs with a cell, one with an image counts, else the latest; the cost is that of all of them.

    Args:
        runs: the runs, oldest first.

    Returns:
        The rows, each with the run that it is from.

    Raises:
        UsageError: two runs have different images of a cell.
    """
    found: dict[str, list[MergedRow]] = {}
    for run in reversed(runs):
        for row in run.report.rows:
            found.setdefault(row.id, []).append(MergedRow(row, run))
    _check_images(found)
    places = {cell: place for place, cell in enumerate(runs[-1].record.keys)}
    return sorted(map(_best, found.values()), key=lambda one: places.get(one.row.id, len(places)))


def _check_images(found: Mapping[str, Sequence[MergedRow]]) -> None:
    differing = []
    for cell, rows in found.items():
        drawn = {one.row.sha256: one.run for one in rows if one.row.sha256 and one.row.status in _BEST_FIRST}
        if len(drawn) > 1:
            differing.append(f"{cell} in {' and '.join(run.name for run in list(drawn.values())[:2])}")
    if differing:
        more = f", and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        message = f"two runs have different images of the same cell: {', '.join(differing[:_SHOWN])}{more}"
        hint = "leave out one of the runs; its images stay where they are"
        raise UsageError(Problem("other_image", message, hint=hint))


def _best(rows: Sequence[MergedRow]) -> MergedRow:
    """The row that counts, of rows with the latest run first."""
    ranks = {status: rank for rank, status in enumerate(_BEST_FIRST)}
    best = min(rows, key=lambda one: ranks.get(one.row.status, len(ranks)))
    others = (one.row.cost_usd for one in rows if one is not best and one.row.status != "uncertain")
    return MergedRow(replace(best.row, cost_usd=sum(others, best.row.cost_usd)), best.run)


def missing_cells(runs: Sequence[ShardRun], rows: Iterable[MergedRow]) -> list[Missing]:
    """The cells that no run has although they were selected, by their shards.

    Args:
        runs: the runs, oldest first.
        rows: the cells that there are.
    """
    latest = runs[-1].record
    left_out = frozenset.intersection(*(run.record.left_out for run in runs))
    there = {one.row.id for one in rows} | left_out
    found: dict[int, list[str]] = {}
    for cell in latest.keys:
        if cell not in there:
            found.setdefault(latest.numbers[cell], []).append(cell)
    came = {run.record.shard for run in runs}
    shards = {replace(latest.shard, number=number): tuple(cells) for number, cells in sorted(found.items())}
    return [Missing(str(shard), cells, shard in came) for shard, cells in shards.items()]


def merged_exit_code(
    runs: Sequence[ShardRun], rows: Iterable[MergedRow], missing: Sequence[Missing], others: Iterable[int] = ()
) -> ExitCode:
    """The worst exit code of the latest run of each shard; a cell without an image is a failure in any case.

    Args:
        runs: the runs, oldest first.
        rows: the cells that there are.
        missing: the cells that there are not.
        others: exit codes of shards that wrote no report.
    """
    latest = {run.record.shard: run.report.exit_code for run in runs}
    found = {*latest.values(), *others}
    codes = {code for code in _WORST_FIRST if code in found}
    if missing or found - codes or any(one.row.status not in _BEST_FIRST for one in rows):
        codes.add(ExitCode.SOME_FAILED)
    return next(code for code in _WORST_FIRST if code in codes)


@dataclass(frozen=True, slots=True)
class MergedRun:
    """The data of a merged report about itself: its id and folder, its exit code, and what is missing."""

    run_id: str
    folder: Path
    exit_code: int
    missing: Sequence[Missing]


def merged_report(runs: Sequence[ShardRun], rows: Sequence[MergedRow], out: str, facts: MergedRun) -> Report:
    """One report of several runs.

    Args:
        runs: the runs, oldest first.
        rows: the cells, with the paths of their images as seen from the working folder.
        out: the output folder of the merged images.
        facts: what it says of itself.
    """
    reports = [run.report for run in runs]
    latest = reports[-1]
    templates = {text: place for place, text in enumerate(dict.fromkeys(t for one in reports for t in one.templates))}
    merged = tuple(_with_template(one, templates) for one in rows)
    awaited = {one.run.report.run_id for one in rows if one.row.status == "pending" and one.row.job_id}
    in_flight = sum((one.cost.in_flight_usd for one in reports if one.run_id in awaited), ZERO_USD)
    cost = costs(
        merged,
        cap=runs[-1].record.cap,
        saved=sum((one.cost.saved_usd for one in reports), ZERO_USD),
        in_flight=in_flight,
    )
    warnings = dict.fromkeys([*(text for one in reports for text in one.warnings), *map(str, facts.missing)])
    return replace(
        latest,
        run_id=facts.run_id,
        tool_version=__version__,
        started_at=min(one.started_at for one in reports),
        finished_at=max(one.finished_at for one in reports),
        exit_code=facts.exit_code,
        out=out,
        base=seen_from(facts.folder, Path.cwd()),
        cells=totals(merged),
        cost=cost,
        warnings=tuple(warnings),
        stages=_stages(reports, merged),
        templates=tuple(templates),
        references=tuple({view.source: view for one in reports for view in one.references}.values()),
        rows=merged,
        shard=None,
        merged=tuple(one.run_id for one in reports),
    )


def _with_template(one: MergedRow, templates: Mapping[str, int]) -> Row:
    if one.row.template is None:
        return one.row
    return replace(one.row, template=templates[one.run.report.templates[one.row.template]])


def _stages(reports: Sequence[Report], rows: Sequence[Row]) -> tuple[StageView, ...]:
    """The stages and axes of all reports.

    Axes that cells alone tell have other values in each report; these are in the order of the cells.
    """
    order: dict[tuple[str, str, str], int] = {}
    for place, row in enumerate(rows):
        for name, value in row.axes.items():
            order.setdefault((row.stage, name, repr(value)), place)
    names = dict.fromkeys(stage.name for one in reports for stage in one.stages)
    found: dict[str, dict[str, list[AxisView]]] = {name: {} for name in names}
    for stage in (stage for one in reports for stage in one.stages):
        for axis in stage.axes:
            found[stage.name].setdefault(axis.name, []).append(axis)
    return tuple(
        StageView(stage, tuple(_axis(stage, name, views, order) for name, views in axes.items()))
        for stage, axes in found.items()
    )


def _axis(stage: str, name: str, views: Sequence[AxisView], order: Mapping[tuple[str, str, str], int]) -> AxisView:
    counts = Counter(view.values for view in views)
    if len(counts) == 1:
        return views[0]
    values: dict[str, tuple[AxisScalar, str]] = {}
    for view in views:
        for value, label in view.values:
            values.setdefault(repr(value), (value, label))
    marks = sorted(values, key=lambda mark: order.get((stage, name, mark), len(order)))
    return AxisView(name, tuple(values[mark] for mark in marks))
