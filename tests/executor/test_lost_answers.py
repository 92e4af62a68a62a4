"""A POST whose answer is lost is no second order: Krea's list of jobs tells what became of it, or it stays open."""

import asyncio

import pytest
from krea_server import GENERATE, ask, send_answer
from money import (
    HTML,
    answer_without_a_job,
    break_off,
    check_paid_once,
    draw,
    drop,
    hide_behind_a_gateway,
    intrude,
    job_ids,
    lose_after_acting,
    order,
)


@pytest.fixture(autouse=True)
def pictures(krea):
    """Pictures of the size that is asked for: without it nothing is adopted."""
    draw(krea)


def events(row):
    return [attempt["event"] for attempt in row["attempts"]]


async def time_out(scope, seen, send, app):
    await ask(app, scope, seen)
    await send_answer(send, 408, {"content-length": "0"}, b"")


async def answer_with_a_page(scope, seen, send, app):
    await ask(app, scope, seen)
    await send_answer(send, 200, {"content-type": "text/html", "content-length": str(len(HTML))}, HTML)


@pytest.mark.parametrize(
    "loss", [lose_after_acting, hide_behind_a_gateway, time_out, answer_with_a_page, answer_without_a_job]
)
def test_the_job_of_a_lost_answer_is_found_and_adopted(project, krea, loss):
    krea.rule("POST", GENERATE, loss, text="b", times=1)
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (0, (3, 0, 0)), done.text
    assert {word: row["adopted"] for word, row in done.rows.items()} == {"a": False, "b": True, "c": False}
    assert done.rows["b"]["job_id"] in job_ids(krea, "b")
    assert done.json["cost"]["spent_usd"] == "0.09"
    assert done.json["adopted"] == [done.rows["b"]["id"]]
    assert len(krea.posts) == 3
    check_paid_once(project, krea, ["a", "b", "c"])
    again = project.run("run", "p.yaml", "--json")
    assert (again.counts, again.rows["b"]["adopted"], again.rows["b"]["status"]) == ((0, 0, 3), True, "reused")


@pytest.mark.parametrize("status", [408, 500, 502, 503, 200])
def test_a_request_that_krea_did_not_take_is_sent_again(project, krea, status):
    krea.answer("POST", GENERATE, status, HTML, text="b", times=2)
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (0, (3, 0, 0)), done.text
    assert events(done.rows["b"])[:4] == ["unanswered", "not_taken", "unanswered", "not_taken"]
    assert (done.rows["b"]["adopted"], len(krea.posts)) == (False, 5)
    check_paid_once(project, krea, ["a", "b", "c"])


def test_a_request_whose_connection_broke_before_krea_acted_is_sent_again(project, krea):
    drop(krea, text="b")
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["b"]["adopted"]) == (0, False), done.text
    check_paid_once(project, krea, ["a", "b", "c"])


def test_a_job_that_is_in_the_list_a_moment_after_the_answer_was_lost_is_found(project, krea):
    later = []

    async def take_it(scope, seen, app):
        await asyncio.sleep(0.1)
        await ask(app, scope, seen)

    async def act_late(scope, seen, send, app):
        later.append(asyncio.create_task(take_it(scope, seen, app)))
        await break_off(send)

    krea.rule("POST", GENERATE, act_late, times=1)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json", env={"KREA_PIPE_POLL_SECONDS": "0.1"})
    assert (done.code, done.rows["a"]["adopted"]) == (0, True), done.text
    check_paid_once(project, krea, ["a"])


def test_krea_is_asked_for_its_jobs_before_a_request_is_sent_again(project, krea):
    krea.answer("POST", GENERATE, 503, HTML, text="b", times=1)
    project.pipeline(["a", "b"])
    assert project.run("run", "p.yaml").code == 0
    calls = [(one.method, one.path) for one in krea.seen]
    _, first, second = (place for place, (method, _) in enumerate(calls) if method == "POST")
    assert ("GET", "/jobs") in calls[first + 1 : second]


def test_a_request_that_krea_never_answers_is_given_up_unpaid(project, krea):
    krea.answer("POST", GENERATE, 500, HTML, text="b")
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    error = done.rows["b"]["error"]
    assert (done.code, error["code"], error["class"]) == (1, "no_answer", "transient")
    assert done.json["cost"]["spent_usd"] == "0.03"
    assert project.plan()["b"][0] == "new"


