"""Each failure has its class in the report, each try its line, and what is not billed is not counted."""

from datetime import datetime
from decimal import Decimal

import pytest
from krea_server import GENERATE, until

from krea_pipe.core import images
from krea_pipe.executor.deliver import Delivery

NSFW = "local:fail-nsfw"
STUCK = "local:stuck"


def run(project, *words, code=1):
    done = project.run("run", "p.yaml", "--json", *words)
    assert done.code == code, done.text
    return done


def error_of(done, word="a"):
    return next(row["error"] for row in done.report["cells"] if row["prompt"] == word)


def events(done, word="a"):
    row = next(row for row in done.report["cells"] if row["prompt"] == word)
    times = [datetime.fromisoformat(one["at"]) for one in row["attempts"]]
    assert times == sorted(times)
    return [(one["event"], one["detail"]) for one in row["attempts"]]


def spent(done):
    return Decimal(done.json["cost"]["spent_usd"])


# --- rejected


@pytest.mark.parametrize("status", [400, 422])
def test_a_request_that_krea_rejects_is_rejected_and_not_sent_again(project, krea, status):
    krea.answer("POST", GENERATE, status, {"error": "the words"})
    project.pipeline(["a"])
    done = run(project)
    error = error_of(done)
    assert (error["class"], error["code"]) == ("rejected", "rejected")
    assert f"{status} the words" in error["message"]
    assert events(done) == [("declined", f"{status} the words")]
    assert (len(krea.posts), spent(done)) == (1, 0)


@pytest.mark.parametrize("prompt", [NSFW, "local:fail-result"])
def test_a_moderated_job_is_rejected_and_not_billed(project, krea, prompt):
    project.pipeline([prompt])
    done = run(project)
    error = error_of(done, prompt)
    assert (error["class"], error["code"]) == ("rejected", "nsfw")
    job = krea.world.jobs[0].id
    assert events(done, prompt) == [("submitted", job), ("failed", "nsfw")]
    assert (spent(done), krea.world.bills, len(krea.posts)) == (0, (), 1)


KINDS = {
    **dict.fromkeys(("nsfw", "ip_detected", "violence", "personal_info"), "rejected"),
    **dict.fromkeys(("internal_error", "something_new"), "failed"),
}


def test_the_code_of_a_failed_job_tells_its_class(project, krea):
    def fail(job):
        code = krea.world.job(job["job_id"]).brief.order.prompt
        return {**job, "status": "failed", "result": None, "error": {"code": code, "message": "m"}}

    krea.mutate_job(fail)
    project.pipeline(KINDS)
    done = run(project)
    for code, kind in KINDS.items():
        error = error_of(done, code)
        assert (error["class"], error["code"], error["message"]) == (kind, code, "m")


# --- empty


def test_a_job_without_an_image_is_empty_billed_and_not_sent_again_unasked(project, krea):
    project.pipeline(["local:fail-empty", "b"])
    done = run(project)
    error = error_of(done, "local:fail-empty")
    assert (error["class"], error["code"]) == ("empty", "empty")
    assert spent(done) == sum(bill.amount for bill in krea.world.bills) == Decimal("0.06")
    again = run(project)
    assert (error_of(again, "local:fail-empty")["class"], spent(again)) == ("empty", 0)
    assert len(krea.posts) == 2
    run(project, "--uncertain", "resubmit")
    assert len(krea.posts) == 3


# --- refused


def test_the_local_krea_is_asked_again_for_an_image_that_it_did_not_give(project):
    project.pipeline(["local:fail-empty"])
    for _ in range(2):
        done = project.run("run", "p.yaml", "--local", "--json")
        assert (done.code, error_of(done, "local:fail-empty")["class"]) == (1, "empty")
    assert len([line for line in project.journal("local") if line["event"] == "submitted"]) == 2


@pytest.mark.parametrize(("status", "code"), [(401, "key_refused"), (402, "no_credit"), (403, "forbidden")])
def test_a_refused_account_stops_the_run(project, krea, status, code):
    krea.answer("POST", GENERATE, status, {"message": "no"}, text='"b"')
    if status == 403:  # alone it may be about the request
        krea.answer("GET", "/jobs", status, {"message": "no"})
    project.pipeline(["a", "b", "c", "d"])
    done = run(project, code=4)
    assert done.json["error"]["code"] == code
    assert str(status) in done.json["error"]["message"]
    assert [row["status"] for row in done.report["cells"]] == ["succeeded", "pending", "pending", "pending"]
    assert events(done, "b") == [("declined", f"{status} no")]
    assert len(krea.posts) == 2
    assert spent(done) == Decimal("0.03")
    krea.rules.clear()
    assert project.run("run", "p.yaml").code == 0
    assert krea.billed_prompts() == ["a", "b", "c", "d"]


def test_a_key_that_is_refused_before_anything_is_sent_sends_nothing(project, krea):
    krea.world.token = "another"
    project.pipeline(["a", "b"])
    assert run(project, code=4).json["error"]["code"] == "key_refused"
    assert krea.posts == []


