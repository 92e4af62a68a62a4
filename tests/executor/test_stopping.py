"""Signals: what waits is cancelled, what runs is brought in, nothing new is sent, and the next run goes on."""

import asyncio
import signal

import pytest
from krea_rules import change_list
from krea_server import GENERATE, picture, send_answer, until
from money import job_ids
from stopped_run import Hold, started, statuses, two_machines

from krea_pipe.core.contract import SIZES

WORDS = ["a", "b", "c", "d", "e", "f"]
REST = WORDS[2:]


@pytest.fixture(autouse=True)
def _two_machines(krea):
    two_machines(krea)


def deleted(krea):
    """The prompts of the jobs that Krea was asked to cancel."""
    ids = {one.path.removeprefix("/jobs/") for one in krea.calls("DELETE", "/jobs/")}
    return sorted(job.brief.order.prompt for job in krea.world.jobs if job.id in ids)


def cancelled(krea):
    """The prompts of the jobs that Krea has cancelled."""
    return sorted(prompt for prompt, status in statuses(krea).items() if status == "cancelled")


def goes_on(project, krea, *, words=WORDS, posts=None):
    """The next run draws what is missing, and in the end each is billed once."""
    krea.rules.clear()
    krea.world.concurrency = None
    krea.finish_jobs()
    before = len(krea.posts)
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 0, done.text
    assert krea.billed_prompts() == words
    if posts is not None:
        assert len(krea.posts) - before == posts
    return done


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_what_waits_is_cancelled_what_runs_is_brought_in_and_the_rest_is_not_sent(project, krea, kind):
    project.pipeline([*WORDS, "g", "h"])
    run = started(project, "--json", "--concurrency", "6", running=6)
    run.signal(kind)
    until(lambda: cancelled(krea) == REST, "the cancellation of what waits")
    assert run.process.poll() is None, "it waits for what is processed"
    krea.finish_jobs()
    done = run.end()
    assert (done.code, done.json["exit_code"], done.report["exit_code"]) == (130, 130, 130)
    assert [row["status"] for row in done.report["cells"]] == ["succeeded"] * 2 + ["pending"] * 6
    assert (done.json["cost"]["spent_usd"], done.json["cost"]["in_flight_usd"]) == ("0.06", "0.00")
    assert statuses(krea) == {"a": "completed", "b": "completed", **dict.fromkeys(REST, "cancelled")}
    assert krea.billed_prompts() == ["a", "b"]
    assert (len(krea.posts), deleted(krea)) == (6, REST)
    assert project.plan()["c"] == ("new", "cancelled before it was generated")
    assert project.plan()["h"] == ("new", "new")
    again = goes_on(project, krea, words=[*WORDS, "g", "h"], posts=6)
    assert again.counts == (6, 0, 2)


def test_people_are_told_what_happens_and_the_command_that_goes_on(project, krea):
    project.pipeline(WORDS)
    run = started(project, "--max-cost", "4", running=6)
    run.signal(signal.SIGINT)
    until(lambda: len(cancelled(krea)) == 4)
    krea.finish_jobs()
    done = run.end()
    assert done.code == 130
    assert "Cancelling queued jobs, collecting running ones. Press Ctrl-C again to quit now." in done.err
    assert done.err.endswith("krea-pipe run p.yaml --max-cost 4\n")
    assert "nothing is charged twice" in done.err
    assert "4 pending" in done.out


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_job_that_krea_does_not_cancel_is_waited_for(project, krea, status):
    """Whatever Krea answers to DELETE, how the job stands is what counts."""
    krea.answer("DELETE", "/jobs/", status, b"")
    project.pipeline(WORDS)
    run = started(project, "--json", running=6)
    run.signal(signal.SIGTERM)
    until(lambda: deleted(krea) == REST)
    krea.world.concurrency = None
    krea.finish_jobs()
    done = run.end()
    assert (done.code, done.counts) == (130, (6, 0, 0))
    assert krea.billed_prompts() == WORDS
    assert goes_on(project, krea, posts=0).counts == (0, 0, 6)


def test_a_job_that_krea_cancelled_and_shows_no_more_is_drawn_by_the_next_run(project, krea):
    project.pipeline(WORDS)
    run = started(project, "--json", running=6)
    change_list(krea, lambda _, job: None if job["status"] == "cancelled" else job)
    krea.answer("GET", "/jobs/", 404, {"error": "Job not found"})
    run.signal(signal.SIGINT)
    until(lambda: cancelled(krea) == REST)
    krea.finish_jobs()
    done = run.end()
    assert (done.code, done.json["cells"]["succeeded"], done.json["cells"]["pending"]) == (130, 2, 4)
    goes_on(project, krea, posts=4)


def test_a_cancellation_that_gets_lost_once_is_asked_for_again(project, krea):
    krea.answer("DELETE", "/jobs/", 502, b"<html>Bad gateway</html>", times=3)
    project.pipeline(WORDS)
    run = started(project, "--json", running=6)
    run.signal(signal.SIGINT)
    until(lambda: list(statuses(krea).values()).count("cancelled") == 4, "the cancellation of what waits")
    krea.finish_jobs()
    assert run.end().json["cells"]["pending"] == 4
    goes_on(project, krea, posts=4)


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_job_whose_post_was_under_way_is_cancelled_too(project, krea, parallel):
    """The answer comes after the signal: the job is known then, and waits."""
    held = WORDS[2 : 2 + parallel]
    answers = Hold(after=2).posts(krea, *held)
    project.pipeline([*WORDS, "g"])
    run = started(project, "--json", "--submit-parallel", str(parallel), running=2)
    until(lambda: len(answers.held) == parallel, "the POSTs")
    run.signal(signal.SIGINT)
    answers.released.set()
    until(lambda: cancelled(krea) == held, "the cancellation of what came after the signal")
    krea.finish_jobs()
    done = run.end()
    assert (done.code, done.json["cells"]["succeeded"], done.json["cells"]["pending"]) == (130, 2, 5)
    assert len(krea.posts) == 2 + parallel
    goes_on(project, krea, words=[*WORDS, "g"], posts=5)


