"""Which commit a pipeline file belongs to."""

import os
import subprocess
from pathlib import Path

from krea_pipe.report.model import GitState

SECONDS = 10


def git_state(folder: Path) -> GitState | None:
    """The commit that is checked out around a folder, and whether tracked files differ from it; None outside git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return GitState(commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no")))


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
