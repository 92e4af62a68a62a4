"""The pack as one zip file: the same run and the same picks give the same bytes."""

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.report.export.choice import Choice
from krea_pipe.report.export.names import safe_part
from krea_pipe.report.export.sidecar import Sidecars
from krea_pipe.report.model import Report
from krea_pipe.store.blobs import Blobs

LOCAL = "LOCAL-PROOFS"
SHEET = "contact-sheet.pdf"
_COMMENT = b"krea-pipe hand-off"

DrawSheet = Callable[[Sequence[Choice]], bytes]
"""Draws the contact sheet of what is handed off, as PDF."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a pack: cells and their names, the picks files that chose them, and picks that have no image."""

    report: Report
    title: str
    choices: Sequence[Choice]
    names: Mapping[str, str]
    picks: Sequence[str] = ()
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Packed:
    """A pack that is written."""

    file: Path
    images: int
    missing: tuple[str, ...]
    size: int
    sha256: str


def title_of(report: Report, *, is_picked: bool) -> str:
    """The name of a pack and of the folder in it."""
    words = [report.pipeline.name, "picks" if is_picked else "", LOCAL if report.target.kind == "local" else ""]
    return safe_part("-".join(filter(None, words)))


def check_target(path: Path) -> None:
    """Refuse to replace what is no pack.

    Raises:
        UsageError: something else is there.
    """
    if os.path.lexists(path) and not _is_pack(path):
        message = f"{path} exists and is no hand-off pack"
        raise UsageError(Problem("file_in_the_way", message, hint="move it away, or use --out"))


def write_pack(contents: Contents, blobs: Blobs, draw: DrawSheet, path: Path, *, allow_missing: bool) -> Packed:
    """Write a pack, image by image.

    Raises:
        StateError: a stored image is missing or damaged, or the file cannot be written.
    """
    lost: list[str] = []
    with _replacing(path) as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            archive.comment = _COMMENT
            writer = _Writer(archive, contents.title, _moment(contents.report.finished_at))
            _fill(writer, contents, blobs, draw, lost if allow_missing else None)
        stream.flush()
    missing = (*contents.missing, *lost)
    return Packed(path, len(contents.choices) - len(lost), missing, path.stat().st_size, _digest(path))


@dataclass(slots=True)
class _Writer:
    """Adds files to the folder of a pack and remembers their digests. Nothing is deflated: images do not shrink."""

    archive: zipfile.ZipFile
    folder: str
    moment: tuple[int, int, int, int, int, int]
    sums: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(f"{self.folder}/{name}", self.moment)
        info.external_attr = 0o644 << 16
        info.create_system = 3  # Unix, on every system: the same bytes
        self.archive.writestr(info, data)
        self.sums.append((hashlib.sha256(data).hexdigest(), name))


def _fill(writer: _Writer, contents: Contents, blobs: Blobs, draw: DrawSheet, lost: list[str] | None) -> None:
    sidecars, listed, packed = Sidecars(contents.report), [], []
    for choice in sorted(contents.choices, key=lambda one: contents.names[one.row.id]):
        data = blobs.read(choice.row.sha256 or "")
        if data is None:
            if lost is None:
                raise _lost(choice)
            lost.append(choice.row.id)
            continue
        name = f"images/{contents.names[choice.row.id]}"
        sidecar = f"{name.rpartition('.')[0]}.json"
        writer.add(name, data)
        writer.add(sidecar, _json(sidecars.image(choice, name, len(data))))
        listed.append(sidecars.listed(choice, name, sidecar, len(data)))
        packed.append(choice.row.id)
    there = [choice for choice in contents.choices if choice.row.id in set(packed)]
    writer.add(SHEET, draw(there))
    missing = [*contents.missing, *(lost or ())]
    writer.add("manifest.json", _json(sidecars.manifest(listed, list(contents.picks), missing)))
    writer.add("SHA256SUMS", "".join(f"{digest}  {name}\n" for digest, name in writer.sums).encode())


def _lost(choice: Choice) -> StateError:
    message = f"the stored image of {choice.row.id} is missing or damaged"
    hint = "run its pipeline again, which draws it anew, or leave it out with --allow-missing"
    return StateError(Problem("image_damaged", message, hint=hint))


def _json(data: Mapping[str, object]) -> bytes:
    return (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file beside a path that takes its place when all is written, and is gone when something went wrong."""
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
        raise StateError(Problem("not_writable", message, hint="check the folder's rights and free space")) from error


def _moment(text: str) -> tuple[int, int, int, int, int, int]:
    """The end of the run, which is the same each time; zip knows no year before 1980."""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        moment = datetime(1980, 1, 1, tzinfo=UTC)
    year = min(max(moment.year, 1980), 2107)
    return year, moment.month, moment.day, moment.hour, moment.minute, moment.second


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_pack(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == _COMMENT
    except (OSError, zipfile.BadZipFile):
        return False
