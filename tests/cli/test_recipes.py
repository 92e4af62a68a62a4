"""`deliver:`: files for others are made from each image, at no cost, and are ours only while nobody changes them."""

import json
import shutil
import signal
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from image_samples import signed
from krea_server import noisy, until
from PIL import Image
from test_merge import draw

from krea_pipe.core import transcoding
from krea_pipe.core.contract import SIZES
from krea_pipe.core.delivery_mark import made_of
from krea_pipe.core.transcoding import render_recipe

SIDE = SIZES["1:1"][0]
WEB = "budget: {usd: 5}\ndeliver: [{format: webp, width: 100}]"
BOTH = f"""{WEB[:-1]}, {{format: jpeg, longest: 64, path: "print/{{{{ w }}}}"}}]"""


@pytest.fixture
def two(project):
    """Two images, each delivered as WebP and as JPEG."""
    project.pipeline(["a", "b"], more=BOTH)
    assert run(project).json["delivered"] == counts(made=4)
    return project


def run(project, *words, code=0, env=()):
    done = project.run("run", "p.yaml", "--json", *words, env=env)
    assert done.code == code, done.text
    return done


def counts(made=0, current=0, kept=0, failed=0):
    return {"made": made, "current": current, "kept": kept, "failed": failed}


def files(project, folder="out/p"):
    """The files of an output folder besides the images, with their bytes and when they were written."""
    paths = sorted(path for path in (project.path / folder).rglob("*") if path.is_file() and path.suffix != ".png")
    return {
        path.relative_to(project.path / folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in paths
    }


def delivered(done):
    return [one for row in done.report["cells"] for one in row.get("delivered", [])]


# --- making files


def test_each_image_is_delivered_by_each_recipe_and_the_report_says_how(project, krea):
    project.pipeline(["a", "b"], more=BOTH)
    done = run(project)
    assert [*files(project)] == ["print/a.jpg", "print/b.jpg", "webp/a.webp", "webp/b.webp"]
    for name, form, side in (("print/a.jpg", "JPEG", 64), ("webp/b.webp", "WEBP", 100)):
        with Image.open(project.path / "out/p" / name) as image:
            assert (image.format, image.size) == (form, (side, side))
    rows = done.rows
    assert [(one["recipe"], one["format"], one["path"], one["width"]) for one in rows["a"]["delivered"]] == [
        ("webp", "webp", "out/p/webp/a.webp", 100),
        ("jpeg", "jpeg", "out/p/print/a.jpg", 64),
    ]
    for one in delivered(done):
        assert one["bytes"] == (project.path / one["path"]).stat().st_size
    text = project.run("run", "p.yaml").out
    assert "files   4 up to date\n" in text
    assert (len(krea.posts), [row["status"] for row in rows.values()]) == (2, ["succeeded"] * 2)


def test_named_recipes_are_used_by_their_stages_in_folders_of_their_names(project):
    more = "stages:\n  one: {prompt: lamp, deliver: [web, og]}\n  two: {prompt: vase, out: v, deliver: og}\n"
    recipes = (
        "deliver: {web: {format: webp, height: 30}, og: {format: png, width: 50, path: 'og/{{ stage }}-{{ cell }}'}}\n"
    )
    project.write("p.yaml", f"version: 1\nbudget: {{usd: 5}}\n{recipes}{more}")
    run(project)
    found = {path.relative_to(project.path / "out/p").as_posix() for path in (project.path / "out/p").rglob("*.*")}
    assert found == {"one.png", "v.png", "web/one.webp", "og/one-one.png", "og/two-two.png"}


def test_a_rerun_touches_nothing_and_a_changed_recipe_makes_its_files_anew_without_a_request(two, krea):
    before = files(two)
    krea.seen.clear()
    done = run(two)
    assert (done.json["delivered"], files(two)) == (counts(current=4), before)
    assert [one["bytes"] for one in delivered(done)] == [
        len(before[name][0]) for name in ("webp/a.webp", "print/a.jpg", "webp/b.webp", "print/b.jpg")
    ]
    assert "Recipes: 0 of 4 files to deliver." in two.run("plan", "p.yaml").out
    two.pipeline(["a", "b"], more=BOTH.replace("100", "90"))
    planned = two.run("plan", "p.yaml", "--json").json
    assert (planned["deliver"], planned["has_work"]) == ({"files": 4, "to_make": 2}, False)
    assert run(two, "--frozen", "--lock", "p.lock.jsonl").json["delivered"] == counts(made=2, current=2)
    after = files(two)
    assert {name for name in after if after[name] != before[name]} == {"webp/a.webp", "webp/b.webp"}
    (two.path / "out/p/print/a.jpg").unlink()
    assert run(two).json["delivered"] == counts(made=1, current=3)
    assert files(two)["print/a.jpg"][0] == before["print/a.jpg"][0]
    assert krea.seen == []


def test_recipes_change_no_key_and_files_wait_for_their_images(project, krea):
    project.pipeline(["a", "b"])
    run(project, "-k", "w=a")
    project.pipeline(["a", "b"], more=BOTH)
    assert "Recipes: 4 of 4 files to deliver." in project.run("plan", "p.yaml").out
    assert project.plan()["a"][0] == "reuse"
    assert run(project, "-k", "w=a").json["delivered"] == counts(made=2)
    assert len(krea.posts) == 1


def test_proofs_are_delivered_beside_proofs_and_say_that_no_model_drew_them(project, krea):
    project.pipeline(["a"], more=WEB)
    assert run(project, "--local").json["delivered"] == counts(made=1)
    (name,) = files(project, "proofs/p")
    assert name == "webp/a.webp"
    assert b"digitalsourcetype/algorithmicMedia" in files(project, "proofs/p")[name][0]
    assert krea.seen == []


# --- what is in the way


@pytest.mark.parametrize(
    "change", [lambda _: b"someone's work", lambda data: data + b"\0", lambda data: data[:-2] + b"zz"]
)
def test_a_changed_file_is_kept_unless_the_user_says_otherwise(two, change):
    file = two.path / "out/p/webp/a.webp"
    file.write_bytes(change(file.read_bytes()))
    (two.path / "out/p/webp/b.webp").unlink()
    theirs = file.read_bytes()
    assert [one["cell"] for one in two.run("plan", "p.yaml", "--json").json["in_the_way"]] == ["p/a"]
    done = run(two, code=1)
    assert done.json["delivered"] == counts(made=1, current=2, kept=1)
    assert done.json["error"]["code"] == "file_in_the_way"
    assert "out/p/webp/a.webp was changed after krea-pipe delivered it" in done.json["error"]["message"]
    assert "was left unchanged" in done.rows["a"]["delivered"][0]["error"]
    assert (done.rows["a"]["status"], file.read_bytes()) == ("reused", theirs)
    done = run(two, "--keep-both")
    assert (done.rows["a"]["delivered"][0]["path"], file.read_bytes()) == ("out/p/webp/a.krea-pipe.webp", theirs)
    assert run(two).json["delivered"] == counts(current=4)
    assert run(two, "--overwrite-changed").json["delivered"] == counts(made=1, current=3)
    assert made_of(file.read_bytes())


def test_a_file_of_others_is_in_the_way_and_one_of_ours_is_known_without_the_store(project):
    project.pipeline(["a", "b"], more=WEB)
    theirs = project.write("out/p/webp/a.webp", b"theirs")
    assert run(project, code=1).json["delivered"] == counts(made=1, kept=1)
    assert theirs.read_bytes() == b"theirs"
    theirs.unlink()
    assert run(project).json["delivered"] == counts(made=1, current=1)
    before = files(project)
    shutil.rmtree(project.space / "facts")
    done = run(project)
    assert (done.json["delivered"], files(project)) == (counts(current=2), before)
    assert [one["width"] for one in delivered(done)] == [100, 100]
    shutil.rmtree(project.space / "facts")
    project.pipeline(["a", "b"], more=WEB.replace("100", "90"))
    assert run(project).json["delivered"] == counts(made=2)


def run_without_space(project):
    """A run that can write no file of 2 MB, which is what it takes to deliver noise as PNG."""
    words = ("sh", "-c", 'ulimit -f 4000; exec "$0" -m krea_pipe run p.yaml --json', sys.executable)
    env = project.environment({"PYTHONDONTWRITEBYTECODE": "1"})
    process = subprocess.run(words, cwd=project.path, env=env, check=False, capture_output=True, text=True)
    assert process.returncode == 1, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize("obstacle", ["a file for the folder", "a folder for the file", "no space"])
def test_a_file_that_cannot_be_written_is_said_and_costs_nothing_later(project, krea, obstacle):
    project.pipeline(["a", "b"], more="budget: {usd: 5}\ndeliver: [{format: png, path: 'x-{{ w }}/{{ w }}'}]")
    krea.image(noisy("JPEG", (SIDE, SIDE)), text="a")
    if obstacle == "a file for the folder":
        project.write("out/p/x-a", b"theirs")
    elif obstacle == "a folder for the file":
        (project.path / "out/p/x-a/a.png").mkdir(parents=True)
    found = run(project, code=1).json if obstacle != "no space" else run_without_space(project)
    assert found["error"]["code"] in ("not_delivered", "file_in_the_way")
    assert "x-a" in found["error"]["message"]
    report = json.loads((project.path / found["report"]).read_text())
    one, other = report["cells"]
    assert (one["status"], (project.path / one["image"]).is_file()) == ("succeeded", True)
    assert (one["delivered"][0]["sha256"], other["delivered"][0]["error"]) == (None, None)
    cases = ElementTree.parse((project.path / found["report"]).parent / "junit.xml").iter("testcase")
    assert [[child.get("type") for child in case.iter("failure")] for case in cases] == [["not_delivered"], []]
    if obstacle == "a file for the folder":
        (project.path / "out/p/x-a").unlink()
    elif obstacle == "a folder for the file":
        shutil.rmtree(project.path / "out/p/x-a")
    assert run(project).json["delivered"] == counts(made=1, current=1)
    assert len(krea.posts) == 2


def test_another_pipeline_does_not_take_the_files_of_the_first(two):
    two.write(
        "q.yaml",
        (two.path / "p.yaml")
        .read_text()
        .replace('"{{ w }}"', '"{{ w }} at night"')
        .replace("longest: 64", "longest: 60"),
    )
    done = two.run("run", "q.yaml", "--local", "--json", "--out", "out/q")
    assert done.json["delivered"] == counts(made=4)
    two.write("r.yaml", (two.path / "q.yaml").read_text())
    shutil.rmtree(two.path / "out/q/webp")
    done = two.run("run", "r.yaml", "--local", "--json", "--out", "out/q")
    assert done.json["delivered"] == counts(made=2, current=2), done.text
    two.write("r.yaml", (two.path / "r.yaml").read_text().replace("longest: 60", "longest: 50"))
    done = two.run("run", "r.yaml", "--local", "--json", "--out", "out/q")
    assert (done.code, done.json["delivered"]) == (1, counts(current=2, kept=2)), done.text


# --- ends, shards, signatures


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_ends_in_the_middle_of_delivering_is_completed_by_the_next(project, krea, end):
    words = [f"w{number}" for number in range(8)]
    project.pipeline(words)
    run(project)
    krea.seen.clear()
    project.pipeline(words, more="budget: {usd: 5}\ndeliver: [{format: avif, width: 700}]")
    process = project.start("run", "p.yaml", "--json")
    folder = project.path / "out/p/avif"
    until(lambda: folder.is_dir() and [*folder.glob("*.avif")], "the first file")
    process.send_signal(end)
    out, _ = process.communicate(timeout=60)
    there = [path for path in folder.glob("*.avif") if made_of(path.read_bytes())]
    assert 0 < len(there) < 8
    if end is signal.SIGINT:
        assert process.returncode == 130
        assert json.loads(out)["delivered"]["made"] == len(there)
    made = run(project).json["delivered"]["made"]
    assert made == 8 - len(there)
    assert all(made_of(data) for data, _ in files(project).values())
    assert (len(files(project)), krea.seen) == (8, [])


def test_shards_deliver_their_files_and_a_merged_report_has_all_of_them(project):
    project.pipeline(["a", "b", "c", "d"], more=WEB)
    parts = [draw(project, number, total=2)[0] for number in (1, 2)]
    (parts[0] / "out/p/webp").rename(parts[0] / "elsewhere")
    done = project.run("merge", "shards", "--json")
    assert done.code == 0, done.text
    lost = [one for one in delivered(done) if one["sha256"] is None]
    assert {one["notes"][0] for one in lost} == {"it is not here: run the pipeline to make it, at no cost"}
    assert len(lost) + len(files(project)) == 4
    (parts[0] / "elsewhere").rename(parts[0] / "out/p/webp")
    done = project.run("merge", "shards", "--json")
    assert done.code == 0, done.text
    assert [*files(project)] == [f"webp/{word}.webp" for word in "abcd"]
    assert all(one["error"] is None and (project.path / one["path"]).is_file() for one in delivered(done))
    shutil.rmtree(project.path / "shards")
    theirs = project.write("out/p/webp/a.webp", b"theirs")
    assert run(project, code=1).json["delivered"] == counts(current=3, kept=1)
    assert theirs.read_bytes() == b"theirs"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_a_signed_image_stays_as_it_is_and_files_that_lose_its_credentials_say_so(project, krea, form):
    data = signed(form, (SIDE, SIDE))
    krea.image(data)
    project.pipeline(["a"], more=f"{WEB[:-1]}, {{format: original}}]")
    done = run(project)
    suffix = form.lower().replace("jpeg", "jpg")
    assert (
        project.image("a", suffix=suffix).read_bytes()
        == project.image("a", "out/p/original", suffix).read_bytes()
        == data
    )
    side = json.loads(project.image("a", suffix="json").read_text())
    assert (side["cell"], side["request"]["prompt"], side["sha256"]) == ("p/a", "a", done.rows["a"]["sha256"])
    (warning,) = done.report["warnings"]
    assert "recipe `webp`, 1 file: its Content Credentials are not in the file" in warning
    assert "Content Credentials" in project.run("run", "p.yaml").err


def test_a_changed_file_in_place_of_the_data_of_a_signed_image_is_kept(project, krea):
    krea.image(signed("PNG", (SIDE, SIDE)))
    project.pipeline(["a"])
    theirs = project.write("out/p/a.json", "{}")
    for _ in range(2):
        assert "a.json exists, but krea-pipe did not deliver it" in run(project, code=1).json["error"]["message"]
    assert (theirs.read_text(), len(krea.posts)) == ("{}", 1)
    run(project, "--overwrite-changed")
    before = theirs.stat().st_mtime_ns
    project.image("a").unlink()
    run(project)
    assert (json.loads(theirs.read_text())["cell"], theirs.stat().st_mtime_ns) == ("p/a", before)


def test_a_file_that_somebody_saves_while_it_is_made_is_kept(project, monkeypatch):
    project.pipeline(["a"], more=WEB)

    def render(*given):
        made = render_recipe(*given)
        project.write("out/p/webp/a.webp", b"theirs")
        return made

    monkeypatch.setattr(transcoding, "render_recipe", render)
    assert run(project, code=1).json["delivered"] == counts(kept=1)
    assert (project.path / "out/p/webp/a.webp").read_bytes() == b"theirs"


# --- what is wrong in a file

WRONG = {
    "unknown": ("deliver: [web]", "unknown_name", "`deliver:` does not define `web`", "define it"),
    "no format": ("deliver: [{width: 3}]", "missing_key", "needs `format`", "write png, webp"),
    "bad format": (
        "deliver: [{format: jpg}]",
        "invalid_value",
        'must be one of png, webp, avif, jpeg, original, not "jpg"',
        "did you mean `jpeg`?",
    ),
    "unknown key": (
        "deliver: [{format: png, widht: 3}]",
        "unknown_key",
        "unknown key `widht`",
        "did you mean `width`?",
    ),
    "two sides": (
        "deliver: [{format: png, width: 3, height: 4}]",
        "recipe_conflict",
        "`width` or `height`, not both",
        "remove one",
    ),
    "quality": (
        "deliver: [{format: png, quality: 3}]",
        "recipe_conflict",
        "`quality` has no effect",
        "remove `quality`",
    ),
    "lossless": (
        "deliver: [{format: avif, lossless: true}]",
        "recipe_conflict",
        "always lose something",
        "format: webp",
    ),
    "original": (
        "deliver: [{format: original, trim: true}]",
        "recipe_conflict",
        "`trim` has no effect",
        "remove `trim`",
    ),
    "enlarge": ("deliver: [{format: png, enlarge: true}]", "recipe_conflict", "`enlarge` needs a size", "set `width`"),
    "in place": (
        "deliver: {format: webp}",
        "wrong_type",
        "`deliver.format` must be a mapping",
        "deliver: [{format: webp}]",
    ),
    "colour": ("deliver: [{format: png, background: white}]", "invalid_value", 'cannot be "white"', '"#ffffff"'),
    "no colour": ("deliver: [{format: png, background: }]", "wrong_type", "has no value", '"#ffffff"'),
    "twice": ("deliver: [{format: png}, {format: png}]", "duplicate_value", "twice", "remove one"),
    "cells": (
        "deliver: [{format: png, path: x}]",
        "path_collision",
        "p/a by `png` and p/b by `png` would both be written to x",
        "add {{ w }}",
    ),
    "recipes": ("deliver: [{format: webp}, {format: webp, width: 3}]", "path_collision", "webp/a", "another path"),
    "an image": (
        "deliver: [{format: png, path: '{{ out }}'}]",
        "path_collision",
        "p/a and p/a by `png` would both be written to a",
        "path",
    ),
    "an original": (
        "deliver: [{format: png, path: 'x/{{ w }}'}, {format: original, path: 'X/{{ w }}'}]",
        "path_collision",
        "X/a",
        "path",
    ),
    "outside": (
        "deliver: [{format: png, path: '../{{ w }}'}]",
        "path_outside",
        "`path` produces",
        "below the output folder",
    ),
    "name": ("deliver: [{format: png, path: '{{ v }}'}]", "undefined_variable", "uses `v`", "define it"),
}


@pytest.mark.parametrize(("text", "code", "message", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_recipe_is_said_with_its_place(project, krea, text, code, message, hint):
    project.pipeline(["a", "b"], more=f"out: '{{{{ w }}}}'\n{text}")
    done = project.run("validate", "p.yaml", "--json")
    assert done.code == 2
    (problem, *_) = done.json["files"][0]["problems"]
    assert (problem["code"], problem["at"]["line"]) == (code, 5)
    assert message in problem["message"]
    assert hint in problem["hint"]


def test_a_recipe_that_no_stage_uses_is_a_warning(project):
    project.pipeline(["a"], more="deliver: {web: {format: webp}, og: {format: png}}")
    problems = project.run("validate", "p.yaml", "--json").json["files"][0]["warnings"]
    assert [(one["code"], one["hint"]) for one in problems] == [
        ("unused_definition", f"use it in a stage: `deliver: [{name}]`") for name in ("web", "og")
    ]


def test_recipes_may_come_from_a_used_file(project):
    project.write("brand.yaml", "version: 1\ndeliver: {web: {format: webp, width: 50}, og: {format: png}}\n")
    stages = "stages:\n  one: {prompt: lamp, deliver: [web]}\n"
    project.write(
        "p.yaml", f"version: 1\nbudget: {{usd: 5}}\nuse: brand.yaml\ndeliver: {{web: {{format: avif}}}}\n{stages}"
    )
    assert [one["format"] for one in delivered(run(project))] == ["avif"]
    project.pipeline(["a"], more="budget: {usd: 5}\nuse: brand.yaml\ndeliver: [web]")
    assert [one["format"] for one in delivered(run(project))] == ["webp"]
    stages = "stages:\n  one: {prompt: lamp, deliver: []}\n  two: {prompt: vase}\n"
    project.write("p.yaml", f"version: 1\nbudget: {{usd: 5}}\nuse: brand.yaml\ndefaults: {{deliver: [og]}}\n{stages}")
    assert [one["format"] for one in delivered(run(project))] == ["png"]
