"""Which commit a pipeline file belongs to."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from krea_pipe.report.model import GitState

SECONDS = 10


def git_state(folder: Path) -> GitState | None:
    """The commit that is checked out around a folder, and whether tracked files differ from it; None outside git.

    A status that can not be had, because git takes too long, counts as different.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return GitState(commit, dirty=_git(folder, "status", "--porcelain", "--untracked-files=no") != "")


def with_file(state: GitState | None, file: Path) -> GitState | None:
    """The same state, dirty as well if git does not know this file: then the commit does not hold it."""
    if state is None or state.dirty:
        return state
    real = file.resolve()
    tracked = _git(real.parent, "--literal-pathspecs", "ls-files", "--error-unmatch", "--", real.name)
    return replace(state, dirty=not tracked)


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()
