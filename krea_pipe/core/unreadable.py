"""The problem of a file that a person names and that cannot be read, with the file that was probably meant."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from krea_pipe.core.errors import Problem, whole_file
from krea_pipe.core.near_names import closest

_MAX_ENTRIES = 1_000
"""Entries of a folder that are compared with a name."""
_YAML = (".yaml", ".yml")


def unreadable_file(file: Path, error: OSError, code: str = "file_unreadable") -> Problem:
    """Describe why a file cannot be read.

    Args:
        file: the path as it was written.
        error: what opening or reading it raised.
        code: the code of the problem.

    Returns:
        A problem of the whole file. The hint of a missing file names a similar one in the same folder, or one of the
        same name in a folder inside it.
    """
    at = whole_file(file)
    if isinstance(error, FileNotFoundError):
        return Problem(code, "the file does not exist", at, _meant(file))
    if isinstance(error, IsADirectoryError) or file.is_dir():
        return Problem(code, "this is a folder, not a file", at, "write the path of a file")
    return Problem(code, f"cannot read the file: {error.strerror}", at, _advice(error))


def _advice(error: OSError) -> str | None:
    return "allow reading the file, and entering its folders" if isinstance(error, PermissionError) else None


def _meant(file: Path) -> str:
    folder = file.parent
    try:
        if not folder.is_dir():
            return f"the folder {folder} does not exist either; check the path"
        found = _similar(file)
    except OSError:
        found = None
    return f"did you mean {found}?" if found else "check the path and the current folder"


def _similar(file: Path) -> Path | None:
    suffixes = _YAML if file.suffix in ("", *_YAML) else (file.suffix,)
    beside = [name for name in _names(file.parent, is_folder=False) if name.endswith(suffixes)]
    stems = {Path(name).stem: name for name in beside}
    near = stems.get(file.stem) or stems.get(closest(file.stem, stems) or "")
    if near:
        return file.with_name(near)
    inside = (file.parent / name / file.name for name in _names(file.parent, is_folder=True))
    return next((path for path in inside if path.is_file()), None)


def _names(folder: Path, *, is_folder: bool) -> Iterator[str]:
    """The names of visible files or folders in a folder, sorted."""
    with os.scandir(folder) as entries:
        found = [
            entry.name
            for entry in islice(entries, _MAX_ENTRIES)
            if not entry.name.startswith(".") and not entry.is_symlink() and entry.is_dir() == is_folder
        ]
    yield from sorted(found)
