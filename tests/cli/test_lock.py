"""The lock file: what runs leave in it, what it refuses, and what is accepted into it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import SOURCE
from jsonschema import Draft202012Validator
from krea_server import ask, picture, send_answer
from money import hide

from krea_pipe.core.contract import SIZES
from krea_pipe.planning.lockfile import lockfile_of, read_lock

SCHEMA = Draft202012Validator(json.loads((SOURCE / "schemas/lock.schema.json").read_text(encoding="utf-8")))


def lines(project, name="p.lock.jsonl"):
    """The lines of a lock file by the last part of their cells' ids."""
    found = [json.loads(line) for line in (project.path / name).read_text().splitlines()]
    for line in found:
        SCHEMA.validate(line)
    assert [line["id"] for line in found] == sorted(line["id"] for line in found)
    return {line["id"].rpartition("/")[2]: line for line in found}


def lose_home(project):
    shutil.rmtree(project.home)
    shutil.rmtree(project.path / "out")


def ran(project, *words, code=0):
    done = project.run("run", "p.yaml", "--json", *words)
    assert done.code == code, done.text
    return done


# --- what a run writes


def test_a_live_run_writes_a_line_for_each_cell_and_a_second_one_leaves_the_file_alone(project):
    project.pipeline(["fox", "owl"])
    done = ran(project)
    found = lines(project)
    assert found["fox"]["sha256"] == done.rows["fox"]["sha256"]
    assert found["fox"]["key"] == done.rows["fox"]["key"]
    assert (found["fox"]["job_id"], found["fox"]["price_usd"]) == (
        done.rows["fox"]["job_id"],
        done.rows["fox"]["cost_usd"],
    )
    assert done.json["lock"]["changes"] == 2
    before = (project.path / "p.lock.jsonl").stat().st_ino
    assert ran(project).json["lock"]["changes"] == 0
    assert (project.path / "p.lock.jsonl").stat().st_ino == before


def test_a_local_run_writes_none(project):
    project.pipeline(["fox"])
    ran(project, "--local")
    assert not (project.path / "p.lock.jsonl").exists()


def test_a_changed_request_gets_a_new_line_and_a_cell_that_is_gone_loses_its_own(project):
    project.pipeline(["fox", "owl"])
    ran(project)
    before = lines(project)
    project.pipeline(["fox", "elk"], more="budget: {usd: 5}\ndefaults: {creativity: high}")
    ran(project)
    after = lines(project)
    assert set(after) == {"fox", "elk"}
    assert after["fox"]["key"] != before["fox"]["key"]


def test_a_part_of_the_cells_leaves_the_lines_of_the_others(project):
    project.pipeline(["fox", "owl"])
    ran(project)
    before = lines(project)
    project.pipeline(["fox", "owl"], more="budget: {usd: 5}\ndefaults: {creativity: high}")
    ran(project, "-k", "fox")
    after = lines(project)
    assert after["owl"] == before["owl"]
    assert after["fox"] != before["fox"]


def test_lines_of_a_stage_that_waits_stay(project):
    stages = (
        "stages:\n  a: {prompt: fox, matrix: {seed: [1, 2]}}\n  b:\n    for_each: a\n    picks: {file: picks/a.yaml}\n"
    )
    project.write("p.yaml", f"version: 1\nbudget: {{usd: 5}}\n{stages}    prompt: '{{{{ source.prompt }}}} again'\n")
    picks = project.write("picks/a.yaml", "stage: a\npicks: [a/s1]\n")
    ran(project)
    before = (project.path / "p.lock.jsonl").read_bytes()
    assert b'"b/' in before
    picks.unlink()
    ran(project, code=6)
    assert (project.path / "p.lock.jsonl").read_bytes() == before


def test_what_the_command_line_changes_has_no_place_in_the_lock_of_the_file(project):
    project.pipeline(["fox"])
    ran(project, "--set", "creativity=high")
    assert not (project.path / "p.lock.jsonl").exists()
    ran(project, "--set", "creativity=high", "--lock", "high.lock.jsonl")
    assert set(lines(project, "high.lock.jsonl")) == {"fox"}


def test_a_lock_that_can_not_be_written_at_the_end_costs_nothing(project):
    project.pipeline(["fox"])
    folder = project.path / "p.lock.jsonl"

    async def act(scope, seen, send, app):
        folder.mkdir()
        status, headers, body = await ask(app, scope, seen)
        await send_answer(send, status, headers, body)

    project.krea.rule("POST", "/generate/", act, text="fox")
    done = ran(project, code=1)
    assert "p.lock.jsonl" in done.json["error"]["message"]
    assert done.counts == (1, 0, 0)
    folder.rmdir()
    assert ran(project).counts == (0, 0, 1)
    assert set(lines(project)) == {"fox"}


def test_two_files_that_differ_in_their_suffix_have_two_locks(project):
    project.pipeline(["fox"])
    ran(project)
    project.pipeline(["owl"], name="p.yml", more="budget: {usd: 5}\nname: q")
    assert project.run("run", "p.yml").code == 0
    assert (set(lines(project)), set(lines(project, "p.yml.lock.jsonl"))) == ({"fox"}, {"owl"})


