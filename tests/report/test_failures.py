"""Failures of a run by cause: what to do, and a command that works."""

import html
import re
from dataclasses import replace

import pytest
from sample_reports import make_report, make_stage

from krea_pipe.report.html import render_html
from krea_pipe.report.model import Failure


def page_of(report):
    return b"".join(render_html(report)).decode()


def causes_in(page):
    """The commands of a page with the cells that each is about."""
    found = []
    for part in page.split('<div class="cause">')[1:]:
        part = part.split("</div>")[0]
        command = html.unescape(re.search(r"<code>(.*?)</code>", part)[1])
        found.append((command, re.findall(r'data-cell="(.*?)"', part)))
    return found


def failed(*errors, kind="live"):
    """A report whose cells failed in these ways."""
    report = make_report(make_stage("lamp", {"seed": list(range(len(errors)))}, lambda _: "failed"))
    rows = [
        replace(row, status="uncertain" if error.kind == "uncertain" else "failed", error=error)
        for row, error in zip(report.rows, errors, strict=True)
    ]
    pipeline = replace(report.pipeline, file="my files/lamp.yaml")
    return replace(report, rows=tuple(rows), pipeline=pipeline, target=replace(report.target, kind=kind))


BUSY = Failure("too_many_requests", "Krea answered 429", "transient")
REFUSED = Failure("rejected", "content policy", "rejected")
LOST = Failure("answer_lost", "the answer was lost", "uncertain")
GONE = Failure("image_gone", "the image is gone", "gone")


def test_cells_with_one_cause_are_one_group_and_the_largest_comes_first():
    report = failed(REFUSED, BUSY, BUSY, LOST, BUSY)
    ids = [row.id for row in report.rows]
    assert [cells for _, cells in causes_in(page_of(report))] == [[ids[1], ids[2], ids[4]], [ids[0]], [ids[3]]]


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (BUSY, "krea-pipe run 'my files/lamp.yaml' --only-failed"),
        (REFUSED, "krea-pipe explain 'my files/lamp.yaml' lamp/0"),
        (LOST, "krea-pipe run 'my files/lamp.yaml'"),
        (GONE, "krea-pipe run 'my files/lamp.yaml' --only-failed --uncertain resubmit"),
        (Failure("model_unavailable", "404", "gone"), "krea-pipe explain 'my files/lamp.yaml' lamp/0"),
    ],
)
def test_each_cause_has_a_command(error, command):
    assert causes_in(page_of(failed(error))) == [(command, ["lamp/0"])]
    assert causes_in(page_of(failed(error, kind="local"))) == [(f"{command} --local", ["lamp/0"])]


def test_reasons_in_other_words_stand_beside_their_cells():
    page = page_of(failed(BUSY, replace(BUSY, message="Krea answered 429: later")))
    assert len(causes_in(page)) == 1
    assert "<span>Krea answered 429: later</span>" in page
