"""What was held or in flight and has to be sent after all: its references, its price, and when it has to wait."""

import json
import shutil
import signal

import pytest
from krea_rules import change_list
from krea_server import GENERATE, ask, picture, send_answer, until
from money import draw, inhabit
from stopped_run import started, statuses, two_machines

SOON = {"KREA_PIPE_SETTLE_SECONDS": "0.05"}
"""A job that is not in the list so long after its POST will not come."""


def lose_without_the_list(krea):
    """Answer no POST, and no list of jobs any more once there was one: nothing can be told then."""

    async def act(scope, seen, send, app):
        await send_answer(send, *await ask(app, scope, seen)) if not krea.posts else await send_answer(
            send, 404, {}, b""
        )

    krea.rule("GET", "/jobs", act)
    krea.answer("POST", GENERATE, 502, b"<html>Bad gateway</html>")


def hold(project, krea):
    """A request that Krea did not take, which the run cannot know."""
    inhabit(krea)
    lose_without_the_list(krea)
    done = project.run("run", "p.yaml", "--json")
    assert done.json["cells"]["uncertain"] == 1, done.text
    krea.rules.clear()


def leave_in_flight(project, krea):
    """A job that Krea cancels after a run has left it without its image."""
    krea.image(b"", status=404)
    done = project.run("run", "p.yaml", "--json")
    assert done.json["cells"]["failed"] == 1, done.text
    krea.rules.clear()
    (first,) = krea.world.jobs
    gone = {"status": "cancelled", "result": None}
    krea.mutate_job(lambda job: {**job, **gone} if job["job_id"] == first.id else job)


@pytest.mark.parametrize(
    ("left", "action", "words"),
    [(hold, "hold", ()), (hold, "hold", ("--uncertain", "resubmit")), (leave_in_flight, "attach", ())],
)
def test_the_references_of_what_is_sent_after_all_are_uploaded(project, krea, left, action, words):
    """The run before has forgotten where they were uploaded, as one with another key has."""
    look = project.write("ref.png", picture(seed="look", size=(600, 600)))
    project.write(
        "p.yaml",
        "version: 1\nbudget: {usd: 5}\nreferences: {look: {images: [ref.png]}}\n"
        "stages: {p: {prompt: a, references: [look]}}\n",
    )
    left(project, krea)
    shutil.rmtree(project.space / "facts")
    assert [cell["action"] for cell in project.run("plan", "p.yaml", "--json").json["cells"]] == [action]
    posts = len(krea.posts)
    done = project.run("run", "p.yaml", "--json", *words, env=SOON)
    assert (done.code, done.counts, len(krea.posts) - posts) == (0, (1, 0, 0), 1), done.text
    assert [asset.data for asset in krea.world.assets] == [look.read_bytes()] * 2
    (reference,) = krea.posts[-1].json["image_style_references"]
    assert reference["url"].endswith(krea.world.assets[-1].file_name)


@pytest.mark.parametrize(
    ("budget", "words"),
    [("{usd: 5, images: 2}", ()), ("{usd: 5}", ("--max-new", "2")), ("{usd: 5, images: 2}", ("--max-new", "3"))],
)
def test_what_was_held_and_is_sent_after_all_counts_among_the_new_images(project, krea, budget, words):
    project.pipeline(["a"])
    hold(project, krea)
    project.pipeline(["a", "b", "c"], more=f"budget: {budget}")
    done = project.run("run", "p.yaml", "--json", *words, env=SOON)
    assert (done.code, done.json["error"]["code"]) == (5, "limit_reached"), done.text
    assert (done.json["cells"]["succeeded"], done.json["cells"]["pending"]) == (2, 1)
    assert len(krea.billed_prompts()) == 2
    again = project.run("run", "p.yaml", "--json", *words)
    assert (again.code, again.counts) == (0, (1, 0, 2)), again.text
    assert krea.billed_prompts() == ["a", "b", "c"]


def test_what_was_held_and_is_found_to_be_paid_is_no_new_image(project, krea):
    draw(krea)
    lose_without_the_list(krea)
    krea.lose("POST", GENERATE)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml", "--json").json["cells"]["uncertain"] == 1
    krea.rules.clear()
    draw(krea)
    project.pipeline(["a", "b", "c"], more="budget: {usd: 5, images: 2}")
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, done.rows["a"]["adopted"]) == (0, (3, 0, 0), True), done.text
    assert krea.billed_prompts() == ["a", "b", "c"]


def test_a_job_that_krea_has_never_shown_is_not_taken_for_cancelled(project, krea):
    """Krea denies that it exists, as it does of one that it cancelled, but draws it."""
    two_machines(krea)
    project.pipeline(["a", "b", "c", "d"])

    def paths(method):
        return [one.path for one in krea.calls(method, "/jobs/")]

    def is_hidden(path):
        job = krea.world.job(path.removeprefix("/jobs/"))
        return job is not None and job.brief.order.prompt == "d"

    async def deny(scope, seen, send, app):
        asked = any(map(is_hidden, paths("DELETE")))
        if is_hidden(seen.path):  # before that nobody knows anything of it
            body = json.dumps({"error": "Job not found"}).encode()
            await send_answer(send, 404 if asked else 500, {"content-length": str(len(body))}, body)
        else:
            await send_answer(send, *await ask(app, scope, seen))

    krea.rule("GET", "/jobs/", deny)
    krea.rule("DELETE", "/jobs/", deny)
    change_list(krea, lambda prompt, job: None if prompt == "d" else job)
    run = started(project, "--json", running=4)
    run.signal(signal.SIGINT)
    until(lambda: statuses(krea)["c"] == "cancelled" and any(map(is_hidden, paths("DELETE"))), "what is asked of Krea")
    krea.finish_jobs()
    done = run.end()
    assert (done.code, done.rows["c"]["status"], done.rows["d"]["status"]) == (130, "pending", "uncertain"), done.text
    assert {word: action for word, (action, _) in project.plan().items()} == {
        "a": "reuse",
        "b": "reuse",
        "c": "new",
        "d": "attach",
    }
    krea.rules.clear()
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.counts, len(krea.posts)) == (0, (2, 0, 2), 5), again.text
    assert krea.billed_prompts() == ["a", "b", "c", "d"]