@pytest.mark.parametrize("command", ["check", "accept", "verify"])
def test_cells_that_the_command_line_changes_are_not_held_against_the_lock_of_the_file(project, command):
    project.pipeline(["fox"])
    ran(project)
    before = (project.path / "p.lock.jsonl").read_bytes()
    done = project.run(command, "p.yaml", "--set", "creativity=high")
    assert done.code == 2
    assert "--lock" in done.err
    assert (project.path / "p.lock.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["p.yaml", "p.lock.jsonl"])
def test_a_link_that_leads_out_of_the_repository_is_not_looked_at(project, tmp_path_factory, name):
    private = tmp_path_factory.mktemp("private") / "secret"
    private.write_text("hunter22: [\n")
    (project.path / ".git").mkdir()
    project.pipeline(["fox"])
    (project.path / name).unlink(missing_ok=True)
    (project.path / name).symlink_to(private)
    shown = [project.run("run", "p.yaml", "--frozen"), project.run("verify", "p.yaml")]
    private.unlink()
    assert [(one.code, one.err) for one in shown] == [(2, one.err) for one in shown]
    assert "hunter22" not in "".join(one.text for one in shown)
    assert "leads outside its repository" in shown[0].err
    assert project.run("verify", "p.yaml").err == shown[1].err


@pytest.mark.parametrize("name", [".", "/", ""])
def test_a_folder_is_no_pipeline(project, name):
    assert project.run("run", name, "--local").code == 2


# --- frozen


def test_frozen_sends_nothing_that_the_lock_does_not_have(project):
    project.pipeline(["fox"])
    ran(project)
    project.pipeline(["fox", "owl"])
    before = len(project.krea.posts)
    done = ran(project, "--frozen", code=8)
    assert done.json["error"]["code"] == "not_locked"
    assert "1 of 2 cells is missing from p.lock.jsonl or changed" in done.json["error"]["message"]
    assert len(project.krea.posts) == before
    project.pipeline(["fox"], more="budget: {usd: 5}\ndefaults: {creativity: high}")
    assert ran(project, "--frozen", code=8).json["error"]["code"] == "not_locked"
    assert len(project.krea.posts) == before


def test_a_frozen_run_pays_only_when_that_is_allowed_and_tells_another_image_from_it(project, krea):
    project.pipeline(["fox", "owl"])
    ran(project)
    project.pipeline(["fox"])
    before = (project.path / "p.lock.jsonl").read_bytes()
    lose_home(project)
    krea.reset()
    done = ran(project, "--frozen", code=8)
    assert (done.rows["fox"]["error"]["code"], krea.posts) == ("render_not_allowed", [])
    done = ran(project, "--frozen", "--allow-render", code=8)
    assert done.json["lock"]["drifted"] == ["p/fox"]
    assert (project.path / "p.lock.jsonl").read_bytes() == before


# --- check and accept


def test_another_image_of_the_same_request_waits_to_be_accepted(project, krea):
    project.pipeline(["fox", "owl"])
    ran(project)
    before = lines(project)
    assert project.run("check", "p.yaml").code == 0
    lose_home(project)
    krea.answer("GET", "/jobs/", 404, {"error": "Job not found"})
    hide(krea, "fox", "owl")
    assert project.run("run", "p.yaml").code == 1
    krea.rules.clear()
    done = project.run("run", "p.yaml", "--uncertain", "resubmit")
    assert "2 images differ from p.lock.jsonl" in done.out
    assert lines(project) == before

    done = project.run("check", "p.yaml", "--json")
    assert done.code == 8
    fox = next(cell for cell in done.json["cells"] if cell["id"] == "p/fox")
    assert (fox["state"], fox["locked_sha256"]) == ("changed", before["fox"]["sha256"])
    assert 0 < fox["distance"] <= 1
    assert f"{fox['distance']:.3f}" in project.run("check", "p.yaml").out

    assert project.run("accept", "p.yaml", "fox", "--json").json["accepted"] == ["p/fox"]
    assert lines(project)["fox"]["sha256"] == fox["sha256"]
    assert lines(project)["owl"] == before["owl"]
    assert project.run("check", "p.yaml").code == 8
    assert project.run("accept", "p.yaml").code == 0
    assert project.run("check", "p.yaml").code == 0
    assert ran(project, "--frozen").json["lock"]["drifted"] == []


def test_check_fails_where_nothing_was_generated(project, krea):
    project.pipeline(["fox", "owl"])
    done = project.run("check", "p.yaml")
    assert done.code == 8
    assert "p.lock.jsonl: 2 not generated." in done.out
    assert "2 cells have no local image to compare. To generate the missing images: krea-pipe run p.yaml" in done.out
    assert project.run("run", "p.yaml").code == 0
    assert project.run("check", "p.yaml").code == 0
    project.pipeline(["fox", "owl", "elk"])
    done = project.run("check", "p.yaml", "--json")
    assert (done.code, done.json["counts"]["missing"]) == (8, 1)
    shutil.rmtree(project.home)
    assert project.run("check", "p.yaml", "-k", "fox").code == 8, "what is accepted is not here"


def test_an_image_without_a_line_is_not_accepted(project):
    project.pipeline(["fox"])
    ran(project)
    (project.path / "p.lock.jsonl").unlink()
    done = project.run("check", "p.yaml", "--json")
    assert (done.code, done.json["counts"]["new"]) == (8, 1)
    assert project.run("accept", "p.yaml", "owl").code == 7
    assert not (project.path / "p.lock.jsonl").exists()


# --- verify


def test_verify_tells_images_on_disk_from_those_that_are_locked(project):
    project.krea.image(picture("JPEG", "jpeg", SIZES["1:1"]), text="elk")
    project.pipeline(["fox", "owl", "elk"])
    ran(project)
    shutil.rmtree(project.home)
    bare = {"KREA_API_KEY": None, "KREA_API_BASE": None}
    assert project.run("verify", "p.yaml", env=bare).code == 0

    fox = project.image("fox")
    fox.write_bytes(picture(seed="other"))
    project.image("owl").unlink()
    done = project.run("verify", "p.yaml", "--json", env=bare)
    states = {cell["id"]: cell["state"] for cell in done.json["cells"]}
    assert (done.code, states) == (8, {"p/fox": "changed", "p/owl": "missing", "p/elk": "accepted"})
    assert "p/owl" in project.run("verify", "p.yaml", env=bare).out
    assert project.run("verify", "p.yaml", "-k", "elk", env=bare).code == 0
    assert project.run("verify", "p.yaml", "--out", "elsewhere", env=bare).code == 8


def test_verify_sees_one_changed_byte_behind_the_texts_of_a_png(project):
    project.pipeline(["fox"])
    ran(project)
    file = project.image("fox")
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    assert project.run("verify", "p.yaml").code == 8


# --- damage and merges


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<<<<<<< HEAD\n", "p.lock.jsonl:2:1: error: this is a merge conflict marker"),
        ("{\n", "p.lock.jsonl:2:1: error: this is not a line of a lock file: it is not JSON"),
        ('{"id": "p/fox"}\n', "it has no `key`"),
        ("\xff\n", "this is not UTF-8 text"),
        (
            '{"id": "p/owl", "key": "k", "sha256": "s", "variant": "v", "price_usd": "0", "job_id": "\\ud800"}\n',
            "`job_id`",
        ),
    ],
)
def test_a_lock_that_can_not_be_read_stops_a_run_before_anything_is_sent(project, text, said):
    project.pipeline(["fox", "owl"])
    ran(project, "-k", "fox")
    file = project.path / "p.lock.jsonl"
    file.write_bytes(file.read_bytes() + text.encode("latin-1"))
    before = len(project.krea.posts)
    done = project.run("run", "p.yaml")
    assert done.code == 2
    assert said in done.err
    assert len(project.krea.posts) == before
    for command in ("check", "verify", "accept"):
        assert project.run(command, "p.yaml").code == 2


