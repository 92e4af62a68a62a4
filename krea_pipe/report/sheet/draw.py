"""The files of a sheet: a PDF, or a PNG for each page; what is no sheet is never replaced.

Pictures are opened one after the other, and are no larger in memory than they have to be.
"""

import io
import logging
import os
import re
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol, TypeVar

from fpdf import FPDF
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.image_file import image_size
from krea_pipe.core.images import DAMAGE, THUMBNAIL_SIDE, NotAnImage, appearance_of, as_seen, eight_bits, opened
from krea_pipe.core.provenance import bare
from krea_pipe.report.model import Row
from krea_pipe.report.sheet.model import COLOURS, SCREEN_DPI, Box, Sheet, SheetPage, Text, Tile
from krea_pipe.report.sheet.parts import Typesetter
from krea_pipe.report.sheet.pdf import (
    PRINT_QUALITY,
    SCREEN_QUALITY,
    PdfCanvas,
    PictureFile,
    quantisation_of,
    with_pictures,
)
from krea_pipe.report.sheet.typeface import FontSet
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.blobs import MOST_BLOB_BYTES
from krea_pipe.store.plain import read_plain
from krea_pipe.store.space import Space

_Picture = TypeVar("_Picture")

_SUFFIXES = (".pdf", ".png")
SIGNATURE = "krea-pipe contact sheet"
"""Stands in each file, so that a later sheet may replace it."""
_PICTURES = re.compile(SIGNATURE.encode() + rb", pictures: (\d{1,9})")
MISSING = ("missing", "The picture is missing or damaged")
_MOST_EXCESS = 1.1
"""A picture may have so many times the pixels of its box on each side: to resample it takes 3 ms, a quarter of all."""
_AHEAD = 4
"""How many pictures of each thread are ready before their place is drawn."""

# It would print a line for each text with a letter that no font has; the page shows that, and the help says it.
logging.getLogger("fpdf").setLevel(logging.ERROR)


def check_path(path: Path) -> None:
    """Refuse a file that cannot be a sheet.

    Raises:
        UsageError: it has no suffix of a sheet, or is a folder.
    """
    if path.suffix.lower() not in _SUFFIXES:
        message = f"a sheet must be a PDF or PNG file, not {path}"
        raise UsageError(Problem("unknown_suffix", message, hint=f"write {path.with_suffix('.pdf')}"))


def page_files(sheet: Sheet, path: Path) -> list[Path]:
    """The files that a sheet becomes: several pages of PNG are numbered.

    Raises:
        UsageError: one of them exists and is no sheet.
    """
    check_path(path)
    count = len(sheet.pages)
    files = [path]
    if path.suffix.lower() == ".png" and count > 1:
        digits = len(str(count))
        files = [path.with_name(f"{path.stem}-{at:0{digits}}{path.suffix}") for at in range(1, count + 1)]
    hint = "move it away, or use --out"
    problems = [
        Problem("file_in_the_way", f"{file} exists and is not a contact sheet", hint=hint)
        for file in files
        if _is_foreign(file)
    ]
    if problems:
        raise UsageError(*problems)
    return files


def check_fuller(sheet: Sheet, files: list[Path], expected: int, *, replace_fuller: bool) -> int:
    """Refuse to replace a sheet by one with fewer pictures that shows only part of what it could.

    Args:
        sheet: the pages.
        files: where they would go.
        expected: how many pictures a whole sheet would have.
        replace_fuller: whether it may be replaced nevertheless.

    Returns:
        The number of pictures in the existing sheet.

    Raises:
        UsageError: one of the files is a sheet with more pictures.
    """
    count, earlier = pictures_of(sheet), max(map(_pictures_in, files))
    if count < min(expected, earlier) and not replace_fuller:
        message = f"{files[0]} has {earlier:,} pictures, but this sheet has {count:,} of {expected:,}"
        raise UsageError(Problem("fuller_file", message, hint="use --out for another file, or --replace"))
    return earlier


def pictures_of(sheet: Sheet) -> int:
    """The number of cells in a sheet that have an image.

    Args:
        sheet: the pages.
    """
    return sum(tile.row.sha256 is not None for page in sheet.pages for tile in page.tiles)


