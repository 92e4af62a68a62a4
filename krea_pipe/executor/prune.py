"""Removes stale files from an output folder, each only while it is byte for byte what was found."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.planning.stale_files import StaleFile


@dataclass(frozen=True, slots=True)
class Pruned:
    """The paths of files that were removed, below the output folder, and those that could not be, with the reasons."""

    removed: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


def prune(folder: Path, stale: Iterable[StaleFile]) -> Pruned:
    """Remove stale files, and the folders that are empty then.

    Args:
        folder: the output folder, which stays.
        stale: the files.

    Returns:
        What was removed, and what was not.
    """
    removed, failed = list[str](), list[tuple[str, str]]()
    for one in stale:
        file = folder / one.path
        try:
            if hashlib.sha256(file.read_bytes()).hexdigest() != one.sha256:
                failed.append((one.path, "it was changed meanwhile"))
                continue
            file.unlink()
        except OSError as error:
            failed.append((one.path, str(error.strerror)))
        else:
            removed.append(one.path)
    for path in removed:
        _remove_empty(folder, Path(path).parent)
    return Pruned(tuple(removed), tuple(failed))


def _remove_empty(folder: Path, below: Path) -> None:
    """Remove a folder that held one of our files, and those above it, as long as they are empty."""
    with suppress(OSError):
        while below != Path():
            (folder / below).rmdir()
            below = below.parent
