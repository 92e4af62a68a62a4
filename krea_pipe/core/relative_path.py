"""Paths relative to a folder."""

import os
from pathlib import Path


def seen_from(folder: Path, path: Path) -> str:
    """A path relative to a folder, or absolute when it is on another drive of Windows."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.absolute().as_posix()
