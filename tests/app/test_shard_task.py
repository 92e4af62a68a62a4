"""A shard as a task: a process of its own with the files that it was given, which a cluster may start again."""

import json
import multiprocessing
import signal

import pytest
from command_line import KEY, SOURCE
from krea_server import until
from money import draw

from krea_pipe.app import shard_task
from krea_pipe.app.packed_runs import unpacked_runs
from krea_pipe.app.shard_task import ShardTask, carry_out

WORDS = ["a", "b", "c"]
LATENCY = 1000.0
PROCESSING = 300.0
"""Seconds of Krea's clock after which a job cannot be cancelled any more."""
MOST_CALLS = 600
"""After so many calls it is taken for certain that a task does not end."""


@pytest.fixture(autouse=True)
def pictures(krea, tmp_path, monkeypatch):
    krea.reset(latency=0.0, concurrency=1)
    draw(krea)
    monkeypatch.setattr(shard_task, "BEAT_SECONDS", 0.05)
    (tmp_path / "machine").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "machine"))
    monkeypatch.setattr("tempfile.tempdir", None)


def task(project, *words):
    """A task as `--on` makes it, with the store of this test."""
    project.pipeline(WORDS)
    environment = {name: value for name, value in project.environment({}).items() if name.startswith("KREA_")}
    environment |= {"KREA_PIPE_REMOTE": (project.path / "store").as_uri(), "PYTHONPATH": str(SOURCE)}
    arguments = ("run", "--shard", "1/1", "--json", "--log-format", "json", *words, "--", "p.yaml")
    files = {"project/p.yaml": (project.path / "p.yaml").read_bytes()}
    return ShardTask("launch", "1/1", arguments, "project", files, (), environment)


def reports(result):
    return [json.loads(files["report.json"]) for _, files in unpacked_runs(result.runs)]


def test_a_task_gives_the_records_of_its_run_and_leaves_nothing_on_its_machine(project, krea, tmp_path):
    lines = []
    result = carry_out(task(project), lambda new: bool(lines.extend(new)))
    assert (result.code, result.problem) == (0, None)
    (report,) = reports(result)
    assert [row["status"] for row in report["cells"]] == ["succeeded"] * 3
    assert krea.billed_prompts() == WORDS
    assert [line["done"] for line in lines if line["event"] == "progress"] == [1, 2, 3]
    assert KEY not in json.dumps(lines) + repr(result) + repr(task(project))
    assert list((tmp_path / "machine").iterdir()) == []


def test_a_task_that_is_stopped_before_it_begins_sends_nothing(project, krea):
    result = carry_out(task(project), lambda _: True)
    assert (result.code, result.runs, krea.seen) == (130, b"", [])


def test_a_task_that_is_stopped_sends_nothing_more_and_brings_in_what_is_paid(project, krea):
    krea.world.latency = LATENCY
    stops, calls = [], []

    def exchange(lines):
        calls.append(lines)
        assert len(calls) < MOST_CALLS
        if any(line["event"] == "stopping" for line in lines):
            krea.finish_jobs()
        if krea.world.jobs and not stops:
            stops.append(krea.clock.advance(PROCESSING))
        return bool(stops)

    result = carry_out(task(project, "--concurrency", "1"), exchange)
    (report,) = reports(result)
    assert (result.code, [row["status"] for row in report["cells"]]) == (130, ["succeeded", "pending", "pending"])
    assert krea.billed_prompts() == ["a"]


def test_a_task_whose_worker_is_killed_ends_its_run_and_goes_on_where_it_is_started_again(project, krea):
    """The process that a lost worker had started is still there when a cluster starts the task again."""
    krea.world.latency = LATENCY
    mine, found = task(project, "--concurrency", "2"), project.path / "runs"
    worker = start_worker(mine, found)
    until(lambda: len(krea.world.jobs) == 2, "the jobs of two requests, of which the second waits for the first")
    krea.clock.advance(PROCESSING)
    worker.kill()
    worker.join()
    until(lambda: krea.world.jobs[1].status(krea.world.now()) == "cancelled", "the end of the second job")
    krea.finish_jobs()
    again = start_worker(mine, found)
    again.join(60)
    assert again.exitcode == 0
    assert krea.billed_prompts() == WORDS
    reports = [json.loads(files["report.json"]) for _, files in unpacked_runs(found.read_bytes())]
    assert [report["exit_code"] for report in reports] == [130, 0]
    assert [float(report["totals"]["cost"]["spent_usd"]) for report in reports] == [0.03, 0.06]


def test_what_a_killed_process_has_paid_and_not_shared_is_shared_when_the_task_is_started_again(project, tmp_path):
    mine = task(project)
    place = tmp_path / "machine" / "krea-pipe-launch-1of1"
    place.mkdir(mode=0o700)
    assert project.run("run", "p.yaml", env={"KREA_PIPE_HOME": str(place / "home")}).code == 0
    assert carry_out(mine, lambda _: False).code == 0
    assert len(list((project.path / "store/loopback/results").iterdir())) == len(WORDS)


def start_worker(task, found):
    """A process that carries a task out, as a worker of a cluster."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=(task, found))
    process.start()
    return process


def work(task, found):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as in a worker of Ray
    found.write_bytes(carry_out(task, lambda _: False).runs)
