"""The steps of action.yml, run as GitHub runs them, without GitHub."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import KEY
from github_job import ROOT, pipeline
from krea_server import until

PICKED = """version: 1
name: picked
budget: {usd: 5}
stages:
  first: {prompt: a lamp}
  second: {for_each: first, picks: {file: picks.yaml}, prompt: a hero}
"""


def test_a_pull_request_has_one_comment_that_each_push_writes_anew(actions, github, krea):
    for number in range(130):
        github.add(f"a word {number}", {"type": "User", "login": f"u{number}"})
    actions.origin.commit({"pipelines/lamp.yaml": pipeline("glass", "brass", "wood")})
    first = actions.pull_request().run()
    assert first.failed == []
    assert first.given["command"] == "plan"
    assert (first.given["to-render"], first.given["price"]) == ("1", "0.03")
    assert len(github.comments) == 131
    own = github.comments[-1]
    assert own["body"].startswith("<!-- krea-pipe plan pipelines/lamp.yaml -->\n")
    assert "wood" in own["body"]
    assert own["body"] in first.summary
    # Somebody copies the comment, which stays theirs; the next push writes ours anew, on whatever page it is.
    stranger = github.add(own["body"], {"type": "User", "login": "somebody"})
    github.comments.insert(0, github.comments.pop())
    actions.origin.commit({"pipelines/lamp.yaml": pipeline("glass", "brass", "stone")})
    second = actions.pull_request().run()
    assert len(github.comments) == 132
    assert "stone" in own["body"]
    assert "stone" not in stranger["body"]
    # No key, and no word to Krea.
    assert krea.seen == []
    assert all("KREA_API_KEY" not in one for one in second.environments.values())
    assert {call[2] for call in github.calls} == {"Bearer ghs_token"}
    assert "save" not in second.used


def test_a_change_of_no_image_gets_no_comment_and_corrects_the_one_that_is_there(actions, github):
    """The token is a person's, whose comments are not a bot's."""
    github.login = "me"
    mine = github.add("<!-- krea-pipe plan pipelines/lamp.yaml -->\nold", {"type": "User", "login": "me"})
    actions.base = actions.origin.commit({"pipelines/other.yaml": pipeline("wood")})
    actions.origin.commit({"pipelines/lamp.yaml": "# words\n" + pipeline("glass", "brass")})
    done = actions.pull_request().run()
    assert (done.failed, done.given["to-render"], done.given["price"]) == ([], "0", "0"), done.log
    assert github.comments == [mine]
    assert "old" not in mine["body"]


def test_a_fork_is_planned_with_the_plan_in_the_summary_and_never_run(actions, github, krea):
    github.forbids = True
    actions.origin.commit({"pipelines/lamp.yaml": pipeline("glass", "brass", "wood")})
    done = actions.pull_request(fork=True).run(command="run", api_key=KEY)
    assert done.failed == []
    assert done.given["command"] == "plan"
    assert "wood" in done.summary
    assert "::notice title=krea-pipe::the plan is in the summary of this job" in done.log
    assert github.comments == []
    assert krea.seen == []
    assert {"run", "save", "upload"} <= {name for name, outcome in done.outcomes.items() if outcome == "skipped"}


def test_a_fork_with_secrets_is_refused(actions, krea):
    done = actions.pull_request(fork=True, name="pull_request_target").run(api_key=KEY)
    assert done.failed == ["choose"]
    assert "::error title=krea-pipe::`pull_request_target` would give files from a fork access" in done.log
    assert krea.seen == []


def test_a_merge_is_run_and_keeps_what_is_paid(actions, krea):
    done = actions.push().run(api_key=KEY, args="--max-new 50\n--concurrency 2", max_cost="1")
    assert done.failed == []
    assert len(krea.posts) == 2
    given = done.given
    assert (given["command"], given["exit-code"], given["rendered"], given["spent"]) == ("run", "0", "2", "0.06")
    report = json.loads(Path(given["report"], "report.json").read_text(encoding="utf-8"))
    assert report["run_id"] == given["run-id"]
    assert report["totals"]["cost"]["cap_usd"] == "1.00"
    assert "## `lamp`" in done.summary
    assert "### Cells" in done.summary
    assert "<img" not in done.summary  # nobody can load them from there
    assert done.used["restore"]["restore-keys"] == "krea-pipe-42-"
    assert done.used["save"] == {"path": ".krea-pipe", "key": "krea-pipe-42-99-1"}
    assert done.used["upload"]["path"] == given["report"]
    assert done.used["upload"]["include-hidden-files"] == "True"
    assert [name for name, one in done.environments.items() if KEY in one.values()] == ["run"]
    assert KEY not in done.log + done.summary
    assert (actions.project.path / "temp/krea-pipe/venv/installed").read_text().split()[-1] == str(ROOT)


def test_a_run_that_fails_is_red_says_the_line_and_keeps_what_is_paid(actions):
    """Each pipeline is run, and waiting for picks is no failure."""
    broken = "version: 1\nbudget: {usd: 5}\nprompt: plain\nmatrix:\n  prompt: [fine, 'local:fail-nsfw x']\n"
    actions.origin.commit({"pipelines/a/broken.yaml": broken, "pipelines/lamp.yaml": PICKED})
    done = actions.push().run(api_key=KEY)
    assert done.failed == ["run"]
    assert "::error file=pipelines/a/broken.yaml,line=5,col=18,title=failed%3A nsfw::" in done.log
    assert "::notice title=krea-pipe::pipelines/lamp.yaml waits for picks" in done.log
    assert (done.given["exit-code"], done.given["rendered"]) == ("1", "2")
    assert "**`pipelines/a/broken.yaml`**: some images failed." in done.summary
    assert "**`pipelines/lamp.yaml`**" not in done.summary
    assert len(done.given["report"].splitlines()) == 2
    assert {"save", "upload"} <= done.used.keys()


def test_a_run_that_krea_refuses_is_not_tried_again_with_the_next_pipeline(actions, krea):
    actions.origin.commit({"pipelines/next.yaml": pipeline("wood")})
    done = actions.push().run()
    assert done.failed == ["run"]
    assert done.given["exit-code"] == "4"
    assert done.log.count("there is no API key") == 2  # once for people, once as an annotation
    assert "Krea refused the request: is `api-key` set" in done.summary
    assert krea.posts == []


def test_a_pipeline_with_problems_stops_the_job_with_annotations_from_the_workspace(actions, krea):
    actions.origin.commit({"art/pipelines/bad.yaml": "version: 1\nprompt: a {{ w }}\n"})
    done = actions.push().run(working_directory="art", api_key=KEY)
    assert done.failed == ["validate"]
    assert "::error file=art/pipelines/bad.yaml,line=2,col=14,title=undefined_variable::" in done.log
    assert "save" not in done.used
    assert krea.seen == []


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"command": "deploy"}, "`command` must be one of auto, validate, plan, run, not 'deploy'"),
        ({"files": "nowhere/*.yaml"}, "no pipelines found in nowhere/*.yaml"),
    ],
)
def test_inputs_that_make_no_sense_are_said(actions, inputs, said):
    done = actions.push().run(**inputs)
    assert done.failed == ["choose"]
    assert said in done.log


def test_other_branches_are_validated_only_and_names_can_be_no_commands(actions, krea):
    name = "pipelines/$(touch x) `touch x`; a.yaml"
    actions.origin.commit({name: pipeline("wood")})
    done = actions.push("refs/heads/feature").run(files="pipelines/*.yaml\npipelines", api_key=KEY)
    assert done.failed == ["validate"]  # notes.yaml is no pipeline, and the glob names it
    assert f"{name}: valid, 1 image" in done.log
    assert not (actions.project.path / "workspace/x").exists()
    done = actions.push("refs/heads/feature").run(api_key=KEY)
    assert done.failed == []
    assert done.given["command"] == "validate"
    assert krea.seen == []


def test_a_job_that_is_cancelled_lets_the_run_end_well(actions, krea):
    krea.world.latency = 1e6
    job = actions.push()
    before = job.run(command="validate")
    environment = {
        **job._environment(),
        "ARGS": "",
        "BIN": before.outputs["install"]["outputs"]["bin"],
        "GITHUB_OUTPUT": os.devnull,
        "KREA_API_KEY": KEY,
        "MAX_COST": "",
    }
    words = [sys.executable, str(ROOT / ".github/action/run.py")]
    process = subprocess.Popen(
        words, cwd=job.workspace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    actions.project.started.append(process)
    until(lambda: len(krea.world.jobs) == 2, "both jobs")
    process.send_signal(signal.SIGINT)
    krea.finish_jobs()
    process.communicate(timeout=60)
    (run,) = json.loads((job.temp / "krea-pipe/runs").read_text(encoding="utf-8"))
    assert (process.returncode, run["code"]) == (130, 130)
    assert (Path(run["folder"]) / "report.json").is_file()
