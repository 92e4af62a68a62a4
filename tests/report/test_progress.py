"""What the journal's lines make of the cells of a run that has no report yet."""

import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from journal_lines import line_of
from sample_reports import make_report, make_stage, to_json

from krea_pipe.core.errors import UsageError
from krea_pipe.core.outcome import iso
from krea_pipe.report.folder import find_run, space_of
from krea_pipe.report.progress import open_progress
from krea_pipe.report.rendered_forms import write_planned

START = datetime(2026, 10, 12, 9, 14, 3, tzinfo=UTC)
RUN = "20261012-091403-000-p-7f3a"
RESULT = {
    "sha256": "ab" * 32, "mime": "image/png", "width": 640, "height": 480, "job_id": "j1", "cost_usd": "0.02",
    "finished_at": "2026-10-12T09:14:09.000Z", "likeness": "f0f0",
}  # fmt: skip
SENT = [("submitting", {"usd": "0.02"}), ("submitted", {"job_id": "j1", "usd": "0.02"})]
LOST = [SENT[0], ("unanswered", {"usd": "0.02"})]
ADOPTED = [*LOST, ("adopted", {"job_id": "j1", "usd": "0.02"})]
DONE = ("done", {"job_id": "j1", "result": RESULT})


class Planned:
    """A run that has said what it is about to do, and the journal of its name space."""

    def __init__(self, home, report):
        self.home, self.report = home, report
        self.folder, self.space = home / "runs" / RUN, space_of(report, home)
        write_planned(report, self.folder)
        self.at = START

    def write(self, event, run=RUN, key=None, **data):
        self.at += timedelta(seconds=1)
        line = line_of(event, key or self.report.rows[0].key, **{"origin": "o", **data})
        self.space.journal.append(line.event, line.key, t=iso(self.at), run=run)

    def open(self):
        return open_progress(self.home, self.folder)


def planned_report(statuses=("pending", "reused")):
    stage = make_stage("s", {"w": ["a", "b"][: len(statuses)]}, statuses.__getitem__)
    made = make_report(stage, run_id=RUN, started_at=iso(START), finished_at=iso(START))
    rows = [row if row.status == "reused" else replace(row, image=None, attempts=(), job_id=None) for row in made.rows]
    return replace(made, rows=tuple(rows))


@pytest.fixture
def planned(tmp_path):
    """A run that lives, with one cell to draw and one that is reused."""
    made = Planned(tmp_path, planned_report())
    with made.space.presence.shown(RUN):
        yield made


@pytest.mark.parametrize(
    ("lines", "status", "code", "cost", "job"),
    [
        ([], "pending", None, "0", None),
        (SENT[:1], "pending", None, "0", None),
        ([SENT[0], ("declined", {})], "pending", None, "0", None),
        (SENT, "pending", None, "0", "j1"),
        ([*SENT, DONE], "succeeded", None, "0.02", "j1"),
        (LOST, "uncertain", "answer_lost", "0.02", None),
        ([*LOST, ("cleared", {})], "pending", None, "0", None),
        (ADOPTED, "pending", None, "0", "j1"),
        ([*ADOPTED, DONE], "succeeded", None, "0.02", "j1"),
        ([*ADOPTED, ("disowned", {"job_id": "j1"})], "uncertain", "answer_lost", "0.02", None),
        ([*SENT, ("failed", {"job_id": "j1", "code": "nsfw"})], "failed", "nsfw", "0", "j1"),
        ([*SENT, ("failed", {"job_id": "j0", "code": "nsfw"})], "pending", None, "0", "j1"),
        ([*SENT, ("failed", {"job_id": "j1", "code": "empty"})], "failed", "empty", "0.02", "j1"),
        ([*SENT, ("failed", {"job_id": "j1", "code": "cancelled"})], "pending", None, "0", None),
        ([SENT[0], ("declined", {}), ("failed", {"job_id": "", "code": "rejected"})], "failed", "rejected", "0", None),
        ([*SENT, ("unseen", {"job_id": "j1"})], "uncertain", "job_unseen", "0.02", "j1"),
        ([*SENT, ("unfetched", {"job_id": "j1"})], "failed", "image_unfetched", "0.02", "j1"),
        ([*SENT, ("unfetched", {"job_id": "j1", "code": "empty"})], "failed", "empty", "0.02", "j1"),
        ([*SENT, ("unfetched", {"job_id": "j1", "code": "wrong_size"})], "failed", "wrong_size", "0.02", "j1"),
        ([*SENT, ("failed", {"job_id": "j1", "code": "job_gone"})], "failed", "job_gone", "0.02", "j1"),
        ([*SENT, ("done", {"job_id": "j1", "result": {"sha256": 1}})], "pending", None, "0", None),
    ],
)
def test_lines_become_the_state_of_a_cell(planned, lines, status, code, cost, job):
    for event, data in lines:
        planned.write(event, **data)
    progress = planned.open()
    row = progress.report.rows[0]
    assert progress.state == "running"
    assert (row.status, row.error and row.error.code, row.cost_usd, row.job_id) == (status, code, Decimal(cost), job)
    assert getattr(progress.report.cells, status) == 1
    assert progress.report.rows[1] == planned.report.rows[1]


