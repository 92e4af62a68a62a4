"""The files of a sheet: a PDF, or a PNG for each page; what is no sheet is never replaced.

Pictures are opened one after the other, and are no larger in memory than they have to be.
"""

import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from fpdf import FPDF
from fpdf.errors import FPDFException
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.image_file import image_size
from krea_pipe.core.images import DAMAGE, THUMBNAIL_SIDE, NotAnImage, appearance_of, as_seen, eight_bits, opened
from krea_pipe.core.provenance import bare
from krea_pipe.report.model import Row
from krea_pipe.report.sheet.model import Box, Sheet, SheetPage, Text, Tile
from krea_pipe.report.sheet.parts import Typesetter
from krea_pipe.report.sheet.typeface import REGULAR, FontSet
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.blobs import MOST_BLOB_BYTES
from krea_pipe.store.plain import read_plain
from krea_pipe.store.space import Space

_SUFFIXES = (".pdf", ".png")
SIGNATURE = "krea-pipe contact sheet"
"""Stands in each file, so that a later sheet may replace it."""
_PICTURES = re.compile(SIGNATURE.encode() + rb", pictures: (\d{1,9})")
MISSING = ("missing", "The picture is missing or damaged")
_COLOURS = {
    "paper": (255, 255, 255),
    "ink": (24, 24, 26),
    "quiet": (112, 112, 116),
    "mark": (166, 60, 40),
    "rule": (214, 214, 216),
    "empty": (246, 246, 247),
}
DPI = 144
POINTS = 0.5
"""Points for each pixel: a picture of 360 px is 63 mm wide."""
QUALITY = 88

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


class _Canvas(Protocol):
    """The drawing functions of a page; positions are in pixels."""

    def fill(self, box: Box, colour: str, *, framed: bool = False) -> None: ...
    def write(self, text: Text) -> None: ...
    def paste(self, picture: Image.Image, box: Box) -> None: ...


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

    def pdf(self, sheet: Sheet) -> bytes:
        """All pages in one file, with text that can be searched and copied."""
        # Measured with 2,000 pictures: Pillow's own PDF pages are one large JPEG each, 33 MB and 351 MB of memory, with
        # text that cannot be searched; here it is 23 MB and 119 MB, and ids can be copied into `krea-pipe pick`.
        pdf = FPDF(unit="pt")
        pdf.set_auto_page_break(False)
        pdf.set_margin(0)
        pdf.set_title(sheet.title)
        pdf.set_subject(sheet.run_id)
        pdf.set_creator(SIGNATURE)
        pdf.set_keywords(_keywords(sheet))
        pdf.set_producer("krea-pipe")
        pdf.set_creation_date(_moment(sheet.made_at))
        canvas = _PdfCanvas(pdf, self.typesetter.fonts)
        for page in sheet.pages:
            pdf.add_page(format=(page.width * POINTS, page.height * POINTS))
            pdf.set_line_width(POINTS)
            pdf.set_draw_color(*_COLOURS["rule"])
            self._paint(page, canvas)
        return bytes(pdf.output())

    def png(self, sheet: Sheet, page: SheetPage) -> bytes:
        """One page as a file."""
        image = Image.new("RGB", (page.width, page.height), _COLOURS["paper"])
        self._paint(page, _PngCanvas(image, ImageDraw.Draw(image), self.typesetter.fonts))
        info = PngInfo()
        info.add_itxt(SIGNATURE, sheet.run_id)
        info.add_itxt("Title", sheet.title)
        info.add_itxt("Comment", _keywords(sheet))
        buffer = io.BytesIO()
        # Measured on a page of 40 MP: level 4 takes 1.8 s, the default 6 takes 3.2 s for 3 % fewer bytes.
        image.save(buffer, "PNG", compress_level=4, dpi=(DPI, DPI), pnginfo=info)
        return buffer.getvalue()

    def _paint(self, page: SheetPage, canvas: _Canvas) -> None:
        for rule in page.rules:
            canvas.fill(rule, "rule")
        for text in page.texts:
            canvas.write(text)
        for tile in page.tiles:
            picture = self._picture(tile)
            if picture is not None:
                canvas.paste(picture, tile.box)
            else:
                canvas.fill(tile.box, "empty", framed=True)
                for text in tile.note or self.typesetter.note(*MISSING, tile.box):
                    canvas.write(text)
            for text in tile.caption:
                canvas.write(text)

    def _picture(self, tile: Tile) -> Image.Image | None:
        """The picture of a tile in RGB, as large as fits into its box; None if it is missing or damaged."""
        if tile.note or tile.row.image is None:
            return None
        for data in self._candidates(tile.row, max(tile.box.width, tile.box.height)):
            try:
                return _decoded(data, tile.box)
            except (OSError, NotAnImage, *DAMAGE):
                continue
        self.missing.append(tile.row.id)
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
        self.draw.rectangle(edges, fill=_COLOURS[colour], outline=_COLOURS["rule"] if framed else None)

    def write(self, text: Text) -> None:
        left = float(text.box.left)
        for face, part in self.fonts.runs(text.string, strong=text.strong):
            font = self.fonts.font(face, text.size)
            self.draw.text((left, text.baseline), part, fill=_COLOURS[text.tone], font=font, anchor="ls")
            left += font.getlength(part)

    def paste(self, picture: Image.Image, box: Box) -> None:
        self.image.paste(picture, (box.left, box.top))


