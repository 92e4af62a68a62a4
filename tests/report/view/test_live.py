"""A run that is looked at while it goes on, and one that was killed."""

import json

import pytest
from krea_server import until
from served_view import run_folder, viewed

from krea_pipe.core.contract import SIZES
from krea_pipe.core.image_file import sniff


def is_like(rows, **statuses):
    return all(rows.get(word, {}).get("status") == status for word, status in statuses.items())


@pytest.fixture
def stuck(project, krea):
    """A run whose jobs for `b` do not end before the faults are taken away; those for `a` end at once."""
    krea.mutate_job(lambda job: {**job, "status": "processing", "result": None, "completed_at": None}, text="b")
    project.pipeline(["a", "b"])
    process = project.start("run", "p.yaml", "--json")
    until(lambda: len(project.events("submitted")) == 2, "two jobs")
    return process


def test_cells_arrive_while_the_run_goes_on(project, krea, stuck):
    with viewed(project) as view, view.events() as events:
        until(lambda: view.rows()["a"]["status"] == "succeeded", "the first image")
        rows = view.rows()
        assert is_like(rows, a="succeeded", b="pending")
        assert rows["a"]["sha256"]
        assert (rows["a"]["width"], rows["a"]["height"]) == SIZES["1:1"]
        assert rows["a"]["cost_usd"] == "0.03"
        assert rows["a"]["timings"]["submitted_at"] < rows["a"]["timings"]["finished_at"]
        assert rows["b"]["job_id"] in {job.id for job in krea.world.jobs}
        assert '"live": true' in view.get().text
        assert sniff(view.get(f"thumbnails/{rows['a']['sha256']}.webp").content) == "image/webp"
        assert view.get(f"originals/{rows['a']['sha256']}").status_code == 200
        krea.rules.clear()
        events.next("ended")
        done = project.finish(stuck)
        assert view.json("report.json") == done.report
        assert '"live": false' in view.get().text


def test_a_page_is_told_what_has_changed_since_it_was_made(project, krea):
    krea.reset(latency=9999)
    project.pipeline(["a", "b"])
    process = project.start("run", "p.yaml", "--json")
    until(lambda: project.home.joinpath("runs").is_dir() and list(project.home.glob("runs/*/started.json")), "a plan")
    with viewed(project) as view:
        until(lambda: all(row["job_id"] for row in view.rows().values()), "two jobs")
        before = view.json("report.json")
        assert before["totals"]["cells"]["pending"] == 2
        assert before["totals"]["cost"]["spent_usd"] == "0.00"
        krea.mutate_job(lambda job: {**job, "status": "processing", "result": None, "completed_at": None}, text="b")
        with view.events(before["finished_at"]) as events:
            krea.finish_jobs()
            rows = events.rows(lambda rows: is_like(rows, a="succeeded"))
            assert rows.keys() == {"a"}
        after = view.json("report.json")
        assert after["finished_at"] > before["finished_at"]
        assert after["totals"]["cells"] == {**before["totals"]["cells"], "pending": 1, "succeeded": 1}
        assert after["totals"]["cost"]["spent_usd"] == rows["a"]["cost_usd"] != "0"
        assert after["totals"]["cost"]["in_flight_usd"] == rows["a"]["cost_usd"]
        with view.events(before["finished_at"]) as events:
            assert events.rows(bool).keys() == {"a"}
        with view.events(after["finished_at"]) as events:
            assert events.before("picks") == []
        krea.rules.clear()
        assert project.finish(process).code == 0


