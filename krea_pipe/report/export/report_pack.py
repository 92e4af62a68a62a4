"""The folder of a report as one zip file, together with the original images: it works wherever it is unpacked."""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.report.export.archive import ZipMoment, final_names, replacing, safe_part, zip_moment
from krea_pipe.report.folder import RECORD
from krea_pipe.report.html import HtmlOptions
from krea_pipe.report.model import Report, Row
from krea_pipe.report.record import to_lines
from krea_pipe.report.rendered_forms import FORMS
from krea_pipe.report.thumbnails import digests_of, read_thumbnails
from krea_pipe.store.space import Space

_COMMENT = b"krea-pipe report"
_ORIGINALS = "originals"


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A zip file that is written: how many originals it has, the cells whose original is lost, and its bytes."""

    file: Path
    originals: int
    missing: tuple[str, ...]
    size: int


def check_report_target(path: Path) -> None:
    """Refuse to replace what is not the zip file of a report.

    Raises:
        UsageError: the name does not end in .zip, or something else is there.
    """
    if path.suffix.lower() != ".zip":
        hint = f"name it {path.stem or 'report'}.zip"
        raise UsageError(Problem("not_a_zip", f"{path} does not end in .zip", hint=hint))
    if os.path.lexists(path) and not _is_ours(path):
        message = f"{path} exists and is not a packed report"
        raise UsageError(Problem("file_in_the_way", message, hint="choose another name"))


def pack_report(report: Report, folder: Path, space: Space, page: HtmlOptions, path: Path) -> WrittenReport:
    """Write the report with its thumbnails and originals into one zip file.

    Args:
        report: what has happened.
        folder: the folder of the run.
        space: the name space that keeps the images, and a thumbnail of each.
        page: what the forms show besides the report.
        path: the zip file.

    Raises:
        StateError: it cannot be written.
    """
    with_image = [row for row in report.rows if row.sha256]
    names = final_names(report, folder, with_image)
    wanted = {row.sha256 or "": f"{_ORIGINALS}/{names[row.id]}" for row in reversed(with_image)}
    with replacing(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        archive.comment = _COMMENT
        writer = _Writer(archive, safe_part(report.run_id), zip_moment(report.finished_at))
        packed = writer.add_originals(wanted, space)
        moved = tuple(_moved(row, packed) for row in report.rows)
        writer.add_report(replace(report, base=".", rows=moved), space, page)
    missing = tuple(row.id for row in with_image if row.sha256 not in packed)
    return WrittenReport(path, len(packed), missing, path.stat().st_size)


def _moved(row: Row, packed: Mapping[str, str]) -> Row:
    """The row with the place of its original in the archive; cells that share an image share its file."""
    image = packed.get(row.sha256 or "")
    return row if image is None else replace(row, image=image)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Adds files to the folder of an archive; the same run gives the same names and times."""

    archive: zipfile.ZipFile
    top: str
    moment: ZipMoment

    def add_originals(self, wanted: Mapping[str, str], space: Space) -> dict[str, str]:
        """Write images by digest to their names; those that are stored."""
        found = {}
        for digest, name in wanted.items():
            data = space.blobs.read(digest)
            if data is not None:
                self._add(name, data, zipfile.ZIP_STORED)
                found[digest] = name
        return found

    def add_report(self, report: Report, space: Space, page: HtmlOptions) -> None:
        """Write every form of the report, and its thumbnails."""
        digests, there = digests_of(report), set()
        for digest, data in read_thumbnails(digests, space):
            there.add(digest)
            self._add(f"thumbnails/{digest}.webp", data, zipfile.ZIP_STORED)
        self._add(RECORD, "".join(to_lines(report)).encode("utf-8", "replace"), zipfile.ZIP_DEFLATED)
        page = replace(page, missing=[digest for digest in digests if digest not in there], originals="")
        for name, render in FORMS.items():
            rendered = render(report, page)
            data = rendered.encode("utf-8", "replace") if isinstance(rendered, str) else b"".join(rendered)
            self._add(name, data, zipfile.ZIP_DEFLATED)

    def _add(self, name: str, data: bytes, how: int) -> None:
        info = zipfile.ZipInfo(f"{self.top}/{name}", self.moment)
        info.external_attr, info.create_system, info.compress_type = 0o644 << 16, 3, how
        self.archive.writestr(info, data)


def _is_ours(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == _COMMENT
    except (OSError, zipfile.BadZipFile):
        return False
