"""The rows of a report that a selection takes."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import get_args

from krea_pipe.core.errors import NothingSelected, Problem
from krea_pipe.core.outcome import Status
from krea_pipe.matrix.selecting import row_subject
from krea_pipe.matrix.selection import Selection
from krea_pipe.report.model import Report, Row, costs, totals


def select_rows(report: Report, selection: Selection) -> Report:
    """The report of the rows that a selection takes, with the sums of these alone.

    Raises:
        NothingSelected: it takes none. UsageError: it names something that does not exist.
    """
    takes = row_filter(selection, [stage.name for stage in report.stages], report.rows)
    rows = tuple(filter(takes, report.rows))
    if not rows:
        raise NothingSelected(Problem("nothing_selected", "no cell of that run matches the selection"))
    return replace(report, rows=rows, cells=totals(rows), cost=costs(rows, cap=report.cost.cap_usd))


def row_filter(selection: Selection, stages: Collection[str], rows: Collection[Row]) -> Callable[[Row], bool]:
    """The properties of a row that a selection tests.

    Raises:
        UsageError: the selection names what neither the stages nor the rows have.
    """
    checks = {one.name for row in rows for one in row.checks}
    selection.check_names(stages, {name for row in rows for name in row.axes}, get_args(Status), checks)

    def takes(row: Row) -> bool:
        failed = tuple(one.name for one in row.failed_checks)
        return selection.takes(row_subject(row.id, row.stage, dict(row.axes), row.status, failed))

    return takes