def test_a_failure_is_shown_while_the_run_goes_on(project, krea):
    krea.mutate_job(lambda job: {**job, "status": "processing", "result": None, "completed_at": None}, text="b")
    failed = {"status": "failed", "result": {"error": {"code": "nsfw", "message": "no"}}}
    krea.mutate_job(lambda job: {**job, **failed}, text="a")
    project.pipeline(["a", "b"])
    process = project.start("run", "p.yaml", "--json")
    until(lambda: len(krea.posts) == 2, "two requests")
    with viewed(project) as view:
        row = until(lambda: view.rows()["a"]["error"] and view.rows()["a"], "the failure")
        assert (row["status"], row["cost_usd"], row["image"]) == ("failed", "0.00", None)
        code = row["error"]["code"]
        krea.rules.clear()
        krea.finish_jobs()
        with view.events() as events:
            events.next("ended")
        assert view.rows()["a"]["error"]["code"] == code
        project.finish(process)


def test_a_run_that_waits_for_another_shows_what_that_one_draws(project, krea, stuck):
    second = project.start("run", "p.yaml", "--json", "--out", "elsewhere")
    until(lambda: len(list(project.home.glob("runs/*/started.json"))) == 2, "two runs")
    with viewed(project) as view:
        until(lambda: view.rows()["b"]["job_id"], "the job of the first run")
        krea.rules.clear()
        with view.events() as events:
            events.next("ended")
        assert view.rows()["b"]["status"] == "reused"
        assert project.finish(second).code == project.finish(stuck).code == 0


def test_a_run_that_is_killed_is_shown_as_it_stood(project, krea, stuck):
    with viewed(project) as view, view.events() as events:
        until(lambda: view.rows()["a"]["status"] == "succeeded", "the first image")
        stuck.kill()
        said = events.next("cut_off")
        assert "without a report" in said["message"]
        assert "Rerun the command" in said["hint"]
        assert '"live": false' in view.get().text
    assert not (run_folder(project) / "report.json").exists()
    with viewed(project) as view:
        rows = view.rows()
        assert is_like(rows, a="succeeded", b="pending")
        assert rows["b"]["job_id"]
        assert view.get(f"originals/{rows['a']['sha256']}").status_code == 200
        with view.events() as events:
            assert events.next("cut_off") == said


def test_what_goes_on_with_a_killed_run_fills_it_in(project, krea, stuck):
    with viewed(project) as early:
        until(lambda: early.rows()["a"]["status"] == "succeeded", "the first image")
        stuck.kill()
        stuck.wait()
    dead = run_folder(project).name
    krea.rules.clear()
    with viewed(project, dead) as view, view.events() as events:
        events.next("cut_off")
        assert project.run("run", "p.yaml").code == 0
        row = events.rows(lambda rows: is_like(rows, b="reused"))["b"]
        assert row["sha256"]
        assert row["cost_usd"] == "0.00"


def test_a_plan_that_can_not_be_read_is_said(project, krea, stuck):
    until(lambda: project.events("done"), "the first image")
    stuck.kill()
    stuck.wait()
    (run_folder(project) / "started.json").write_text(json.dumps({"schema": "of another time"}))
    done = project.run("view", "--json", "--seconds", 0)
    assert (done.code, done.json["error"]["code"]) == (1, "unreadable_report")


def test_a_view_of_the_latest_run_follows_a_rerun_of_its_pipeline(project, krea):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    with viewed(project) as view, view.events() as events:
        events.next("ended")
        project.pipeline(["z"], name="other.yaml")
        assert project.run("run", "other.yaml").code == 0
        project.pipeline(["a", "b"])
        assert project.run("run", "p.yaml").code == 0
        assert events.next("rerun")["run_id"] == view.json("report.json")["run_id"] != view.run_id
        assert set(view.rows()) == {"a", "b"}
        assert events.before("nothing more") == []


def test_a_view_of_a_named_run_stays_with_it(project, krea):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    first = run_folder(project).name
    with viewed(project, first) as view, view.events() as events:
        events.next("ended")
        assert project.run("run", "p.yaml").code == 0
        project.write("picks/p.yaml", "- {pick: p/a}\n")
        events.next("picks", lambda said: said["p"]["picks"])
        assert view.json("report.json")["run_id"] == first
