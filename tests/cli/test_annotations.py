"""Problems and failed cells as GitHub's annotations, by what the environment asks for."""

import re

import pytest

ASKED = {"KREA_PIPE_ANNOTATIONS": "github"}
COMMAND = re.compile(r"::(error|warning) (?:file=([^,]*),line=(\d+),col=(\d+),)?title=([^:]*)::(.*)")


def annotations(done):
    """Kind, place, title and message of each."""
    lines = [line for line in done.err.splitlines() if line.startswith("::")]
    found = [COMMAND.fullmatch(line).groups() for line in lines]
    return [
        (kind, f"{file}:{line}:{column}" if file else "", title, said)
        for kind, file, line, column, title, said in found
    ]


def test_they_are_printed_only_where_they_are_asked_for(project):
    project.write("p.yaml", "version: 1\nprmpt: x\nprompt: x\n")
    for env in ({}, {"KREA_PIPE_ANNOTATIONS": ""}, {"GITHUB_ACTIONS": "true"}):
        assert "::" not in project.run("validate", "p.yaml", env=env).text
    done = project.run("validate", "p.yaml", env=ASKED)
    assert done.code == 2
    said = "unknown key `prmpt`%0Ahint: did you mean `prompt`?"
    assert annotations(done) == [("error", "p.yaml:2:1", "unknown_key", said)]
    assert "p.yaml:2:1: error: unknown key `prmpt`" in done.err  # for people, as ever
    assert done.out == ""


def test_no_text_of_a_file_can_be_a_command_and_paths_begin_in_the_workspace(project):
    """GitHub reads lines that end in a carriage return too, and leaves out spaces before a command."""
    text = 'version: 1\nprompt: x\n"100%: no, \\n  ::add-mask::x": 1\n? unknown\r  ::add-mask::y\n: 1\n'
    project.write("a/100%,b:c.yaml", text)
    env = {**ASKED, "GITHUB_WORKSPACE": str(project.path / "a")}
    done = project.run("validate", "a/100%,b:c.yaml", env=env)
    assert done.code == 2
    assert "add-mask::x" in done.err
    commands = [line for line in re.split("[\r\n]", done.err) if line.lstrip().startswith("::")]
    assert commands
    assert all(one.startswith("::error file=100%25%2Cb%3Ac.yaml,line=") for one in commands)
    assert any("100%25: no, %0A  ::add-mask::x" in one for one in commands)


def test_only_as_many_are_printed_as_github_shows_and_the_rest_is_counted(project):
    lines = "".join(f"unknown{number}: x\n" for number in range(7))
    for name in ("a.yaml", "b.yaml"):
        project.write(name, f"version: 1\nprompt: x\n{lines}")
    found = annotations(project.run("validate", "a.yaml", "b.yaml", env=ASKED))
    assert len(found) == 10
    assert [one[1] for one in found[6:9]] == ["a.yaml:9:1", "b.yaml:3:1", "b.yaml:4:1"]
    assert found[9] == (
        "error",
        "",
        "krea-pipe",
        "5 more errors: GitHub shows 10, see the log of this step for the rest",
    )


def test_what_stands_in_no_file_is_said_without_a_line(project):
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", env={**ASKED, "KREA_API_KEY": None})
    assert done.code == 4
    assert [one[:3] for one in annotations(done)] == [("error", "", "no_key")]


PROMPTS = """version: 1
name: all
budget: {usd: 5}
prompts: {shared: "a vase local:fail-nsfw"}
stages:
  own:
    prompt: |
      a lamp
      local:fail-nsfw {{ w }}
    matrix: {w: [a, b]}
  named: {prompt: shared}
  row:
    prompt: fine
    matrix:
      kind: [{id: good}, {id: bad, prompt: "local:fail-nsfw row"}]
  patched:
    prompt: fine
    matrix: {w: [a, c]}
    patch: [{when: {w: c}, set: {prompt: "local:fail-nsfw patch"}}]
"""


@pytest.mark.parametrize("as_json", [False, True])
def test_a_cell_that_failed_is_shown_on_the_line_that_its_prompt_comes_from(project, as_json):
    project.write("p.yaml", PROMPTS)
    done = project.run("run", "p.yaml", *(["--json"] if as_json else []), env=ASKED)
    assert done.code == 1
    found = annotations(done)
    assert {one[0] for one in found} == {"error"}
    assert {one[2] for one in found} == {"failed%3A nsfw"}
    assert [(message.partition(":")[0], place) for _, place, _, message in found] == [
        ("own/a", "p.yaml:7:13"),
        ("own/b", "p.yaml:7:13"),
        ("named", "p.yaml:4:19"),
        ("row/bad", "p.yaml:15:44"),
        ("patched/c", "p.yaml:19:42"),
    ]


def test_a_prompt_that_stands_in_no_file_leaves_the_line_of_its_stage(project):
    project.write("p.yaml", "version: 1\nbudget: {usd: 5}\nstages:\n  hero: {prompt: fine}\n")
    done = project.run("run", "p.yaml", "--set", "prompt=local:fail-nsfw", env=ASKED)
    assert done.code == 1
    assert [one[1] for one in annotations(done)] == ["p.yaml:4:3"]
