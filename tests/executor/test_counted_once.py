"""Reports add up to what was paid: what no report has is counted by one later run, whatever ran out or died."""

import shutil
from decimal import Decimal

import pytest
from krea_server import until
from money import draw, kill

from krea_pipe.app import run_pipeline
from krea_pipe.core.errors import Problem, StateError
from krea_pipe.executor import deliver
from krea_pipe.report import rendered_forms
from krea_pipe.store.events import Done, Reported
from krea_pipe.store.journal import Journal

FULL = StateError(Problem("disk_full", "cannot write: No space left on device"))


@pytest.fixture(autouse=True)
def pictures(krea):
    """Pictures of the size that is asked for."""
    draw(krea)


def run(project, file="p.yaml"):
    return project.run("run", file, "--json")


def spent(*done):
    return sum(Decimal(one.json["cost"]["spent_usd"]) for one in done)


def leave_unreported(project, krea):
    """Have a run bring one image in, and die while it waits for another, whose job goes on while `krea` has rules."""
    krea.mutate_job(lambda job: {**job, "status": "processing", "completed_at": None, "result": None}, text="slow")
    project.pipeline(["a", "slow"])
    process = project.start("run", "p.yaml")
    until(lambda: project.events("done"), "an image")
    kill(process)


def test_two_runs_at_once_count_the_image_of_a_dead_one_once(project, krea):
    leave_unreported(project, krea)
    first = project.start("run", "p.yaml", "--json")
    until(lambda: project.events("attached"), "the first run")
    project.pipeline(["a"], name="q.yaml")
    second = run(project, "q.yaml")
    krea.rules.clear()
    draw(krea)
    assert spent(project.finish(first), second) == Decimal("0.06")
    assert spent(run(project)) == 0


def test_the_image_of_a_dead_run_is_counted_although_the_run_that_was_to_count_it_dies_as_well(project, krea):
    leave_unreported(project, krea)
    second = project.start("run", "p.yaml")
    until(lambda: project.events("counted"), "the second run")
    kill(second)
    krea.rules.clear()
    draw(krea)
    assert spent(run(project)) == Decimal("0.06")
    assert spent(run(project)) == 0


def test_two_runs_that_were_planned_at_the_same_time_count_the_image_of_a_dead_one_once(project, krea, monkeypatch):
    leave_unreported(project, krea)
    project.pipeline(["a"], name="q.yaml")
    others = []

    def take_over_costs(*words):
        if not others:
            others.append(project.spawn("run", "q.yaml", "--json"))
        return deliver.take_over_costs(*words)

    monkeypatch.setattr(run_pipeline, "take_over_costs", take_over_costs)
    assert spent(run(project, "q.yaml"), *others) == Decimal("0.03")


def test_what_was_counted_stays_counted_when_that_report_is_deleted(project, krea):
    leave_unreported(project, krea)
    project.pipeline(["a"], name="q.yaml")
    counting = run(project, "q.yaml")
    assert spent(counting) == Decimal("0.03")
    shutil.rmtree(project.home / "runs" / counting.json["run_id"])
    assert spent(run(project, "q.yaml")) == 0


def test_a_run_that_dies_with_an_image_that_an_earlier_report_has_counted_leaves_it_counted(project, krea):
    krea.mutate_job(lambda job: {**job, "result": {}} if job["result"] else job, text="a")
    project.pipeline(["a"])
    assert spent(run(project)) == Decimal("0.03")
    krea.rules.clear()
    draw(krea)
    leave_unreported(project, krea)
    krea.rules.clear()
    draw(krea)
    assert spent(run(project)) == Decimal("0.03"), "the other one alone"


def fill_disk_for(monkeypatch, kind):
    """Let no line of one kind be written any more."""
    write = Journal.write

    def writes(self, lines):
        if any(isinstance(line.event, kind) for line in lines):
            raise FULL
        return write(self, lines)

    monkeypatch.setattr(Journal, "write", writes)


def test_a_disk_that_fills_before_the_last_line_counts_nothing_twice(project, monkeypatch):
    project.pipeline(["a", "b"])
    fill_disk_for(monkeypatch, Reported)
    assert project.run("run", "p.yaml", "--json").code != 0
    monkeypatch.undo()
    [report] = (project.home / "runs").glob("*/report.json")
    assert '"spent_usd": "0.06"' in report.read_text() or '"spent_usd":"0.06"' in report.read_text()
    assert project.plan()["a"] == ("reuse", "cached")
    assert spent(run(project)) == 0


def test_a_disk_that_fills_while_the_report_is_written_has_the_next_run_count(project, monkeypatch):
    project.pipeline(["a", "b"])

    def write_atomically(path, *words, **options):
        raise FULL

    monkeypatch.setattr(rendered_forms, "write_atomically", write_atomically)
    assert project.run("run", "p.yaml", "--json").code != 0
    monkeypatch.undo()
    assert spent(run(project)) == Decimal("0.06")
    assert spent(run(project)) == 0


def test_a_disk_that_fills_before_an_image_is_noted_counts_it_once(project, krea, monkeypatch):
    project.pipeline(["a", "b"])
    fill_disk_for(monkeypatch, Done)
    first = project.run("run", "p.yaml", "--json")
    monkeypatch.undo()
    assert spent(first, run(project)) == Decimal("0.06")
    assert len(krea.posts) == 2


def test_an_image_that_no_later_run_may_count_is_marked_before_the_report_is_written(project, krea, monkeypatch):
    """Whoever counts says so first: the line names the run, whose report it stands in."""
    leave_unreported(project, krea)
    krea.rules.clear()
    draw(krea)
    seen = []
    monkeypatch.setattr(deliver, "Reported", lambda: seen.append(project.events("counted")) or Reported())
    done = run(project)
    assert [line["run"] for line in seen[0]] == [done.json["run_id"]]
