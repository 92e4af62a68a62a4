"""The hook, through pre-commit itself: built from `.pre-commit-hooks.yaml`, installed, and met by commits."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from krea_server import picture

ROOT = Path(__file__).parents[2]
PACKAGE = (".pre-commit-hooks.yaml", "LICENSE", "README.md", "krea_pipe", "pyproject.toml", "schemas")
GOOD = "version: 1\nprompt: a lamp\nreferences: [{image: refs/a.png}]\n"
CONFIG = "repos: [{{repo: {url}, rev: v1, hooks: [{{id: krea-pipe-validate}}]}}]\n"


class Repository:
    """A repository whose commits run hooks, in an environment without the developer's git configuration."""

    def __init__(self, path, home):
        self.path = path
        path.mkdir(exist_ok=True)
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PRE_COMMIT"))}
        who = {f"GIT_{role}_{part}": "t@localhost" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        self.env = {**plain, **who, "PRE_COMMIT_HOME": str(home), "GIT_CONFIG_GLOBAL": os.devnull, "PYTHONPATH": ""}
        self.run("git", "init", "-q")

    def run(self, *words, check=True):
        return subprocess.run(words, cwd=self.path, env=self.env, check=check, capture_output=True, text=True)

    def write(self, name, text):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def commit(self, *words):
        """Commit everything that is there; whether that went through, and what git and the hook say."""
        if not words:
            self.run("git", "add", "-A")
        done = self.run("git", "commit", "-m", "x", *words, check=False)
        return done.returncode == 0, done.stdout + done.stderr


def published(folder, home):
    """This package in a repository of its own, tagged as a release is."""
    folder.mkdir()
    for name in PACKAGE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    repository = Repository(folder, home)
    assert repository.commit()[0]
    repository.run("git", "tag", "v1")
    return folder


def test_commits_that_break_a_pipeline_are_stopped_and_all_others_pass(tmp_path):
    home = tmp_path / "home"
    repository = Repository(tmp_path / "team", home)
    repository.write(".pre-commit-config.yaml", CONFIG.format(url=published(tmp_path / "hook", home)))
    repository.write("good.yaml", GOOD)
    repository.write("refs/a.png", picture("PNG", "red"))
    repository.run(sys.executable, "-m", "pre_commit", "install", "--install-hooks")
    passed, said = repository.commit()
    assert passed, said
    assert "krea-pipe validate" in said

    repository.write("bad.yaml", "version: 1\nprompt: a lamp\nmatrix: {creativity: [rav]}\n")
    passed, said = repository.commit()
    assert not passed
    assert "bad.yaml:3:23: error: " in said
    repository.run("git", "rm", "-qf", "bad.yaml")

    (repository.path / "refs/a.png").unlink()
    passed, said = repository.commit("-a")  # which stages in an index of its own
    assert not passed
    assert "good.yaml:3:22: error: refs/a.png does not exist" in said

    repository.write("refs/a.png", picture("PNG", "red")[:20])
    passed, said = repository.commit()
    assert not passed
    assert "good.yaml:3:22: error: refs/a.png looks like image/png but is truncated or damaged" in said

    repository.run("git", "checkout", "-q", "HEAD", "--", "refs/a.png")
    repository.write("README.md", "words")
    passed, said = repository.commit()
    assert passed, said
    done = repository.run(sys.executable, "-m", "pre_commit", "run", "--all-files", "--verbose")
    assert "good.yaml: valid, 1 image\n" in done.stdout
