"""Two runs at once on one home share the work: each request is paid once, and what a dead run left is taken over."""

import asyncio
import signal
import threading

import pytest
from krea_server import GENERATE, ask, send_answer, until
from money import alive, check_paid_once, draw, job_ids, kill, kill_at_post


@pytest.fixture(autouse=True)
def pictures(krea):
    """Pictures of the size that is asked for: without it nothing is adopted."""
    draw(krea)


def prompts(krea):
    return [post.json["prompt"] for post in krea.posts]


def hold_jobs(krea):
    """Jobs end when the test says so."""
    krea.world.latency = 1e6


def pipelines(project, first, second):
    project.pipeline(first)
    project.pipeline(second, name="q.yaml")


def start_second(project, krea, file, own):
    """Start a run with a request of its own, and wait until that is sent: then it knows of all that it shares."""
    process = project.start("run", file, "--json")
    until(lambda: own in prompts(krea), "the second run's own request")
    return process


def statuses(done):
    return {word: row["status"] for word, row in done.rows.items()}


@pytest.mark.parametrize("latency", [0, 0.2])
def test_two_runs_of_one_file_pay_once_and_both_have_every_image(project, krea, latency):
    krea.world.latency = latency
    words = [f"w{number}" for number in range(16)]
    project.pipeline(words)
    both = [project.start("run", "p.yaml", "--json") for _ in range(2)]
    done = [project.finish(process) for process in both]
    assert [one.code for one in done] == [0, 0], done
    assert sorted(prompts(krea)) == sorted(words)
    check_paid_once(project, krea, words)
    first, second = map(statuses, done)
    assert [sorted([first[word], second[word]]) for word in words] == [["reused", "succeeded"]] * len(words)
    costs = [float(one.json["cost"]["spent_usd"]) for one in done]
    assert sum(costs) == pytest.approx(0.03 * len(words))
    assert alive(project) == []


def test_the_second_run_waits_for_the_requests_of_the_first(project, krea):
    hold_jobs(krea)
    pipelines(project, ["a", "b", "c"], ["a", "b", "c", "d"])
    first = project.start("run", "p.yaml", "--json")
    until(lambda: len(project.events("submitted")) == 3, "the first run's requests")
    second = start_second(project, krea, "q.yaml", "d")
    krea.finish_jobs()
    one, two = project.finish(first), project.finish(second)
    assert (one.code, one.counts, two.code, two.counts) == (0, (3, 0, 0), 0, (1, 0, 3))
    assert [attempt["event"] for attempt in two.rows["a"]["attempts"]] == ["waiting", "shared"]
    assert (one.json["cost"]["spent_usd"], two.json["cost"]["spent_usd"]) == ("0.09", "0.03")
    check_paid_once(project, krea, ["a", "b", "c", "d"], out=["out/q"])


def test_a_request_whose_answer_the_first_run_waits_for_is_not_sent_by_the_second(project, krea):
    hold_jobs(krea)
    krea.hang("POST", GENERATE, text='"a"')
    pipelines(project, ["a"], ["a", "b"])
    project.start("run", "p.yaml", "--json")
    until(lambda: krea.posts, "the first run's request")
    assert project.plan()["a"] == ("hold", "another run is sending it")
    second = start_second(project, krea, "q.yaml", "b")
    kill(project.started[0])
    krea.finish_jobs()
    done = project.finish(second)
    assert (done.code, done.counts, done.rows["a"]["adopted"]) == (0, (2, 0, 0), True)
    check_paid_once(project, krea, ["a", "b"], out=["out/q"])


@pytest.mark.parametrize("acts", ["never", "before", "after"])
def test_the_second_run_finds_out_about_the_lost_answer_of_one_that_was_killed(project, krea, acts):
    """The first dies while its POST is under way, which Krea takes or not, and the second waits for that request."""
    kill_at_post(krea, project, "b", acts=acts, when=lambda: "c" in prompts(krea))
    pipelines(project, ["a", "b"], ["a", "b", "c"])
    project.start("run", "p.yaml")
    until(lambda: "b" in prompts(krea), "the first run's request")
    done = project.finish(start_second(project, krea, "q.yaml", "c"))
    assert (done.code, done.rows["b"]["adopted"]) == (0, acts != "never"), done.text
    assert project.started[0].wait() == -9
    check_paid_once(project, krea, ["a", "b", "c"], out=["out/q"])


def test_the_jobs_of_a_run_that_was_killed_are_brought_in_by_one_that_waits(project, krea):
    hold_jobs(krea)
    pipelines(project, ["a", "b", "c"], ["a", "b", "c", "d"])
    first = project.start("run", "p.yaml", "--json")
    until(lambda: len(project.events("submitted")) == 3, "the first run's requests")
    second = start_second(project, krea, "q.yaml", "d")
    assert project.events("attached") == []
    kill(first)
    until(lambda: len(project.events("attached")) == 3, "the jobs to be taken over")
    krea.finish_jobs()
    done = project.finish(second)
    assert (done.code, done.counts) == (0, (4, 0, 0)), done.text
    assert done.json["cost"]["spent_usd"] == "0.12"
    assert sorted(prompts(krea)) == ["a", "b", "c", "d"]
    check_paid_once(project, krea, ["a", "b", "c", "d"], out=["out/q"])


