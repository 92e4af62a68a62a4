"""Removing what can go, one thing after the other, so that a crash in between leaves a store that is right."""

import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.report.folder import PLANNED, RECORD
from krea_pipe.upkeep.waste import Piece


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
            _remove(Path(piece.path), piece.kind)
            count += 1
        except OSError as error:
            failures.append(f"{piece.path}: {error.strerror}")
    return Removed(count, tuple(failures))


def _remove(path: Path, kind: str) -> None:
    if kind not in ("run folders", "diffs") and not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if not path.name.startswith(".krea-pipe-"):
        # Under another name, and without its record, a folder that is half gone is not taken for a run.
        moved = path.with_name(f".krea-pipe-{secrets.token_hex(6)}.tmp")
        os.replace(path, moved)  # noqa: PTH105
        path = moved
    for name in (RECORD, PLANNED):
        with suppress(FileNotFoundError):
            (path / name).unlink()
    shutil.rmtree(path)