@pytest.mark.parametrize("hours", [-7, 7])
@pytest.mark.parametrize("taken", [True, False])
def test_clocks_that_are_hours_apart_change_nothing(project, krea, hours, taken):
    krea.clock.advance(hours * 3600)
    krea.rule("POST", GENERATE, lose_after_acting, text="b", times=1) if taken else drop(krea, text="b")
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["b"]["adopted"]) == (0, taken), done.text
    check_paid_once(project, krea, ["a", "b", "c"])


@pytest.mark.parametrize("after", [True, False])
def test_another_job_on_the_account_leaves_a_lost_answer_open(project, krea, after):
    foreign = intrude(krea, text="b", after=after)
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    row = done.rows["b"]
    assert (done.code, row["status"], row["image"]) == (1, "uncertain", None), done.text
    assert (row["error"]["code"], row["error"]["class"]) == ("answer_lost", "uncertain")
    assert sorted(row["error"]["candidates"]) == sorted([*foreign, *job_ids(krea, "b")])
    assert (row["cost_usd"], done.json["cost"]["uncertain_usd"]) == ("0.03", "0.03")
    assert done.counts == (2, 0, 0)
    assert project.plan()["b"][0] == "hold"
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.rows["b"]["status"]) == (1, "uncertain")
    assert len(krea.posts) == 3


def test_a_job_from_before_the_run_is_no_candidate(project, krea):
    krea.answer("POST", GENERATE, 500, HTML, text="b", times=1)
    project.write("other.yaml", 'version: 1\nprompt: "other"\nbudget: {usd: 1}\n')
    elsewhere = {"KREA_PIPE_HOME": str(project.path / "elsewhere")}
    assert project.run("run", "other.yaml", env=elsewhere).code == 0
    krea.clock.advance(60)
    krea.rule("POST", GENERATE, lose_after_acting, text="a", times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["adopted"]) == (0, True), done.text
    assert krea.billed_prompts() == ["a", "b", "other"]


def test_a_strangers_failed_job_is_no_candidate(project, krea):
    async def intrude_in_vain(scope, seen, send, app):
        await order(app, scope, "local:fail-nsfw")
        await break_off(send)

    krea.rule("POST", GENERATE, intrude_in_vain, text="b", times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (0, (2, 0, 0)), done.text
    check_paid_once(project, krea, ["a", "b"])


def test_the_failed_job_of_a_lost_answer_is_no_sign_of_someone_else(project, krea):
    """Krea has refused what it drew for `b`, whose answer was lost; that of `c` is lost as well."""

    async def fail_unheard(scope, seen, send, app):
        await order(app, scope, "local:fail-nsfw")
        await break_off(send)

    krea.rule("POST", GENERATE, fail_unheard, text='"b"', times=1)
    krea.rule("POST", GENERATE, lose_after_acting, text='"c"', times=1)
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["c"]["adopted"]) == (0, True), done.text
    check_paid_once(project, krea, ["a", "b", "c"])


def test_two_answers_that_are_lost_at_once_can_not_be_told_apart(project, krea):
    arrived = []

    async def lose_both(scope, seen, send, app):
        await ask(app, scope, seen)
        arrived.append(seen)
        while len(arrived) < 2:
            await asyncio.sleep(0.01)
        await break_off(send)

    krea.rule("POST", GENERATE, lose_both, times=2)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json", "--submit-parallel", "2")
    assert done.code == 1
    assert {row["status"] for row in done.rows.values()} == {"uncertain"}
    jobs = sorted(job_ids(krea, "a") + job_ids(krea, "b"))
    assert [sorted(row["error"]["candidates"]) for row in done.rows.values()] == [jobs, jobs]
    assert done.json["cost"]["uncertain_usd"] == "0.06"


def test_one_of_two_answers_that_are_lost_at_once_is_not_taken_for_the_other(project, krea):
    arrived = []

    async def lose_both_take_one(scope, seen, send, app):
        if b'"b"' in seen.body:
            await ask(app, scope, seen)
        arrived.append(seen)
        while len(arrived) < 2:
            await asyncio.sleep(0.01)
        await break_off(send)

    krea.rule("POST", GENERATE, lose_both_take_one, times=2)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json", "--submit-parallel", "2")
    assert {word: row["status"] for word, row in done.rows.items()} == {"a": "uncertain", "b": "uncertain"}
    assert krea.billed_prompts() == ["b"]
    assert not project.image("a").exists()