def _pictures_in(file: Path) -> int:
    """The number of pictures on all pages according to a sheet file; sheets of earlier versions do not state it."""
    try:
        found = _PICTURES.search(file.read_bytes())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def write_sheet(sheet: Sheet, files: list[Path], painter: "Painter") -> None:
    """Write the files of a sheet, page by page, and drop the pages of an earlier sheet that had more.

    Args:
        sheet: the pages.
        files: where they go, as `page_files` gives them.
        painter: draws them; it knows afterwards which pictures were missing.

    Raises:
        StateError: they cannot be written.
    """
    if files[0].suffix.lower() == ".pdf":
        write_atomically(files[0], painter.pdf(sheet), durable=False)
        return
    for page, file in zip(sheet.pages, files, strict=True):
        write_atomically(file, painter.png(sheet, page), durable=False)
    if len(files) > 1:
        stem, suffix = files[0].stem.rpartition("-")[0], files[0].suffix
        numbered = re.compile(re.escape(stem) + r"-\d+" + re.escape(suffix))
        for path in files[0].parent.iterdir():
            if numbered.fullmatch(path.name) and path not in files and not _is_foreign(path):
                path.unlink()


def _is_foreign(path: Path) -> bool:
    """Whether something exists there that is not one of our sheets."""
    if not path.exists():
        return path.is_symlink()
    try:
        data = path.read_bytes()
    except OSError:
        return True
    return bool(data) and SIGNATURE.encode() not in data


class _Canvas(Protocol[_Picture]):
    """The drawing functions of a page; positions are in pixels. Only `prepared` is called in other threads."""

    def fill(self, box: Box, colour: str, *, framed: bool = False) -> None: ...
    def write(self, text: Text) -> None: ...
    def prepared(self, picture: Image.Image) -> _Picture: ...
    def paste(self, picture: _Picture, box: Box) -> None: ...


@dataclass(slots=True)
class Painter:
    """Draws the pages of a sheet with the pictures of a run.

    `space` keeps what Krea sent, `base` is the folder that the images' paths start from, `typesetter` the one that the
    sheet was laid out with. `missing` are the ids of the cells whose picture was missing.
    """

    space: Space
    base: Path
    typesetter: Typesetter
    missing: list[str] = field(default_factory=list)

    def pdf(self, sheet: Sheet) -> Iterator[bytes]:
        """All pages in one file, part after part, with text that can be searched and copied."""
        # Measured with 2,000 pictures: Pillow's own PDF pages are one large JPEG each, 33 MB and 351 MB of memory, with
        # text that cannot be searched; here ids can be copied into `krea-pipe pick`.
        pdf = _document(sheet)
        with TemporaryFile() as stream:
            pictures = PictureFile(stream)
            quantisation = quantisation_of(SCREEN_QUALITY if sheet.dpi <= SCREEN_DPI else PRINT_QUALITY)
            canvas = PdfCanvas(pdf, self.typesetter.fonts, sheet.points, quantisation, pictures)
            prepared = self._pictures([tile for page in sheet.pages for tile in page.tiles], canvas)
            with closing(prepared):
                for page in sheet.pages:
                    pdf.add_page(format=(page.width * sheet.points, page.height * sheet.points))
                    pdf.set_line_width(sheet.points)
                    pdf.set_draw_color(*COLOURS["rule"])
                    self._paint(page, canvas, prepared)
            yield from with_pictures(bytes(pdf.output()), pictures)

    def png(self, sheet: Sheet, page: SheetPage) -> bytes:
        """One page as a file."""
        image = Image.new("RGB", (page.width, page.height), COLOURS["paper"])
        canvas = _PngCanvas(image, ImageDraw.Draw(image), self.typesetter.fonts)
        prepared = self._pictures(page.tiles, canvas)
        with closing(prepared):
            self._paint(page, canvas, prepared)
        info = PngInfo()
        info.add_itxt(SIGNATURE, sheet.run_id)
        info.add_itxt("Title", sheet.title)
        info.add_itxt("Comment", _keywords(sheet))
        buffer = io.BytesIO()
        # Measured on a page of 40 MP: level 4 takes 1.8 s, the default 6 takes 3.2 s for 3 % fewer bytes.
        image.save(buffer, "PNG", compress_level=4, dpi=(sheet.dpi, sheet.dpi), pnginfo=info)
        return buffer.getvalue()

    def _paint(self, page: SheetPage, canvas: _Canvas[_Picture], pictures: Iterator[_Picture | None]) -> None:
        for rule in page.rules:
            canvas.fill(rule, "rule")
        for text in page.texts:
            canvas.write(text)
        for tile in page.tiles:
            picture = next(pictures)
            if picture is not None:
                canvas.paste(picture, tile.box)
            else:
                self._paint_note(tile, canvas)
            for text in tile.caption:
                canvas.write(text)

    def _paint_note(self, tile: Tile, canvas: _Canvas[_Picture]) -> None:
        """The box of a cell without a picture, and why it has none."""
        if not _is_without_picture(tile):
            self.missing.append(tile.row.id)
        canvas.fill(tile.box, "empty", framed=True)
        for text in tile.note or self.typesetter.note(*MISSING, tile.box):
            canvas.write(text)

    def _pictures(self, tiles: Sequence[Tile], canvas: _Canvas[_Picture]) -> Generator[_Picture | None]:
        """The pictures of tiles in their order, each prepared in a thread shortly before it is needed."""

        def prepared(tile: Tile) -> _Picture | None:
            picture = self._picture(tile)
            return None if picture is None else canvas.prepared(picture)

        workers = min(os.cpu_count() or 1, 8)
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[Future[_Picture | None]] = deque()
            for tile in tiles:
                waiting.append(pool.submit(prepared, tile))
                if len(waiting) > workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _picture(self, tile: Tile) -> Image.Image | None:
        """The picture of a tile in RGB, about as large as fits into its box; None if it is missing or damaged."""
        if _is_without_picture(tile):
            return None
        for data in self._candidates(tile.row, max(tile.box.width, tile.box.height)):
            try:
                return _decoded(data, tile.box)
            except (OSError, NotAnImage, *DAMAGE):
                continue
        return None

    def _candidates(self, row: Row, side: int) -> Iterator[bytes]:
        """The small picture where that is enough; else what Krea sent, or the copy in the output folder."""
        thumbnail = self.space.read_thumbnail(row.sha256) if row.sha256 else None
        if thumbnail is not None and side <= max(image_size(thumbnail) or (0, 0)) <= THUMBNAIL_SIDE:
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
        """The copy in the output folder, if it is the right image: a report from elsewhere can name any file."""
        try:
            data = read_plain(self.base / row.image, MOST_BLOB_BYTES) if row.image else b""
        except OSError:
            return None
        return data if bare(data).digest == row.sha256 else None


