"""Every page of the guide does what it says, from its first block to its last, in one folder.

    ```text title="a.txt"   writes a file, in any language
    ```text                 `$ command` and what it prints, messages first; `…` alone stands for any lines
    ```python               runs; what it prints stands in the block of text below it
    ```sh                   is not run: it installs something, or needs another machine

`exit=N` in a block's first line is the exit code of its last command. Ids of runs, jobs and commits are not compared,
nor are digests. A live run meets the local Krea, served on this machine, which a lock file says and pages do not. A
shared store in `/srv` is in that folder.
"""

import os
import re
import shlex
import subprocess
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest
from command_line import Project
from doc_blocks import ROOT, as_expected, blocks
from krea_server import picture

PAGES = [ROOT / "docs/tutorial.md", ROOT / "docs/python.md"]
PAGES += [
    page
    for folder in ("how-to", "explanation")
    for page in sorted((ROOT / "docs" / folder).glob("*.md"))
    if page.name not in ("docker.md", "pre-commit.md")  # they need programs that are not here
]
TOOLS = {"cat", "cp", "git", "grep", "head", "ls", "mv", "rm", "sha256sum"}
LIVE = {"KREA_API_KEY": None}
SRV = "file:///srv/"
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}
UNSTABLE = (
    (re.compile(r"\b\d{8}-\d{6}-\d{3}(-[\w-]+)-[0-9a-f]{4}\b"), r"RUN\1"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "JOB"),
    (re.compile(r"\b[0-9a-f]{64,}\b|\b[0-9a-f]{8}…"), "DIGEST"),
    (re.compile(r"\([0-9a-f]{10}\)"), "(COMMIT)"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r',"space":"loopback"'), ""),
)


@dataclass
class Guide:
    """A folder in which the blocks of one page are carried out, one after the other."""

    project: Project
    env: dict = field(default_factory=lambda: dict(LIVE))
    names: dict = field(default_factory=lambda: {"__name__": "__main__"})
    printed: str | None = None

    @property
    def srv(self):
        return f"{(self.project.path / 'srv').as_uri()}/"

    def carry_out(self, block):
        title = block.attributes.get("title")
        if title == "images":
            for name in block.text.split():
                self.project.write(name, picture(FORMATS[Path(name).suffix], name, (640, 512)))
        elif title is not None:
            self.project.write(title, block.text)
        elif block.language == "python":
            assert not self.printed, f"{block.at}: nothing says what the block above it prints"
            self.printed = self.python(block)
        elif block.language == "text":
            found, code = (self.printed, 0) if self.printed is not None else self.session(block)
            self.printed = None
            found = found.replace(self.srv, SRV).replace("/loopback", "/live")
            assert as_expected(stable(block.text), stable(found)), f"{block.at} gives\n{found}"
            assert code == int(block.attributes.get("exit", 0)), f"{block.at} ends with {code}"
        else:
            assert block.language == "sh", f"{block.at}: {block.language} is not understood"

    def python(self, block):
        printed = StringIO()
        with in_place(self.project, self.env), redirect_stdout(printed):
            exec(compile(block.text, block.at, "exec"), self.names)
        return printed.getvalue()

    def session(self, block):
        printed, code = "", 0
        commands = re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)
        assert commands, f"{block.at}: no command, and no Python above it"
        for line in commands:
            text, code = self.command(line, block.at)
            printed += f"$ {line}\n{text}"
        return printed, code

    def command(self, line, at):
        words = shlex.split(line.partition("  #")[0])
        match words:
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                self.env[name] = value.replace(SRV, self.srv)
                return "", 0
            case ["krea-pipe", *rest]:
                done = self.project.run(*rest, env=self.env)
                return done.err + done.out, done.code
            case [tool, *_] if tool in TOOLS:
                env = {**self.project.environment({}), **GIT}
                done = subprocess.run(words, cwd=self.project.path, env=env, capture_output=True, timeout=60)
                return (done.stderr + done.stdout).decode(), done.returncode
        raise AssertionError(f"{at}: {line} is not understood")


@contextmanager
def in_place(project, env):
    """The environment and folder of a project, as this process's."""
    environment, folder = dict(os.environ), Path.cwd()
    new = project.environment(env)  # before the environment is cleared, as it takes PATH from it
    os.environ.clear()
    os.environ.update(new)
    os.chdir(project.path)
    try:
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)


def stable(text):
    for pattern, word in UNSTABLE:
        text = pattern.sub(word, text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT / "docs"))) for page in PAGES])
def test_a_page_does_what_it_says(project, page):
    folder = project.path / "shop"
    folder.mkdir()
    project.path = folder
    guide = Guide(project)
    for block in blocks(page):
        guide.carry_out(block)
    assert not guide.printed, "nothing says what the last block prints"
