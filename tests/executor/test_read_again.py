"""What Krea has completed is read again at no cost in every later run, before anything is bought."""

import json

import pytest
from krea_server import GENERATE, send_answer
from money import SIZE, check_paid_once, draw, drawing, inhabit, job_ids, kill_when

SMALL = (64, 64)
LACKS = {
    "empty": lambda job: {**job, "result": {}},
    "unreadable": lambda job: {**job, "result": {"assets": {"primary": 7}}},
    "without result": lambda job: {**job, "result": None},
    "succeeded without urls": lambda job: {**job, "status": "succeeded", "result": {}},
}


@pytest.fixture(autouse=True)
def pictures(krea):
    """Pictures of the size that is asked for."""
    draw(krea)


def run(project, *words):
    return project.run("run", "p.yaml", "--json", *words)


def draw_small(krea, word):
    """Serve the picture of one prompt in does not have the requested size, and all others as they should be."""

    async def act(scope, seen, send, app):
        prompt = krea.job_of_image(seen.path).brief.order.prompt
        data = drawing(prompt, SMALL if prompt == word else SIZE)
        await send_answer(send, 200, {"content-type": "image/png", "content-length": str(len(data))}, data)

    krea.rule("GET", "/images/", act)


def spoil(krea, change):
    krea.mutate_job(lambda job: change(job) if job["result"] else job, text="b")


@pytest.mark.parametrize("lack", LACKS.values(), ids=LACKS)
def test_a_completed_job_that_gives_no_image_is_read_again_in_every_run_and_counted_once(project, krea, lack):
    spoil(krea, lack)
    project.pipeline(["a", "b"])
    first = run(project)
    assert (first.rows["b"]["error"]["code"], first.json["cost"]["spent_usd"]) == ("empty", "0.06")
    for _ in range(2):
        assert project.plan()["b"] == (
            "attach",
            f"job {job_ids(krea, 'b')[0]} is read again at no cost: it was completed without an image",
        )
        again = run(project)
        assert (again.code, again.rows["b"]["status"], again.json["cost"]["spent_usd"]) == (1, "failed", "0.00")
    krea.rules.clear()
    draw(krea)
    last = run(project)
    assert (last.code, last.counts, last.json["cost"]["spent_usd"]) == (0, (1, 0, 1), "0.00")
    check_paid_once(project, krea, ["a", "b"])


def test_an_earlier_version_wrote_an_empty_job_as_failed_and_it_is_read_again_as_well(project, krea):
    spoil(krea, LACKS["empty"])
    project.pipeline(["a", "b"])
    run(project)
    journal = project.space / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    old = [{**line, "event": "failed"} if line["event"] == "unfetched" else line for line in lines]
    journal.write_text("".join(json.dumps(line) + "\n" for line in old))
    krea.rules.clear()
    draw(krea)
    again = run(project)
    assert (again.code, again.json["cost"]["spent_usd"]) == (0, "0.00")
    check_paid_once(project, krea, ["a", "b"])


def test_a_job_that_was_never_brought_in_and_that_krea_has_no_longer_is_bought_again_by_the_next_run(project, krea):
    spoil(krea, LACKS["empty"])
    project.pipeline(["a", "b"])
    run(project)
    forget(krea)
    gone = run(project)
    error = gone.rows["b"]["error"]
    assert (error["code"], error["class"], gone.json["cost"]["spent_usd"]) == ("job_gone", "gone", "0.00")
    assert (project.plan()["b"], len(krea.posts)) == (("new", "failed before: job_gone"), 2)
    krea.rules.clear()
    draw(krea)
    assert run(project).code == 0
    assert len(krea.posts) == 3


def forget(krea, status=404, body=None):
    krea.rules.clear()
    draw(krea)
    krea.answer("GET", "/jobs/", status, {"error": "Job not found"} if body is None else body)
    krea.answer("GET", "/jobs", 200, {"items": [], "next_cursor": None})


NO_PROOF = {
    "a page of a gateway": (404, b"<title>404</title>"),
    "a 403": (403, {"error": "not yours"}),
    "a 500": (500, {"error": "down"}),
}


@pytest.mark.parametrize("answer", NO_PROOF.values(), ids=NO_PROOF)
def test_what_does_not_prove_that_a_job_is_gone_buys_nothing(project, krea, answer):
    spoil(krea, LACKS["empty"])
    project.pipeline(["a", "b"])
    run(project)
    forget(krea, *answer)
    for _ in range(2):
        assert run(project, "--job-timeout", "0.3").code == 1
    assert len(krea.posts) == 2
    assert project.plan()["b"][0] == "attach"


