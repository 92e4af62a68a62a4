"""The report as a table: what a spreadsheet reads, and what it must not run."""

import csv
import io
from dataclasses import replace
from decimal import Decimal

import pytest
from handmade import FORMULA, handmade_report
from sample_reports import make_report, make_stage

from krea_pipe.core.outcome import Failure
from krea_pipe.report.csv_table import render_csv


def lines(report):
    """The lines as a program reads them, by the names of columns."""
    return list(
        csv.DictReader(io.StringIO("".join(render_csv(report)).removeprefix("\ufeff"), newline=""), strict=True)
    )


def test_a_line_a_cell_and_a_column_an_axis():
    report = handmade_report()
    found = lines(report)
    assert [line["id"] for line in found] == [row.id for row in report.rows]
    assert list(found[0])[:7] == ["id", "stage", "axis.surface", "axis.creativity", "axis.seed", "axis.proof", "status"]
    first, last = found[0], found[-1]
    assert (first["axis.surface"], first["axis.seed"], first["axis.proof"]) == ("marble", "7", "")
    assert (last["axis.seed"], last["axis.proof"]) == ("none", "true"), "none is a value, no axis is none"


def test_a_cell_has_its_facts():
    first, unfetched = lines(handmade_report())[0], lines(handmade_report())[5]
    assert (first["cost_usd"], first["seconds"], first["seed"], first["variant"]) == ("0.02", "12.8", "7", "medium")
    assert (first["width"], first["height"]) == ("1536", "1024")
    assert first["image"] == "out/autumn-lamp/draft/marble/raw/s7.png"
    assert (first["error_code"], unfetched["error_code"], unfetched["sha256"]) == ("", "image_unfetched", "")
    assert unfetched["error_message"].startswith("the image is drawn")


def test_the_text_is_rfc_4180_in_utf_8_that_excel_knows():
    text = "".join(render_csv(handmade_report()))
    assert text.encode("utf-8").startswith(b"\xef\xbb\xbfid,stage,")
    assert text.endswith("\r\n")
    assert text.count("\r\n") == 12
    assert '"Größe – ランプ 🪔, «стекло»"' in text


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", " =", "\u00a0="])
def test_a_text_that_a_spreadsheet_would_run_is_a_text_in_every_column(sign):
    bad = f"{sign}1+1"
    report = make_report(make_stage("lamp", {"a": ["x"]}))
    row = replace(
        report.rows[0],
        id=bad,
        stage=bad,
        axes={"a": bad, bad: bad},
        prompt=bad,
        request={"variant": bad, "seed": bad},
        key=bad,
        status="failed",
        reason=bad,
        image=bad,
        sha256=bad,
        job_id=bad,
        error=Failure(bad, bad),
    )
    (line,) = lines(replace(report, rows=(row,)))
    assert {name: value for name, value in line.items() if value not in ("", "failed", f"'{bad}")} == {
        "cost_usd": "0.02",
        "seconds": "11.8",
        "width": line["width"],
        "height": line["height"],
    }
    assert f"axis.{bad}" in line


@pytest.mark.parametrize("text", ["a; =1+1", "a;=1+1", "a\n@b", "a\t-2", "1;2;=3"])
def test_no_formula_begins_where_a_semicolon_or_a_line_ends_a_cell(text):
    report = make_report(make_stage("lamp", {"a": ["x"]}))
    (line,) = lines(replace(report, rows=(replace(report.rows[0], prompt=text),)))
    assert line["prompt"].replace("'", "") == text
    assert not any(part.strip()[:1] in tuple("=+-@") for part in line["prompt"].replace("\n", ";").split(";"))
    assert line["prompt"].count("'") == 1


@pytest.mark.parametrize("text", ["a-b", "1 + 1 = 2", "mail@example.com", "it's", "", "'quoted'", "a;b", "a\nb"])
def test_a_plain_text_stays_as_it_is(text):
    report = make_report(make_stage("lamp", {"a": ["x"]}))
    (line,) = lines(replace(report, rows=(replace(report.rows[0], prompt=text),)))
    assert line["prompt"] == text


MOMENTS = ["16:9", "1:1", "2.35:1", "16 : 9", " 9:16", "16:9:4", "10:30 pm", "10 am", "1 a"]
MOMENTS += ["3/4", "1-2", "1-2-3", "31/12", "1/2/24", "1.2.2024", "2024-01-02", "2024-01", "2024-01-02T10:00:00Z"]
MOMENTS += ["may/1", "Mar 5", "sept-2", "dec5", "May 2024", "5 May 2024", "5-may", "March 1, 2024"]


@pytest.mark.parametrize("text", MOMENTS)
def test_a_text_that_would_become_a_time_or_a_date_stays_a_text_in_every_column(text):
    report = make_report(make_stage("lamp", {"a": ["x"]}))
    (line,) = lines(replace(report, rows=(replace(report.rows[0], id=text, axes={"a": text}, prompt=text),)))
    assert [line[name] for name in ("id", "axis.a", "prompt")] == [f"'{text}"] * 3


WORDS = ["marble 5", "may", "mayday-1", "lamp/16:9", "16:9 wide", "ratio 16:9", "a:b", "12h", "1.5", "007", "p/1", "v1"]


@pytest.mark.parametrize("text", WORDS)
def test_what_only_resembles_a_time_or_a_date_stays_as_it_is(text):
    report = make_report(make_stage("lamp", {"a": ["x"]}))
    (line,) = lines(replace(report, rows=(replace(report.rows[0], axes={"a": text}),)))
    assert line["axis.a"] == text


def test_a_number_stays_a_number():
    report = make_report(make_stage("lamp", {"n": [-5, 0.5]}))
    low, high = lines(replace(report, rows=tuple(replace(row, cost_usd=Decimal("1E-7")) for row in report.rows)))
    assert (low["axis.n"], high["axis.n"], low["cost_usd"]) == ("-5", "0.5", "0.0000001")


def test_a_prompt_that_can_not_be_written_is_replaced():
    report = make_report(make_stage("lamp", {"a": ["x"]}))
    (line,) = lines(replace(report, rows=(replace(report.rows[0], prompt="a\x00b\ud83dc"),)))
    assert line["prompt"] == "a\ufffdb\ufffdc"


def test_the_formula_of_the_handmade_report_is_defused():
    assert FORMULA.startswith("=HYPERLINK")
    assert ",=HYPERLINK" not in "".join(render_csv(handmade_report()))
    assert ',"=HYPERLINK' not in "".join(render_csv(handmade_report()))
