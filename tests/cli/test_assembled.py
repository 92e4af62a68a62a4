"""Reports of every current cell of a pipeline: the cells of the file as it is now, with the images of all runs."""

import json
import re
import shlex
import zipfile

import pytest
from money import draw

PICKED = """version: 1
name: lamp
budget: {usd: 9}
stages:
  explore: {prompt: "# {{ w }}", matrix: {w: [%s]}}
  final: {for_each: explore, picks: picks/explore.yaml, promote: {variant: large}}
"""


@pytest.fixture
def grown(project, krea):
    """Three runs of a pipeline: of `gone` and `a`, of `a` and `b`, and of `c` alone; `d` was never generated."""
    draw(krea)
    project.pipeline(["gone", "a"])
    project.run("run", "p.yaml")
    project.pipeline(["a", "b"])
    project.run("run", "p.yaml")
    project.pipeline(["a", "b", "c", "d"])
    assert project.run("run", "p.yaml", "-k", "c").code == 0
    return project


def images_in(project, name):
    with zipfile.ZipFile(project.path / name) as archive:
        listed = json.loads(archive.read(next(one for one in archive.namelist() if one.endswith("manifest.json"))))
    return [one["id"] for one in listed["images"]]


def test_export_packs_the_current_cells_of_all_runs(grown):
    done = grown.run("export", "p.yaml", "--json")
    assert (done.code, images_in(grown, "p.zip")) == (0, ["p/a", "p/b", "p/c"])
    assert {name: done.json[name] for name in ("images", "expected", "missing", "target")} == {
        "images": 3,
        "expected": 4,
        "missing": ["p/d"],
        "target": "live",
    }
    command = "krea-pipe run p.yaml"
    assert done.json["assembled"] == {
        "file": "p.yaml",
        "cells": 4,
        "missing": ["p/d"],
        "waiting": [],
        "command": command,
    }
    text = grown.run("export", "p", "--out", "again.zip")
    assert ("p/d: left out" in text.err, f"to generate: {command}\n" in text.err) == (True, True)
    assert (grown.path / "again.zip").read_bytes() == (grown.path / "p.zip").read_bytes()
    for words, ids in {
        ("--run", "latest"): ["p/c"],
        ("-k", "a or d"): ["p/a"],
        ("--set", "matrix.w=['b']"): ["p/b"],
    }.items():
        assert grown.run("export", "p.yaml", *words, "--replace").code == 0
        assert images_in(grown, "p.zip") == ids
    assert grown.run("export", "--replace").code == 0
    assert images_in(grown, "p.zip") == ["p/c"]
    done = grown.run("export", "p.yaml", "-k", "d")
    assert (done.code, "missing 1 of 1 cell has no image: p/d" in done.err) == (7, True)


def test_a_single_run_is_one_of_the_pipeline(grown):
    grown.pipeline(["x"], name="q.yaml")
    other = grown.run("run", "q.yaml", "--local", "--json").json["run_id"]
    said = grown.run("export", "p.yaml", "--run", other, "--json").json["error"]
    assert (said["code"], said["message"]) == ("no_such_run", f"{other} is not a run of p.yaml")
    assert grown.run("sheet", "--run", other).code == 0
    for words in (
        (other, "--run", "latest"),
        (other, "--local"),
        ("--set", "a=1"),
        ("p.yaml", "--run", "latest", "--local"),
    ):
        assert grown.run("export", *words).code == 2


def test_a_sheet_shows_what_is_missing(grown):
    done = grown.run("sheet", "p.yaml", "--json")
    assert {name: done.json[name] for name in ("cells", "pictures", "expected")} == {
        "cells": 4,
        "pictures": 3,
        "expected": 4,
    }
    assert done.json["assembled"]["missing"] == ["p/d"]
    text = grown.run("sheet", "p", "--out", "sheet-2.pdf").err
    assert "missing 1 of 4 cells has no image: p/d\n  to generate: krea-pipe run p.yaml\n" in text
    assert "missing" not in grown.run("sheet", "p", "--out", "sheet-3.pdf", "-k", "a or b").err


def test_real_images_are_taken_before_proofs(project, krea):
    draw(krea)
    project.pipeline(["a", "b"])
    for words, found in {
        (): (None, 2, "krea-pipe run p.yaml"),
        ("run", "p.yaml", "--local"): ("local", 0, None),
        ("run", "p.yaml", "-k", "a"): ("live", 1, "krea-pipe run p.yaml"),
    }.items():
        if words:
            assert project.run(*words).code == 0
        done = project.run("export", "p.yaml", "--json", "--replace")
        said = project.run("view", "p.yaml", "--json", "--seconds", "0", "--no-open").json["assembled"]
        assert (len(said["missing"]), said["command"]) == found[1:]
        assert done.json.get("target") == found[0]
    assert (project.home / ".gitignore").read_text() == "*\n"
    assert project.run("export", "p.yaml", "--local", "--json").json["target"] == "local"
    assert krea.billed_prompts() == ["a"]


