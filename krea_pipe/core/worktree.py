"""Where the git repository of a folder is, read from its files: git itself is not run."""

import os
from pathlib import Path


def repository(folder: Path) -> Path | None:
    """The top of the git repository around a folder."""
    folder = folder.absolute()
    around = (folder, *folder.parents)
    return next((one for one in around if os.path.exists(one / ".git")), None)  # noqa: PTH110 (a name may be too long)


def main_worktree(top: Path) -> Path | None:
    """The top of the main work tree of a repository, distinguished from a linked one by git's own files.

    Args:
        top: the top of a work tree.

    Returns:
        The top of the main work tree; None if `top` is not a linked work tree, or the main one is missing.
    """
    pointer = top / ".git"
    folder = _named(pointer, "gitdir: ", top)
    common, back = (None, None) if folder is None else (_named(folder / one, "", folder) for one in _LINKS)
    if common is None or back is None or back != _real(pointer):  # of a submodule, or moved elsewhere
        return None
    main = common.parent if common.name == ".git" else _named(common / "config", "worktree = ", common)
    if main is None:
        return None
    return main if common in (_real(main / ".git"), _named(main / ".git", "gitdir: ", main)) else None


_LINKS = ("commondir", "gitdir")
"""The files by which git's folder for a linked work tree names what all of them share, and the tree itself."""
_MOST_POINTER = 64 * 1024


def _named(file: Path, before: str, base: Path) -> Path | None:
    """The path that a small file of git names, after some words at the start of a line; None if it names none."""
    try:
        if not file.is_file():
            return None
        with file.open(encoding="utf-8", errors="surrogateescape") as stream:
            lines = stream.read(_MOST_POINTER).splitlines()
        found = next((one.strip().removeprefix(before) for one in lines if one.strip().startswith(before)), "")
        return _real(base / found) if found.strip() else None
    except (OSError, ValueError):
        return None


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
