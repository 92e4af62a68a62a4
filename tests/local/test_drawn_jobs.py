"""Jobs whose images are drawn by an engine: processed until the image is there, and failed when there is none."""

from datetime import timedelta
from decimal import Decimal

import pytest

from krea_pipe.local.job import JobOutcome

DRAWN = JobOutcome("image")
FAILED = JobOutcome("failed", "out_of_memory", "there is not enough memory")


class Engine:
    """Ends the jobs that it was given when a test says so."""

    def __init__(self):
        self.begun = []

    def draw(self, job, ended):
        self.begun.append((job, ended))

    def end(self, fate=DRAWN):
        _, ended = self.begun.pop(0)
        ended(fate)

    @property
    def prompts(self):
        return [job.brief.order.prompt for job, _ in self.begun]


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def drawn_box(make_box, engine):
    def make(**settings):
        return make_box(draw=engine.draw, image_of=lambda job: job.brief.order.prompt.encode(), **settings)

    return make


def test_a_job_is_processed_until_its_image_is_drawn(drawn_box, engine):
    box = drawn_box()
    job_id = box.submit(prompt="a lamp")
    image = f"/images/{box.world.job(job_id).image_id}.png"
    for _ in range(3):
        assert box.status(job_id) == "processing"
        assert box.call("GET", image).status_code == 404
        box.clock.advance(1000)
    engine.end()
    assert box.status(job_id) == "completed"
    assert box.call("GET", image).content == b"a lamp"
    assert len(box.world.bills) == 1


def test_an_image_that_is_not_drawn_is_a_failed_job_without_a_bill(drawn_box, engine):
    box = drawn_box(balance_usd=Decimal("0.03"))
    job_id = box.submit()
    assert box.generate().status_code == 402
    engine.end(FAILED)
    job = box.job(job_id)
    assert (job["status"], job["error"]) == (
        "failed",
        {"code": "out_of_memory", "message": "there is not enough memory"},
    )
    assert box.world.bills == ()
    assert box.generate().status_code == 200


def test_an_engine_gets_as_many_jobs_as_run_at_once_in_their_order(drawn_box, engine):
    box = drawn_box(concurrency=2)
    ids = [box.submit(prompt=name) for name in "abcd"]
    assert engine.prompts == ["a", "b"]
    assert [box.status(one) for one in ids] == ["processing", "processing", "backlogged", "backlogged"]
    engine.end()
    assert engine.prompts == ["b", "c"]
    engine.end(FAILED)
    assert engine.prompts == ["c", "d"]
    engine.end()
    engine.end()
    assert [box.status(one) for one in ids] == ["completed", "failed", "completed", "completed"]
    assert engine.prompts == []


def test_a_job_that_is_being_drawn_cannot_be_cancelled_and_one_that_waits_is_never_drawn(drawn_box, engine):
    box = drawn_box(concurrency=1)
    first, second, third = (box.submit(prompt=name) for name in "abc")
    for job_id in (first, second):
        box.call("DELETE", f"/jobs/{job_id}")
    assert [box.status(one) for one in (first, second, third)] == ["processing", "cancelled", "backlogged"]
    engine.end()
    assert engine.prompts == ["c"]


def test_the_times_of_a_job_are_those_of_its_drawing(drawn_box, engine):
    box = drawn_box()
    job_id = box.submit()
    started = box.clock.now
    box.clock.advance(7)
    engine.end()
    assert box.world.job(job_id).finished_at(box.clock.now) == started + timedelta(seconds=7)


def test_a_job_that_a_trigger_word_ends_needs_no_engine(drawn_box, engine):
    box = drawn_box()
    job_id = box.submit(prompt="local:fail-nsfw")
    box.clock.advance(10)
    assert box.status(job_id) == "failed"
    assert engine.begun == []
