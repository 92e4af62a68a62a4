"""Options and commands that people know from other tools do what they expect of them."""

import re

import pytest
from money import draw

from krea_pipe.cli.lazy import COMMANDS, GROUPS

VERSION = re.compile(r"krea-pipe \d+\.\d+\.\d+\n")


@pytest.fixture
def folder(project):
    """A pipeline in a folder below that of the project."""
    return project.pipeline("ab", name="sub/p.yaml")


def test_short_options_are_those_of_other_tools(project, krea):
    draw(krea)
    file = project.pipeline("ab")
    assert VERSION.fullmatch(project.run("-V").out)
    quiet = project.run("run", file, "--local", "-q", "-j1", "-o", "proof")
    assert (quiet.code, quiet.text, (project.path / "proof/a.png").exists()) == (0, "", True)
    for words in (["plan", file, "-o", "plan.json"], ["sheet", "-o", "s.png"], ["export", "-o", "e.zip"]):
        assert project.run(*words).code == 0
        assert (project.path / words[-1]).exists()
    loud = project.run("run", file, "-v")
    steps = re.findall(r"^\d\d:\d\d:\d\d (\S+) (\w+)(?: job_id=\S+)?(?: sha256=\S+)? usd=0.03", loud.err, re.MULTILINE)
    for cell in ("p/a", "p/b"):
        assert [step for one, step in steps if one == cell] == ["submitting", "submitted", "stored"]
    assert project.run("run", file, "-v", "-q").err.startswith("error: --quiet and --verbose cannot be combined")


def test_the_folder_is_changed_before_anything_is_read(project, folder):
    done = project.run("-C", "sub", "run", "p.yaml", "--local", "--json")
    assert (done.code, done.json["report"].startswith(".krea-pipe/runs/")) == (0, True)
    assert (project.path / "sub/proofs/p/a.png").exists()
    assert project.run("-C", project.path, "-C", "sub", "validate", "p.yaml").code == 0
    gone = project.run("-C", "nowhere", "run", "p.yaml")
    assert (gone.code, "cannot change to nowhere: No such file or directory" in gone.err) == (2, True)
    line = {"_KREA_PIPE_COMPLETE": "zsh_complete", "COMP_WORDS": "krea-pipe -C sub report ", "COMP_CWORD": "4"}
    assert done.json["run_id"] in project.run(env=line).out.splitlines()


def test_help_is_a_command(project):
    for words in ((), ("run",), ("cache", "push")):
        assert project.run("help", *words).out == project.run(*words, "--help").out != ""


def test_every_command_has_one_heading_in_the_help(project):
    text = project.run("--help").out
    parts = re.findall(r"^(\S[^\n]*):\n((?:  \S.*\n(?: {4,}.*\n)*)+)", text, re.MULTILINE)
    listed = {heading: re.findall(r"^  (\S+)", part, re.MULTILINE) for heading, part in parts}
    assert {heading: listed[heading] for heading in GROUPS} == {heading: [*group] for heading, group in GROUPS.items()}
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(COMMANDS)


@pytest.mark.parametrize("command", ["", *COMMANDS, "cache push", "picks rename", "styles train"])
def test_help_fits_80_columns_on_any_terminal(project, command):
    lines = project.run(*command.split(), "--help", env={"COLUMNS": "200"}).out.splitlines()
    assert [line for line in lines if len(line) > 80] == []


def test_a_limit_of_the_user_is_not_an_error(project, folder):
    done = project.run("run", folder, "--local", "--max-new", "1", "-q")
    limit = "warning: 1 new image was generated, the most that --max-new allows\n"
    assert (
        done.code,
        done.err.endswith(f"{limit}  hint: rerun the command to continue; nothing is charged twice\n"),
    ) == (
        5,
        True,
    )
    missing = project.run("run", folder, env={"KREA_API_KEY": None})
    assert (missing.code, missing.err.splitlines()[0]) == (4, "error: there is no API key")