def git(folder, *words):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    return subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_branches_that_change_neighbouring_cells_merge_by_themselves(project):
    def draw(creativity):
        rows = "".join(f"    - {{id: {name}, creativity: {value}}}\n" for name, value in creativity.items())
        project.write("p.yaml", f"version: 1\nprompt: fox\nbudget: {{usd: 5}}\nmatrix:\n  w:\n{rows}")
        ran(project)

    project.write(".gitattributes", "*.lock.jsonl merge=union\n")
    project.write(".gitignore", ".krea-pipe/\nout/\n")
    draw({"a": "raw", "b": "raw", "gap": "low", "c": "raw"})
    git(project.path, "init", "-q", "-b", "main")
    for words in (["add", "-A"], ["commit", "-qm", "one"], ["switch", "-qc", "other"]):
        git(project.path, *words)
    draw({"a": "high", "b": "raw", "gap": "low", "c": "raw"})
    git(project.path, "commit", "-qam", "two")
    git(project.path, "switch", "-q", "main")
    draw({"a": "raw", "b": "raw", "gap": "low", "c": "high"})
    git(project.path, "commit", "-qam", "three")
    git(project.path, "merge", "-q", "--no-edit", "other")
    assert ran(project, "--frozen").json["cells"]["reused"] == 4
    assert ran(project).counts == (0, 0, 4)
    assert set(lines(project)) == {"a", "b", "c", "gap"}


def test_lines_are_the_same_in_whatever_order_and_number_they_stand(tmp_path, project):
    project.pipeline(["fox", "owl", "elk"])
    ran(project)
    file = project.path / "p.lock.jsonl"
    lock = read_lock(file)
    mixed = Path(tmp_path, "mixed.lock.jsonl")
    mixed.write_text("\n".join([*reversed(file.read_text().splitlines()), *file.read_text().splitlines()]))
    assert lockfile_of(file, read_lock(mixed).lines) == lock
    assert b"".join(lock.to_lines()) == file.read_bytes()
