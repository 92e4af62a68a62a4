"""Every text form of one report, byte for byte. `python tests/report/handmade.py` writes them anew."""

import json
import tempfile
from dataclasses import fields
from pathlib import Path

import pytest
from handmade import FORMS, GOLDEN, handmade_report, rendered
from jsonschema import Draft202012Validator
from sample_reports import to_json

from krea_pipe.core.outcome import Status
from krea_pipe.report.model import Row, totals
from krea_pipe.report.record import from_json

SCHEMA = Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "schemas/run-report.schema.json").read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("name", FORMS)
def test_a_form_of_the_report_is_as_it_was(name):
    assert rendered(name).decode() == (GOLDEN / name).read_bytes().decode(), "see tests/report/handmade.py"


def test_there_is_no_golden_file_without_a_form():
    assert {path.name for path in GOLDEN.iterdir()} == set(FORMS)


@pytest.mark.parametrize("name", FORMS)
def test_golden_files_hold_no_path_of_a_machine(name):
    text = (GOLDEN / name).read_text(encoding="utf-8")
    places = {str(Path.home()), tempfile.gettempdir(), str(Path(__file__).parents[2]), "/home/", "/Users/", "C:\\"}
    assert [place for place in places if place.rstrip("/") and place in text] == []


def test_the_handmade_report_is_whole():
    """Its sums fit its rows, no field is empty everywhere, and it follows the schema and comes back."""
    report = handmade_report()
    assert totals(report.rows) == report.cells
    assert {row.status for row in report.rows} == set(Status.__args__)
    assert len({row.key for row in report.rows}) == len(report.rows) - 1, "two cells share a request"
    of_two_runs = {"pair", "distance", "same"}
    known = {field.name for field in fields(Row)} - of_two_runs
    assert [name for name in known if not any(getattr(row, name) for row in report.rows)] == []
    spent = sum(row.cost_usd for row in report.rows if row.status != "uncertain")
    assert spent == report.cost.spent_usd
    data = json.loads(json.dumps(to_json(report)))
    assert list(SCHEMA.iter_errors(data)) == []
    assert from_json(data) == report
