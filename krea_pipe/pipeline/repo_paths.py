"""Files that a pipeline names: below its repository, found without telling what else a machine has."""

import fnmatch
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from pathlib import Path, PureWindowsPath
from typing import TypeAlias

from krea_pipe.core import lfs
from krea_pipe.core.excerpts import shown
from krea_pipe.core.json_data import CONTROL_CHARACTERS
from krea_pipe.core.merge_conflicts import CHOOSE, CONFLICT, conflict_at
from krea_pipe.core.near_names import MAX_NAMES, closest

MAX_PATH_PARTS = 32
MAX_PART_CHARACTERS = 255
MAX_FOLDER_ENTRIES = 100_000
"""The maximum number of folder entries that the patterns of one pipeline visit; repeated visits count again."""


class _Budget(threading.local):
    entries = MAX_FOLDER_ENTRIES


_BUDGET = _Budget()

WILDCARD = re.compile(r"[*?\[]")

FileSupplier: TypeAlias = Callable[[Path, str], None]
"""Puts the files in place that a pattern may mean, seen from a folder."""

_supply: ContextVar[FileSupplier | None] = ContextVar("supply", default=None)


class Unusable(ValueError):
    """A file or image cannot be used: a stable code, a sentence and a hint."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


@contextmanager
def supplying_files(supply: FileSupplier) -> Iterator[None]:
    """Provide files just before they are searched for, such as those of a commit, while the context is open.

    Args:
        supply: is given the folder of the pipeline file, and the path or glob that is about to be looked for.
    """
    token = _supply.set(supply)
    try:
        yield
    finally:
        _supply.reset(token)


def request_files(pattern: str, folder: Path) -> None:
    """Have the files put in place that a path or a glob may mean, where that is done; `files_of` does it itself."""
    supply = _supply.get()
    if supply is not None:
        supply(folder, pattern)


def files_of(pattern: str, folder: Path, root: Path) -> list[Path]:
    """The files that a path or a glob means, sorted, seen from `folder` and below `root`, both resolved.

    Raises:
        Unusable: there is no such file, or it is outside.
    """
    if pattern.startswith(("/", "~")) or PureWindowsPath(pattern).drive:
        raise Unusable("reference_outside", f"{pattern} is absolute", "write it relative to the pipeline file")
    request_files(pattern, folder)
    try:
        look = _matching if WILDCARD.search(pattern) else _followed
        return [_inside(path, pattern, root) for path in look(folder, pattern, root)]
    except (OSError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, Unusable):
            raise
        reason = error.strerror if isinstance(error, OSError) else "it is not a path or pattern"
        raise Unusable("reference_unreadable", f"cannot search for {shown(pattern)}: {reason}") from error


def _matching(folder: Path, pattern: str, root: Path) -> list[Path]:
    parts = pattern.split("/")
    if len(parts) > MAX_PATH_PARTS or max(map(len, parts)) > MAX_PART_CHARACTERS:
        limits = f"{MAX_PATH_PARTS} parts of {MAX_PART_CHARACTERS} characters"
        message = f"{shown(pattern)} is too long: a pattern has up to {limits}"
        raise Unusable("pattern_too_long", message, "use `**` for folders at any depth")
    first = next(index for index, part in enumerate(parts) if WILDCARD.search(part))
    if ".." in parts[first:]:
        hint = "put it before the wildcard"
        raise Unusable("reference_outside", f"`..` follows a wildcard in {pattern}", hint)
    # Python 3.13 changed the meaning of `**` inside a name; a file must mean the same everywhere.
    if any("**" in part and part != "**" for part in parts):
        raise Unusable("reference_unreadable", f"`**` must be a whole part of a path, but is not in {pattern}")
    found = sorted(path for path in _followed(folder, pattern, root) if path.is_file())
    if not found:
        looked_in = _looked_in(folder.joinpath(*parts[:first]), root)
        raise Unusable("reference_missing", f"no file matches {pattern}", looked_in)
    return found


def _followed(folder: Path, pattern: str, root: Path) -> list[Path]:
    # Each part is refused as soon as it leads out of the repository, by `..` or by a link, and before anything there is
    # listed: messages, even that a file does not exist, would reveal which files a machine has.
    found = [folder]
    before = ""
    for part in (pattern + "/*" if pattern.endswith("**") else pattern).split("/"):
        if not part == before == "**":  # which lead to the same as one
            found = list(dict.fromkeys(_steps(found, part)))
        if any(_leads_out(path, part, root) for path in found):
            raise _outside(pattern, root)
        before = part
    return found


def _leads_out(path: Path, part: str, root: Path) -> bool:
    """Whether a part of a pattern left the repository, which is not so before it: by its words, or by a link."""
    return (not WILDCARD.search(part) or path.is_symlink()) and not path.resolve().is_relative_to(root)


def _steps(paths: Sequence[Path], part: str) -> Iterator[Path]:
    """The paths that one part of a pattern matches below some paths; `**` follows no links and repeats no folder."""
    if not WILDCARD.search(part):
        _spend(len(paths))
        yield from (path / part for path in paths)
    elif part == "**":
        known = set[str]()
        for path in paths:
            yield from _folders(path, known)
    else:
        for path in paths:
            _spend(1)
            yield from (Path(path, name) for name in _names_in(path) if _fits(name, part))


def _fits(name: str, part: str) -> bool:
    """Whether a name is one of those that a part of a pattern means: hidden ones only if it begins with a dot."""
    return fnmatch.fnmatch(name, part) and (part.startswith(".") or not name.startswith("."))


def _folders(path: Path, known: set[str]) -> Iterator[Path]:
    """A folder and those below it, unless they are known or hidden."""
    if str(path) in known:
        return
    for folder, below, files in os.walk(path):
        known.add(folder)
        _spend(1 + len(below) + len(files))
        below[:] = [name for name in below if name[0] != "." and os.path.join(folder, name) not in known]  # noqa: PTH118 (one for each entry)
        yield Path(folder)


def _names_in(path: Path) -> Iterator[str]:
    if path.is_dir():
        with os.scandir(path) as entries:
            for entry in entries:
                _spend(1)
                yield entry.name


def read_text(file: Path, pattern: str, most: int) -> str:
    """The text of a file that a pipeline names.

    Args:
        file: the file.
        pattern: its path, as messages name it.
        most: the maximum number of bytes.

    Raises:
        Unusable: it cannot be read, is too large, or is not plain text in UTF-8.
    """
    try:
        with file.open("rb") as stream:
            raw = stream.read(most + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise Unusable("file_unreadable", f"cannot read {pattern}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"{pattern} is not valid UTF-8 text: line {line} contains the byte 0x{raw[error.start]:02x}"
        raise Unusable("not_utf8", message, "save it as UTF-8") from error
    if len(raw) > most:
        raise Unusable("file_too_large", f"{pattern} is larger than {most // 2**20} MB", "split the file")
    if lfs.pointer_in(raw):
        raise Unusable("lfs_pointer", f"{pattern} is a Git LFS pointer: the file itself is missing", lfs.LFS_HINT)
    at = conflict_at(text)
    if at is not None:
        message = f"line {text.count(chr(10), 0, at) + 1} of {pattern} is a merge conflict marker"
        raise Unusable(CONFLICT, message, CHOOSE)
    if CONTROL_CHARACTERS.search(text):
        raise Unusable("control_character", f"{pattern} contains a control character", "save it as plain text")
    return text


def reset_entry_budget() -> None:
    """Start a pipeline, with a full budget of folder entries."""
    _BUDGET.entries = MAX_FOLDER_ENTRIES


def _spend(entries: int) -> None:
    _BUDGET.entries -= entries
    if _BUDGET.entries < 0:
        message = f"the patterns in this pipeline search more than {MAX_FOLDER_ENTRIES:,} folder entries"
        raise Unusable("too_many_entries", message, "start patterns with the folder to search")


def _inside(path: Path, pattern: str, root: Path) -> Path:
    real = path.resolve()
    if not real.is_relative_to(root):
        raise _outside(pattern, root)
    if real.is_dir():
        raise Unusable(
            "reference_missing", f"{pattern} is a folder", f"specify a file in it, or all its files: {pattern}/*"
        )
    if not real.is_file():
        near = _near_file(pattern, real)
        raise Unusable("reference_missing", f"{pattern} does not exist", near or _looked_in(real.parent, root))
    return real


def _outside(pattern: str, root: Path) -> Unusable:
    hint = f"references must be inside {root.name}/, so that a pull request cannot upload other files"
    return Unusable("reference_outside", f"{pattern} leads outside the repository", hint)


def _looked_in(folder: Path, root: Path) -> str:
    real = folder.resolve()
    inside = real.relative_to(root).as_posix() if real.is_relative_to(root) else ""
    where = "the repository's top folder" if inside in ("", ".") else inside
    return f"looked in {where}" if real.is_dir() else f"there is no folder {where}"


def _near_file(pattern: str, missing: Path) -> str | None:
    """A hint with the file of the same type in the same folder whose name is most similar to the given one."""
    found = sorted(islice(missing.parent.iterdir(), MAX_NAMES)) if missing.parent.is_dir() else []
    stems = {one.stem: one.name for one in found if missing.suffix in ("", one.suffix)}
    near = missing.name if missing.name in stems else closest(missing.stem, stems)
    folder, slash, _ = pattern.rpartition("/")
    return f"did you mean `{folder}{slash}{stems[near]}`?" if near else None