# --- gone


def test_a_model_that_is_gone_names_its_replacement(project, krea):
    body = {"error": "model_unavailable", "message": "This model is gone.", "replacement": "krea-3"}
    krea.answer("POST", GENERATE, 410, body, text='"a"')
    project.pipeline(["a", "b"])
    done = run(project)
    error = error_of(done)
    assert (error["class"], error["code"]) == ("gone", "model_unavailable")
    assert "This model is gone." in error["message"]
    assert "replacement: krea-3" in error["message"]
    assert (len(krea.posts), done.counts) == (2, (1, 1, 0))


# --- stuck


def test_a_job_that_does_not_end_is_cancelled_and_not_billed(project, krea):
    project.pipeline([STUCK, "b"])
    done = run(project, "--job-timeout", "0.2")
    error = error_of(done, STUCK)
    assert (error["class"], error["code"]) == ("stuck", "stuck")
    assert "not billed" in error["message"]
    job = next(job for job in krea.world.jobs if job.brief.order.prompt == STUCK)
    assert events(done, STUCK) == [("submitted", job.id), ("failed", "stuck")]
    assert [one.path for one in krea.calls("DELETE", "/jobs/")] == [f"/jobs/{job.id}"]
    assert (job.status(krea.world.now()), spent(done)) == ("cancelled", Decimal("0.03"))
    assert [reason for _, reason in project.plan().values()] == ["failed before: stuck", "cached"]


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_job_that_krea_does_not_cancel_is_counted_once_and_looked_for_again(project, krea, status):
    krea.answer("DELETE", "/jobs/", status, b"")
    krea.world.latency = 1e6
    project.pipeline(["a"])
    done = run(project, "--job-timeout", "0.2")
    error = error_of(done)
    assert (error["class"], error["code"]) == ("stuck", "stuck")
    assert "did not cancel it" in error["message"]
    assert spent(done) == Decimal("0.03")
    assert project.plan()["a"][0] == "attach"
    krea.finish_jobs()
    krea.rules.clear()
    again = run(project, code=0)
    assert spent(done) + spent(again) == Decimal("0.03"), "the reports count it once"
    assert (len(krea.posts), len(krea.world.bills)) == (1, 1)


def test_a_job_that_never_ends_can_be_given_up(project, krea):
    krea.answer("DELETE", "/jobs/", 500, b"")
    krea.world.latency = 1e6
    project.pipeline(["a"])
    assert "--uncertain resubmit" in error_of(run(project, "--job-timeout", "0.2"))["message"]
    krea.world.latency = 0.0
    run(project, "--uncertain", "resubmit", code=0)
    assert len(krea.posts) == 2


def test_a_job_that_ends_while_it_is_given_up_counts_as_it_ended(project, krea):
    krea.world.latency = 1e6

    async def act(scope, seen, send, app):
        krea.finish_jobs()
        await app(scope, _receive, send)

    krea.rule("DELETE", "/jobs/", act)
    project.pipeline(["a"])
    assert run(project, "--job-timeout", "0.2", code=0).counts == (1, 0, 0)


async def _receive():
    return {"type": "http.request", "body": b"", "more_body": False}


def test_jobs_that_wait_while_others_end_are_not_stuck(project, krea):
    """The deadline is for a machine that has taken a job, not for Krea's backlog."""
    krea.reset(latency=0.2, concurrency=1)
    project.pipeline(["a", "b", "c", "d", "e", "f"])
    assert run(project, "--job-timeout", "0.9", code=0).counts == (6, 0, 0)


def test_a_stuck_job_is_given_up_by_itself(project, krea):
    krea.reset(latency=0.05, concurrency=2)
    project.pipeline([STUCK, "b", "c", "d", "e"])
    assert run(project, "--job-timeout", "0.8").counts == (4, 1, 0)


# --- transient


def test_a_network_that_is_down_is_transient_and_nothing_is_uncertain(project, krea):
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json", env={"KREA_API_BASE": "http://127.0.0.1:9"})
    assert (done.code, done.counts, spent(done)) == (1, (0, 2, 0), 0)
    for word in ("a", "b"):
        assert (error_of(done, word)["class"], error_of(done, word)["code"]) == ("transient", "unreachable")
        assert len(events(done, word)) > 5
        assert {event for event, _ in events(done, word)} == {"declined"}
    assert project.run("run", "p.yaml").code == 0


def test_a_krea_that_is_full_for_ever_is_transient_in_the_end(project, krea):
    krea.answer("POST", GENERATE, 429, {"error": "full"})
    project.pipeline(["a", "b"])
    done = run(project, "--job-timeout", "0.2")
    for word in ("a", "b"):
        assert (error_of(done, word)["class"], error_of(done, word)["code"]) == ("transient", "too_many_requests")
        assert set(events(done, word)) == {("declined", "429 full")}
    assert len(krea.posts) == sum(len(events(done, word)) for word in ("a", "b"))
    assert spent(done) == 0
    krea.rules.clear()
    assert project.run("run", "p.yaml").code == 0


