"""Chains that are stopped in the middle, by a signal, a crash or a limit: the next run goes on, each is billed once."""

import signal
from decimal import Decimal
from itertools import count

import pytest
from chain_files import THREE, TWO, bounded, chain, prompt, sent_images, statuses
from krea_server import GENERATE, ask, send_answer, until
from money import alive, count_lines, draw, drawing, inhabit, kill_at_post, kill_when
from stopped_run import Stopped

ALL = ["a", "a two", "a two three", "b", "b two", "b two three"]


@pytest.fixture(autouse=True)
def _bounded(krea):
    draw(krea)
    with bounded():
        yield


def goes_on(project, krea, prompts=ALL, *words):
    """Run once more, to the end, without faults: each image has been billed once, and fed what it should be."""
    krea.rules.clear()
    draw(krea)
    krea.catch_up()  # else a job of a dead run could be made after the clock is put on
    krea.finish_jobs()
    done = project.run("run", "p.yaml", "--json", *words)
    assert done.code == 0, done.text
    assert krea.billed_prompts() == prompts
    assert set(statuses(done).values()) <= {"succeeded", "reused"}
    for post in krea.posts:
        above, _, last = prompt(post).rpartition(" ")
        assert [data for data, _ in sent_images(krea, post)] == ([drawing(above)] if last in ("two", "three") else [])
    assert {action for action, _ in project.plan().values()} == {"reuse"}
    assert alive(project) == []
    return done


def end_jobs_until(krea, project, jobs):
    """Let Krea's jobs end, level by level, until so many are known."""

    def enough():
        if len(project.events("submitted")) >= jobs:
            return True
        krea.clock.advance(1e7)
        return False

    until(enough, f"{jobs} jobs")


@pytest.mark.parametrize("jobs", [1, 2, 3, 4, 6])
def test_an_interrupted_chain_is_finished_by_the_next_run(project, krea, jobs):
    krea.world.latency = 1e6
    chain(project, ["a", "b"], TWO, THREE)
    run = Stopped(project, project.start("run", "p.yaml", "--json"))
    end_jobs_until(krea, project, jobs)
    run.signal(signal.SIGINT)
    krea.clock.advance(1e7)
    done = run.end()
    assert done.code == 130
    assert "which has no image" not in done.text, "what was not begun has no fault of its own"
    goes_on(project, krea)


def test_nothing_below_is_begun_for_what_ends_after_the_signal(project, krea):
    krea.world.latency, krea.world.concurrency = 1000.0, 2
    chain(project, ["a", "b"])
    run = Stopped(project, project.start("run", "p.yaml", "--json"))
    until(lambda: len(project.events("submitted")) == 2)
    krea.clock.advance(300)  # from here on Krea cancels them no more
    run.signal(signal.SIGTERM)
    krea.finish_jobs()
    done = run.end()
    assert statuses(done) == {"one/a": "succeeded", "one/b": "succeeded", "two/a": "pending", "two/b": "pending"}
    assert len(krea.posts) == 2
    goes_on(project, krea, ["a", "a two", "b", "b two"])


@pytest.mark.parametrize("acts", ["never", "before", "after"])
def test_killed_while_a_chained_request_is_on_its_way(project, krea, acts):
    kill_at_post(krea, project, "a two", acts=acts)
    chain(project, ["a"])
    assert project.start("run", "p.yaml").wait() == -9
    until(lambda: acts == "never" or len(krea.world.jobs) == 2, "what Krea makes of it")
    done = project.run("plan", "p.yaml", "--json")
    assert [cell["action"] for cell in done.json["cells"]] == ["reuse", "hold"]
    goes_on(project, krea, ["a", "a two"])


def test_a_chained_request_that_never_arrived_is_sent_with_its_image_by_the_next_run(project, krea):
    """Its upload is another run's, and its POST has to be settled first."""
    kill_at_post(krea, project, "a two", acts="never")
    chain(project, ["a", "b"])
    assert project.start("run", "p.yaml").wait() == -9
    blob = next(path for path in project.blobs() if path.read_bytes() == drawing("a"))
    blob.unlink()
    krea.rules.clear()
    draw(krea)
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 0, done.text
    assert krea.billed_prompts() == ["a", "a two", "b", "b two"]


def test_killed_after_line_upon_line(project, krea):
    """Each run is killed one line later than the one before, until one comes through."""
    inhabit(krea)
    chain(project, ["a"], TWO, THREE)
    for lines in count(1):
        before = count_lines(project)
        process = project.start("run", "p.yaml")
        if not kill_when(process, lambda goal=before + lines: count_lines(project) >= goal):
            break
    assert process.returncode == 0, process.stderr.read()
    goes_on(project, krea, ["a", "a two", "a two three"])


