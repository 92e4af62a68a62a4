"""What is printed in a CI job: the host obeys lines of its log, so no text of a file may be one."""

import json
import os
import subprocess
import sys
import time

import pytest
from github_log import commands_in

from krea_pipe.cli.ci_log import inert, inert_json, is_read_by_a_host

CI = {"GITHUB_ACTIONS": "true"}
ATTACKS = [
    "::add-mask::x",
    "  ::add-mask::x",
    "\u2003\xa0::Add-Mask::x",
    "a\r::add-mask::x",
    "a\n\t::add-mask::x",
    "a\x0b::add-mask::x",
    "a\x0c::add-mask::x",
    "a\x85::add-mask::x",
    "a\u2028::add-mask::x",
    "a\u2029 ::add-mask::x",
    "\x1b[31m::add-mask::x",
    ":\u200b:add-mask::x",
    "\ufeff::add-mask::x",
    "##[add-mask]x",
    "a ##[add-mask]x",
    "####[add-mask]x",
    "##[##[add-mask]x",
    "#\u200d#\x1b[0m[add-mask]x",
    "a ##vso[task.setvariable variable=x]y",
    "##teamcity[progressMessage 'x']",
    "::stop-commands::x\n::add-mask::x\n::x::",
    "::::add-mask::x",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_no_text_is_a_command_however_it_is_written(text):
    said = inert(text)
    assert commands_in(said) == []
    assert "##[" not in said
    assert inert(said) == said
    assert said.replace(" ", "") == text.replace(" ", "")
    written = inert_json(json.dumps({"x": text}, ensure_ascii=False))
    assert json.loads(written) == {"x": text}
    assert inert(written) == written


@pytest.mark.parametrize(
    "text", ["a::b", "a lamp: ::", "## Cells", "# [x]", "#[x]", "std::vector", "section_start:", "\n"]
)
def test_other_texts_stay_as_they_are(text):
    assert inert(text) == text


def test_a_gitlab_section_is_none():
    text = "\x1b[0Ksection_start:1700000000:x[collapsed=true]\r\x1b[0KHello"
    assert inert(text) == text.replace("start:", "start: ")
    assert json.loads(inert_json(json.dumps({"x": text}))) == {"x": text}


@pytest.mark.parametrize("sign", ["\n", " ", "#", ":", "\u200b", "##x", "\x1b[0m", "\r:", "section_start:"])
def test_the_work_grows_with_the_length_alone(sign):
    """In processor time, with a wide margin: the square of this length would be hours."""

    def work(length):
        text = sign * (length // len(sign))
        begin = time.process_time()
        inert(text)
        return time.process_time() - begin

    work(1000)
    assert work(300_000) < 10


def test_it_is_on_in_ci_alone():
    assert not is_read_by_a_host({})
    assert not is_read_by_a_host({"CI": "false", "GITHUB_ACTIONS": ""})
    for one in ({"CI": "true"}, {"CI": "1"}, CI, {"GITLAB_CI": "true"}, {"KREA_PIPE_ANNOTATIONS": "github"}):
        assert is_read_by_a_host(one)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_everything_that_a_process_prints_passes(encoding):
    """By print, by click, in pieces, to the bytes below, in the words of an exception that nobody caught."""
    script = """
import sys, click
from krea_pipe.cli.ci_log import print_command
from krea_pipe.cli.streams import prepare_streams
prepare_streams()
print("::add-mask::print")
click.echo("é ##[add-mask]click")
click.echo("  \\n", nl=False)
for piece in ("  ", ":", ":add-mask::pieces\\n", "a #", "#", "[add-mask]pieces\\n", "x" * 9000, "#", "#[add-mask]long"):
    sys.stdout.write(piece)
    sys.stdout.flush()
print_command("group", "a ##[add-mask]b\\n::add-mask::c")
sys.stdout.buffer.write(b"\\xff\\n::add-mask::bytes\\n")
click.echo("::add-mask::err", err=True)
print_command("error", "50%", {"title": "a:b,c\\r"}, err=True)
raise ValueError("x\\n::add-mask::raised ##[add-mask]raised")
"""
    environment = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": encoding, **CI}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    out, err = done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "surrogateescape")
    assert [one.name for one in commands_in(out)] == ["group"]
    assert commands_in(out)[0].data == "a ## [add-mask]b\n::add-mask::c"
    assert [(one.name, one.properties, one.data) for one in commands_in(err)] == [
        ("error", {"title": "a:b,c\r"}, "50%")
    ]
    assert "raised" in err
    assert "\udcff\n: :add-mask::bytes" in out  # bytes that are no text come as they were
    for word in ("print", "click", "pieces", "long"):
        assert f"add-mask{']' if word in ('click', 'long') else '::'}{word}" in out


def test_a_reader_that_leaves_ends_the_command_quietly_in_ci_as_elsewhere(project):
    project.pipeline([f"word {number}" for number in range(3000)])
    process = project.start("expand", "p.yaml", "--jsonl", env=CI, anew=True)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert process.stderr.read() == b""


HOSTILE = """version: 1
budget: {usd: 5}
prompt: "{{ w }} ##[add-mask]prompt"
matrix:
  w:
    - "::add-mask::value"
    - "local:fail-nsfw\\n::add-mask::value"
"""


@pytest.mark.parametrize("more", [{}, {"FORCE_COLOR": "1"}, {"KREA_PIPE_ANNOTATIONS": "github"}])
def test_no_command_shows_a_hostile_pipeline_as_commands(project, more):
    project.write("p.yaml", HOSTILE)
    project.write(
        "bad.yaml", 'version: 1\n"##[add-mask]a\\n::add-mask::b": 1\n"\\u2028::add-mask::c": "##[add-mask]"\n'
    )
    plain = project.run("expand", "p.yaml", "--json").json
    env = {**CI, **more}
    assert project.run("expand", "p.yaml", "--json", env=env).json == plain  # JSON says what it says
    ended = [
        project.run("validate", "p.yaml", "bad.yaml", "::add-mask::no.yaml", env=env),
        project.run("expand", "p.yaml", env=env),
        project.run("plan", "p.yaml", env=env),
        project.run("run", "p.yaml", env=env),
        project.run("run", "p.yaml", "--log-format", "json", env=env),
        project.run("plan", "p.yaml", "--set", "x=\n::add-mask::x", env=env),
        project.run("##[add-mask]x", env=env),
    ]
    found = [one for done in ended for one in (*commands_in(done.out), *commands_in(done.err))]
    assert [done.code for done in ended] == [2, 0, 0, 1, 1, 2, 2]
    assert {one.name for one in found} <= {"error", "warning"}
    assert bool(found) == ("KREA_PIPE_ANNOTATIONS" in more)
    assert all(one.properties["title"] for one in found)
    assert "##[" not in "".join(done.text for done in ended)
