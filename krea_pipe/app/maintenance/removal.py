"""Removing what can go, one thing after the other, so that a crash in between leaves a store that is right."""

import os
import secrets
import shutil
from collections.abc import Iterable, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.app.maintenance.stored import Stored
from krea_pipe.app.maintenance.waste import Piece
from krea_pipe.report.folder import PLANNED, RECORD

RECORDS = (RECORD, PLANNED)
PARTS = ("selected/thumbnails", "selected", "thumbnails")


@dataclass(frozen=True, slots=True)
class Removed:
    """How many things are gone, and which could not be removed, each with the reason."""

    count: int
    failures: tuple[str, ...]


def remove(pieces: Iterable[Piece]) -> Removed:
    """Remove things in their order: records first, so that no report names an image that is gone."""
    count, failures = 0, []
    for piece in pieces:
        try:
            _remove(piece)
            count += 1
        except OSError as error:
            failures.append(f"{piece.path}: {error.strerror}")
    return Removed(count, tuple(failures))


def _remove(piece: Piece) -> None:
    path = Path(piece.path)
    if piece.kind not in ("run folders", "diffs") and (path.is_symlink() or not path.is_dir()):
        path.unlink(missing_ok=True)
        return
    if not path.name.startswith(".krea-pipe-"):
        if _has_others(path, {file.path for file in piece.files}):
            _remove_own(path, piece.files)
            return
        # Under another name, and without its record, a folder that is half gone is not taken for a run.
        moved = path.with_name(f".krea-pipe-{secrets.token_hex(6)}.tmp")
        os.replace(path, moved)  # noqa: PTH105
        path = moved
    for name in RECORDS:
        with suppress(FileNotFoundError):
            (path / name).unlink()
    shutil.rmtree(path)


def _has_others(folder: Path, own: Set[str]) -> bool:
    """Whether a folder holds something that krea-pipe does not call so: it stays, and its folder with it."""
    parts = {f"{folder}/{name}" for name in PARTS}
    return any(
        f"{above}/{name}" not in (own if name in names or Path(above, name).is_symlink() else parts)
        for above, folders, names in os.walk(folder)
        for name in (*folders, *names)
    )


def _remove_own(folder: Path, files: Iterable[Stored]) -> None:
    for file in sorted((Path(one.path) for one in files), key=lambda one: one.name not in RECORDS):
        file.unlink(missing_ok=True)
    for name in PARTS:
        with suppress(OSError):  # it is not empty, or not there
            (folder / name).rmdir()
