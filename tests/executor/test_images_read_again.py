"""Images that were paid and are missing here are read from Krea again, for nothing, and never bought unasked."""

import json
import signal
from decimal import Decimal

import pytest
from chain_files import chain
from krea_server import GENERATE, until
from lost_images import (
    AGAIN,
    GONE,
    corrupt,
    delete,
    delete_folder,
    delete_folder_and_facts,
    edit_journal,
    empty,
    is_gone,
    keep_the_journal_alone,
    kill_while_read,
    money,
    truncate,
)
from money import draw, hide, job_ids, kill, lose_after_acting


@pytest.fixture
def drawn(project, krea):
    """A project whose two images are drawn, paid and reported."""
    project.pipeline(["a", "b"])
    assert project.run("run", "p.yaml").code == 0
    return project


HARMS = [delete, truncate, corrupt, empty, delete_folder, delete_folder_and_facts, keep_the_journal_alone]


@pytest.mark.parametrize("harm", HARMS)
def test_a_lost_image_is_read_again_and_not_bought(drawn, krea, harm):
    before = drawn.image("a").read_bytes()
    lost = 1 if harm in HARMS[:4] else 2
    harm(drawn)
    assert drawn.plan()["a"] == AGAIN
    done = drawn.run("run", "p.yaml", "--json", "--max-cost", "0")
    assert (done.code, done.counts, money(done)) == (0, (lost, 0, 2 - lost), (0, 0)), done.text
    assert (drawn.image("a").read_bytes(), krea.billed_prompts()) == (before, ["a", "b"])
    assert drawn.plan() == {"a": ("reuse", "cached"), "b": ("reuse", "cached")}
    assert drawn.run("run", "p.yaml", "--json").counts == (0, 0, 2)


def test_a_plan_shows_what_is_read_again_as_free(drawn):
    delete(drawn)
    said = drawn.run("plan", "p.yaml").out
    assert (
        "Nothing new; 1 cached ($0.03 saved); 1 fetched from Krea for $0.00 to $0.03, depending on whether it still "
        "has them." in said
    )
    rows = {row["id"].rpartition("/")[2]: row for row in drawn.run("plan", "p.yaml", "--json").json["cells"]}
    assert (rows["a"]["action"], rows["a"]["price_usd"]) == ("fetch", "0.00")


def test_what_is_read_again_takes_nothing_from_the_limits(drawn, krea):
    delete_folder(drawn)
    drawn.pipeline(["a", "b", "c"])
    done = drawn.run("run", "p.yaml", "--json", "--max-cost", "0.03", "--max-new", "1", "--concurrency", "1")
    assert (done.code, done.counts, money(done)[0]) == (0, (3, 0, 0), Decimal("0.03"))
    assert krea.billed_prompts() == ["a", "b", "c"]


def test_an_image_of_another_pipeline_is_read_again(drawn, krea):
    delete(drawn)
    drawn.pipeline(["a"], name="q.yaml")
    done = drawn.run("run", "q.yaml", "--json")
    assert (done.code, done.counts, krea.billed_prompts()) == (0, (1, 0, 0), ["a", "b"])


def test_an_image_that_a_later_stage_needs_is_read_again(project, krea):
    chain(project, ["a"])
    assert project.run("run", "p.yaml", "-k", "stage:one").code == 0
    delete_folder(project)
    assert project.run("run", "p.yaml").code == 0
    assert krea.billed_prompts() == ["a", "a two"]


def test_a_frozen_run_reads_again(drawn, krea):
    delete_folder(drawn)
    done = drawn.run("run", "p.yaml", "--frozen", "--json")
    assert (done.code, done.counts, krea.billed_prompts()) == (0, (2, 0, 0), ["a", "b"])


def test_the_image_of_an_adopted_job_is_read_again(project, krea):
    draw(krea)
    krea.rule("POST", GENERATE, lose_after_acting, text='"a"', times=1)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    delete_folder(project)
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, krea.billed_prompts()) == (0, (1, 0, 0), ["a"])
    assert done.rows["a"]["adopted"]


def test_a_job_of_another_api_is_not_asked_of_this_one(drawn, krea):
    delete(drawn)
    edit_journal(drawn, lambda line: {**line, "origin": "http://localhost:9"} if "origin" in line else line)
    krea.seen.clear()
    assert drawn.plan()["a"] == ("new", "stored image missing or damaged")
    assert drawn.run("run", "p.yaml").code == 0
    asked = {call.path.rpartition("/")[2] for call in krea.calls("GET", "/jobs/")}
    assert (job_ids(krea, "a")[0] in asked, len(krea.posts)) == (False, 1)


