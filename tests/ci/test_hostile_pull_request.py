"""What a pull request can bring, in real repositories: the log has no command but ours, and git no other repository."""

import json
import os
import subprocess
import sys

import pytest
from command_line import KEY
from github_job import ROOT, pipeline
from github_log import commands_in

OURS = {"error", "warning", "notice", "group", "endgroup"}
HOSTILE = """version: 1
name: lamp
budget: {usd: 5}
prompt: "{{ w }} ##[add-mask]x @everyone <img src=x> [a](http://x)"
matrix:
  w:
    - "::add-mask::value"
    - "local:fail-nsfw\\n::add-mask::value"
"""


def assert_ours(done):
    """Every command of a log is one that the action means: an annotation has a title, as no text of a file would."""
    assert {one.name for one in done.commands} <= OURS, done.log
    assert all(one.properties.get("title") for one in done.commands if one.name in ("error", "warning", "notice"))
    assert all(one.data.startswith("krea-pipe run ") for one in done.commands if one.name == "group")
    assert "##[" not in done.log
    assert "Traceback" not in done.log
    assert "a bug in the action" not in done.log


@pytest.mark.parametrize(
    "name",
    [
        "pipelines/a.yaml\n{secret}",
        "pipelines/a\r::add-mask::x.yaml",
        "pipelines/\x1b[0m::add-mask::x.yaml",
        "pipelines/a\u2028::add-mask::x.yaml",
        "pipelines/a\t1\t.yaml",
        "pipelines/\udcff.yaml",
    ],
    ids=["line end", "carriage return", "escape", "separator", "tab", "not UTF-8"],
)
@pytest.mark.parametrize("files", ["pipelines", "pipelines/**/*.yaml"], ids=["folder", "glob"])
def test_a_name_that_is_more_than_a_line_is_refused_and_no_other_file_is_read(actions, krea, name, files):
    secret = actions.project.path / "secret.yaml"
    secret.write_text("top: secret-4711\n")
    actions.origin.commit({name.format(secret=secret): pipeline("wood")})
    done = actions.pull_request(fork=True).run(files=files)
    assert done.failed == ["choose"]
    assert_ours(done)
    assert "has control characters or line breaks in its name, or is not UTF-8" in done.commands[-1].data
    assert "secret-4711" not in done.log + done.summary
    assert not (actions.project.path / "temp/krea-pipe/files").exists()
    assert krea.seen == []


NAMES = ["##[add-mask]x.yaml", "::add-mask::y.yaml", "-k.yaml", "[a]*.yaml", " b, c.yaml", "`@x` <b>.yaml", "%0A.yaml"]


def test_odd_names_and_texts_are_planned_and_run_as_they_are(actions, github, krea):
    files = {f"pipelines/{name}": HOSTILE.replace("lamp", f"lamp{number}") for number, name in enumerate(NAMES)}
    actions.origin.commit(files)
    planned = actions.pull_request().run(working_directory="pipelines", files=".")
    assert planned.failed == [], planned.log
    assert_ours(planned)
    assert planned.given["to-render"] == str(2 * len(NAMES))
    assert len(github.comments) == len(NAMES)
    # Nothing of it acts in a comment: it is all in code.
    for comment in github.comments:
        bare = [part for number, part in enumerate(comment["body"].split("`")) if number % 2 == 0]
        assert comment["body"].count("`") % 2 == 0 or "`@x`" in comment["body"]
        assert "@everyone" not in "".join(bare)
    run = actions.push().run(working_directory="pipelines", files="\n".join(NAMES[:2]), api_key=KEY)
    assert run.failed == ["run"]
    assert_ours(run)
    assert [one.data for one in run.commands if one.name == "group"] == [
        "krea-pipe run ## [add-mask]x.yaml, ::add-mask::y.yaml"
    ]
    assert {one.properties["title"] for one in run.commands if one.name == "error"} == {"failed: nsfw"}
    assert len(run.given["report"].splitlines()) == 2


def test_a_plan_without_a_base_is_text_in_the_summary(actions):
    name = "pipelines/```.yaml"
    actions.origin.commit({name: HOSTILE.replace("::add-mask::value", "a\\n`````\\n# @x", 1)})
    done = actions.push().run(command="plan", files=f"{name}\npipelines/lamp.yaml")
    assert done.failed == []
    assert_ours(done)
    assert "### ````pipelines/```.yaml````\n" in done.summary
    assert "### `pipelines/lamp.yaml`\n\n```\n" in done.summary


@pytest.mark.parametrize("files", ["x" * 300, "/**x", "a/**b.yaml", "pipelines/" + "y/" * 3000])
def test_a_pattern_that_can_not_be_looked_for_is_said(actions, files):
    done = actions.push().run(files=files)
    assert done.failed == ["choose"]
    assert_ours(done)
    assert "no pipeline" in done.log or "is not a valid pattern" in done.log


