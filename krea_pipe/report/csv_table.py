"""The report as a table for spreadsheets: `results.csv`, a line for each cell."""

import csv
import re
from collections.abc import Iterable
from decimal import Decimal
from io import StringIO

from krea_pipe.core.excerpts import writable
from krea_pipe.pipeline.cell_ids import label_of
from krea_pipe.pipeline.pricing import exact
from krea_pipe.report.model import Report, Row

# Excel takes a file without this for one in the code page of the machine, and shows "Größe" as "GrÃ¶ÃŸe". Programs that
# stumble over it have report.json; Python reads it away with `utf-8-sig`.
BYTE_ORDER_MARK = "\ufeff"

# Where a spreadsheet may begin to read a formula (OWASP, "CSV Injection"): at the start of a text and, where a system's
# list separator is not the comma, after whatever ends a cell there.
_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
_INNER_FORMULA = re.compile(r"[;\t\r\n] *(?=[=+\-@＝＋－＠])")

_BEFORE_AXES = ("id", "stage")
_AFTER_AXES = (
    "status",
    "reason",
    "variant",
    "seed",
    "cost_usd",
    "seconds",
    "job_id",
    "key",
    "sha256",
    "width",
    "height",
    "image",
    "prompt",
    "error_code",
    "error_message",
)


def render(report: Report) -> str:
    """Render the cells as RFC 4180 with a byte order mark; the axes of all stages have a column `axis.NAME` each.

    A text that a spreadsheet would take for a formula has an apostrophe before it; numbers stay numbers.
    """
    names = _axis_names(report)
    text = StringIO(newline="")
    text.write(BYTE_ORDER_MARK)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*_BEFORE_AXES, *(writable(f"axis.{name}") for name in names), *_AFTER_AXES])
    writer.writerows(map(_cell, _line(row, names)) for row in report.rows)
    return text.getvalue()


def _axis_names(report: Report) -> list[str]:
    """The axes of all stages, in the order of the file; then those that only rows know."""
    known = dict.fromkeys(axis.name for stage in report.stages for axis in stage.axes)
    return list(known | dict.fromkeys(name for row in report.rows for name in row.axes))


def _line(row: Row, names: Iterable[str]) -> list[object]:
    return [
        row.id,
        row.stage,
        *(_axis(row, name) for name in names),
        row.status,
        row.reason,
        row.request.get("variant"),
        row.request.get("seed"),
        row.cost_usd,
        row.timings.seconds,
        row.job_id,
        row.key,
        row.sha256,
        row.width,
        row.height,
        row.image,
        row.prompt,
        row.error.code if row.error else None,
        row.error.message if row.error else None,
    ]


def _axis(row: Row, name: str) -> object:
    """The value of an axis: `none` is one, and an axis that a stage does not have is none at all."""
    value = row.axes.get(name)
    return label_of(value) if name in row.axes and (value is None or isinstance(value, bool)) else value


def _cell(value: object) -> object:
    if isinstance(value, str):
        text = _INNER_FORMULA.sub(r"\g<0>'", writable(value))
        return f"'{text}" if _FORMULA.match(text) else text
    return exact(value) if isinstance(value, Decimal) else value