def test_another_key_does_not_tell_that_a_job_is_gone(project, krea):
    spoil(krea, LACKS["empty"])
    project.pipeline(["a", "b"])
    run(project)
    forget(krea)
    other = project.run("run", "p.yaml", "--json", env={"KREA_API_KEY": "another-key-0815"})
    assert (other.code, other.rows["b"]["error"]["code"]) == (1, "other_account"), other.text
    assert project.plan()["b"][0] == "attach"


def test_a_job_without_an_image_is_sent_again_only_when_that_is_wanted(project, krea):
    spoil(krea, LACKS["empty"])
    project.pipeline(["a", "b"])
    run(project)
    krea.rules.clear()
    draw(krea)
    done = run(project, "--uncertain", "resubmit")
    assert (done.code, len(krea.posts), done.json["cost"]["spent_usd"]) == (0, 3, "0.03")


# --- pixels that were not asked for


def test_an_image_of_another_size_is_kept_and_shown_and_counted_and_not_delivered(project, krea):
    draw_small(krea, "b")
    project.pipeline(["a", "b"])
    done = run(project)
    row = done.rows["b"]
    assert (done.code, row["status"], row["error"]["code"], row["error"]["class"]) == (
        1,
        "failed",
        "wrong_size",
        "wrong_size",
    )
    assert "64 x 64 pixels instead of 1024 x 1024" in row["error"]["message"]
    assert (row["image"], row["width"], row["height"], row["cost_usd"]) == (None, 64, 64, "0.03")
    assert project.image("b").exists() is False
    assert (project.space / "blobs" / row["sha256"][:2] / row["sha256"]).read_bytes() == drawing("b", SMALL)
    assert (done.cwd / done.json["report"]).with_name("thumbnails").joinpath(f"{row['sha256']}.webp").exists()
    assert '"p/b"' not in (project.path / "p.lock.jsonl").read_text()


def test_an_image_of_another_size_is_read_again_for_nothing_until_it_fits(project, krea):
    draw_small(krea, "b")
    project.pipeline(["a", "b"])
    first = run(project)
    again = run(project)
    assert (again.rows["b"]["error"]["code"], again.json["cost"]["spent_usd"]) == ("wrong_size", "0.00")
    assert project.plan()["b"][0] == "attach"
    krea.rules.clear()
    draw(krea)
    last = run(project)
    assert (last.code, last.counts) == (0, (1, 0, 1))
    assert (first.json["cost"]["spent_usd"], last.json["cost"]["spent_usd"]) == ("0.06", "0.00")
    check_paid_once(project, krea, ["a", "b"])


def test_what_needs_an_image_of_another_size_waits_for_one_that_fits(project, krea):
    draw_small(krea, "a lamp")
    project.write(
        "p.yaml",
        "version: 1\nbudget: {usd: 1}\nstages:\n  one: {prompt: a lamp}\n"
        '  two: {for_each: one, prompt: the same lamp, references: [{image: "{{ source.image }}"}]}\n',
    )
    done = project.run("run", "p.yaml", "--json")
    assert [call.json["prompt"] for call in krea.posts] == ["a lamp"], done.text


NO_PROMISE = {
    "3:4, which the guide leaves out": "defaults: {aspect_ratio: 3:4}",
    "a source picture": "image: ref.png",
}


@pytest.mark.parametrize("field", NO_PROMISE.values(), ids=NO_PROMISE)
def test_a_size_that_no_document_promises_is_not_checked(project, krea, field):
    project.write("ref.png", drawing("ref", SIZE))
    draw_small(krea, "b")
    project.pipeline(["b"], more=f"budget: {{usd: 1}}\n{field}")
    done = run(project)
    assert done.code == 0, done.text
    assert done.counts == (1, 0, 0)


# --- counted once


def test_a_run_that_dies_after_another_has_counted_a_job_leaves_it_counted(project, krea):
    """It had read an empty job again, which an earlier report has counted."""
    spoil(krea, LACKS["empty"])
    inhabit(krea)
    project.pipeline(["a", "b"])
    assert run(project).json["cost"]["spent_usd"] == "0.06"
    krea.rule("GET", "/images/", lambda *_: None, times=0)
    process = project.start("run", "p.yaml")
    assert kill_when(process, lambda: len(project.events("unfetched")) == 2) or process.returncode is not None
    krea.rules.clear()
    draw(krea)
    done = run(project)
    assert (done.code, done.json["cost"]["spent_usd"], len(krea.calls("POST", GENERATE))) == (0, "0.00", 2)
