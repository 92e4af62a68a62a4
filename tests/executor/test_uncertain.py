"""Requests that may have been paid, when the list of jobs does not settle it: they are held, shown, and decided on."""

import json
from datetime import timedelta

import httpx
import pytest
from krea_server import GENERATE
from money import SIZE, STRANGER, change_list, check_paid_once, colour, draw, drawing, hide, intrude, job_ids
from PIL import Image

from krea_pipe.core.outcome import iso


@pytest.fixture(autouse=True)
def pictures(krea):
    """Pictures of the size that is asked for: without it nothing is adopted."""
    draw(krea)


def lose_with_strangers(project, krea):
    """A run that leaves `b` uncertain, because someone else has started two jobs meanwhile."""
    foreign = intrude(krea, text="b", jobs=2)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["b"]["status"]) == (1, "uncertain"), done.text
    return foreign


def lose_without_the_list(project, krea):
    """A run that leaves `b` uncertain, which Krea has taken, because the list of jobs cannot be read."""
    krea.answer("GET", "/jobs", 500, b"")
    krea.lose("POST", GENERATE, text="b", times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["b"]["status"]) == (1, "uncertain"), done.text
    krea.rules.clear()
    draw(krea)


@pytest.mark.parametrize("status", [404, 500])
def test_without_the_list_of_jobs_nothing_is_sent_again(project, krea, status):
    krea.answer("POST", GENERATE, 502, b"", text="b", times=1)
    krea.answer("GET", "/jobs", status, b"<title>no list</title>")
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert {word: row["status"] for word, row in done.rows.items()} == {"a": "succeeded", "b": "uncertain"}
    assert (done.code, len(krea.posts), done.rows["b"]["error"]["candidates"]) == (1, 2, [])
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, len(krea.posts)) == (1, 2)
    krea.rules.clear()
    draw(krea)
    assert project.run("run", "p.yaml", "--json").code == 0
    check_paid_once(project, krea, ["a", "b"])


def test_a_list_that_lacks_a_job_that_exists_is_not_believed(project, krea):
    hide(krea, "a", "b")
    krea.lose("POST", GENERATE, text="b", times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert {word: row["status"] for word, row in done.rows.items()} == {"a": "succeeded", "b": "uncertain"}
    assert job_ids(krea, "a")[0] in done.rows["b"]["error"]["message"]
    krea.rules.clear()
    draw(krea)
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.rows["b"]["adopted"]) == (0, True), again.text
    check_paid_once(project, krea, ["a", "b"])


def test_a_job_in_a_list_without_times_is_not_taken_for_that_of_a_lost_answer(project, krea):
    change_list(krea, lambda jobs: [{**job, "created_at": None} for job in jobs])
    krea.lose("POST", GENERATE, text="b", times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.rows["b"]["status"], len(krea.posts)) == ("uncertain", 2)


@pytest.mark.parametrize(("minutes", "status"), [(40, "uncertain"), (20, "succeeded")])
def test_any_job_of_someone_else_since_the_run_began_forbids_to_adopt(project, krea, minutes, status):
    """Here one of half an hour ago, long before the POST."""
    began = iso(krea.clock() - timedelta(minutes=minutes))
    krea.clock.advance(-1800)
    body = {"prompt": STRANGER, "aspect_ratio": "1:1", "resolution": "1K"}
    key = {"Authorization": "Bearer someone-else"}
    httpx.post(f"{krea.base}{GENERATE}image/krea/krea-2/medium", json=body, headers=key).raise_for_status()
    krea.clock.advance(1800)
    lose_without_the_list(project, krea)
    journal = project.space / "journal.jsonl"
    lines = [{**line, "began": began} if "began" in line else line for line in project.journal()]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    row = project.run("run", "p.yaml", "--json").rows["b"]
    assert row["status"] == status
    assert not row["error"] or row["error"]["candidates"] == job_ids(krea, "b")


def test_another_key_does_not_settle_what_the_first_one_has_sent(project, krea):
    lose_without_the_list(project, krea)
    other = project.run("run", "p.yaml", "--json", env={"KREA_API_KEY": "another-key-0815"})
    assert (other.code, other.rows["b"]["status"], len(krea.posts)) == (1, "uncertain", 2)
    assert "another key" in other.rows["b"]["error"]["message"]
    assert project.run("run", "p.yaml", "--json").rows["b"]["adopted"] is True
    check_paid_once(project, krea, ["a", "b"])


