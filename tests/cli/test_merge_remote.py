"""`merge --remote`: shards leave their runs in the shared store, and one command makes one run of them."""

import hashlib
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_line import Project, shared
from krea_server import GENERATE

WORDS = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"]
SECRET = "0123456789abcdef"


def draw(project, store, number, *words, total=2, name="release", code=0, file="p.yaml", **more):
    """Run a shard on a machine of its own, of which nothing is left."""
    machine = Project(project.path / "machine", project.krea)
    machine.path.mkdir()
    machine.write(file, (project.path / file).read_bytes())
    named = ("--run-name", name) if name else ()
    words = ("run", file, "--json", "--shard", f"{number}/{total}", *named, *words)
    done = machine.run(*words, env=shared(store, **more))
    assert done.code == code, done.text
    shutil.rmtree(machine.path)
    return done


def merge(project, store, *words, name="release", code=0, **more):
    named = ("--run-name", name) if name else ()
    done = project.run("merge", "--remote", *words, *named, "--json", env=shared(store, KREA_API_KEY=None, **more))
    assert done.code == code, done.text
    return done


def left(store):
    return sorted(path for path in store.rglob("shards/*/*") if path.is_file())


def test_shards_on_machines_that_are_gone_become_one_run_with_all_images(project, elsewhere, store, krea):
    project.pipeline(WORDS)
    ids = [draw(project, store, number).json["run_id"] for number in (1, 2)]
    seen = len(krea.seen)
    done = merge(elsewhere, store)
    assert len(krea.seen) == seen  # neither the network nor a key is needed for Krea
    report = done.report
    assert [row["id"] for row in report["cells"]] == [f"p/{word}" for word in WORDS]
    assert (report["totals"]["cost"]["spent_usd"], sorted(report["merged"])) == ("0.24", sorted(ids))
    folder = Path(elsewhere.path, done.json["report"]).parent
    root = ElementTree.parse(folder / "junit.xml").getroot()
    assert (root.get("tests"), len(list((folder / "thumbnails").iterdir()))) == ("8", 8)
    locked = [json.loads(line) for line in (elsewhere.path / "p.lock.jsonl").read_text().splitlines()]
    assert {line["id"]: line["sha256"] for line in locked} == {row["id"]: row["sha256"] for row in report["cells"]}
    assert sorted(path.stem for path in (elsewhere.path / "out/p").iterdir()) == WORDS
    elsewhere.pipeline(WORDS)
    assert elsewhere.run("verify", "p.yaml").code == 0


def test_a_shard_that_left_no_run_is_named_and_is_a_failure(project, elsewhere, store):
    project.pipeline(WORDS)
    draw(project, store, 1)
    done = merge(elsewhere, store, code=1)
    (missing,) = done.json["missing"]
    assert (missing["shard"], missing["came"]) == ("2/2", False)
    said = elsewhere.run("merge", "--remote", "--run-name", "release", env=shared(store))
    assert "shard 2/2 has no run" in said.err
    assert "run that shard with the same name" in said.err
    draw(project, store, 2)
    assert merge(elsewhere, store).json["cells"]["succeeded"] == len(WORDS)


def test_the_worst_exit_code_of_the_latest_runs_counts_and_the_costs_of_all(project, elsewhere, store, krea):
    project.pipeline(WORDS)
    krea.answer("POST", GENERATE, 422, b'{"error": "no"}', text="fox")
    codes = {
        number: draw(project, store, number, "--max-new", "99", code=code).code for number, code in shards(project)
    }
    assert merge(elsewhere, store, code=1).json["cells"]["failed"] == 1
    krea.rules.clear()
    draw(project, store, next(number for number, code in codes.items() if code))
    done = merge(elsewhere, store)
    assert (done.json["cells"]["succeeded"], len(done.report["merged"])) == (len(WORDS), 3)
    assert done.report["totals"]["cost"]["spent_usd"] == "0.24"


def shards(project):
    """Each shard with the exit code that it has when the cell `fox` fails."""
    for number in (1, 2):
        planned = project.run("plan", "p.yaml", "--json", "--shard", f"{number}/2").json["cells"]
        yield number, int("p/fox" in [cell["id"] for cell in planned])


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"KREA_PIPE_RUN_NAME": "nightly", "GITHUB_RUN_ID": "17"}, "nightly"),
        ({"GITHUB_RUN_ID": "4711"}, "4711"),
        ({"CI_PIPELINE_ID": "42"}, "42"),
    ],
)
def test_a_ci_names_the_runs_that_belong_together(project, elsewhere, store, variables, name):
    project.pipeline(WORDS)
    for number in (1, 2):
        draw(project, store, number, name=None, **variables)
    assert {path.parent.name for path in left(store)} == {name}
    assert merge(elsewhere, store, name=None, **variables).json["cells"]["succeeded"] == len(WORDS)


