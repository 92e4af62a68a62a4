"""Which commit a pipeline file belongs to."""

import os
from pathlib import Path

from krea_pipe.core.git import GitFailed, ask
from krea_pipe.report.model import GitState

SECONDS = 10


def git_state(file: Path) -> GitState | None:
    """The commit that is checked out around a pipeline file, and whether it holds all that is there; None outside git.

    A tracked file that differs makes it dirty, as does a pipeline file that git does not know; so does a status that
    cannot be had, because git takes too long.
    """
    real = file.resolve()
    commit = _git(real.parent, "rev-parse", "HEAD")
    if commit is None:
        return None
    known = _git(real.parent, "--literal-pathspecs", "ls-files", "--error-unmatch", "--", real.name)
    clean = known and _git(real.parent, "status", "--porcelain", "--untracked-files=no") == ""
    return GitState(commit, dirty=not clean)


def _git(folder: Path, *words: str) -> str | None:
    try:
        return ask(folder, os.environ, *words, seconds=SECONDS).decode().strip()
    except (GitFailed, UnicodeDecodeError):
        return None
