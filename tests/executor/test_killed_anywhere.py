"""A run that is killed at any moment and run again pays for each request once, and brings every image in."""

import random
import threading
from itertools import count

import pytest
from krea_server import GENERATE, ask, send_answer, until
from money import alive, check_paid_once, count_lines, draw, drop, hide, inhabit, job_ids, kill, kill_at_post, kill_when

from krea_pipe.local.job import JobOutcome

WORDS = ["a", "b", "c", "slow"]


@pytest.fixture(autouse=True)
def pictures(krea):
    """Pictures of the size that is asked for: without it nothing is adopted."""
    draw(krea)


def go_on(project, krea, words, *, more=()):
    """Run once more, to the end, with no faults left; `more` was paid by the run of another file."""
    krea.rules.clear()
    draw(krea)
    krea.catch_up()  # else a job of the dead run could be made after the clock is put on
    krea.finish_jobs()
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 0, done.text
    assert done.json["cells"]["total"] == len(words)
    check_paid_once(project, krea, [*words, *more], out=["out/p", "out/q"])
    assert {action for action, _ in project.plan().values()} == {"reuse"}
    assert alive(project) == []
    return done


@pytest.mark.parametrize("acts", ["never", "before", "after"])
@pytest.mark.parametrize("word", ["a", "c"])
def test_killed_while_a_request_is_on_its_way(project, krea, word, acts):
    inhabit(krea)
    kill_at_post(krea, project, word, acts=acts)
    project.pipeline(["a", "b", "c", "d"])
    assert project.start("run", "p.yaml").wait() == -9
    until(lambda: acts == "never" or job_ids(krea, word), "what Krea makes of it")
    assert project.plan()[word][0] == "hold"
    done = go_on(project, krea, ["a", "b", "c", "d"])
    assert done.rows[word]["adopted"] == (acts != "never")
    assert not any(row["adopted"] for name, row in done.rows.items() if name != word)


def refuse_once(krea):
    krea.answer("POST", GENERATE, 422, {"error": "no"}, text='"b"', times=1)


def fail_once(krea):
    left = ["b"]
    krea.world.fate_of = lambda brief: (
        JobOutcome("failed", "odd") if brief.order.prompt in left and left.pop() else JobOutcome()
    )


def lose_one(krea):
    krea.lose("POST", GENERATE, text='"b"', times=1)


def break_an_image(krea):
    draw(krea, broken="b")


def hide_a_job(krea):
    hide(krea, "b")
    krea.answer("GET", "/jobs/", 404, {"error": "Job not found"})


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ("submitting", None),
        ("submitted", None),
        ("done", None),
        ("declined", refuse_once),
        ("failed", fail_once),
        ("unanswered", lose_one),
        ("adopted", lose_one),
        ("unfetched", break_an_image),
        ("unseen", hide_a_job),
    ],
)
def test_killed_after_a_line_of_each_kind(project, krea, event, fault):
    inhabit(krea)
    if fault:
        fault(krea)
    krea.hang("POST", GENERATE, text='"slow"')  # so that it lives until it is killed, with one more answer to come
    project.pipeline(WORDS)
    process = project.start("run", "p.yaml")
    assert kill_when(process, lambda: project.events(event))
    jobs = job_ids(krea, "slow")
    done = go_on(project, krea, WORDS)
    assert done.rows["slow"]["adopted"] == (job_ids(krea, "slow") == jobs)


def test_after_a_crash_a_list_that_lacks_what_the_journal_knows_is_not_believed(project, krea):
    krea.world.latency = 1e6
    kill_at_post(krea, project, "b", acts="before")
    project.pipeline(["a", "b"])
    assert project.start("run", "p.yaml").wait() == -9
    hide(krea, "a", "b")
    krea.finish_jobs()
    done = project.run("run", "p.yaml", "--json")
    assert {word: row["status"] for word, row in done.rows.items()} == {"a": "succeeded", "b": "uncertain"}
    assert go_on(project, krea, ["a", "b"]).rows["b"]["adopted"] is True


def test_a_run_with_another_file_leaves_the_open_request_of_a_crash_alone(project, krea):
    kill_at_post(krea, project, "b", acts="before")
    project.pipeline(["a", "b"])
    assert project.start("run", "p.yaml").wait() == -9
    project.pipeline(["z"], name="q.yaml")
    assert project.run("run", "q.yaml").code == 0
    assert go_on(project, krea, ["a", "b"], more=["z"]).rows["b"]["adopted"] is True


def test_killed_after_line_upon_line(project, krea):
    """Each run is killed one line later than the one before, with lost answers on the way, until one comes through."""
    inhabit(krea)
    lose_one(krea)
    krea.answer("POST", GENERATE, 503, text='"c"', times=1)
    drop(krea, text='"d"')
    words = ["a", "b", "c", "d", "e", "f"]
    project.pipeline(words)
    for lines in count(1):
        before = count_lines(project)
        process = project.start("run", "p.yaml")
        if not kill_when(process, lambda goal=before + lines: count_lines(project) >= goal):
            break
    said = process.stderr.read()
    paid = krea.billed_prompts()
    assert len(paid) == len(set(paid)), said
    if process.returncode:  # two answers may be lost so close together that nobody can tell their jobs apart
        assert b"uncertain" in said
    else:
        go_on(project, krea, words)


def test_killed_at_random_moments(project, krea):
    """When some call reaches Krea, before or after it acts, or a little later."""
    dice = random.Random(7)
    krea.world.latency = 0.05
    words = [f"w{number}" for number in range(30)]
    project.pipeline(words)
    moments = iter([])

    async def act(scope, seen, send, app):
        process, moment = project.started[-1], next(moments, "")
        if moment == "before":
            kill(process)
        answer = await ask(app, scope, seen)
        if moment == "after":
            kill(process)
        if moment == "later":
            threading.Timer(dice.random() / 30, process.kill).start()
        await send_answer(send, *answer)

    krea.rule("POST", GENERATE, act)
    krea.rule("GET", "/jobs", act)
    krea.rule("GET", "/jobs/", act)
    for moment in ["before", "after", "later"] * 2:
        process = project.start("run", "p.yaml")
        moments = iter([""] * dice.randrange(7) + [moment])
        assert process.wait() == -9
    go_on(project, krea, words)
