"""The report as JUnit XML: it reads back, in the words that GitLab and Jenkins count."""

from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from handmade import CONTROLS, handmade_report

from krea_pipe.core.outcome import Failure, Timings
from krea_pipe.report.junit import render_junit


def read(report):
    return ElementTree.fromstring("".join(render_junit(report)))


def cases(report):
    return {case.get("name"): case for case in read(report).iter("testcase")}


def test_a_suite_a_stage_and_a_test_a_cell():
    report = handmade_report()
    root = read(report)
    assert [suite.get("name") for suite in root] == ["autumn-lamp.draft", "autumn-lamp.final"]
    assert [case.get("name") for case in root.iter("testcase")] == [row.id for row in report.rows]
    for suite in root:
        assert {case.get("classname") for case in suite.iter("testcase")} == {suite.get("name")}
        assert suite.get("timestamp") == "2026-10-12T09:14:03"


def test_a_check_that_fails_the_run_is_a_failure_and_another_is_a_property():
    found = cases(handmade_report())
    failure = found["draft/marble/low/s7"].find("failure")
    assert (failure.get("type"), failure.get("message")) == ("check_failed", "sharp: 31.25 is less than 40")
    assert "score (command): " in failure.text
    types = [one.get("type") for one in found["draft/wet-slate/raw/s7"].iter("failure")]
    assert types == ["not_delivered"]  # no check that fails the run


@pytest.mark.parametrize("tag", ["testsuites", "testsuite"])
def test_what_is_counted_is_there(tag):
    for suite in read(handmade_report()).iter(tag):
        found = Counter(child.tag for case in suite.iter("testcase") for child in case)
        assert suite.get("tests") == str(len(list(suite.iter("testcase"))))
        counted = {name: int(suite.get(name)) for name in ("failures", "errors", "skipped")}
        assert counted == {"failures": found["failure"], "errors": found["error"], "skipped": found["skipped"]}
        took = sum(float(case.get("time")) for case in suite.iter("testcase"))
        assert float(suite.get("time")) == pytest.approx(took)


def test_each_status_has_its_word():
    report = handmade_report()
    words = {"succeeded": [], "reused": [], "failed": ["failure"], "uncertain": ["error"], "pending": ["skipped"]}
    found = cases(report)
    for row in report.rows:
        expected = words[row.status] + ["failure"] * row.lacks_files
        expected += ["failure"] * any(one.fail and one.passed is False for one in row.checks)
        assert [child.tag for child in found[row.id] if child.tag != "properties"] == expected
    properties = {
        name: {one.get("name"): one.get("value") for one in case.iter("property")} for name, case in found.items()
    }
    assert properties["draft/wet-slate/raw/s7"] == {"status": "reused", "failed_checks": "score"}
    assert properties["draft/marble/low/s7"] == {"adopted": "true", "failed_checks": "sharp score"}
    assert properties["draft/marble/raw/s7"] == {}


def test_a_problem_says_what_it_is_and_what_to_look_for():
    (failure,) = cases(handmade_report())["draft/hyperlink/high/none"]
    assert failure.get("type") == "answer_lost"
    assert failure.get("message") == "the connection broke after the request was sent"
    assert "5f0c1f9e-7a52-4a19-8f0e-000000000071, 5f0c1f9e-7a52-4a19-8f0e-000000000072" in failure.text


def test_a_cell_that_failed_without_a_word_is_still_a_failure(small_report):
    row = replace(small_report.rows[0], status="failed", error=None)
    (failure,) = cases(replace(small_report, rows=(row,)))[row.id]
    assert (failure.tag, failure.get("type"), failure.get("message")) == ("failure", "failed", "new")


def test_what_xml_can_not_hold_is_replaced_everywhere(small_report):
    everything = "".join(map(chr, [*range(0x250), 0xD800, 0xDFFF, 0xFFFE, 0xFFFF, 0x10FFFF])) + CONTROLS
    row = replace(
        small_report.rows[0],
        id=everything,
        stage=everything,
        prompt=everything,
        job_id=everything,
        status="failed",
        error=Failure(everything, everything),
        timings=Timings(),
    )
    pipeline = replace(small_report.pipeline, name=everything, file=everything)
    wild = replace(small_report, rows=(row,), stages=(), pipeline=pipeline, run_id=everything, started_at=everything)
    text = "".join(render_junit(wild))
    root = ElementTree.fromstring(text.encode())
    (failure,) = root.iter("failure")
    assert "\ufffd" in failure.get("message")
    assert "half an emoji \ufffd, two\nlines" in failure.get("message")
    assert "ABC" in failure.text


def test_a_stage_without_cells_is_an_empty_suite(small_report):
    (suite,) = read(replace(small_report, rows=()))
    assert (suite.get("tests"), suite.get("time"), list(suite.iter("testcase"))) == ("0", "0.000", [])