def plant_bare(top, mark):
    """A folder that git before 2.38 would take for a repository, whose settings name programs."""
    folder = top / "art"
    for name in ("refs/x", "objects/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    settings = f'[core]\nbare = true\nfsmonitor = touch {mark}\n[remote "origin"]\nurl = .\nuploadpack = touch {mark}\n'
    (folder / "config").write_text(settings)


def plant_folder(top, mark):
    plant_bare(top, mark)
    (top / "art/.git").mkdir()
    for name in ("HEAD", "config", "refs", "objects"):
        (top / "art" / name).rename(top / "art/.git" / name)


def plant_file(top, mark):
    plant_folder(top, mark)
    (top / "art/.git").rename(top / "elsewhere")
    (top / "art/.git").write_text("gitdir: ../elsewhere\n")


def plant_link(top, mark):
    plant_folder(top, mark)
    (top / "art/.git").rename(top / "elsewhere")
    (top / "art/.git").symlink_to("../elsewhere")


@pytest.mark.parametrize("plant", [plant_bare, plant_folder, plant_file, plant_link])
@pytest.mark.parametrize("inputs", [{"working_directory": "art", "files": "p.yaml"}, {"files": "art/p.yaml"}])
def test_a_folder_that_is_a_repository_of_its_own_is_refused(actions, plant, inputs):
    mark = actions.project.path / "ran"
    actions.origin.commit({"art/p.yaml": pipeline("wood")})
    if plant is plant_bare:
        plant(actions.origin.folder, mark)
        actions.origin.commit({})
    job = actions.pull_request(fork=True)
    if plant is not plant_bare:
        plant(job.workspace, mark)
    done = job.run(**inputs)
    assert done.failed == ["choose"]
    assert_ours(done)
    assert "the folder 'art' is a git repository inside the repository of the job" in done.log
    assert not mark.exists()


def test_the_base_is_fetched_from_the_top_though_the_pipeline_lies_deeper(actions):
    actions.origin.commit({"art/deep/p.yaml": pipeline("wood")})
    done = actions.pull_request().run(working_directory="art/deep", files="p.yaml")
    assert done.failed == []
    assert done.given["to-render"] == "1"
    assert "cannot be fetched" not in done.log


def test_fetching_runs_no_program_that_an_address_or_a_hook_names(actions):
    mark = actions.project.path / "ran"
    job = actions.pull_request()
    hook = job.workspace / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    for words in (["protocol.ext.allow", "always"], ["remote.origin.url", f"ext::touch {mark}"]):
        actions.origin.git("config", *words, cwd=job.workspace)
    actions.base = job.event["pull_request"]["base"]["sha"] = "1" * 40
    done = job.run()
    assert done.failed == []
    assert "the base commit cannot be fetched" in done.log
    assert_ours(done)
    assert not mark.exists()


@pytest.mark.parametrize("folder", ["art", ".krea-pipe"])
def test_a_folder_that_leads_out_of_the_checkout_is_refused(actions, folder):
    outside = actions.project.path / "outside"
    outside.mkdir()
    (outside / "p.yaml").write_text(pipeline("wood"))
    (actions.origin.folder / folder).symlink_to(outside)
    actions.origin.commit({})
    inputs = {"working_directory": "art", "files": "p.yaml"} if folder == "art" else {}
    done = actions.pull_request(fork=True).run(**inputs)
    assert done.failed == ["choose"]
    assert_ours(done)
    assert "restore" not in done.used


def test_what_a_run_prints_is_no_command_and_names_no_folder_that_it_did_not_make(project, tmp_path):
    """Whatever stands where krea-pipe stands."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "temp/krea-pipe").mkdir(parents=True)
    (tmp_path / "temp/krea-pipe/files").write_bytes(b"a.yaml\0")
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/report.json").write_text("{}")
    program = tmp_path / "bin/krea-pipe"
    lines = r"::add-mask::x\n\r::add-mask::y\nz ##[add-mask]z\n\377\nreport  evil/report.html\n"
    program.write_text(f"#!/bin/sh\nprintf '{lines}'\n")
    program.chmod(0o755)
    environment = project.environment(
        {"BIN": str(program.parent), "RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_OUTPUT": os.devnull}
    )
    words = [sys.executable, str(ROOT / ".github/action/run.py")]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert [one.name for one in commands_in(done.stdout.decode())] == ["group", "endgroup"]
    (noted,) = json.loads((tmp_path / "temp/krea-pipe/runs").read_text(encoding="utf-8"))
    assert noted == {"code": 0, "folder": "", "file": "a.yaml"}