@pytest.mark.parametrize("status", [502, 408])
def test_a_krea_that_never_answers_is_transient_in_the_end(project, krea, status):
    """Its list shows that it took none of them, so that nothing is uncertain."""
    krea.answer("POST", GENERATE, status, b"<html><title>Bad gateway</title></html>", text='"b"')
    project.pipeline(["a", "b"])
    done = run(project)
    assert (error_of(done, "b")["class"], error_of(done, "b")["code"]) == ("transient", "no_answer")
    kinds = [event for event, _ in events(done, "b")]
    assert set(kinds) == {"unanswered", "not_taken"}
    assert kinds.count("unanswered") == len(krea.posts) - 1 > 1
    assert (done.counts, spent(done)) == ((1, 1, 0), Decimal("0.03"))
    assert project.plan()["b"][0] == "new"
    krea.rules.clear()
    assert project.run("run", "p.yaml").code == 0
    assert krea.billed_prompts() == ["a", "b"]


def test_425_is_sent_again_once_the_list_shows_no_job_of_it(project, krea):
    krea.answer("POST", GENERATE, 425, b"", text='"b"', times=1)
    project.pipeline(["a", "b"])
    done = run(project, code=0)
    assert [event for event, _ in events(done, "b")] == ["unanswered", "not_taken", "submitted", "done"]


# --- an error of krea-pipe


def test_an_error_of_krea_pipe_fails_one_request_with_a_log_and_loses_nothing_paid(project, krea, monkeypatch):
    good = images.examine

    def examine(data):
        if data == krea.picture_of(job_of("b")):
            raise RuntimeError("nobody foresaw this")
        return good(data)

    def job_of(word):
        return next(job for job in krea.world.jobs if job.brief.order.prompt == word)

    monkeypatch.setattr(images, "examine", examine)
    project.pipeline(["a", "b", "c"])
    done = run(project)
    error = error_of(done, "b")
    assert (error["code"], done.counts) == ("internal_error", (2, 1, 0))
    [log] = (project.home / "logs").iterdir()
    assert str(log.relative_to(project.path)) in error["message"]
    assert "nobody foresaw this" in log.read_text()
    assert spent(done) == Decimal("0.09"), "Krea bills it, so the cap counts it"
    monkeypatch.undo()
    assert project.plan()["b"][0] == "attach"
    again = run(project, code=0)
    assert (spent(done) + spent(again), krea.billed_prompts()) == (Decimal("0.09"), ["a", "b", "c"])


def test_an_error_while_an_image_is_put_in_its_place_fails_one_cell(project, krea, monkeypatch):
    good = Delivery.deliver

    def deliver(self, step, result):
        if "b" in step.cells[0].id:
            raise RuntimeError("nobody foresaw this")
        return good(self, step, result)

    monkeypatch.setattr(Delivery, "deliver", deliver)
    project.pipeline(["a", "b", "c"])
    done = run(project)
    assert (error_of(done, "b")["code"], done.counts) == ("internal_error", (2, 1, 0))
    monkeypatch.undo()
    again = run(project, code=0)
    assert (again.counts, spent(again), len(krea.posts)) == ((0, 0, 3), 0, 3)


def test_an_image_that_does_not_come_is_transient_and_paid(project, krea):
    krea.image(b"", status=503)
    project.pipeline(["a"])
    done = run(project)
    assert (error_of(done)["class"], error_of(done)["code"]) == ("transient", "image_unfetched")
    kinds = [event for event, _ in events(done)]
    assert kinds[0] == "submitted"
    assert set(kinds[1:]) == {"download_failed"}
    assert len(kinds[1:]) == len(krea.calls("GET", "/images/")) > 3
    assert spent(done) == Decimal("0.03")


# --- the history


def test_every_try_stands_in_the_report_with_its_time_and_reason(project, krea):
    krea.answer("POST", GENERATE, 429, {"error": "full"}, times=1)
    krea.answer("GET", "/images/", 502, b"<title>Bad gateway</title>", times=1)
    project.pipeline(["a"])
    done = run(project, code=0)
    kinds = [event for event, _ in events(done)]
    assert kinds == ["declined", "submitted", "download_failed", "done"]
    details = dict(events(done))
    assert details["declined"] == "429 full"
    assert details["submitted"] == krea.world.jobs[0].id
    assert "502 Bad gateway" in details["download_failed"]
    assert details["done"] == done.report["cells"][0]["sha256"]
    assert run(project, code=0).report["cells"][0]["attempts"] == []


def test_a_job_of_an_earlier_run_is_told_as_attached(project, krea):
    krea.world.latency = 1e6
    project.pipeline(["a"])
    process = project.start("run", "p.yaml")
    until(lambda: project.events("submitted"))
    process.kill()
    process.communicate(timeout=60)
    krea.finish_jobs()
    done = run(project, code=0)
    assert [event for event, _ in events(done)] == ["attached", "done"]
    assert spent(done) == Decimal("0.03")
