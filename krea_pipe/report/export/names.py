"""The names that images have in a pack: those of the output folder, safe on every disk, no two the same."""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from krea_pipe.matrix.out_paths import MAX_PATH_PART, folded
from krea_pipe.report.model import Report, Row

_REFUSED = re.compile(r'[<>:"/|?*\\\x00-\x1f\x7f\ud800-\udfff]')
_KEPT_BY_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def names_of(report: Report, folder: Path, rows: Iterable[Row]) -> dict[str, str]:
    """The path of each cell's image by the cell's id, relative to the folder of images."""
    base = folder / report.base
    out = Path(os.path.normpath(base / report.out))
    taken: set[str] = set()
    return {row.id: _free(_name(row, base, out), taken) for row in rows}


def safe_part(text: str) -> str:
    """One part of a path as every file system takes it."""
    part = _REFUSED.sub("-", text).rstrip(". ") or "-"
    if _KEPT_BY_WINDOWS.fullmatch(part):
        part = f"_{part}"
    while len(part.encode()) > MAX_PATH_PART:
        part = part[:-1]
    return part


def _name(row: Row, base: Path, out: Path) -> PurePosixPath:
    """Where the image is below the output folder; for one that is elsewhere, the path that its id makes."""
    path = Path(os.path.normpath(base / (row.image or "")))
    suffix = path.suffix.lower() if path.suffix.lower() in _SUFFIXES else ".png"
    parts = path.relative_to(out).with_suffix("").parts if path.is_relative_to(out) else tuple(row.id.split("/"))
    safe = [safe_part(part) for part in parts if part not in ("", ".", "..")] or ["image"]
    return PurePosixPath(*safe[:-1], safe[-1] + suffix)


def _free(path: PurePosixPath, taken: set[str]) -> str:
    """The path, or one beside it, of which neither image nor sidecar has the name of another."""
    stem, number = path.stem, 1
    while folded(str(path.with_suffix(""))) in taken:
        number += 1
        path = path.with_name(f"{stem}-{number}{path.suffix}")
    taken.add(folded(str(path.with_suffix(""))))
    return str(path)
