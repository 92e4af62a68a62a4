"""What a plan decides, from values alone."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from journal_lines import line_of

from krea_pipe.core.outcome import Result
from krea_pipe.core.request import ByDigest, ByUrl, Request, Weighted, key_of
from krea_pipe.matrix.matrix import Cell
from krea_pipe.pipeline.references import Fingerprints, Image
from krea_pipe.planning.change_reason import describe_change
from krea_pipe.planning.plan import Attach, Hold, PlanOptions, Rejected, Reuse, Submit, make_plan
from krea_pipe.store.journal import Replay
from krea_pipe.store.known import Known

ORIGIN = "https://api.krea.ai"
LOOK = Image(ByDigest("a" * 64), "look.png")
HARBOUR = Image(ByDigest("b" * 64), "refs/harbour.jpg")
IMAGES = Fingerprints(Path(), Path(), {}, {LOOK.source: LOOK, HARBOUR.source: HARBOUR})


def request(prompt="a lamp", **fields):
    return Request(
        **{
            "variant": "medium",
            "prompt": prompt,
            "aspect_ratio": "1:1",
            "resolution": "1K",
            "seed": 1,
            "creativity": "raw",
            "intensity": 0,
            "complexity": 0,
            "movement": 0,
            **fields,
        }
    )


def cells(*requests, stage="s"):
    found = [Cell(n, f"{stage}/{n}", stage, (), (), f"{n}", one) for n, one in enumerate(requests)]
    return [(cell, key_of(cell.request)) for cell in found]


def known(*, results=None, damaged=(), before=None, lines=(), alive=()):
    replay = Replay()
    for line in lines:
        replay.take(line)
    return Known(results or {}, frozenset(damaged), frozenset(), before or {}, replay, frozenset(alive))


def plan(found, state=None, **options):
    options = PlanOptions("p", options.pop("origin", ORIGIN), **options)
    return make_plan(found, state or known(), IMAGES, options)


def result(price="0.030"):
    return Result("c" * 64, "image/png", 8, 8, "job", Decimal(price), "2026-11-22T10:00:00Z")


def test_cells_that_share_a_request_are_one_step_in_the_order_of_the_file():
    found = cells(request("b"), request("a"), request("b"))
    made = plan(found)
    assert [[cell.position for cell in step.cells] for step in made.steps] == [[0, 2], [1]]
    assert made.total(Submit).usd == Decimal("0.060")
    assert made == plan(found)


def line(event, **data):
    return line_of(event, key_of(request()), **{"origin": ORIGIN, "usd": "0.030", "job_id": "j", **data})


SUBMITTING, SUBMITTED, DONE = line("submitting"), line("submitted"), line("done", result=result().to_json())
LOST, DECLINED, FAILED = line("unanswered"), line("declined"), line("failed", code="nsfw")
CLEARED, ADOPTED = line("cleared"), line("adopted")


@pytest.mark.parametrize(
    ("lines", "action", "reason"),
    [
        ([], Submit, "new"),
        ([SUBMITTING], Hold, "answer was lost"),
        ([SUBMITTING, DECLINED], Submit, "new"),
        ([SUBMITTING, LOST], Hold, "answer was lost"),
        ([SUBMITTING, SUBMITTED], Attach, "job j is in flight"),
        ([SUBMITTING, SUBMITTED, FAILED], Rejected, "rejected by Krea before: nsfw"),
        ([SUBMITTING, SUBMITTED, FAILED, SUBMITTING, SUBMITTED], Attach, "in flight"),
        ([SUBMITTING, SUBMITTED, FAILED, SUBMITTING, SUBMITTED, DONE], Submit, "new"),
        ([SUBMITTING, LOST, SUBMITTING, SUBMITTED], Attach, "in flight"),
        ([SUBMITTED, line("submitted", job_id="k")], Attach, "job k"),
        ([LOST], Hold, "answer was lost"),
        ([SUBMITTING, LOST, CLEARED], Submit, "new"),
        ([SUBMITTING, LOST, SUBMITTING, DECLINED], Hold, "answer was lost"),
        ([SUBMITTING, SUBMITTING, DECLINED], Hold, "answer was lost"),
        ([SUBMITTING, ADOPTED], Attach, "job j is in flight"),
        ([SUBMITTING, ADOPTED, line("disowned")], Hold, "answer was lost"),
        ([SUBMITTING, SUBMITTED, line("attached")], Attach, "job j is in flight"),
        ([SUBMITTING, SUBMITTED, line("unfetched")], Attach, "job j is in flight"),
        ([SUBMITTING, SUBMITTED, line("unseen")], Attach, "job j is in flight"),
        ([SUBMITTING, SUBMITTED, line("failed", code="empty")], Attach, "completed without an image"),
        ([SUBMITTING, SUBMITTED, line("unfetched", code="empty")], Attach, "read again at no cost: it was completed"),
        ([SUBMITTING, SUBMITTED, line("unfetched", code="wrong_size")], Attach, "does not have the requested size"),
        ([line("failed", code="empty")], Hold, "completed without an image"),
        ([SUBMITTING, SUBMITTED, line("failed", code="cancelled")], Submit, "cancelled before it was generated"),
    ],
)
def test_the_journal_decides_what_is_in_flight(lines, action, reason):
    step = plan(cells(request()), known(lines=lines)).steps[0]
    assert isinstance(step.action, action)
    assert reason in step.reason


DRAWN = [SUBMITTING, SUBMITTED, replace(DONE, run="r")]
REPORTED = replace(line_of("reported", "r"), run="r")


@pytest.mark.parametrize(
    ("more", "alive", "counted"),
    [
        ([REPORTED], [], True),
        ([], [], False),
        ([], ["r"], True),
        ([line("counted")], [], True),
        ([REPORTED, line("attached", run="s"), line("unfetched", run="s")], [], True),
        ([REPORTED, line("attached", run="s"), replace(DONE, run="s")], [], True),
        ([REPORTED, line("unseen", job_id="k")], [], True),
    ],
)
def test_a_lost_image_is_read_again_from_its_job(more, alive, counted):
    found = known(lines=[*DRAWN, *more], damaged=[key_of(request())], alive=alive)
    (step,) = plan(cells(request()), found).steps
    assert isinstance(step.action, Attach)
    assert (step.action.job_id, step.action.was_stored, step.action.counted) == ("j", True, counted)
    assert plan(cells(request()), found).total(Attach).usd == 0
    assert plan(cells(request()), found, origin="https://elsewhere").total(Submit).count == 1


@pytest.mark.parametrize(("reported", "counted"), [([REPORTED], True), ([], False)])
def test_a_price_is_counted_by_the_first_run_that_reports_it(reported, counted):
    lines = [SUBMITTING, SUBMITTED, line("unfetched", run="r"), *reported, replace(DONE, run="s")]
    (step,) = plan(cells(request()), known(results={key_of(request()): result()}, lines=lines)).steps
    assert isinstance(step.action, Reuse)
    assert step.action.counted == counted


def test_the_job_of_a_lost_image_is_replaced_when_asked_once_krea_has_said_that_it_is_gone():
    lines = [*DRAWN, line("attached", run="s")]
    for more, action in (([], Attach), ([line("unseen")], Submit)):
        found = known(lines=[*lines, *more], damaged=[key_of(request())])
        assert isinstance(plan(cells(request()), found, resubmit=True).steps[0].action, action)


@pytest.mark.parametrize(
    ("lines", "action", "reason"),
    [
        ([replace(SUBMITTING, run="r")], Hold, "another run is sending it"),
        ([SUBMITTING, replace(SUBMITTED, run="r")], Attach, "job j is in flight; another run waits for it"),
        ([SUBMITTING, SUBMITTED, line("attached", run="r")], Attach, "job j is in flight; another run waits for it"),
    ],
)
@pytest.mark.parametrize("resubmit", [False, True])
def test_what_a_living_run_works_on_is_left_to_it(lines, action, reason, resubmit):
    (step,) = plan(cells(request()), known(lines=lines, alive=["r"]), resubmit=resubmit).steps
    assert (type(step.action), step.reason) == (action, reason)


def test_jobs_of_another_address_are_not_attached_to():
    made = plan(cells(request()), known(lines=[SUBMITTING, SUBMITTED]), origin="https://elsewhere")
    assert made.total(Submit).count == 1


def test_a_lost_answer_is_sent_again_when_asked():
    made = plan(cells(request()), known(lines=[SUBMITTING, LOST]), resubmit=True)
    assert made.total(Submit).usd == Decimal("0.030")
    assert not made.total(Hold).count


@pytest.mark.parametrize("lack", ["unfetched", "unseen"])
def test_a_job_that_gives_no_image_is_sent_again_when_asked(lack):
    lines = [SUBMITTING, SUBMITTED, line(lack, run="earlier")]
    assert plan(cells(request()), known(lines=lines), resubmit=True).steps[0].action == Submit(again=True)


def test_what_is_stored_is_reused_even_when_a_job_is_in_flight():
    key = key_of(request())
    made = plan(cells(request()), known(results={key: result()}, lines=[SUBMITTING, SUBMITTED]))
    assert isinstance(made.steps[0].action, Reuse)
    assert not made.has_calls
    assert not made.has_work


def test_only_what_is_sent_is_uploaded_once():
    styled = [
        request(name, references=(Weighted(LOOK.source, 0.5), Weighted(ByUrl("https://x/y.png"), 0.5))) for name in "ab"
    ]
    stored = request("c", references=(Weighted(HARBOUR.source, 0.5),))
    made = plan(cells(*styled, stored), known(results={key_of(stored): result()}))
    assert [image.label for image in made.uploads] == ["look.png"]


def test_a_free_api_costs_nothing():
    assert plan(cells(request(), request("b")), free=True).total(Submit).usd == 0


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({}, {}, "new"),
        ({"prompt": "b"}, {}, "prompt changed"),
        ({"creativity": "low"}, {}, "creativity low → raw"),
        ({"seed": None}, {}, "seed none → 1"),
        ({"seed": 7}, {"seed": None}, "seed 7 → none"),
        ({"prompt": "b", "intensity": -20}, {}, "prompt changed, intensity -20 → 0"),
        ({"references": ((LOOK, 0.5),)}, {}, "references removed"),
        ({}, {"references": ((LOOK, 0.5),)}, "look.png changed"),
        ({"references": ((LOOK, 0.5),)}, {"references": ((HARBOUR, 0.5),)}, "refs/harbour.jpg changed"),
        ({"references": ((LOOK, 0.5),)}, {"references": ((LOOK, 0.75),)}, "reference strength changed"),
        (
            {"references": ((LOOK, 0.5), (HARBOUR, 0.5))},
            {"references": ((HARBOUR, 0.5), (LOOK, 0.5))},
            "reference order changed",
        ),
        ({"moodboards": (Weighted("m", 0.5),)}, {"moodboards": (Weighted("m", 0.6),)}, "moodboards changed"),
    ],
)
def test_a_change_is_told_in_a_few_words(before, now, words):
    assert describe_change(fields(before), fields(now), IMAGES) == words


def fields(changes):
    styles = tuple(Weighted(image.source, strength) for image, strength in changes.get("references", ()))
    return request(**{"references": styles, **{k: v for k, v in changes.items() if k != "references"}}).fields()