def test_an_image_comes_with_all_that_is_known_of_it(planned):
    for event, data in [*SENT, DONE]:
        planned.write(event, **data)
    row = planned.open().report.rows[0]
    assert (row.sha256, row.width, row.height, row.likeness) == ("ab" * 32, 640, 480, "f0f0")
    assert (row.timings.submitted_at, row.timings.seconds) == ("2026-10-12T09:14:05.000Z", 1.0)
    assert [one.event for one in row.attempts] == ["submitted", "done"]
    assert "ab" * 32 in planned.open().digests


def test_an_adopted_job_is_said_to_be_so(planned):
    for event, data in [*ADOPTED, DONE]:
        planned.write(event, **data)
    assert planned.open().report.rows[0].adopted


def test_each_look_tells_what_is_new(planned):
    progress = planned.open()
    seen = [progress.report.finished_at]
    assert progress.look() == []
    for event, data in [*SENT, DONE]:
        planned.write(event, **data)
        assert progress.look() == ([] if event == "submitting" else [0])
        seen.append(progress.report.finished_at)
    assert seen[0] == seen[1] < seen[2] < seen[3]
    assert progress.look() == []


def test_what_was_written_before_the_run_began_says_nothing_of_it(planned):
    planned.at = START - timedelta(seconds=60)
    for event, data in [*SENT, DONE]:
        planned.write(event, **data)
    assert planned.open().report.rows[0].status == "pending"


def test_a_reused_cell_stays_as_it_is(planned):
    planned.write("failed", key=planned.report.rows[1].key, job_id="j9", code="nsfw")
    assert planned.open().report.rows == planned.report.rows


def test_what_a_neighbour_draws_is_shared(planned):
    for event, data in SENT:
        planned.write(event, run="other", **data)
    assert planned.open().report.rows[0].job_id == "j1"
    planned.write("unseen", run="other", job_id="j1")
    assert planned.open().report.rows[0].status == "pending"
    planned.write("done", run="other", **DONE[1])
    row = planned.open().report.rows[0]
    assert (row.status, row.sha256, row.cost_usd) == ("reused", "ab" * 32, 0)
    assert planned.open().report.cost.spent_usd == 0


def test_an_image_whose_price_was_reported_before_costs_nothing_again(planned):
    planned.at = START - timedelta(seconds=60)
    for event, data in [*SENT, ("unfetched", {"job_id": "j1"})]:
        planned.write(event, run="earlier", **data)
    planned.write("reported", key="earlier", run="earlier")
    planned.at = START
    planned.write("attached", job_id="j1")
    planned.write("done", **DONE[1])
    row = planned.open().report.rows[0]
    assert (row.status, row.cost_usd) == ("succeeded", 0)


