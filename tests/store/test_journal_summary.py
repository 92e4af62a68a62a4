"""A plan of stored images reads a summary of the journal in place of its lines, and says what they say."""

import json
import shutil

import pytest

SUMMARY = "journal-summary-1.json"
UNREPORTED = "cached; generated and billed by a run that wrote no report"


def pipeline(project, name, words):
    project.pipeline(words, name=f"{name}.yaml")
    return f"{name}.yaml"


def changed_journal(project, change):
    lines = [change(line) for line in project.journal()]
    text = "".join(json.dumps(line) + "\n" for line in lines if line is not None)
    (project.space / "journal.jsonl").write_text(text)


@pytest.fixture
def settled(project):
    """A pipeline with two images, and another one that has nothing to do and whose run has left a summary."""
    assert project.run("run", pipeline(project, "p", "ab")).code == 0
    return project


def summarize(project):
    file = pipeline(project, "other", "xy")
    for _ in range(2):
        assert project.run("run", file).code == 0
    return project.space / SUMMARY


def without_report(project):
    """What is left of a run that was killed before its report."""
    (run,) = (project.home / "runs").iterdir()
    (run / "report.json").unlink()
    changed_journal(project, lambda line: None if line["event"] == "reported" else line)


def test_a_summary_says_which_results_no_report_has(settled):
    without_report(settled)
    summary = summarize(settled)
    assert len(json.loads(summary.read_text())["unreported"]) == 2
    assert settled.plan() == {"a": ("reuse", UNREPORTED), "b": ("reuse", UNREPORTED)}
    summary.unlink()
    assert settled.plan() == {"a": ("reuse", UNREPORTED), "b": ("reuse", UNREPORTED)}
    summarize(settled)
    rows = settled.run("run", "p.yaml", "--json").rows
    assert all(float(row["cost_usd"]) > 0 for row in rows.values())
    assert settled.plan() == {"a": ("reuse", "cached"), "b": ("reuse", "cached")}


def test_a_summary_says_which_jobs_were_adopted(settled):
    changed_journal(settled, lambda line: line | {"event": "adopted"} if line["event"] == "submitted" else line)
    summarize(settled)
    rows = settled.run("run", "p.yaml", "--json").rows
    assert {row["adopted"] for row in rows.values()} == {True}


def test_a_summary_holds_for_its_own_lines_alone(settled):
    summarize(settled)
    assert settled.plan() == {"a": ("reuse", "cached"), "b": ("reuse", "cached")}
    before = (settled.space / "journal.jsonl").read_bytes()
    done = next(line for line in settled.journal() if line["event"] == "done")
    with (settled.space / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps(done | {"run": "20260101-000000-000-p-dead"}) + "\n")
    assert settled.plan() == {"a": ("reuse", UNREPORTED), "b": ("reuse", "cached")}
    (settled.space / "journal.jsonl").write_bytes(before)
    assert settled.plan() == {"a": ("reuse", "cached"), "b": ("reuse", "cached")}
    without = before.replace(b'"reported"', b'"unseen"  ')
    assert len(without) == len(before)
    (settled.space / "journal.jsonl").write_bytes(without)
    for run in (settled.home / "runs").iterdir():
        (run / "report.json").unlink()
    assert settled.plan() == {"a": ("reuse", UNREPORTED), "b": ("reuse", UNREPORTED)}


@pytest.mark.parametrize("damage", [b"", b"[]", b"[" * 100_000, b'{"krea_pipe": "0.0.1"}', b"\xff"])
def test_a_damaged_summary_is_passed_over(settled, damage):
    without_report(settled)
    summarize(settled).write_bytes(damage)
    assert settled.plan() == {"a": ("reuse", UNREPORTED), "b": ("reuse", UNREPORTED)}


@pytest.mark.parametrize(("name", "value"), [("krea_pipe", "0.0.1"), ("adopted", None), ("unreported", [])])
def test_a_summary_of_another_form_is_passed_over(settled, name, value):
    without_report(settled)
    summary = summarize(settled)
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"unreported": {}} | {name: value}))
    assert settled.plan() == {"a": ("reuse", UNREPORTED), "b": ("reuse", UNREPORTED)}


def test_what_may_have_been_paid_is_decided_by_all_lines(settled, krea):
    """A lost answer is none of what a summary says, and its request is not sent again."""
    changed_journal(settled, lambda line: line if line["event"] == "submitting" else None)
    shutil.rmtree(settled.space / "facts")
    shutil.rmtree(settled.path / "out")
    for file in settled.blobs():
        file.unlink()
    summarize(settled)
    assert {action for action, _ in settled.plan().values()} == {"hold"}
    assert len(krea.posts) == 4
