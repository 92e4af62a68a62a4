"""The rows of a report, which the page has as columns: its script makes the same rows of them again."""

from dataclasses import replace
from pathlib import Path

import pytest
from handmade import handmade_report
from sample_reports import make_report, make_stage

from krea_pipe.report import html
from krea_pipe.report.record import to_lines
from krea_pipe.report.row_table import row_tables

PART = Path(html.__file__).parent / "templates" / "rows.js"
ROWS = """([tables, report]) => {
  PART
  const found = JSON.parse(tables).flatMap(({ count, table }) => rowsOf(table, count));
  return [found, JSON.parse(report).cells].map((rows) => JSON.stringify(rows, null, 1));
}"""


def alike():
    """Cells whose values of an axis are one key of a dictionary, or are missing."""
    report = make_report(make_stage("lamp", {"value": list(range(6))}))
    values = (1, 1.0, True, "1", None)
    rows = [replace(row, axes={"value": value}) for row, value in zip(report.rows, values, strict=False)]
    return replace(report, rows=(*rows, replace(report.rows[5], axes={}, values={"__proto__": {"a": [1]}})))


def compared():
    report = make_report(make_stage("lamp", {"seed": [1, 2]}))
    return replace(report, rows=(replace(report.rows[0], pair="1", distance=0.5, same=False), report.rows[1]))


def repeated():
    report = make_report(make_stage("lamp", {"seed": list(range(8))}))
    return replace(report, rows=report.rows * 700)


@pytest.mark.parametrize("make", [handmade_report, alike, compared, repeated])
def test_the_page_has_every_row_with_its_fields_in_order(open_page, make):
    report = make()
    texts = [
        "".join(parts).encode("utf-8", "replace").decode() for parts in (row_tables(report.rows), to_lines(report))
    ]
    rows, expected = open_page("about:blank").evaluate(ROWS.replace("PART", PART.read_text("utf-8")), texts)
    assert rows == expected