def test_a_result_that_a_later_version_wrote_is_read_again(drawn, krea):
    delete_folder_and_facts(drawn)
    edit_journal(drawn, lambda line: {**line, "result": {"mime": "image/new"}} if line["event"] == "done" else line)
    assert set(drawn.plan().values()) == {AGAIN}
    assert drawn.run("run", "p.yaml", "--json").counts == (2, 0, 0)
    assert krea.billed_prompts() == ["a", "b"]


# --- what Krea does not give any more


@pytest.mark.parametrize("status", [404, 410])
def test_an_image_whose_job_is_gone_is_bought_by_the_same_run(drawn, krea, status):
    delete(drawn)
    is_gone(krea, status=status)
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, money(done)) == (0, (1, 0, 1), (Decimal("0.03"), 0)), done.text
    assert krea.billed_prompts() == ["a", "a", "b"]
    assert drawn.plan()["a"] == ("reuse", "cached")


def test_a_job_that_krea_has_after_all_is_read(drawn, krea):
    delete(drawn)
    is_gone(krea, times=1)
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.counts, money(done), krea.billed_prompts()) == ((1, 0, 1), (0, 0), ["a", "b"])


def test_resubmit_alone_buys_nothing_that_krea_may_still_have(drawn, krea):
    delete(drawn)
    assert drawn.run("run", "p.yaml", "--uncertain", "resubmit").code == 0
    assert krea.billed_prompts() == ["a", "b"]


@pytest.mark.parametrize(
    "change",
    [
        lambda job: {**job, "result": None},
        lambda job: {**job, "result": {"urls": []}},
        lambda job: {**job, "status": "cancelled", "result": None},
        lambda job: {**job, "status": "failed", "result": None},
    ],
)
def test_a_job_that_has_lost_its_image_is_not_paid_again_unasked(drawn, krea, change):
    delete(drawn)
    krea.mutate_job(change, text="a")
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["error"]["code"], money(done)) == (1, "image_gone", (0, 0))
    krea.rules.clear()
    assert drawn.run("run", "p.yaml", "--json").counts == (1, 0, 1)
    assert krea.billed_prompts() == ["a", "b"]


def test_an_image_that_cannot_be_fetched_again_costs_nothing(drawn, krea):
    delete(drawn)
    krea.image(b"", status=404, text="a")
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["error"]["code"], money(done)) == (1, "image_unfetched", (0, 0))
    krea.rules.clear()
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.counts, money(done), krea.billed_prompts()) == ((1, 0, 1), (0, 0), ["a", "b"])


def test_a_job_of_another_key_is_asked_for_and_bought_only_on_demand(drawn, krea):
    delete(drawn)
    krea.answer("GET", "/jobs/", 404, GONE)
    krea.answer("GET", "/jobs", 200, {"items": [], "next_cursor": None})
    other = {"KREA_API_KEY": "another-key"}
    done = drawn.run("run", "p.yaml", "--json", env=other)
    assert (done.code, done.rows["a"]["error"]["code"]) == (1, "image_gone")
    assert "with a different key" in done.rows["a"]["error"]["message"]
    krea.rules.clear()
    assert drawn.run("run", "p.yaml").code == 0
    assert krea.billed_prompts() == ["a", "b"]


# --- how it is asked for


def test_a_job_that_is_not_in_the_list_any_more_is_read_alone(drawn, krea):
    delete(drawn)
    hide(krea, "a", "b")
    krea.seen.clear()
    assert drawn.run("run", "p.yaml").code == 0
    assert [call.path for call in krea.calls("GET", "/jobs/")] == [f"/jobs/{job_ids(krea, 'a')[0]}"]
    assert krea.posts == []


def test_a_job_that_cannot_be_read_is_neither_bought_nor_cancelled(drawn, krea):
    delete(drawn)
    for place in ("/jobs", "/jobs/"):
        krea.answer("GET", place, 503)
    done = drawn.run("run", "p.yaml", "--json", "--job-timeout", "1")
    assert (done.code, done.rows["a"]["error"]["code"], money(done)) == (1, "image_unfetched", (0, 0))
    assert (len(krea.posts), krea.calls("DELETE", "/jobs/")) == (2, [])
    krea.rules.clear()
    assert drawn.run("run", "p.yaml", "--json").counts == (1, 0, 1)


def test_an_interrupted_run_cancels_nothing_that_is_read_again(drawn, krea):
    delete(drawn)
    hide(krea, "a")
    krea.answer("GET", "/jobs/", 503)
    process = drawn.start("run", "p.yaml", "--json")
    until(lambda: drawn.events("attached"))
    process.send_signal(signal.SIGINT)
    assert b"Press Ctrl-C again" in process.stderr.readline()
    looks = len(krea.calls("GET", "/jobs"))
    until(lambda: len(krea.calls("GET", "/jobs")) > looks + 2)
    process.send_signal(signal.SIGINT)
    assert drawn.finish(process).code == 130
    assert krea.calls("DELETE", "/jobs/") == []
    krea.rules.clear()
    assert drawn.run("run", "p.yaml", "--json").counts == (1, 0, 1)
    assert krea.billed_prompts() == ["a", "b"]


