"""A part of a report: some of its rows, with the sums of these alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import get_args

from krea_pipe.core.errors import NothingSelected, Problem
from krea_pipe.core.outcome import Status
from krea_pipe.matrix.selecting import row_subject
from krea_pipe.matrix.selection import Selection
from krea_pipe.report.model import CellTotals, CostTotals, Report, Row


def narrowed(report: Report, selection: Selection) -> Report:
    """The report of the rows that a selection takes.

    Raises:
        NothingSelected: it takes none. UsageError: it names what is not there.
    """
    names = {name for row in report.rows for name in row.axes}
    selection.check_names([stage.name for stage in report.stages], names, get_args(Status))
    rows = tuple(
        row for row in report.rows if selection.takes(row_subject(row.id, row.stage, dict(row.axes), row.status))
    )
    if not rows:
        raise NothingSelected(Problem("nothing_selected", "no cell of that run fits what was selected"))
    return replace(report, rows=rows, cells=totals(rows), cost=costs(rows, report.cost.cap_usd))


def totals(rows: Sequence[Row]) -> CellTotals:
    """How many rows ended in each status."""
    counts = Counter(row.status for row in rows)
    return CellTotals(len(rows), *(counts[one] for one in ("succeeded", "reused", "failed", "uncertain", "pending")))


def costs(rows: Sequence[Row], cap: Decimal | None) -> CostTotals:
    """What these rows cost; what the run saved or has in flight is known of the whole run alone."""
    none = Decimal(0)
    uncertain = sum((row.cost_usd for row in rows if row.status == "uncertain"), none)
    spent = sum((row.cost_usd for row in rows if row.status != "uncertain"), none)
    return CostTotals(spent, none, uncertain, none, cap)
