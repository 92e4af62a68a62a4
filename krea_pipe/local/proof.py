"""Proofs: stand-ins for Krea's images that show the parameters of their requests.

What to read where: size and shape from the aspect ratio; colours from the words of the prompt, overlaid by the
moodboard's and by the references' own pixels, as far as their strengths go; the composition from the seed; how much of
it is shown from `creativity` and `complexity`; chroma and contrast from `intensity`; slant and blur from `movement`;
contour lines from trained styles; grain from Large, flat fills from Turbo; the rest in the caption.

A proof depends on its spec alone: the same spec gives the same bytes.
"""

import hashlib
import io
import random
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from krea_pipe.local.caption import write_caption
from krea_pipe.local.colour import Colour, Rgb, mix
from krea_pipe.local.composition import compose
from krea_pipe.local.order import ProofSpec, Weighted
from krea_pipe.local.painting import Canvas, ramp
from krea_pipe.local.palette import Palette, choose_palette

_TILE = 512


def draw_proof(spec: ProofSpec) -> bytes:
    """A PNG of the size that the order's aspect ratio has at 1K."""
    order = spec.order
    palette = choose_palette(spec)
    image = _lay_ground(spec, palette)
    canvas = Canvas(image, min(order.pixels), palette, order.variant == "medium-turbo", *_choose_line(order.styles))
    for mark in compose(spec):
        canvas.paint(mark)
    if order.sliders.movement:
        _blur_along(image, order.sliders.movement / 100)
    if order.variant == "large":
        image.paste((8, 6, 10), mask=_film(image.size))
    write_caption(image, spec, palette)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=2)
    return file.getvalue()


def _lay_ground(spec: ProofSpec, palette: Palette) -> Image.Image:
    """Light from above, the moodboard's motif, and the source picture as far as it is kept."""
    order, ground = spec.order, palette.ground
    if order.variant == "medium-turbo":
        image = Image.new("RGB", order.pixels, ground.rgb)
    else:
        column = ramp(ground.shift(0.03), ground, palette.haze)
        image = column.resize(order.pixels, Image.Resampling.NEAREST)
    if order.moodboard is not None:
        image.paste(mix(palette.haze, palette.main, 0.35).rgb, mask=_motif(order.moodboard, image.size))
    if spec.source is not None and (thumb := spec.source.picture.thumbnail) is not None:
        image = Image.blend(image, thumb.resize(order.pixels), 1 - 0.9 * spec.source.strength)
    return image


def _choose_line(styles: tuple[Weighted, ...]) -> tuple[float, Rgb]:
    """A trained style draws lines: light or dark and in a hue by its id, wide by its strength."""
    if not styles:
        return 0.0, (0, 0, 0)
    style = max(styles, key=lambda style: abs(style.strength))
    shade, hue, *_ = hashlib.sha256(style.id.encode("utf-8", "backslashreplace")).digest()
    return 0.8 + 3.2 * abs(style.strength), Colour.of_hue(0.22 if shade % 2 else 0.95, 0.06, hue * 360 / 256).rgb


def _motif(board: Weighted, size: tuple[int, int]) -> Image.Image:
    """A pattern of dots, stripes or weave that belongs to the moodboard, as a mask."""
    kind, step, *_ = hashlib.sha256(f"motif {board.id}".encode()).digest()
    side = 80 + 4 * (step % 18)
    tile = Image.new("L", (side, side))
    pen, ink, line = ImageDraw.Draw(tile), round(190 * min(1.0, 0.25 + abs(board.strength))), side // 12
    if kind % 3 == 0:
        pen.ellipse((side * 0.38, side * 0.38, side * 0.62, side * 0.62), ink)
    else:
        pen.line((0, side // 2, side, side // 2), ink, line)
    if kind % 3 == 2:
        pen.line((side // 2, 0, side // 2, side), ink, line)
    return _repeat(tile.reduce(4), size)


def _repeat(tile: Image.Image, size: tuple[int, int]) -> Image.Image:
    image = Image.new(tile.mode, size)
    for y in range(0, size[1], tile.height):
        for x in range(0, size[0], tile.width):
            image.paste(tile, (x, y))
    return image


def _blur_along(image: Image.Image, movement: float) -> None:
    """Motion blur, strongest at the edges, so that the middle stays sharp."""
    moved = image.reduce(2).filter(ImageFilter.BoxBlur((abs(movement) * 8, abs(movement))))
    edges = Image.radial_gradient("L").resize(image.size).point(lambda value: min(255.0, max(0.0, (value - 60) * 3)))
    image.paste(moved.resize(image.size), mask=edges)


@lru_cache(maxsize=9)
def _film(size: tuple[int, int]) -> Image.Image:
    """The look of Large as a mask of darkness: shaded corners and a grain of two pixels."""
    # Few levels: the grain hides the steps between them, and the file is a third smaller.
    corners = Image.radial_gradient("L").resize(size).point(lambda value: round(8 * (value / 255) ** 2.2) * 8.0)
    noise = Image.frombytes("L", (_TILE, _TILE), random.Random(7).randbytes(_TILE * _TILE))
    grain = noise.point(lambda value: 24.0 * (value < 30)).resize((2 * _TILE, 2 * _TILE), Image.Resampling.NEAREST)
    return ImageChops.add(corners, _repeat(grain, size))
