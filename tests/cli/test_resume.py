"""Runs that are killed, interrupted or doubled: the next run goes on, and every request is billed once."""

import signal
from decimal import Decimal

import pytest
from krea_server import GENERATE, until

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
    project.pipeline(WORDS)
    assert kill_when(project, lambda: len(project.events(event)) >= count) == -signal.SIGKILL
    in_journal = {line["key"] for line in project.events("submitted")}
    lost = {line["key"] for line in project.events("submitting")} - in_journal
    krea.finish_jobs()
    krea.rules.clear()
    plan = project.run("plan", "p.yaml", "--json").json
    done_before = {line["key"] for line in project.events("done")}
    expected = dict.fromkeys(in_journal, "attach") | dict.fromkeys(done_before, "reuse")
    expected |= dict.fromkeys(lost, "hold")
    assert {cell["key"]: cell["action"] for cell in plan["cells"] if cell["action"] != "new"} == expected
    done = project.run("run", "p.yaml", "--json", "--uncertain", "resubmit" if lost else "hold")
    assert done.code == 0, done.text
    if not lost:
        assert krea.billed_prompts() == WORDS
        assert len(krea.posts) == len(WORDS)
    assert project.run("run", "p.yaml", "--json").json["cells"]["reused"] == len(WORDS)


def test_a_run_killed_in_the_middle_of_a_post_is_held(project, krea):
    krea.hang("POST", GENERATE, text='"a"')
    project.pipeline(["a", "b"])
    kill_when(project, lambda: len(krea.posts) == 2 and project.events("done"))
    krea.rules.clear()
    actions = {cell["id"]: cell["action"] for cell in project.run("plan", "p.yaml", "--json").json["cells"]}
    assert actions == {"p/a": "hold", "p/b": "reuse"}
    assert project.run("run", "p.yaml").code == 1
    assert krea.billed_prompts() == ["a", "b"]
    assert len(krea.posts) == 2


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


def test_a_torn_last_line_of_an_accepted_job_is_held(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a"])
    kill_when(project, lambda: project.events("submitted"))
    journal = project.space / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert project.run("run", "p.yaml").code == 1
    assert len(krea.posts) == 1


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_reports_and_is_gone_on_with(project, krea, kind):
    krea.reset(latency=1e6)
    project.pipeline(WORDS)
    process = project.start("run", "p.yaml", "--json", "--concurrency", "3")
    until(lambda: len(project.events("submitted")) == 3)
    process.send_signal(kind)
    done = project.finish(process)
    assert (done.code, done.json["exit_code"], done.json["cells"]["pending"]) == (130, 130, 5)
    assert {cell["status"] for cell in done.report["cells"]} == {"pending"}
    assert (done.json["cost"]["spent_usd"], Decimal(done.json["cost"]["in_flight_usd"])) == ("0", 3 * Decimal("0.03"))
    assert len(krea.posts) == 3
    krea.finish_jobs()
    assert project.run("run", "p.yaml").code == 0
    assert krea.billed_prompts() == WORDS
    assert len(krea.posts) == len(WORDS)


def test_a_second_interrupt_leaves_at_once(project, krea):
    krea.hang("POST", GENERATE)
    project.pipeline(["a"])
    process = project.start("run", "p.yaml")
    until(lambda: krea.posts)
    process.send_signal(signal.SIGINT)
    assert b"Interrupt again" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    done = project.finish(process)
    assert done.code == 130
    assert "run the same command again" in done.err
    krea.rules.clear()
    plan = project.run("plan", "p.yaml", "--json").json
    assert plan["cells"][0]["action"] == "hold"


def test_another_key_does_not_lose_a_job_that_is_paid(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a"])
    kill_when(project, lambda: project.events("submitted"))
    krea.finish_jobs()
    krea.answer("GET", "/jobs/", 404, {"error": "Job not found"})
    done = project.run("run", "p.yaml", "--json", env={"KREA_API_KEY": "another-key"})
    assert (done.code, done.rows["a"]["error"]["code"]) == (1, "other_account")
    assert project.plan()["a"][0] == "attach"
    krea.rules.clear()
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.posts) == 1


def test_two_runs_at_once_are_refused_and_pay_nothing(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a"])
    project.pipeline(["z"], name="other.yaml")
    first = project.start("run", "p.yaml")
    until(lambda: project.events("submitted"))
    second = project.run("run", "other.yaml", "--json")
    assert (second.code, second.json["error"]["code"]) == (1, "run_in_progress")
    assert project.run("plan", "p.yaml", "--json").json["cells"][0]["action"] == "attach"
    krea.finish_jobs()
    assert project.finish(first).code == 0
    assert krea.billed_prompts() == ["a"]


def test_a_reader_that_leaves_does_not_cut_requests_off(project, krea):
    project.pipeline(WORDS)
    process = project.start("run", "p.yaml", "--concurrency", "1")
    process.stderr.close()
    process.stdout.close()
    assert process.wait(timeout=60) in (0, 1)
    assert krea.billed_prompts() == WORDS
    assert len(project.events("done")) == len(WORDS)
    assert project.run("run", "p.yaml", "--json").json["cells"]["reused"] == len(WORDS)
