"""Files that a pipeline names: below its repository, found without telling what else a machine has."""

import fnmatch
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from pathlib import Path, PureWindowsPath
from typing import TypeAlias

from krea_pipe.near_names import MAX_NAMES, closest
from krea_pipe.nodes import shown

WILDCARD = re.compile(r"[*?\[]")

Supply: TypeAlias = Callable[[Path, str], None]
"""Puts the files in place that a pattern may mean, seen from a folder."""

_supply: ContextVar[Supply | None] = ContextVar("supply", default=None)


class Unusable(ValueError):
    """A file or image can not be used: a stable code, a sentence and a hint."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


@contextmanager
def supplied(supply: Supply) -> Iterator[None]:
    """Meanwhile have files put in place just before they are looked for, as those of a commit are."""
    token = _supply.set(supply)
    try:
        yield
    finally:
        _supply.reset(token)


def ask_for(pattern: str, folder: Path) -> None:
    """Have the files put in place that a path or a glob may mean, where that is done; `files_of` does it itself."""
    supply = _supply.get()
    if supply is not None:
        supply(folder, pattern)


def files_of(pattern: str, folder: Path, root: Path) -> list[Path]:
    """The files that a path or a glob means, sorted, seen from `folder` and below `root`, both resolved.

    Raises:
        Unusable: there is none, or it is outside.
    """
    if pattern.startswith(("/", "~")) or PureWindowsPath(pattern).drive:
        raise Unusable("reference_outside", f"{pattern} is absolute", "write it relative to the pipeline file")
    ask_for(pattern, folder)
    try:
        look = _matching if WILDCARD.search(pattern) else _followed
        return [_inside(path, pattern, root) for path in look(folder, pattern, root)]
    except (OSError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, Unusable):
            raise
        reason = error.strerror if isinstance(error, OSError) else "it is not a path or pattern"
        raise Unusable("reference_unreadable", f"cannot look for {shown(pattern)}: {reason}") from error


def _matching(folder: Path, pattern: str, root: Path) -> list[Path]:
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if WILDCARD.search(part))
    if ".." in parts[first:]:
        hint = "put it before the wildcard"
        raise Unusable("reference_outside", f"`..` stands behind a wildcard in {pattern}", hint)
    # Python 3.13 reads `**` inside a name anew; a file must mean the same in each tool.
    if any("**" in part and part != "**" for part in parts):
        raise Unusable("reference_unreadable", f"`**` stands alone between slashes, and does not in {pattern}")
    found = sorted(path for path in _followed(folder, pattern, root) if path.is_file())
    if not found:
        looked_in = _looked_in(folder.joinpath(*parts[:first]), root)
        raise Unusable("reference_missing", f"no file matches {pattern}", looked_in)
    return found


def _followed(folder: Path, pattern: str, root: Path) -> list[Path]:
    # Each part is refused as soon as it leads out of the repository, whether by `..` or by a link, and before anything
    # there is listed or looked for: what a message says, or that there is none, would tell which files a machine has.
    found = [folder]
    for part in (pattern + "/*" if pattern.endswith("**") else pattern).split("/"):
        found = list(dict.fromkeys(path for one in found for path in _step(one, part)))
        if not all(path.resolve().is_relative_to(root) for path in found):
            raise _outside(pattern, root)
    return found


def _step(path: Path, part: str) -> Iterator[Path]:
    """What one part of a pattern leads to; `**` follows no links."""
    if not WILDCARD.search(part):
        yield path / part
    elif part == "**":
        yield from (Path(folder) for folder, _, _ in os.walk(path))
    elif path.is_dir():
        yield from (one for one in path.iterdir() if fnmatch.fnmatch(one.name, part))


def _inside(path: Path, pattern: str, root: Path) -> Path:
    real = path.resolve()
    if not real.is_relative_to(root):
        raise _outside(pattern, root)
    if real.is_dir():
        raise Unusable("reference_missing", f"{pattern} is a folder", f"name a file in it, or all of them: {pattern}/*")
    if not real.is_file():
        near = _near_file(real)
        raise Unusable("reference_missing", f"{pattern} does not exist", near or _looked_in(real.parent, root))
    return real


def _outside(pattern: str, root: Path) -> Unusable:
    hint = f"references stay below {root.name}/, so that a pull request can not upload other files"
    return Unusable("reference_outside", f"{pattern} leads outside the repository", hint)


def _looked_in(folder: Path, root: Path) -> str:
    real = folder.resolve()
    inside = real.relative_to(root).as_posix() if real.is_relative_to(root) else ""
    where = "the repository's top folder" if inside in ("", ".") else inside
    return f"looked in {where}" if real.is_dir() else f"there is no folder {where}"


def _near_file(missing: Path) -> str | None:
    names = sorted(one.name for one in islice(missing.parent.iterdir(), MAX_NAMES)) if missing.parent.is_dir() else []
    near = closest(missing.name, names)
    return f"did you mean `{near}`?" if near else None