def test_without_a_name_nothing_is_left_in_the_store_and_merge_says_what_to_do(project, elsewhere, store):
    project.pipeline(WORDS)
    draw(project, store, 1, name=None)
    assert left(store) == []
    assert merge(elsewhere, store, name=None, code=2).json["error"]["code"] == "no_run_name"
    draw(project, store, 1, name="release")
    error = merge(elsewhere, store, name="other", code=2).json["error"]
    assert (error["code"], "the latest names are release" in error["message"]) == ("no_such_run", True)


def test_runs_of_other_names_and_pipelines_are_kept_apart(project, elsewhere, store):
    project.pipeline(WORDS)
    project.pipeline(["x", "y"], name="q.yaml")
    for number in (1, 2):
        draw(project, store, number)
        draw(project, store, number, file="q.yaml")
        draw(project, store, number, name="another")
    error = merge(elsewhere, store, code=2).json["error"]
    assert (error["code"], "p, q" in error["message"]) == ("other_pipeline", True)
    elsewhere.write("q.yaml", (project.path / "q.yaml").read_bytes())
    assert merge(elsewhere, store, "q.yaml").json["cells"]["total"] == 2
    assert len(merge(elsewhere, store, name="another").report["merged"]) == 2


def test_shards_of_different_versions_are_refused(project, elsewhere, store):
    project.pipeline(WORDS)
    draw(project, store, 1)
    project.pipeline([*WORDS[1:], "yak"])
    draw(project, store, 2)
    assert merge(elsewhere, store, code=2).json["error"]["code"] == "other_version"


def test_an_image_that_is_gone_from_the_store_is_a_failure(project, elsewhere, store):
    project.pipeline(["fox"])
    draw(project, store, 1, total=1)
    next(store.rglob("blobs/*")).unlink()
    done = merge(elsewhere, store, code=1)
    assert done.json["images_absent"] == ["p/fox"]


def test_a_run_without_the_signature_of_the_team_does_not_count(project, elsewhere, store):
    project.pipeline(WORDS)
    for number in (1, 2):
        draw(project, store, number, KREA_PIPE_REMOTE_SECRET=SECRET)
    (first, second) = left(store)
    second.write_bytes(second.read_bytes()[:-1] + b"x")
    moved = first.with_name("20261130-220511-003-p-0000")
    moved.write_bytes(first.read_bytes())  # a record is bound to its name
    done = elsewhere.run(
        *("merge", "--remote", "--run-name", "release"), env=shared(store, KREA_PIPE_REMOTE_SECRET=SECRET)
    )
    assert done.code == 1, done.text
    assert f"{second.parent.name}/{second.name} has different bytes" in done.err
    assert f"{moved.name} is signed with another secret" in done.err
    assert "has no run" in done.err


def test_a_packed_run_that_is_none_is_told_in_a_line(project, elsewhere, store):
    project.pipeline(WORDS)
    draw(project, store, 1)
    (run,) = left(store)
    for packed in (b"", b"nothing", b"\xfd7zXZ\x00"):
        digest = hashlib.sha256(packed).hexdigest()
        run.write_bytes(json.dumps({"data": {"sha256": digest}}).encode() + b"\n" + packed)
        assert merge(elsewhere, store, code=2 if not packed else 1).json["error"]["code"] in (
            "no_such_run",
            "unreadable_run",
        )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("run", "p.yaml", "--run-name", "x"), 2),
        (("run", "p.yaml", "--shard", "1/2", "--run-name", "x"), 2),
        (("run", "p.yaml", "--shard", "1/2", "--run-name", "a/b"), 2),
        (("merge", "--run-name", "x", "somewhere"), 2),
        (("merge",), 2),
        (("merge", "--remote", "--run-name", "x"), 2),
        (("merge", "--remote", "--run-name", "x", "a.yaml", "b.yaml"), 2),
    ],
)
def test_what_cannot_be_meant_is_refused(project, krea, words, code):
    project.pipeline(WORDS)
    done = project.run(*words, "--json")
    assert (done.code, done.json["error"]["code"] != "internal_error", krea.posts) == (code, True, [])


def test_shards_are_merged_from_s3(project, elsewhere, moto, tmp_path):
    address = {**moto, "KREA_PIPE_REMOTE": "s3://bucket/merged", "KREA_PIPE_REMOTE_SECRET": SECRET}
    project.pipeline(WORDS)
    for number in (1, 2):
        done = project.spawn(*("run", "p.yaml", "--shard", f"{number}/2", "--run-name", "release"), env=address)
        assert done.code == 0, done.text
    done = elsewhere.spawn("merge", "--remote", "--run-name", "release", "--json", env=address)
    assert (done.code, done.json["cells"]["succeeded"]) == (0, len(WORDS)), done.text