def test_picks_are_followed_to_images_of_any_run(project, krea):
    draw(krea)
    project.write("lamp.yaml", PICKED % "a, b")
    assert project.run("run", "lamp.yaml").code == 6
    project.write("picks/explore.yaml", "stage: explore\npicks: [explore/a]\n")
    assert project.run("run", "lamp.yaml", "-k", "stage:final").code == 0
    project.write("lamp.yaml", PICKED % "a, b, c")
    project.run("run", "lamp.yaml", "-k", "c")
    assert project.run("export", "lamp.yaml", "--picks").code == 0
    assert images_in(project, "lamp-picks.zip") == ["final/a"]
    project.write("picks/explore.yaml", "stage: explore\npicks: [explore/a, explore/c]\n")
    error = project.run("export", "lamp.yaml", "--picks", "--json").json["error"]
    assert error["message"].endswith("explore/c (final/c: pending)")
    assert "run `krea-pipe run lamp.yaml`" in error["hint"]
    done = project.run("export", "lamp.yaml", "--picks", "--allow-missing", "--out", "part.zip")
    assert (done.code, images_in(project, "part.zip")) == (0, ["final/a"])
    (project.path / "picks/explore.yaml").unlink()
    said = project.run("sheet", "lamp.yaml")
    assert (said.code, "`final` waits for" in said.err, "missing" in said.err) == (0, True, False)


def test_nothing_is_sent_and_no_run_is_added(grown, krea):
    before = [run["run_id"] for run in grown.run("runs", "--json").json["runs"]]
    posts = len(krea.seen)
    for command in (("export", "p"), ("sheet", "p"), ("view", "p", "--seconds", "0", "--no-open")):
        assert grown.run(*command, env={"KREA_API_KEY": None}).code == 0
    assert (len(krea.seen), [run["run_id"] for run in grown.run("runs", "--json").json["runs"]]) == (posts, before)
    assert grown.run("gc", "--json").code == grown.run("cache", "verify").code == 0
    assert re.search(r"Comparisons and assembled reports: \d", grown.run("cache", "stats").out)


def test_images_are_held_to_the_checks_of_now_and_no_command_is_run(project, krea):
    draw(krea)
    checks = (
        'checks: [{name: wide, measure: width, min: 2000}, {name: own, measure: command, run: "touch ran {image}"}]'
    )
    project.pipeline(["a", "b"], more="budget: {usd: 5}")
    project.run("run", "p.yaml", "-k", "a")
    project.pipeline(["a", "b"], more=f"budget: {{usd: 5}}\n{checks}")
    done = project.run("export", "p.yaml", "-k", "check:wide", "--json")
    assert (done.code, done.json["images"]) == (0, 1), done.text
    assert project.run("view", "p.yaml", "--seconds", "0", "--no-open").code == 0
    (file,) = project.home.glob("assembled/*/report.json")
    rows = json.loads(file.read_text(encoding="utf-8"))["cells"]
    found = {one["name"]: (one["passed"], one.get("message", "")) for one in rows[0]["checks"]}
    assert (found["wide"][0], found["own"]) == (
        False,
        (None, "not measured yet; run the pipeline with --allow-commands"),
    )
    assert ("checks" in rows[1], (project.path / "ran").exists()) == (False, False)


def test_the_command_for_what_is_missing_has_the_same_options(project):
    project.pipeline(["a"])
    words = ("--set", "matrix.w=['x y']")
    assert project.run("export", "p.yaml", *words).code == 7
    command = project.run("view", "p.yaml", *words, "--json", "--seconds", "0", "--no-open").json["assembled"][
        "command"
    ]
    assert shlex.split(command) == ["krea-pipe", "run", "p.yaml", *words]


def test_a_page_is_not_written_through_a_link(grown):
    view = ("view", "p", "--seconds", "0", "--no-open")
    assert grown.run(*view).code == 0
    (folder,) = grown.home.glob("assembled/*")
    folder.rename(grown.path / "elsewhere")
    folder.symlink_to(grown.path / "elsewhere")
    done = grown.run(*view)
    assert (done.code, "is a link" in done.err) == (1, True)
