"""Which commit a report names, and when it says that the commit is not all."""

import shutil
import subprocess

import pytest

from krea_pipe.report import build
from krea_pipe.report.build import git_state

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git on PATH")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit, and a function that runs git in it."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]

    def run(*words):
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    run("init", "--quiet")
    (tmp_path / "lamp.yaml").write_text("version: 1\n")
    (tmp_path / ".gitignore").write_text("*.ignored.yaml\n")
    run("add", ".")
    run("commit", "--quiet", "-m", "one")
    return tmp_path, run


def is_dirty(file):
    return git_state(file).dirty


def test_a_commit_that_holds_the_pipeline_is_clean(repository):
    folder, _ = repository
    (folder / "notes.txt").write_text("not of the pipeline")
    assert not is_dirty(folder / "lamp.yaml")
    assert len(git_state(folder / "lamp.yaml").commit) == 40


@pytest.mark.parametrize("name", ["new.yaml", "an.ignored.yaml", "la*.yaml", ":(top)lamp.yaml"])
def test_a_pipeline_that_is_not_in_the_commit_is_dirty(repository, name):
    folder, run = repository
    (folder / name).write_text("version: 1\n")
    assert is_dirty(folder / name)
    run("--literal-pathspecs", "add", "--force", name)
    assert is_dirty(folder / name)
    run("commit", "--quiet", "-m", "two")
    assert not is_dirty(folder / name)


def test_a_changed_file_is_dirty(repository):
    folder, _ = repository
    (folder / ".gitignore").write_text("")
    assert is_dirty(folder / "lamp.yaml")


def test_a_status_that_takes_too_long_is_not_called_clean(repository, monkeypatch):
    folder, _ = repository
    run = subprocess.run

    def slow(command, **options):
        if "status" in command:
            raise subprocess.TimeoutExpired(command, build.GIT_TIMEOUT)
        return run(command, **options)

    monkeypatch.setattr("subprocess.run", slow)
    assert is_dirty(folder / "lamp.yaml")


def test_there_is_no_state_outside_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path / "lamp.yaml") is None
