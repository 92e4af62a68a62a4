"""Where the pictures of a sheet come from: one after the other, no larger in memory than they have to be."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from krea_pipe.core.image_file import size_of, without_text
from krea_pipe.core.images import DAMAGE, THUMBNAIL_SIDE, NotAnImage, opened
from krea_pipe.executor.deliver import TEXTS
from krea_pipe.report.model import Report, Row
from krea_pipe.store.blobs import MOST_BLOB_BYTES
from krea_pipe.store.plain import read_plain
from krea_pipe.store.space import Space

PAPER = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of a run: its store, and the folder that its images' paths start from."""

    space: Space
    base: Path

    def fitted(self, row: Row, width: int, height: int) -> Image.Image | None:
        """A cell's picture in RGB, as large as fits, or None when no whole one is there."""
        for data in self._candidates(row, max(width, height)):
            try:
                return _decoded(data, width, height)
            except (OSError, NotAnImage, *DAMAGE):
                continue
        return None

    def _candidates(self, row: Row, side: int) -> Iterator[bytes]:
        """The small picture where that is enough; else what Krea sent, or the copy in the output folder."""
        thumbnail = self.space.read_thumbnail(row.sha256) if row.sha256 else None
        if thumbnail is not None and side <= max(size_of(thumbnail) or (0, 0)) <= THUMBNAIL_SIDE:
            yield thumbnail
        stored = self.space.blobs.read(row.sha256) if row.sha256 else None
        if stored is not None:
            yield stored
        copy = self._copy(row)
        if copy is not None:
            yield copy
        if thumbnail is not None:
            yield thumbnail

    def _copy(self, row: Row) -> bytes | None:
        """The copy in the output folder, if it is one: a report may have come from elsewhere, and name any file."""
        try:
            data = read_plain(self.base / row.image, MOST_BLOB_BYTES) if row.image else b""
        except OSError:
            return None
        return data if hashlib.sha256(without_text(data, TEXTS)).hexdigest() == row.sha256 else None


def pictures_of(report: Report, folder: Path, space: Space) -> Pictures:
    """The pictures of a run that is kept in a folder."""
    return Pictures(space, folder / report.base)


def _decoded(data: bytes, width: int, height: int) -> Image.Image:
    image = opened(data)
    scale = min(width / image.width, height / image.height)
    fitted = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image.draft("RGB", fitted)  # a JPEG is decoded small
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, (*PAPER, 255))
        image = Image.alpha_composite(paper, image)
    return image.convert("RGB").resize(fitted, Image.Resampling.LANCZOS, reducing_gap=2.0)
