"""What zip files of a run have in common: names of images, times, and how a file takes the place of another."""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.matrix.out_paths import MAX_PATH_PART, case_folded
from krea_pipe.report.model import Report, Row

ZipMoment: TypeAlias = tuple[int, int, int, int, int, int]
"""Year, month, day, hour, minute and second in UTC."""
_REFUSED = re.compile(r'[<>:"/|?*\\\x00-\x1f\x7f\ud800-\udfff]')
_KEPT_BY_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif")


def final_names(report: Report, folder: Path, rows: Iterable[Row]) -> dict[str, str]:
    """The path of each image in an archive by its cell's id: as in the output folder, safe on every disk, unique.

    Args:
        report: the report of a run.
        folder: the folder of the run.
        rows: the cells whose images are archived.
    """
    base = folder / report.base
    out = Path(os.path.normpath(base / report.out))
    taken: set[str] = set()
    return {row.id: unique_path(str(_name(row, base, out)), taken) for row in rows}


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
    parts = path.relative_to(out).with_suffix("").parts if path.is_relative_to(out) else tuple(row.id.split("/"))
    safe = [safe_part(part) for part in parts if part not in ("", ".", "..")] or ["image"]
    return PurePosixPath(*safe[:-1], safe[-1] + image_suffix(row.image))


def image_suffix(image: str | None) -> str:
    """The extension of the path of an image, `.png` for one that no image has."""
    suffix = PurePosixPath(image or "").suffix.lower()
    return suffix if suffix in _SUFFIXES else ".png"


def unique_path(name: str, taken: set[str]) -> str:
    """The path, or one beside it, of which neither image nor sidecar has the name of another; it is then taken."""
    path, number = PurePosixPath(name), 1
    stem = path.stem
    while case_folded(str(path.with_suffix(""))) in taken:
        number += 1
        path = path.with_name(f"{stem}-{number}{path.suffix}")
    taken.add(case_folded(str(path.with_suffix(""))))
    return str(path)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file beside a path that takes its place when all is written, and is gone when something went wrong.

    Raises:
        StateError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".krea-pipe-", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w+b") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
        raise StateError(
            Problem("not_writable", message, hint="check the folder's permissions and free space")
        ) from error


def zip_moment(text: str) -> ZipMoment:
    """The end of the run, which is the same each time; zip knows no year before 1980."""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        moment = datetime(1980, 1, 1, tzinfo=UTC)
    year = min(max(moment.year, 1980), 2107)
    return year, moment.month, moment.day, moment.hour, moment.minute, moment.second
