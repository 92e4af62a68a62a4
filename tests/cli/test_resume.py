"""Runs that are killed, interrupted or doubled: the next run goes on, and every request is billed once."""

import signal
from decimal import Decimal

import pytest
from krea_server import GENERATE, until
from money import check_paid_once, draw

WORDS = ["a", "b", "c", "d", "e"]


def kill_when(project, condition):
    """Start a run and kill it, as a power cut would, once a condition holds."""
    process = project.start("run", "p.yaml", "--concurrency", "3")
    until(lambda: condition() or process.poll() is not None)
    process.kill()
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize(("event", "count"), [("submitted", 1), ("submitted", 3), ("done", 1), ("done", 3)])
def test_a_killed_run_is_gone_on_with(project, krea, event, count):
    if event == "submitted":
        krea.reset(latency=1e6)
    else:
        krea.mutate_job(lambda job: {**job, "status": "sampling", "completed_at": None}, text="d")
    draw(krea)
    project.pipeline(WORDS)
    assert kill_when(project, lambda: len(project.events(event)) >= count) == -signal.SIGKILL
    in_journal = {line["key"] for line in project.events("submitted")}
    lost = {line["key"] for line in project.events("submitting")} - in_journal
    krea.catch_up()
    krea.finish_jobs()
    krea.rules.clear()
    draw(krea)
    plan = project.run("plan", "p.yaml", "--json").json
    done_before = {line["key"] for line in project.events("done")}
    expected = dict.fromkeys(in_journal, "attach") | dict.fromkeys(done_before, "reuse")
    expected |= dict.fromkeys(lost, "hold")
    assert {cell["key"]: cell["action"] for cell in plan["cells"] if cell["action"] != "new"} == expected
    assert len(lost) <= 1
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 0, done.text
    check_paid_once(project, krea, WORDS)
    assert project.run("run", "p.yaml", "--json").json["cells"]["reused"] == len(WORDS)


def test_the_job_of_a_run_killed_in_the_middle_of_a_post_is_found(project, krea):
    krea.hang("POST", GENERATE, text='"b"')
    draw(krea)
    project.pipeline(["a", "b"])
    kill_when(project, lambda: len(krea.posts) == 2 and project.events("done"))
    krea.rules.clear()
    draw(krea)
    assert {word: action for word, (action, _) in project.plan().items()} == {"a": "reuse", "b": "hold"}
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["b"]["adopted"]) == (0, True), done.text
    assert len(krea.posts) == 2
    check_paid_once(project, krea, ["a", "b"])


def test_a_torn_journal_is_survived(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a", "b"])
    kill_when(project, lambda: len(project.events("submitted")) == 2)
    journal = project.space / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b"\n", b"\n\0\xff{]garbage\n[1]\n", 1) + b'{"event":"done","key":"')
    krea.finish_jobs()
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.json["cells"]["succeeded"]) == (0, 2), done.text
    assert len(project.events("done")) == 2
    assert len(krea.posts) == 2


def test_a_job_whose_line_was_torn_off_is_found(project, krea):
    krea.reset(latency=1e6)
    draw(krea)
    project.pipeline(["a"])
    kill_when(project, lambda: project.events("submitted"))
    journal = project.space / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert project.plan()["a"][0] == "hold"
    krea.finish_jobs()
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["adopted"]) == (0, True), done.text
    assert len(krea.posts) == 1
    check_paid_once(project, krea, ["a"])


HANGUP = pytest.param(
    signal.SIGHUP,
    marks=pytest.mark.skipif(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="nohup has runs ignore it"),
)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, HANGUP])
def test_an_interrupted_run_cancels_what_waits_reports_and_is_gone_on_with(project, krea, kind):
    krea.reset(latency=1e6)
    project.pipeline(WORDS)
    process = project.start("run", "p.yaml", "--json", "--concurrency", "3", anew=kind == signal.SIGINT)
    until(lambda: len(project.events("submitted")) == 3)
    process.send_signal(kind)
    done = project.finish(process)
    assert (done.code, done.json["exit_code"], done.json["cells"]["pending"]) == (130, 130, 5)
    assert {cell["status"] for cell in done.report["cells"]} == {"pending"}
    assert (done.json["cost"]["spent_usd"], Decimal(done.json["cost"]["in_flight_usd"])) == ("0.00", 0)
    assert (len(krea.posts), len(krea.calls("DELETE", "/jobs/"))) == (3, 3)
    krea.finish_jobs()
    assert project.run("run", "p.yaml").code == 0
    assert krea.billed_prompts() == WORDS
    assert len(krea.posts) == 3 + len(WORDS)


def test_a_second_interrupt_leaves_at_once(project, krea):
    krea.hang("POST", GENERATE)
    draw(krea)
    project.pipeline(["a"])
    process = project.start("run", "p.yaml")
    until(lambda: krea.posts)
    process.send_signal(signal.SIGINT)
    assert b"Press Ctrl-C again" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    done = project.finish(process)
    assert done.code == 130
    assert "rerun the command" in done.err
    krea.rules.clear()
    draw(krea)
    assert project.plan()["a"][0] == "hold"
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.posts) == 1


def test_another_key_does_not_lose_a_job_that_is_paid(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a"])
    kill_when(project, lambda: project.events("submitted"))
    krea.finish_jobs()
    krea.answer("GET", "/jobs/", 404, {"error": "Job not found"})
    krea.answer("GET", "/jobs", 200, {"items": [], "next_cursor": None})
    done = project.run("run", "p.yaml", "--json", env={"KREA_API_KEY": "another-key"})
    assert (done.code, done.rows["a"]["error"]["code"]) == (1, "other_account")
    assert project.plan()["a"][0] == "attach"
    krea.rules.clear()
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.posts) == 1


def test_two_runs_at_once_share_the_work(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a", "b"])
    project.pipeline(["b", "c"], name="other.yaml")
    first = project.start("run", "p.yaml", "--json")
    until(lambda: len(project.events("submitted")) == 2)
    assert project.plan()["a"][1].endswith("another run waits for it")
    second = project.start("run", "other.yaml", "--json")
    until(lambda: len(project.events("submitted")) == 3)
    krea.finish_jobs()
    done = [project.finish(first), project.finish(second)]
    assert [(one.code, one.counts) for one in done] == [(0, (2, 0, 0)), (0, (1, 0, 1))], done
    assert krea.billed_prompts() == ["a", "b", "c"]
    assert len(krea.posts) == 3


def test_a_reader_that_leaves_does_not_cut_requests_off(project, krea):
    project.pipeline(WORDS)
    process = project.start("run", "p.yaml", "--concurrency", "1", anew=True)
    process.stderr.close()
    process.stdout.close()
    assert process.wait(timeout=60) in (0, 1)
    assert krea.billed_prompts() == WORDS
    assert len(project.events("done")) == len(WORDS)
    assert project.run("run", "p.yaml", "--json").json["cells"]["reused"] == len(WORDS)