@dataclass(frozen=True, slots=True)
class _PngCanvas:
    image: Image.Image
    draw: ImageDraw.ImageDraw
    fonts: FontSet

    def fill(self, box: Box, colour: str, *, framed: bool = False) -> None:
        edges = (box.left, box.top, box.right - 1, box.bottom - 1)
        self.draw.rectangle(edges, fill=COLOURS[colour], outline=COLOURS["rule"] if framed else None)

    def write(self, text: Text) -> None:
        left = float(text.box.left)
        for face, part in self.fonts.runs(text.string, strong=text.strong):
            font = self.fonts.font(face, text.size)
            self.draw.text((left, text.baseline), part, fill=COLOURS[text.tone], font=font, anchor="ls")
            left += font.getlength(part)

    def prepared(self, picture: Image.Image) -> Image.Image:
        return picture

    def paste(self, picture: Image.Image, box: Box) -> None:
        size = _fitted(picture.size, box)
        whole = picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)
        self.image.paste(whole, (box.left, box.top))


def _document(sheet: Sheet) -> FPDF:
    """A document without pages."""
    pdf = FPDF(unit="pt")
    pdf.set_auto_page_break(False)
    pdf.set_margin(0)
    pdf.set_title(sheet.title)
    pdf.set_subject(sheet.run_id)
    pdf.set_creator(SIGNATURE)
    pdf.set_keywords(_keywords(sheet))
    pdf.set_producer("krea-pipe")
    pdf.set_creation_date(_moment(sheet.made_at))
    return pdf


def _is_without_picture(tile: Tile) -> bool:
    return bool(tile.note) or tile.row.image is None


def _fitted(size: tuple[int, int], box: Box) -> tuple[int, int]:
    """The size of a picture in pixels that is as large as fits into a box."""
    width, height = size
    scale = min(box.width / width, box.height / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _decoded(data: bytes, box: Box) -> Image.Image:
    """A picture in RGB that is about as large as fits into a box, or as large as it is."""
    image = opened(data)
    appearance = appearance_of(image, data)
    upright = appearance.upright(image.size)
    fitted = appearance.upright(min(_fitted(upright, box), upright))
    image.draft("RGB", fitted)  # a JPEG is decoded small
    image = as_seen(_shrunk(eight_bits(image), fitted), appearance)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, (*COLOURS["paper"], 255))
        image = Image.alpha_composite(paper, image)
    return image.convert("RGB")


def _shrunk(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image of at least a size, but not much more; `Image.reduce` takes 1 ms, with which `resize` is left little."""
    factor = min(image.width // size[0], image.height // size[1])
    image = image.reduce(factor) if factor > 1 else image
    is_near = image.width <= size[0] * _MOST_EXCESS and image.height <= size[1] * _MOST_EXCESS
    return image if is_near else image.resize(size, Image.Resampling.BICUBIC)


def _keywords(sheet: Sheet) -> str:
    return f"{SIGNATURE}, pictures: {pictures_of(sheet)}"


def _moment(text: str) -> datetime:
    """The moment of the run, so that the same run gives the same bytes."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return datetime(2000, 1, 1, tzinfo=UTC)
