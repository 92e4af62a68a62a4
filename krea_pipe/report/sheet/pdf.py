"""A contact sheet as PDF, with text that can be searched and copied."""

import io
import logging
from datetime import UTC, datetime

from fpdf import FPDF
from fpdf.errors import FPDFException

from krea_pipe.report.sheet.letters import REGULAR, Letters
from krea_pipe.report.sheet.model import Box, Page, Sheet, Text, Tile
from krea_pipe.report.sheet.paint import COLOURS, MARK, MISSING, Brush

POINTS = 0.5
"""Points for each pixel: a picture of 360 px is 63 mm wide."""
QUALITY = 88

# Measured with 2,000 pictures: Pillow's own PDF pages are one large JPEG each, 33 MB and 351 MB of memory, with text
# that cannot be searched; here it is 23 MB and 119 MB, and ids can be copied into `krea-pipe pick`.


# It would print a line for each text with a letter that no font has; the page shows that, and the help says it.
logging.getLogger("fpdf").setLevel(logging.ERROR)


def sheet_pdf(sheet: Sheet, brush: Brush) -> bytes:
    """All pages in one file."""
    pdf = FPDF(unit="pt")
    pdf.set_auto_page_break(False)
    pdf.set_margin(0)
    pdf.set_title(sheet.title)
    pdf.set_subject(sheet.run_id)
    pdf.set_creator(MARK)
    pdf.set_producer("krea-pipe")
    pdf.set_creation_date(_moment(sheet.made_at))
    painter = _Painter(pdf, brush)
    for page in sheet.pages:
        painter.paint(page)
    return bytes(pdf.output())


class _Painter:
    def __init__(self, pdf: FPDF, brush: Brush) -> None:
        self.pdf, self.brush = pdf, brush
        self.families: dict[str, str | None] = {}

    def paint(self, page: Page) -> None:
        self.pdf.add_page(format=(page.width * POINTS, page.height * POINTS))
        self.pdf.set_line_width(POINTS)
        self.pdf.set_draw_color(*COLOURS["rule"])
        for rule in page.rules:
            self._fill(rule, "rule")
        for text in page.texts:
            self._write(text)
        for tile in page.tiles:
            self._tile(tile)

    def _tile(self, tile: Tile) -> None:
        picture = self.brush.picture(tile)
        box = tile.box
        if picture is not None:
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=QUALITY)
            self.pdf.image(buffer, box.left * POINTS, box.top * POINTS, picture.width * POINTS)
        else:
            self._fill(box, "empty", style="DF")
            for text in tile.note or self.brush.note(*MISSING, box):
                self._write(text)
        for text in tile.caption:
            self._write(text)

    def _fill(self, box: Box, colour: str, style: str = "F") -> None:
        self.pdf.set_fill_color(*COLOURS[colour])
        self.pdf.rect(box.left * POINTS, box.top * POINTS, box.width * POINTS, box.height * POINTS, style=style)

    def _write(self, text: Text) -> None:
        letters: Letters = self.brush.letters
        self.pdf.set_text_color(*COLOURS[text.tone])
        left = text.box.left * POINTS
        for face, part in letters.runs(text.string, strong=text.strong):
            family = self._family(str(face))
            self.pdf.set_font(family or self._family(str(REGULAR)), size=text.size * POINTS)
            self.pdf.text(left, text.baseline * POINTS, part)
            left += self.pdf.get_string_width(part)

    def _family(self, face: str) -> str | None:
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


def _moment(text: str) -> datetime:
    """The moment of the run, so that the same run gives the same bytes."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return datetime(2000, 1, 1, tzinfo=UTC)