def test_what_is_read_again_takes_no_place_from_a_new_job(drawn, krea):
    delete(drawn)
    hide(krea, "a")
    krea.answer("GET", "/jobs/", 503)
    drawn.pipeline(["a", "b", "c", "d"])
    process = drawn.start("run", "p.yaml", "--json", "--concurrency", "1")
    until(lambda: len(krea.posts) == 4, "the POSTs of c and d")
    krea.rules.clear()
    assert drawn.finish(process).counts == (3, 0, 1)


def test_a_list_without_a_job_that_is_read_again_still_tells_of_a_lost_answer(project, krea):
    draw(krea)
    for words in ("a", "ab"):
        project.pipeline(words)
        assert project.run("run", "p.yaml").code == 0
    delete(project)
    hide(krea, "a")
    krea.answer("GET", "/jobs/", 503)
    krea.rule("POST", GENERATE, lose_after_acting, text='"c"', times=1)
    project.pipeline("abc")
    done = project.run("run", "p.yaml", "--json", "--job-timeout", "1")
    assert {word: row["status"] for word, row in done.rows.items()} == {"a": "failed", "b": "reused", "c": "succeeded"}
    assert krea.billed_prompts() == ["a", "b", "c"]


# --- what is counted


def test_a_run_that_ends_before_it_has_read_again_has_nothing_in_flight(drawn, krea):
    delete(drawn)
    for place in ("/jobs", "/jobs/"):
        krea.answer("GET", place, 401, {"error": "no"})
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["status"], money(done)) == (4, "pending", (0, 0))


def test_a_run_that_was_killed_while_it_read_again_costs_nothing(drawn, krea):
    delete(drawn)
    kill_while_read(drawn, krea)
    assert drawn.plan()["a"] == AGAIN
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.counts, money(done), krea.billed_prompts()) == ((1, 0, 1), (0, 0), ["a", "b"])


def test_a_run_that_was_killed_after_it_has_read_again_is_not_counted(drawn):
    delete(drawn)
    assert drawn.run("run", "p.yaml").code == 0
    _, *later = drawn.events("reported")
    assert later, "the second run wrote no line to take away"
    lines = [line for line in drawn.journal() if line not in later]
    (drawn.space / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.counts, money(done)) == ((0, 0, 2), (0, 0))


def test_what_a_killed_run_paid_is_counted_once_by_the_run_that_reads_it_again(project, krea):
    krea.mutate_job(lambda job: {**job, "status": "sampling", "completed_at": None}, text="b")
    project.pipeline(["a", "b"])
    process = project.start("run", "p.yaml")
    until(lambda: project.events("done") and len(project.events("submitted")) == 2)
    kill(process)
    krea.rules.clear()
    delete(project)
    done = project.run("run", "p.yaml", "--json")
    assert (done.counts, money(done)[0]) == ((2, 0, 0), Decimal("0.06"))
    delete(project)
    for counts in ((1, 0, 1), (0, 0, 2)):
        done = project.run("run", "p.yaml", "--json")
        assert (done.counts, money(done)[0]) == (counts, 0)


def test_what_a_run_has_counted_is_free_for_one_that_waited_for_it(project, krea):
    krea.image(b"", status=404, text="a")
    krea.mutate_job(lambda job: {**job, "status": "sampling", "completed_at": None}, text="b")
    project.pipeline(["a", "b"])
    project.pipeline(["a"], name="q.yaml")
    first = project.start("run", "p.yaml", "--json")
    until(lambda: project.events("unfetched"))
    second = project.start("run", "q.yaml", "--json")
    until(lambda: list((project.home / "runs").glob("*-q-*")))
    krea.rules.clear()
    done = [project.finish(first), project.finish(second)]
    assert ([one.code for one in done], [money(one)[0] for one in done]) == ([1, 0], [Decimal("0.06"), 0])


def test_two_runs_at_once_read_again_once(drawn, krea):
    delete(drawn)
    drawn.pipeline(["a", "b"], name="q.yaml")
    for place in ("/jobs", "/jobs/"):
        krea.answer("GET", place, 503)
    first = drawn.start("run", "p.yaml", "--json")
    until(lambda: drawn.events("attached"))
    second = drawn.start("run", "q.yaml", "--json")
    until(lambda: list((drawn.space / "running").glob("*-q-*")))
    krea.rules.clear()
    done = [drawn.finish(first), drawn.finish(second)]
    assert ([one.code for one in done], [money(one)[0] for one in done]) == ([0, 0], [0, 0])
    assert (len(drawn.events("attached")), krea.billed_prompts()) == (1, ["a", "b"])