@pytest.mark.parametrize("most", range(6))
def test_a_chain_stops_at_the_limit_and_the_next_run_goes_on(project, krea, most):
    chain(project, ["a", "b"], TWO, THREE)
    done = project.run("run", "p.yaml", "--json", "--max-new", str(most))
    assert (done.code, done.json["error"]["code"]) == (5, "limit_reached"), done.text
    found = list(statuses(done).values())
    assert (found.count("succeeded"), found.count("pending")) == (most, 6 - most)
    assert len(krea.posts) == most
    assert [row["error"] for row in done.report["cells"]] == [None] * 6
    goes_on(project, krea)


@pytest.mark.parametrize("words", [("--concurrency", "1"), ("--submit-parallel", "4")])
def test_a_chain_comes_through_step_by_step(project, krea, words):
    chain(project, ["a", "b"], TWO, THREE)
    for sent in range(1, 6):
        assert project.run("run", "p.yaml", "--max-new", "1", *words).code == 5
        assert len(krea.posts) == sent
    goes_on(project, krea, ALL, *words)


@pytest.mark.parametrize("cost", ["0", "0.03", "0.06", "0.10"])
def test_a_chained_request_that_is_too_dear_for_the_limit_is_left_to_the_next_run(project, krea, cost):
    """The chained one costs 0.06 and more, those above 0.03 each."""
    chain(project, ["a", "b"], TWO + "    variant: large\n")
    done = project.run("run", "p.yaml", "--json", "--max-cost", cost)
    assert done.code == 5, done.text
    assert Decimal(done.json["cost"]["spent_usd"]) <= Decimal(cost)
    assert all(prompt(post) in ("a", "b") for post in krea.posts)
    goes_on(project, krea, ["a", "a two", "b", "b two"])


def test_one_place_is_enough_for_a_whole_chain(project, krea):
    """What waits for an image holds neither room nor money, or those above would wait for it."""
    krea.reset(concurrency=1)
    draw(krea)
    krea.answer("POST", GENERATE, 429, {"error": "full"}, times=4)
    chain(project, ["a", "b"], TWO, THREE)
    done = project.run("run", "p.yaml", "--json", "--concurrency", "1", "--max-new", "6")
    assert done.code == 0, done.text
    assert krea.billed_prompts() == ALL


def test_one_place_is_enough_for_a_stage_that_stands_above_those_that_it_needs(project, krea):
    last = "  last: {prompt: last, needs: two}\n"
    text = chain(project, ["a"]).read_text(encoding="utf-8").replace("stages:\n", f"stages:\n{last}")
    project.write("p.yaml", text)
    assert project.run("run", "p.yaml", "--concurrency", "1", "--max-new", "3").code == 0
    assert [prompt(post) for post in krea.posts] == ["a", "a two", "last"]


def test_what_needs_an_uncertain_image_waits_for_it(project, krea):
    chain(project, ["a"])
    krea.lose("POST", GENERATE, text='"a"')

    async def act(scope, seen, send, app):
        """List no job once there is one."""
        answer = (404, {"content-length": "0"}, b"") if krea.posts else await ask(app, scope, seen)
        await send_answer(send, *answer)

    krea.rule("GET", "/jobs", act)
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, statuses(done)) == (1, {"one/a": "uncertain", "two/a": "pending"}), done.text
    assert len(krea.posts) == 1
    assert goes_on(project, krea, ["a", "a two"]).json["adopted"] == ["one/a"]


def test_what_needs_an_image_that_was_not_made_is_pending_at_once(project, krea):
    """A job that ended without an image is held, and nothing is asked of Krea for it."""
    chain(project, ["local:fail-empty"])
    done = project.run("run", "p.yaml", "--json")
    assert list(statuses(done).values()) == ["failed", "pending"]
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 1
    assert len(krea.posts) == 1
    assert "which has no image" in done.report["cells"][1]["error"]["message"]


def test_two_runs_of_one_chain_share_the_work(project, krea):
    krea.world.latency = 0.05
    chain(project, ["a", "b", "c"])
    both = [project.start("run", "p.yaml", "--json") for _ in range(2)]
    assert [project.finish(one).code for one in both] == [0, 0]
    words = [word + more for word in "abc" for more in ("", " two")]
    goes_on(project, krea, words)


def test_a_job_in_flight_feeds_what_needs_it_in_the_next_run(project, krea):
    draw(krea, broken="a")
    chain(project, ["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert statuses(done) == {"one/a": "failed", "one/b": "succeeded", "two/a": "pending", "two/b": "succeeded"}
    goes_on(project, krea, ["a", "a two", "b", "b two"])
