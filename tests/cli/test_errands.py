"""What is in flight is listed, cancelled, and found again when the journal is lost."""

import shutil

import pytest
from krea_server import picture, send_answer, until

from krea_pipe.core.contract import SIZES


def start_and_kill(project, count):
    process = project.start("run", "p.yaml")
    until(lambda: len(project.events("submitted")) == count)
    process.kill()
    process.communicate(timeout=60)


def lose_the_journal(project):
    (project.space / "journal.jsonl").unlink()
    shutil.rmtree(project.space / "facts", ignore_errors=True)


def sized(krea):
    """Serve images of the size that each request asks for."""

    async def act(scope, seen, send, app):
        ratio = krea.job_of_image(seen.path).brief.order.aspect_ratio
        data = picture(seed=ratio, size=SIZES[ratio])
        await send_answer(send, 200, {"content-type": "image/png", "content-length": str(len(data))}, data)

    krea.rule("GET", "/images/", act)


def ratios_pipeline(project, ratios):
    words = ", ".join(f'"{ratio}"' for ratio in ratios)
    matrix = f"version: 1\nprompt: 'ratio {{{{ aspect_ratio }}}} end'\nmatrix: {{aspect_ratio: [{words}]}}\n"
    project.write("p.yaml", matrix + "budget: {usd: 5}\n")


def test_nothing_in_flight_is_said_without_a_key(project, krea):
    done = project.run("status", env={"KREA_API_KEY": None})
    assert (done.code, "Nothing is in flight" in done.out) == (0, True)
    assert project.run("status", "--json").json["in_flight"] == []
    assert krea.seen == []


def test_status_lists_what_a_killed_run_left_and_cancel_cancels_it(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a", "b"])
    start_and_kill(project, 2)
    listed = project.run("status", "--json").json["in_flight"]
    assert [(one["state"], one["cell"], one["usd"]) for one in listed] == [
        ("in flight", "p/p/a", "0.03"),
        ("in flight", "p/p/b", "0.03"),
    ]
    assert all(one["job_id"] in project.run("status").out for one in listed)
    done = project.run("cancel", "p/p/a", "--json")
    assert (done.code, [one["end"] for one in done.json["jobs"]]) == (0, ["cancelled"])
    assert project.plan() == {
        "a": ("new", "cancelled before it was generated"),
        "b": ("attach", f"job {listed[1]['job_id']} is in flight"),
    }
    assert project.run("cancel").code == 0
    krea.finish_jobs()
    assert project.run("run", "p.yaml").code == 0
    assert krea.billed_prompts() == ["a", "b"]


def test_a_job_that_someone_cancelled_between_two_runs_is_drawn_by_the_second(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a", "b"])
    start_and_kill(project, 2)
    krea.world.cancel(krea.world.job(project.events("submitted")[0]["job_id"]))
    krea.finish_jobs()
    krea.world.latency = 0
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (0, (2, 0, 0)), done.text
    assert krea.billed_prompts() == ["a", "b"]
    assert len(krea.posts) == 3


def test_a_job_that_can_not_be_cancelled_stays_in_flight(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a"])
    start_and_kill(project, 1)
    krea.clock.advance(5e5)
    done = project.run("cancel", "--json")
    assert (done.code, [one["end"] for one in done.json["jobs"]]) == (1, ["goes on"])
    krea.finish_jobs()
    assert [one["end"] for one in project.run("cancel", "--json").json["jobs"]] == ["ended"]
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.posts) == 1


def test_cancel_knows_no_other_jobs_and_needs_a_key_only_for_work(project, krea):
    assert project.run("cancel", "nothing").code == 2
    assert project.run("cancel", env={"KREA_API_KEY": None}).code == 0
    krea.reset(latency=1e6)
    project.pipeline(["a"])
    start_and_kill(project, 1)
    assert project.run("cancel", env={"KREA_API_KEY": None}).code == 4
    krea.answer("GET", "/jobs/", 401, {"message": "Unauthorized"})
    assert project.run("cancel").code == 4


def test_jobs_of_a_lost_journal_are_paired_by_their_size(project, krea):
    ratios = ["1:1", "16:9", "9:16"]
    ratios_pipeline(project, ratios)
    sized(krea)
    start_and_kill(project, 3)
    lose_the_journal(project)
    dry = project.run("recover", "p.yaml", "--json", "--dry-run")
    assert [one["cell"] for one in dry.json["jobs"]] == ["p/1x1", "p/16x9", "p/9x16"], dry.text
    assert {action for action, _ in project.plan().values()} == {"new"}
    assert project.run("recover", "p.yaml").code == 0
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 0, done.text
    assert all(row["adopted"] for row in done.rows.values())
    assert len(krea.posts) == 3


def test_jobs_of_one_size_are_paired_only_in_order_on_request(project, krea):
    krea.image(picture(size=SIZES["1:1"]))
    project.pipeline(["a", "b", "c"])
    start_and_kill(project, 3)
    lose_the_journal(project)
    assert [one["cell"] for one in project.run("recover", "p.yaml", "--json").json["jobs"]] == [None] * 3
    assert "--in-order" in project.run("recover", "p.yaml").out
    paired = project.run("recover", "p.yaml", "--in-order", "--json").json["jobs"]
    by_job = {job.id: job.brief.order.prompt for job in krea.world.jobs}
    assert {one["cell"].rpartition("/")[2] for one in paired} == {"a", "b", "c"}
    assert all(by_job[one["job_id"]] == one["cell"].rpartition("/")[2] for one in paired)
    assert project.run("run", "p.yaml").code == 0
    assert krea.billed_prompts() == ["a", "b", "c"]
    assert project.run("recover", "p.yaml", "--json").json["jobs"] == []


@pytest.mark.parametrize("prompts", [["a"], ["a", "b"]])
def test_an_order_that_does_not_fit_is_refused(project, krea, prompts):
    krea.image(picture(size=SIZES["16:9"]))
    project.pipeline(["a", "b"])
    start_and_kill(project, 2)
    lose_the_journal(project)
    project.pipeline(prompts)
    done = project.run("recover", "p.yaml", "--in-order", "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "no_order")
    assert project.events("adopted") == []