def test_an_image_that_is_read_again_costs_nothing_again(planned):
    planned.at = START - timedelta(seconds=60)
    for event, data in [*SENT, DONE]:
        planned.write(event, run="earlier", **data)
    planned.write("reported", key="earlier", run="earlier")
    planned.at = START
    planned.write("attached", job_id="j1")
    progress = planned.open()
    row, cost = progress.report.rows[0], progress.report.cost
    assert (row.status, row.job_id, cost.spent_usd, cost.in_flight_usd) == ("pending", "j1", 0, 0)
    planned.write("unseen", job_id="j1")
    progress.look()
    row = progress.report.rows[0]
    assert (row.status, row.error.code, row.cost_usd) == ("failed", "image_gone", 0)
    planned.write("done", **DONE[1])
    progress.look()
    row = progress.report.rows[0]
    assert (row.status, row.error, row.cost_usd) == ("succeeded", None, 0)


def test_money_is_counted_as_it_stands(planned):
    for event, data in SENT:
        planned.write(event, **data)
    progress = planned.open()
    before = planned.report.cost
    assert progress.report.cost == replace(before, spent_usd=Decimal(0), in_flight_usd=Decimal("0.02"))
    planned.write("done", **DONE[1])
    progress.look()
    assert progress.report.cost == replace(before, spent_usd=Decimal("0.02"), in_flight_usd=Decimal(0))


@pytest.mark.parametrize("usd", ["much", "NaN", "Infinity", "", None, [1]])
def test_a_price_that_is_no_amount_counts_as_nothing(planned, usd):
    planned.write("submitting", usd=usd)
    planned.write("submitted", job_id="j1", usd=usd)
    assert planned.open().report.cost.in_flight_usd == 0
    planned.write("done", job_id="j1", result={**RESULT, "cost_usd": usd})
    assert planned.open().report.cost.spent_usd == planned.report.cost.spent_usd


def test_cells_of_one_request_pay_once(tmp_path):
    made = planned_report(("pending",))
    twin = replace(made.rows[0], id="s/twin", reason="same request as s/a")
    planned = Planned(tmp_path, replace(made, rows=(twin, *made.rows)))
    with planned.space.presence.shown(RUN):
        for event, data in [*SENT, DONE]:
            planned.write(event, **data)
        rows = planned.open().report.rows
    assert [(row.status, row.cost_usd) for row in rows] == [("succeeded", 0), ("succeeded", Decimal("0.02"))]


def test_a_dead_run_leaves_open_what_it_was_sending(tmp_path):
    planned = Planned(tmp_path, planned_report())
    with ExitStack() as life:
        life.enter_context(planned.space.presence.shown(RUN))
        planned.write("submitting", usd="0.02")
        progress = planned.open()
        assert (progress.state, progress.report.rows[0].status) == ("running", "pending")
    assert progress.look() == [0]
    for one in (progress, planned.open()):
        row = one.report.rows[0]
        assert (one.state, row.status, row.cost_usd) == ("cut_off", "uncertain", Decimal("0.02"))


def test_the_report_replaces_everything(planned):
    progress = planned.open()
    final = replace(planned.report, exit_code=1, finished_at=iso(START + timedelta(hours=1)))
    (planned.folder / "report.json").write_text(json.dumps(to_json(final)))
    assert progress.look() == []
    assert (progress.state, progress.report) == ("ended", final)
    (planned.folder / "started.json").unlink()
    assert planned.open().report == final


def test_a_run_is_found_as_soon_as_it_has_a_plan(planned):
    assert find_run(planned.home, None, unfinished=True) == planned.folder
    assert find_run(planned.home, RUN[:15], unfinished=True) == planned.folder
    assert find_run(planned.home, str(planned.folder / "started.json"), unfinished=True) == planned.folder
    with pytest.raises(UsageError):
        find_run(planned.home, "\0", unfinished=True)