def test_two_runs_that_wait_for_the_same_dead_one_take_each_job_over_once(project, krea):
    hold_jobs(krea)
    pipelines(project, ["a", "b", "c"], ["a", "b", "c", "d"])
    project.pipeline(["a", "b", "c", "e"], name="r.yaml")
    first = project.start("run", "p.yaml")
    until(lambda: len(project.events("submitted")) == 3, "the first run's requests")
    others = [start_second(project, krea, file, own) for file, own in [("q.yaml", "d"), ("r.yaml", "e")]]
    kill(first)
    until(lambda: len(project.events("attached")) == 3, "the jobs to be taken over")
    krea.finish_jobs()
    done = [project.finish(process) for process in others]
    assert [one.code for one in done] == [0, 0]
    for word in "abc":
        assert {statuses(one)[word] for one in done} == {"succeeded", "reused"}
    assert len(project.events("attached")) == 3
    assert krea.billed_prompts() == ["a", "b", "c", "d", "e"]


def test_different_files_share_the_requests_that_they_have_in_common(project, krea):
    words = [f"w{number}" for number in range(15)]
    pipelines(project, words[:10], words[5:])
    both = [project.start("run", file, "--json") for file in ("p.yaml", "q.yaml")]
    done = [project.finish(process) for process in both]
    assert [one.code for one in done] == [0, 0], done
    assert [one.counts[0] + one.counts[2] for one in done] == [10, 10]
    assert sum(one.counts[0] for one in done) == 15
    check_paid_once(project, krea, words, out=("out/p", "out/q"))


def test_what_an_interrupted_run_has_cancelled_is_sent_by_the_one_that_waits(project, krea):
    krea.world.concurrency, krea.world.latency = 1, 1e6
    pipelines(project, ["a", "b", "c"], ["a", "b", "c", "d"])
    first = project.start("run", "p.yaml", "--json")
    until(lambda: len(project.events("submitted")) == 3, "the first run's requests")
    krea.clock.advance(3e5)  # the first job is being drawn now, the others wait
    second = start_second(project, krea, "q.yaml", "d")
    first.send_signal(signal.SIGINT)
    until(lambda: len(project.events("failed")) == 2, "what waits to be cancelled")
    until(lambda: len(krea.posts) == 6, "what was cancelled to be sent again")
    krea.world.concurrency = None
    krea.finish_jobs()
    one, two = project.finish(first), project.finish(second)
    assert (one.code, two.code) == (130, 0), (one.text, two.text)
    assert statuses(one) == {"a": "succeeded", "b": "pending", "c": "pending"}
    assert statuses(two) == {"a": "reused", "b": "succeeded", "c": "succeeded", "d": "succeeded"}
    check_paid_once(project, krea, ["a", "b", "c", "d"], out=["out/q"])


def test_a_lost_answer_is_told_from_the_jobs_of_another_run(project, krea):
    """Also from one whose POST is under way, and whose job is in the list before anyone knows it."""
    hold_jobs(krea)
    release = threading.Event()

    async def answer_late(scope, seen, send, app):
        answer = await ask(app, scope, seen)
        while not release.is_set():
            await asyncio.sleep(0.01)
        await send_answer(send, *answer)

    krea.rule("POST", GENERATE, answer_late, text='"a"')
    krea.lose("POST", GENERATE, text='"b"', times=1)
    pipelines(project, ["a"], ["b", "c"])
    first = project.start("run", "p.yaml", "--json")
    until(lambda: job_ids(krea, "a"), "the first run's job")
    second = project.start("run", "q.yaml", "--json")
    until(lambda: project.events("unanswered"), "the lost answer")
    lists = len(krea.calls("GET", "/jobs"))
    until(lambda: len(krea.calls("GET", "/jobs")) > lists, "the search")
    release.set()
    krea.finish_jobs()
    one, two = project.finish(first), project.finish(second)
    assert (one.code, two.code) == (0, 0), (one.text, two.text)
    assert (two.rows["b"]["adopted"], two.rows["b"]["job_id"]) == (True, job_ids(krea, "b")[0])
    assert krea.billed_prompts() == ["a", "b", "c"]


def test_a_plan_while_a_run_goes_on_says_what_it_works_on(project, krea):
    hold_jobs(krea)
    krea.hang("POST", GENERATE, text='"b"')
    project.pipeline(["a", "b", "c"])
    first = project.start("run", "p.yaml", "--json")
    until(lambda: job_ids(krea, "b"), "the second request")
    job_id = job_ids(krea, "a")[0]
    assert project.plan() == {
        "a": ("attach", f"job {job_id} is in flight; another run waits for it"),
        "b": ("hold", "another run is sending it"),
        "c": ("new", "new"),
    }
    kill(first)
    assert project.plan()["a"] == ("attach", f"job {job_id} is in flight")
    assert project.plan()["b"] == ("hold", "an earlier answer was lost, so Krea may have generated and billed it")
