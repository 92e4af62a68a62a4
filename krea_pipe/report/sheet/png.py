"""A contact sheet as PNG, one file for each page."""

import io

from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from krea_pipe.report.sheet.letters import Letters
from krea_pipe.report.sheet.model import Page, Sheet, Text, Tile
from krea_pipe.report.sheet.paint import COLOURS, MARK, MISSING, Brush

DPI = 144


def page_png(sheet: Sheet, page: Page, brush: Brush) -> bytes:
    """One page with its pictures."""
    image = Image.new("RGB", (page.width, page.height), COLOURS["paper"])
    draw = ImageDraw.Draw(image)
    for rule in page.rules:
        draw.rectangle((rule.left, rule.top, rule.right - 1, rule.bottom - 1), fill=COLOURS["rule"])
    for text in page.texts:
        _write(draw, text, brush.letters)
    for tile in page.tiles:
        _paint(image, draw, tile, brush)
    info = PngInfo()
    info.add_itxt(MARK, sheet.run_id)
    info.add_itxt("Title", sheet.title)
    buffer = io.BytesIO()
    # Measured on a page of 40 MP: level 4 takes 1.8 s, the default 6 takes 3.2 s for 3 % fewer bytes.
    image.save(buffer, "PNG", compress_level=4, dpi=(DPI, DPI), pnginfo=info)
    return buffer.getvalue()


def _paint(image: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, brush: Brush) -> None:
    picture = brush.picture(tile)
    if picture is not None:
        image.paste(picture, (tile.box.left, tile.box.top))
    else:
        box = tile.box
        edges = (box.left, box.top, box.right - 1, box.bottom - 1)
        draw.rectangle(edges, fill=COLOURS["empty"], outline=COLOURS["rule"])
        for text in tile.note or brush.note(*MISSING, box):
            _write(draw, text, brush.letters)
    for text in tile.caption:
        _write(draw, text, brush.letters)


def _write(draw: ImageDraw.ImageDraw, text: Text, letters: Letters) -> None:
    left = float(text.box.left)
    for face, part in letters.runs(text.string, strong=text.strong):
        font = letters.font(face, text.size)
        draw.text((left, text.baseline), part, fill=COLOURS[text.tone], font=font, anchor="ls")
        left += font.getlength(part)
