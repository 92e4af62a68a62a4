"""Colours are for terminals, and for nobody who has asked for none."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

ESCAPE = "\x1b"


EACH = """
import json, sys
from krea_pipe.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as end:
        print(f"\\f{end.code}\\f", flush=True)
"""


def on_a_terminal(project, *commands, env=()):
    """What commands print on a terminal, stdout and stderr together, each with its exit code."""
    master, slave = pty.openpty()
    words = [sys.executable, "-c", EACH, json.dumps(commands)]
    environment = project.environment({"TERM": "xterm-256color", **dict(env)})
    process = subprocess.Popen(words, cwd=project.path, env=environment, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    project.started.append(process)
    data = b""
    with suppress(OSError):  # Linux says so when the other side has closed
        while part := os.read(master, 65536):
            data += part
    os.close(master)
    process.wait(timeout=60)
    parts = data.decode().split("\f")
    return list(zip(parts[::2], map(int, parts[1::2]), strict=False))


@pytest.fixture
def busy(project, krea):
    """A project in which every way to print has something to say in colour."""
    krea.answer("POST", "/generate/", 400, {"error": "no"}, text="bad")
    project.pipeline(["good", "bad"])
    project.write("broken.yaml", "version: 1\nprompt: {a: 1}\n")
    return project


COMMANDS = [
    ("run", "p.yaml"),
    ("validate", "broken.yaml"),
    ("nonsense",),
    ("plan", "p.yaml"),
    ("explain", "p.yaml", "good"),
    ("doctor", "--offline"),
    ("status",),
    ("cache", "ls"),
    ("gc", "--keep", "0d"),
]


def test_no_color_leaves_no_escape_sequence_on_a_terminal(busy):
    found = on_a_terminal(busy, *COMMANDS, env={"NO_COLOR": "1"})
    assert [code for _, code in found] == [1, 2, 2, 0, 0, 0, 0, 0, 0]
    for words, (text, _) in zip(COMMANDS, found, strict=True):
        assert text.strip()
        assert ESCAPE not in text, words


def test_a_terminal_has_colours_and_a_bar_unless_it_can_not_move(busy):
    run, error, table = (text for text, _ in on_a_terminal(busy, ("run", "p.yaml"), ("nonsense",), ("cache", "ls")))
    assert f"{ESCAPE}[?25l" in run
    assert f"{ESCAPE}[31m{ESCAPE}[1merror" in error
    assert f"{ESCAPE}[1m" in table
    [(dumb, _)] = on_a_terminal(busy, ("run", "p.yaml"), env={"TERM": "dumb"})
    assert "bad" in dumb
    assert f"{ESCAPE}[?25l" not in dumb


def test_a_pipe_has_colours_only_when_they_are_forced_and_is_never_cut(busy):
    long = busy.pipeline(["a"], name=f"{'a-name-that-is-quite-long-' * 2}.yaml").name
    for words in [*COMMANDS, ("run", long)]:
        assert ESCAPE not in busy.run(*words).text, words
    forced = {"FORCE_COLOR": "1"}
    assert f"{ESCAPE}[31m" in busy.run("nonsense", env=forced).err
    table = busy.run("cache", "ls", env=forced)
    assert f"{ESCAPE}[1m" in table.out
    assert busy.run("cache", "ls", "--json").json["images"][0]["cells"][0] in table.out
    assert ESCAPE not in busy.run("cache", "ls", "--json", env=forced).out
    assert ESCAPE not in busy.run("nonsense", env={**forced, "NO_COLOR": "1"}).err