def test_a_picture_of_another_size_is_not_taken_for_the_lost_one(project, krea):
    krea.image(drawing("b", (SIZE[0], SIZE[1] + 64)), text="b")
    krea.lose("POST", GENERATE, text="b", times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    row = done.rows["b"]
    assert {word: row["status"] for word, row in done.rows.items()} == {"a": "succeeded", "b": "uncertain"}
    assert row["error"]["candidates"] == job_ids(krea, "b")
    assert (row["image"], project.image("b").exists(), row["cost_usd"]) == (None, False, "0.03")
    assert done.json["cost"] == {**done.json["cost"], "spent_usd": "0.03", "uncertain_usd": "0.03"}
    assert project.plan()["b"][0] == "hold"
    forced = project.run("run", "p.yaml", "--json", "--uncertain", "adopt")
    assert forced.rows["b"]["status"] == "uncertain"
    assert len(krea.posts) == 2


def test_hold_leaves_an_uncertain_request_as_it_is(project, krea):
    foreign = lose_with_strangers(project, krea)
    done = project.run("run", "p.yaml", "--json", "--uncertain", "hold")
    assert (done.code, done.rows["b"]["status"], len(krea.posts)) == (1, "uncertain", 2)
    assert sorted(done.rows["b"]["error"]["candidates"]) == sorted([*foreign, *job_ids(krea, "b")])
    message = done.rows["b"]["error"]["message"]
    assert all(word in message for word in (*foreign, "$0.03", "--uncertain resubmit", "adopt"))


def test_adopt_takes_the_job_that_is_nearest_in_time(project, krea):
    intrude(krea, text="b", after=True, seconds=5)
    project.pipeline(["a", "b"])
    assert project.run("run", "p.yaml").code == 1
    done = project.run("run", "p.yaml", "--json", "--uncertain", "adopt")
    assert (done.code, done.rows["b"]["adopted"], len(krea.posts)) == (0, True, 2), done.text
    assert done.rows["b"]["job_id"] == job_ids(krea, "b")[0]
    with Image.open(project.image("b")) as image:
        assert image.getpixel((0, 0)) == colour("b")


def test_resubmit_pays_again_for_what_the_list_does_not_settle(project, krea):
    lose_with_strangers(project, krea)
    done = project.run("run", "p.yaml", "--json", "--uncertain", "resubmit")
    assert (done.code, done.counts) == (0, (1, 0, 1)), done.text
    assert (done.rows["b"]["adopted"], done.rows["b"]["job_id"]) == (False, job_ids(krea, "b")[1])
    assert krea.world.submits == 2 + 2 + 1
    assert project.run("run", "p.yaml", "--json").counts == (0, 0, 2)


def test_resubmit_pays_again_for_what_was_drawn_in_another_size(project, krea):
    draw(krea, (SIZE[0], SIZE[1] + 64), times=1)
    krea.lose("POST", GENERATE, times=1)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 1
    assert project.run("run", "p.yaml", "--json").rows["a"]["status"] == "uncertain"
    done = project.run("run", "p.yaml", "--json", "--uncertain", "resubmit")
    assert (done.code, done.rows["a"]["job_id"]) == (0, job_ids(krea, "a")[1]), done.text


def test_resubmit_does_not_pay_again_for_what_the_list_settles(project, krea):
    lose_without_the_list(project, krea)
    done = project.run("run", "p.yaml", "--json", "--uncertain", "resubmit")
    assert (done.code, done.rows["b"]["adopted"]) == (0, True), done.text
    check_paid_once(project, krea, ["a", "b"])


def test_what_may_be_paid_counts_as_spent(project, krea):
    lose_with_strangers(project, krea)
    project.pipeline(["a", "b", "c", "d"], more="budget: {usd: 0.08}")
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.json["error"]["code"]) == (5, "over_budget"), done.text
    capped = project.run("run", "p.yaml", "--json", "--max-cost", "0.06")
    assert (capped.code, capped.counts) == (5, (1, 0, 1)), capped.text
    assert len(krea.posts) == 3


def test_a_job_that_is_completed_without_an_image_is_a_failure_of_its_own_kind(project, krea):
    krea.mutate_job(lambda job: {**job, "result": {}} if job["status"] == "completed" else job, text="b")
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    row = done.rows["b"]
    assert (done.code, row["status"], row["error"]["code"], row["error"]["class"]) == (1, "failed", "empty", "empty")
    assert (row["cost_usd"], done.json["cost"]["spent_usd"]) == ("0.03", "0.06")
    assert project.plan()["b"][0] == "attach"
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.rows["b"]["error"]["code"], len(krea.posts)) == (1, "empty", 2)
    assert again.json["cost"]["spent_usd"] == "0.00"
    krea.rules.clear()
    draw(krea)
    assert project.run("run", "p.yaml", "--json", "--uncertain", "resubmit").counts == (1, 0, 1)
    assert len(krea.posts) == 3


def test_a_lost_answer_whose_image_can_not_be_fetched_is_waited_for_by_the_next_run(project, krea):
    krea.lose("POST", GENERATE, times=1)
    krea.image(b"<html>", text="a")
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["error"]["code"]) == (1, "image_unfetched")
    assert project.plan()["a"][0] == "attach"
    krea.rules.clear()
    draw(krea)
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.counts, again.rows["a"]["adopted"]) == (0, (1, 0, 0), True)
    assert (done.json["cost"]["spent_usd"], again.json["cost"]["spent_usd"]) == ("0.03", "0.00")
    check_paid_once(project, krea, ["a"])
