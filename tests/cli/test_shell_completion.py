"""Shells complete commands, options, files, runs and stages, fast and without a word of trouble."""

import os
import subprocess
import sys

import pytest

from krea_pipe.cli.lazy import COMMANDS

BASH = """
. completion.sh
complete -p krea-pipe >&2
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_krea_pipe_completion krea-pipe
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(project, *words, env=()):
    """What the words of a line may go on with, by the protocol of click's script for zsh: type, value, help."""
    line = {"COMP_WORDS": " ".join(("krea-pipe", *words)), "COMP_CWORD": str(len(words))}
    done = project.run(env={"_KREA_PIPE_COMPLETE": "zsh_complete", **line, **dict(env)})
    assert (done.code, done.err) == (0, "")
    return done.out.splitlines()[1::3]


def test_bash_completes_with_the_script_that_is_printed(project):
    done = project.run("completion", "bash")
    assert (done.code, done.err) == (0, "")
    project.write("completion.sh", done.out)
    program = project.write("bin/krea-pipe", f'#!/bin/sh\nexec {sys.executable} -m krea_pipe "$@"\n')
    program.chmod(0o755)
    path = {"PATH": f"{program.parent}:{os.environ['PATH']}"}

    def reply(*words):
        shell = ["bash", "--norc", "-c", BASH, "bash", "krea-pipe", *words]
        found = subprocess.run(
            shell, cwd=project.path, env=project.environment(path), capture_output=True, text=True, check=True
        )
        assert found.stderr == "complete -o nosort -F _krea_pipe_completion krea-pipe\n"
        return found.stdout.split()

    assert reply("st") == ["status", "styles"]
    assert reply("gc", "--d") == ["--delete"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_of_their_own(project, shell):
    done = project.run("completion", shell)
    assert done.code == 0
    assert f"_KREA_PIPE_COMPLETE={shell}_complete" in done.out
    assert project.run("completion", "csh").code == 2


def test_commands_options_and_files_are_completed(project):
    assert completed(project, "") == list(COMMANDS)
    assert completed(project, "cache", "") == ["ls", "pull", "push", "stats", "verify"]
    assert completed(project, "run", "p.yaml", "--max-c") == ["--max-cost", "--max-cells"]
    line = {"_KREA_PIPE_COMPLETE": "bash_complete", "COMP_WORDS": "krea-pipe plan p", "COMP_CWORD": "2"}
    assert project.run(env=line).out == "file,p\n"


def test_runs_and_stages_are_completed_from_what_is_stored(project):
    project.write("p.yaml", "version: 1\nstages: {explore: {prompt: a}, final: {prompt: b}}\n")
    runs = [project.run("run", "p.yaml", "--local", "--json").json["run_id"] for _ in range(2)]
    newest_first = sorted(runs, reverse=True)
    for command in ("view", "report", "sheet", "export", "diff"):
        assert completed(project, command, "") == ["p", *newest_first]
    assert completed(project, "runs", "") == ["p"]
    assert completed(project, "diff", runs[0], runs[1]) == [runs[1]]
    assert (
        completed(project, "pick", "p.yaml", "") == completed(project, "promote", "p.yaml", "") == ["explore", "final"]
    )
    assert completed(project, "sheet", "--stage", "f") == completed(project, "export", "--stage", "f") == ["final"]
    assert completed(project, "sheet", "p", "--stage", "e") == ["explore"]


def test_nothing_is_said_about_what_can_not_be_read(project):
    project.write("p.yaml", "a: [")
    project.write(".krea-pipe/runs/20260101-000000-p-aaaa/report.json", "{")
    assert completed(project, "pick", "p.yaml", "") == completed(project, "pick", "none.yaml", "") == []
    assert completed(project, "sheet", "--stage", "") == []
    assert completed(project, "view", "", env={"KREA_PIPE_HOME": "p.yaml"}) == []


def test_the_list_of_commands_imports_none_of_them(project):
    code = "import sys; from krea_pipe.cli.main import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    env = {"_KREA_PIPE_COMPLETE": "bash_complete", "COMP_WORDS": "krea-pipe ", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=project.environment(env), capture_output=True, text=True, check=False
    )
    assert len(done.stdout.splitlines()) == len(COMMANDS)
    assert not {name for name in done.stderr.split() if name.startswith("krea_pipe.cli.commands.")}
