"""`krea-pipe runs`, and pipelines named in place of runs."""

import shutil

import pytest
from krea_server import until
from money import draw

FAILED = {"status": "failed", "result": {"error": {"code": "nsfw", "message": "no"}}}
BACK = "20200101-000000-000-p-bbbb"


def listed(project, *words):
    done = project.run("runs", *words, "--json")
    assert done.code == 0, done.text
    return done.json["runs"]


def ids(runs):
    return [run["run_id"] for run in runs]


def run_id(project, *words):
    return project.run("run", *words, "--json").json["run_id"]


def rename_run(project, old, new):
    """Give a run the id that it would have if the clock had shown another time."""
    folder = project.home / "runs" / old
    for name in ("report.json", "report.html"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    folder.rename(folder.with_name(new))
    order = project.home / "run-order.txt"
    order.write_text(order.read_text().replace(old, new))


@pytest.fixture
def three(project, krea):
    """Three runs of a pipeline that grows, each with what was new; the clock was set back before the second."""
    draw(krea)
    (project.path / ".git").mkdir()
    project.pipeline(["a"])
    first = run_id(project, "p.yaml")
    project.pipeline(["a", "b"])
    rename_run(project, run_id(project, "p.yaml"), BACK)
    project.pipeline(["a", "b", "c"])
    return project, [run_id(project, "p.yaml", "--local"), BACK, first]


def test_runs_are_listed_in_the_order_in_which_they_began(three):
    project, newest_first = three
    runs = listed(project)
    assert ids(runs) == newest_first
    assert [run["cost"]["spent_usd"] for run in runs] == ["0.00", "0.03", "0.03"]
    assert [(run["target"], run["cells"]["succeeded"], run["cells"]["reused"]) for run in runs] == [
        ("local", 3, 0),
        ("live", 1, 1),
        ("live", 1, 0),
    ]
    assert {(run["pipeline"], run["file"], run["state"], run["exit_code"]) for run in runs} == {
        ("p", "p.yaml", "finished", 0)
    }
    assert all((project.path / run["page"]).is_file() and (project.path / run["report"]).is_file() for run in runs)
    lines = project.run("runs").out.splitlines()
    assert lines[0].split() == ["started", "(UTC)", "pipeline", "run", "images", "spent", "exit", "report"]
    assert [next(one for one in newest_first if one in line) for line in lines[1:]] == newest_first
    assert ("1 rendered, 1 reused" in lines[2], "$0.03" in lines[2], "local" in lines[1]) == (True, True, True)
    text = project.run("runs", "--limit", "1").out
    assert (newest_first[1] in text, "… and 2 more; list all of them with --limit 0" in text) == (False, True)


def test_runs_are_filtered(three, krea):
    project, newest_first = three
    krea.mutate_job(lambda job: {**job, **FAILED}, text="bad")
    project.pipeline(["bad"], name="other/q.yaml")
    failed = run_id(project, "other/q.yaml")
    wanted = {
        ("--live",): [failed, *newest_first[1:]],
        ("--local",): newest_first[:1],
        ("--failed",): [failed],
        ("q",): [failed],
        ("p.yaml",): newest_first,
        ("p.yaml", "q"): [failed, *newest_first],
        ("--limit", "2"): [failed, newest_first[0]],
        ("--since", "2021-01-01", "p"): newest_first,
        ("--since", "2100-01-01"): [],
        ("--since", "1h", "--live", "p"): newest_first[1:],
    }
    assert {words: ids(listed(project, *words)) for words in wanted} == wanted
    assert project.run("runs", "--since", "2100-01-01").out == "No runs.\n"
    assert project.run("runs", "--since", "soon").code == 2


def test_a_killed_run_is_listed_with_the_command_that_continues_it(project, krea):
    krea.mutate_job(lambda job: {**job, "status": "sampling", "completed_at": None}, text="b")
    draw(krea)
    project.pipeline(["a", "b"], name="my pipes/p.yaml")
    (project.path / ".git").mkdir()
    process = project.start("run", "my pipes/p.yaml")
    until(lambda: project.events("done") or process.poll() is not None)
    (running,) = listed(project)
    process.kill()
    process.wait()
    (killed,) = listed(project, "--failed")
    assert (running["state"], killed["state"], killed["report"], killed["exit_code"]) == (
        *("running", "interrupted"),
        *(None, None),
    )
    assert (killed["cells"]["succeeded"], killed["cells"]["pending"], killed["cost"]["spent_usd"]) == (1, 1, "0.03")
    assert killed["continue"] == "krea-pipe run 'my pipes/p.yaml'"
    said = f"{killed['run_id']} was interrupted; to continue: krea-pipe run 'my pipes/p.yaml'"
    assert said in project.run("runs").out


def test_the_runs_of_a_batch_are_shown_as_such(project):
    for name in ("a", "b"):
        project.pipeline([name], name=f"{name}.yaml")
    page = project.run("run", "a.yaml", "b.yaml", "--local", "--json").json["page"]
    assert {run["batch"] for run in listed(project)} == {page.split("/")[-2]}
    assert f"batch of a, b: {page}" in project.run("runs").out
    project.run("run", "a.yaml", "--local")
    assert [bool(run["batch"]) for run in listed(project)] == [False, True, True]


def test_a_batch_in_progress_is_not_taken_for_an_interrupted_one(project, krea):
    krea.reset(latency=1e6)
    for name in ("a", "b"):
        project.pipeline([name], name=f"{name}.yaml")
    process = project.start("run", "a.yaml", "b.yaml")
    until(lambda: len(project.events("submitted")) == 2 or process.poll() is not None)
    states = [run["state"] for run in listed(project)]
    process.kill()
    process.wait()
    assert (states, [run["state"] for run in listed(project)]) == (["running"] * 2, ["interrupted"] * 2)


def test_a_thousand_runs_are_listed_without_reading_their_cells(project):
    project.pipeline(["a"])
    folder = project.home / "runs" / run_id(project, "p.yaml", "--local")
    text = (folder / "report.json").read_text(encoding="utf-8")
    head, mark, _ = text.partition('\n "cells": [\n')
    assert mark
    names = [f"20250101-{number:06}-000-p-cccc" for number in range(1000)]
    for name in names:
        (folder.parent / name).mkdir()
        (folder.parent / name / "report.json").write_text(f"{head.replace(folder.name, name)}{mark}no cells")
    (project.home / "run-order.txt").write_text("".join(f"{name}\n" for name in reversed(names)))
    assert ids(listed(project, "--limit", "0")) == [*names, folder.name]


def test_a_damaged_report_hides_no_other_run(three):
    project, newest_first = three
    (project.home / "runs" / BACK / "report.json").write_text("{")
    done = project.run("runs", "--json")
    assert (done.code, ids(done.json["runs"])) == (0, [newest_first[0], newest_first[2]])
    assert f"cannot read .krea-pipe/runs/{BACK}/report.json" in done.err


def before_and_after(project, *words):
    done = project.run("diff", *words, "--json")
    assert done.code == 0, done.text
    return done.json["before"], done.json["after"]


def refused(project, *words):
    error = project.run(*words, "--json").json["error"]
    return error["code"], error["message"], error["hint"]


def test_a_pipeline_stands_for_its_latest_run(three):
    project, (proofs, live, first) = three
    project.pipeline(["x"], name="other/q.yaml")
    other = run_id(project, "other/q.yaml", "--local")
    reports = {word: project.run("report", word, "--json").json["run_id"] for word in ("p", "p.yaml", "q", live)}
    assert reports == {"p": proofs, "p.yaml": proofs, "q": other, live: live}
    assert before_and_after(project, live) == (first, live)
    assert before_and_after(project, first, "p.yaml") == (first, proofs)
    code, message, hint = refused(project, "diff", "p")
    assert (code, proofs in message, "`krea-pipe runs`" in hint) == ("no_such_run", True, True)
    again = run_id(project, "p.yaml", "--local")
    assert before_and_after(project, "p") == (proofs, again)


def test_names_that_mean_nothing_or_several_pipelines_are_explained(project):
    assert refused(project, "view", "lamp")[2] == "run a pipeline first: krea-pipe run FILE --local"
    (project.path / ".git").mkdir()
    for name in ("one/lamp.yaml", "two/lamp.yaml", "vase.yaml"):
        project.pipeline([name[0]], name=name)
        project.run("run", name, "--local", "--out", name[0])
    for command in ("view", "export", "sheet", "report", "diff", "runs", "merge"):
        code, message, hint = refused(project, command, "lamp")
        assert (code, message) == ("ambiguous_name", "2 pipelines are called lamp: two/lamp.yaml, one/lamp.yaml")
        assert hint == "specify the file, as in two/lamp.yaml"
        assert refused(project, command, "vaes")[::2] == ("no_such_run", "did you mean vase?")
        assert refused(project, command, "two/lamb.yaml")[::2] == ("no_such_file", "did you mean two/lamp.yaml?")
    assert "pipelines with runs: vase, lamp; latest runs: " in refused(project, "view", "zebra")[2]
    assert project.run("export", "one/lamp.yaml", "--json").json["assembled"]["file"] == "one/lamp.yaml"
    shutil.rmtree(project.path / "two")
    assert project.run("export", "lamp", "--json").json["assembled"]["file"] == "one/lamp.yaml"
    assert project.run("report", "two/lamp.yaml", "--json").code == 0
    code, message, hint = refused(project, "export", "two/lamp.yaml", "--out", "two.zip")
    assert (code, message, "--run latest" in hint) == (
        "no_such_file",
        "the pipeline file two/lamp.yaml is missing",
        True,
    )
    assert project.run("export", "two/lamp.yaml", "--run", "latest", "--out", "two.zip").code == 0


def test_the_home_folder_is_that_of_the_pipeline_file(project):
    for name in ("one", "two"):
        (project.path / name / ".git").mkdir(parents=True)
        project.pipeline([name], name=f"{name}/lamp.yaml")
        project.run("run", f"{name}/lamp.yaml", "--local")
    assert [run["file"] for run in listed(project, "one/lamp.yaml", "two/lamp.yaml")] == [
        "one/lamp.yaml",
        "two/lamp.yaml",
    ]
    for name in ("one", "two"):
        (run,) = listed(project, f"{name}/lamp.yaml")
        assert f"/{name}/.krea-pipe/runs/" in run["page"]
        assert project.run("report", f"{name}/lamp.yaml", "--json").json["run_id"] == run["run_id"]
        page = project.run("view", f"{name}/lamp.yaml", "--json", "--seconds", "0", "--no-open")
        assert page.json["assembled"]["missing"] == []
        assert (project.path / name / ".krea-pipe/assembled").is_dir()


def test_the_shards_of_a_pipeline_are_merged_by_its_name(project, krea):
    draw(krea)
    project.pipeline("abcd")
    project.run("run", "p.yaml", "--shard", "1/3")
    shards = [run_id(project, "p.yaml", "--shard", f"{number}/2") for number in (1, 2, 1)]
    for word in ("p", "p.yaml"):
        assert sorted(project.run("merge", word, "--json").report["merged"]) == sorted(shards[1:])
    project.pipeline("x", name="q.yaml")
    project.run("run", "q.yaml", "--local")
    assert refused(project, "merge", "q")[1] == "q.yaml has no run of a shard in .krea-pipe"