@dataclass(frozen=True, slots=True)
class _PdfCanvas:
    pdf: FPDF
    fonts: FontSet
    families: dict[Path, str | None] = field(default_factory=dict)

    def fill(self, box: Box, colour: str, *, framed: bool = False) -> None:
        self.pdf.set_fill_color(*_COLOURS[colour])
        sides = (box.left * POINTS, box.top * POINTS, box.width * POINTS, box.height * POINTS)
        self.pdf.rect(*sides, style="DF" if framed else "F")

    def write(self, text: Text) -> None:
        self.pdf.set_text_color(*_COLOURS[text.tone])
        left = text.box.left * POINTS
        for face, part in self.fonts.runs(text.string, strong=text.strong):
            self.pdf.set_font(self._family(face) or self._family(REGULAR), size=text.size * POINTS)
            self.pdf.text(left, text.baseline * POINTS, part)
            left += self.pdf.get_string_width(part)

    def paste(self, picture: Image.Image, box: Box) -> None:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=QUALITY)
        self.pdf.image(buffer, box.left * POINTS, box.top * POINTS, picture.width * POINTS)

    def _family(self, face: Path) -> str | None:
        """The name under which the document knows a face; None when it cannot be put into a PDF."""
        if face not in self.families:
            name = f"face{len(self.families)}"
            try:
                self.pdf.add_font(name, fname=face)
            except (FPDFException, OSError, ValueError, KeyError, TypeError, AttributeError):
                self.families[face] = None
            else:
                self.families[face] = name
        return self.families[face]


def _decoded(data: bytes, box: Box) -> Image.Image:
    image = opened(data)
    appearance = appearance_of(image, data)
    width, height = appearance.upright(image.size)
    scale = min(box.width / width, box.height / height)
    fitted = appearance.upright((max(1, round(width * scale)), max(1, round(height * scale))))
    image.draft("RGB", fitted)  # a JPEG is decoded small
    image = as_seen(eight_bits(image).resize(fitted, Image.Resampling.LANCZOS, reducing_gap=2.0), appearance)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, (*_COLOURS["paper"], 255))
        image = Image.alpha_composite(paper, image)
    return image.convert("RGB")


def _keywords(sheet: Sheet) -> str:
    return f"{SIGNATURE}, pictures: {pictures_of(sheet)}"


def _moment(text: str) -> datetime:
    """The moment of the run, so that the same run gives the same bytes."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return datetime(2000, 1, 1, tzinfo=UTC)
