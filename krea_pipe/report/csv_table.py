"""The report as a table for spreadsheets: `results.csv`, a line for each cell."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from io import StringIO

from krea_pipe.core.json_data import writable
from krea_pipe.core.money import exact
from krea_pipe.pipeline.cell_ids import label_of
from krea_pipe.report.model import Report, Row

# Excel takes a file without this for one in the code page of the machine, and shows "Größe" as "GrÃ¶ÃŸe". Programs that
# stumble over it have report.json; Python reads it away with `utf-8-sig`.
BYTE_ORDER_MARK = "\ufeff"

# Where a spreadsheet may begin to read a formula (OWASP, "CSV Injection"): at the start of a text and, where a system's
# list separator is not the comma, after whatever ends a cell there.
_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
_INNER_FORMULA = re.compile(r"[;\t\r\n] *(?=[=+\-@＝＋－＠])")

# What spreadsheets, and data frames that look for times, take for a time of day or a date: `16:9` is 16:09 in Gnumeric
# and polars, the cell `may/1` the first of May.
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_MOMENT = re.compile(
    rf"""\s*(?:
      \d+(?:\.\d+)?(?:\s*:\s*\d+(?:\.\d+)?)+(?:\s*[ap]m?)?
    | \d{{1,2}}\s*[ap]m
    | \d{{1,2}}\s+[ap]
    | \d{{1,4}}[-/]\d{{1,4}}
    | \d{{1,4}}([-/.])\d{{1,2}}\1\d{{1,4}}(?:[T\s]\s*\d[\d:.]*\s*(?:Z|[ap]m?|[+-]\d\d:?\d\d)?)?
    | {_MONTH}[-/.,\s]*\d{{1,4}}(?:[-/.,\s]+\d{{1,4}})?
    | \d{{1,4}}[-/.,\s]*{_MONTH}(?:[-/.,\s]*\d{{1,4}})?
    )\s*""",
    re.VERBOSE | re.IGNORECASE,
)

_BEFORE_AXES: Mapping[str, Callable[[Row], object]] = {"id": lambda row: row.id, "stage": lambda row: row.stage}
_AFTER_AXES: Mapping[str, Callable[[Row], object]] = {
    "status": lambda row: row.status,
    "reason": lambda row: row.reason,
    "variant": lambda row: row.request.get("variant"),
    "seed": lambda row: row.request.get("seed"),
    "cost_usd": lambda row: row.cost_usd,
    "seconds": lambda row: row.timings.seconds,
    "job_id": lambda row: row.job_id,
    "key": lambda row: row.key,
    "sha256": lambda row: row.sha256,
    "width": lambda row: row.width,
    "height": lambda row: row.height,
    "image": lambda row: row.image,
    "prompt": lambda row: row.prompt,
    "error_code": lambda row: row.error.code if row.error else None,
    "error_message": lambda row: row.error.message if row.error else None,
}
"""The columns before and after those of the axes, each with its contents."""


def render_csv(report: Report) -> Iterator[str]:
    """Render the cells line by line, as RFC 4180 with a byte order mark.

    The axes of all stages have a column `axis.NAME` each. With checks, there is a column `check.NAME` for the value of
    each, and `failed_checks`. A text that a spreadsheet would take for a formula, a time or a date has an apostrophe
    before it; numbers stay numbers.
    """
    # The axes of all stages, in the order of the file; then those that only rows know.
    names = dict.fromkeys(axis.name for stage in report.stages for axis in stage.axes)
    names |= dict.fromkeys(name for row in report.rows for name in row.axes)
    checks = dict.fromkeys(one.name for row in report.rows for one in row.checks)
    header = [*_BEFORE_AXES, *(writable(f"axis.{name}") for name in names), *_AFTER_AXES]
    if not checks:
        return _csv_lines(header, (_line(row, names) for row in report.rows))
    header += [*(f"check.{name}" for name in checks), "failed_checks"]
    return _csv_lines(header, ((*_line(row, names), *_checks(row, checks)) for row in report.rows))


def csv_text(header: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    """A table as RFC 4180 with a byte order mark, safe for spreadsheets as `render_csv` says."""
    return "".join(_csv_lines(header, lines))


def _csv_lines(header: Iterable[str], lines: Iterable[Iterable[object]]) -> Iterator[str]:
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    yield BYTE_ORDER_MARK + text.getvalue()
    for line in lines:
        text.seek(0)
        text.truncate()
        writer.writerow(map(_cell, line))
        yield text.getvalue()


def _line(row: Row, names: Iterable[str]) -> tuple[object, ...]:
    before, after = ((read(row) for read in columns.values()) for columns in (_BEFORE_AXES, _AFTER_AXES))
    return (*before, *(_axis(row, name) for name in names), *after)


def _checks(row: Row, names: Iterable[str]) -> tuple[object, ...]:
    """The values of checks, and the names of those that the image does not pass."""
    values = {one.name: one.value for one in row.checks}
    return (*(values.get(name) for name in names), " ".join(one.name for one in row.failed_checks))


def _axis(row: Row, name: str) -> object:
    """The value of an axis; empty for an axis that the stage does not have, which differs from the value `none`."""
    value = row.axes.get(name)
    return label_of(value) if name in row.axes and (value is None or isinstance(value, bool)) else value


def _cell(value: object) -> object:
    if isinstance(value, str):
        text = _INNER_FORMULA.sub(r"\g<0>'", writable(value))
        return f"'{text}" if _FORMULA.match(text) or _MOMENT.fullmatch(text) else text
    return exact(value) if isinstance(value, Decimal) else value