def test_an_answer_that_is_lost_after_the_signal_is_still_looked_for(project, krea):
    krea.real_images = True
    answers = Hold()
    project.pipeline(["a", "b", "c"])
    krea.lose("POST", GENERATE, text='"c"', times=1)
    answers.rule(krea, "GET", "/jobs")
    run = started(project, "--json")
    until(lambda: answers.held)
    answers.released.set()
    until(lambda: job_ids(krea, "c"), "the job whose answer is lost")
    krea.clock.advance(300)
    run.signal(signal.SIGINT)
    krea.rules.clear()
    krea.finish_jobs()
    done = run.end()
    assert done.code == 130
    assert len(krea.posts) == 3
    goes_on(project, krea, words=["a", "b", "c"])


def test_a_second_signal_leaves_at_once_and_the_next_run_attaches_to_what_runs(project, krea):
    project.pipeline(WORDS)
    run = started(project, running=6)
    run.signal(signal.SIGINT)
    until(lambda: len(project.events("failed")) == 4, "the cancelled ones in the journal")
    run.process.send_signal(signal.SIGTERM)
    done = run.end()
    assert done.code == 130
    assert statuses(krea)["a"] == "processing"
    actions = {word: action for word, (action, _) in project.plan().items()}
    assert actions == {"a": "attach", "b": "attach", **dict.fromkeys(REST, "new")}
    goes_on(project, krea, posts=4)


def test_a_second_signal_before_a_cancellation_is_written_loses_nothing(project, krea):
    answers = Hold().rule(krea, "DELETE", "/jobs/")
    project.pipeline(WORDS)
    run = started(project, running=6)
    run.signal(signal.SIGINT)
    until(lambda: deleted(krea) == REST)
    run.process.send_signal(signal.SIGINT)
    assert run.end().code == 130
    answers.released.set()
    krea.rules.clear()
    krea.finish_jobs()
    first = project.run("run", "p.yaml", "--json")
    assert first.json["cells"]["succeeded"] >= 2
    goes_on(project, krea)


def test_a_second_signal_does_not_wait_for_images_that_are_still_to_be_stored(project, krea):
    words = [f"w{number}" for number in range(24)]
    krea.world.concurrency = None
    large = picture(size=(8000, 8000), compress_level=1)

    async def serve(scope, seen, send, app):  # many at once, and each is another image by its digest
        while len(krea.calls("GET", "/images/")) < len(words) / 2:
            await asyncio.sleep(0.01)
        await send_answer(send, 200, {"content-type": "image/png"}, large + seen.path.encode())

    krea.rule("GET", "/images/", serve)
    project.pipeline(words)
    run = started(project, running=len(words))
    krea.finish_jobs()
    until(lambda: len(krea.calls("GET", "/images/")) == len(words), "the images")
    run.signal(signal.SIGINT)
    run.process.send_signal(signal.SIGINT)
    assert run.end().code == 130
    assert len(project.blobs()) < len(words)
    krea.rules.clear()
    krea.answer("GET", "/images/", 200, picture(size=SIZES["1:1"]), headers={"content-type": "image/png"})
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.posts) == len(words)


@pytest.mark.parametrize("wait", ["300", None])
def test_a_run_that_waits_for_krea_to_have_room_stops_at_once(project, krea, wait):
    headers = {} if wait is None else {"retry-after": wait}
    krea.answer("POST", GENERATE, 429, {"error": "full"}, headers=headers)
    project.pipeline(WORDS)
    run = started(project, "--json")
    until(lambda: krea.posts)
    run.signal(signal.SIGTERM)
    done = run.end()
    assert (done.code, done.json["cells"]["pending"]) == (130, 6)
    assert krea.world.jobs == ()
    goes_on(project, krea, posts=6)


def test_a_signal_before_the_first_request_sends_none(project, krea):
    answers = Hold().rule(krea, "GET", "/jobs")
    project.pipeline(WORDS)
    run = started(project, "--json")
    until(lambda: answers.held)
    run.signal(signal.SIGINT)
    answers.released.set()
    done = run.end()
    assert (done.code, done.json["cells"]["pending"], krea.posts) == (130, 6, [])


def test_an_image_that_is_being_fetched_is_brought_in(project, krea):
    project.pipeline(["a", "b"])
    answers = Hold().rule(krea, "GET", "/images/")
    krea.real_images = False
    run = started(project, "--json", running=2)
    krea.finish_jobs()
    until(lambda: len(answers.held) == 2, "the downloads")
    krea.rules.clear()
    run.signal(signal.SIGTERM)
    answers.released.set()
    done = run.end()
    assert (done.code, done.counts) == (130, (2, 0, 0))
    assert project.image("a").is_file()
    assert krea.calls("DELETE", "/jobs/") == []
