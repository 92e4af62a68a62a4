"""The report as JSON: its shape, its money and the way back."""

import json
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from sample_reports import make_report, make_stage, to_json

from krea_pipe.core.errors import StateError
from krea_pipe.report.model import REPORT_SCHEMA, Report
from krea_pipe.report.record import OPTIONAL, from_json

SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "run-report.schema.json"


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def through_text(report):
    return json.loads(json.dumps(to_json(report)))


@pytest.fixture
def bare_report():
    return make_report(make_stage("one", {}, lambda _: "pending"), git=None, warnings=("careful",))


@pytest.mark.parametrize("name", ["small_report", "bare_report"])
def test_a_report_follows_the_schema_and_comes_back_equal(name, request, validator):
    report = request.getfixturevalue(name)
    data = through_text(report)
    assert list(validator.iter_errors(data)) == []
    assert from_json(data) == report


def test_every_object_of_the_schema_is_closed_and_described(validator):
    def walk(node, path="$"):
        if node.get("type") in ("object", ["object", "null"]) and path != "$/cell/request":
            assert "additionalProperties" in node, path
        assert "description" in node, path
        for name, child in node.get("properties", {}).items():
            walk(child, f"{path}/{name}")
        for name, child in node.get("$defs", {}).items():
            walk(child, f"$/{name}")
        if "properties" in node.get("items", {}):
            walk(node["items"], f"{path}[]")

    walk(validator.schema)


def test_the_schema_refuses_what_is_unknown(validator, small_report):
    data = through_text(small_report)
    data["cells"][0]["colour"] = "red"
    assert [error.validator for error in validator.iter_errors(data)] == ["additionalProperties"]


def test_money_is_a_plain_decimal_string_everywhere(small_report, validator):
    odd = replace(
        small_report,
        cost=replace(small_report.cost, spent_usd=Decimal("1E+2"), saved_usd=Decimal("1E-7"), cap_usd=None),
    )
    data = through_text(odd)
    assert data["totals"]["cost"] == {
        "spent_usd": "100.00",
        "saved_usd": "0.0000001",
        "uncertain_usd": "0.02",
        "in_flight_usd": "0.00",
        "cap_usd": None,
    }
    assert {type(cell["cost_usd"]) for cell in data["cells"]} == {str}
    assert list(validator.iter_errors(data)) == []
    assert from_json(data) == odd


def test_keys_stand_in_the_order_of_the_report(small_report):
    names = [field.name for field in fields(Report)]
    expected = ["totals" if name == "cells" else "cells" if name == "rows" else name for name in names]
    for name in ("cost", *OPTIONAL):  # a plain run is of no shard, and a plain file has no view
        expected.remove(name)
    data = to_json(small_report)
    assert list(data) == ["schema", *expected]
    assert data["schema"] == REPORT_SCHEMA
    assert list(data["totals"]) == ["cells", "cost"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "krea-pipe/run-report@9"}, "has the schema krea-pipe/run-report@9"),
        ({"schema": None}, "has the schema None"),
        ({"totals": {}}, "damaged: KeyError"),
        ({"cells": [1]}, "damaged: TypeError"),
        ({"stages": None}, "damaged: TypeError"),
        ({"pipeline": {"name": "x"}}, "damaged: TypeError"),
    ],
)
def test_a_damaged_report_is_a_state_error(small_report, change, message):
    with pytest.raises(StateError, match=message):
        from_json({**to_json(small_report), **change})


def test_the_hint_for_a_damaged_report_leads_out(small_report):
    with pytest.raises(StateError) as caught:
        from_json({**to_json(small_report), "cells": None})
    assert "rerun its pipeline" in caught.value.problems[0].hint


def test_a_report_without_a_schema_is_a_state_error():
    with pytest.raises(StateError, match="no schema"):
        from_json({})


def test_money_that_is_no_number_is_a_state_error(small_report):
    data = through_text(small_report)
    data["cells"][0]["cost_usd"] = "ten"
    with pytest.raises(StateError, match="damaged"):
        from_json(data)
