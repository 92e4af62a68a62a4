"""What covers the whole picture: the ground it starts from, and movement, vignette and grain at the end."""

import hashlib
import math
import random
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw

from krea_pipe.local.colour import mix, ramp
from krea_pipe.local.painting import slope
from krea_pipe.local.palette import Palette
from krea_pipe.local.proof_spec import ProofSpec

_TILE = 512
_GRAIN = 8
_MOTIFS, _LIGHT_ANGLE = 4, 62.0


def lay_ground(brief: ProofSpec, palette: Palette) -> Image.Image:
    """The ground: light from above, the moodboard's motif, and the source picture as far as it is kept."""
    order = brief.order
    if order.variant == "medium-turbo":
        canvas = Image.new("RGB", order.pixels, palette.ground.rgb)
    else:
        lit, plain = palette.ground.shift(light=0.03), palette.ground
        # Indices into one ramp: blending colours over both axes would round twice and show a grid.
        field = slope(_LIGHT_ANGLE).resize(order.pixels, Image.Resampling.BILINEAR)
        field.putpalette(ramp([lit, plain, mix(plain, palette.haze, 0.5), palette.haze]))
        canvas = field.convert("RGB")
    if order.moodboard is not None:
        _print_motif(canvas, order.moodboard.id, palette, min(1.0, 0.25 + abs(order.moodboard.strength)))
    if brief.source is not None and (thumb := brief.source.picture.thumbnail) is not None:
        kept = thumb.resize(order.pixels, Image.Resampling.BICUBIC)
        canvas = Image.blend(canvas, kept, 1 - 0.9 * brief.source.strength)
    return canvas


def _print_motif(canvas: Image.Image, board: str, palette: Palette, strength: float) -> None:
    """A pattern of lines, dots, weave or waves that belongs to the moodboard."""
    digest = hashlib.sha256(f"motif {board}".encode()).digest()
    step, kind = 20 + digest[1] % 18, digest[0] % _MOTIFS
    tile = Image.new("L", (step * 4, step * 4))
    pen, full, weight = ImageDraw.Draw(tile), step * 4, step * 4 // 12
    if kind == 0:
        pen.line((0, full // 2, full, full // 2), fill=255, width=weight)
    elif kind == 1:
        pen.ellipse((full * 0.38, full * 0.38, full * 0.62, full * 0.62), fill=255)
    elif kind == 2:
        pen.line((full // 2, 0, full // 2, full), fill=255, width=weight)
        pen.line((0, full // 2, full, full // 2), fill=255, width=weight)
    else:
        pen.arc((0, full * 0.1, full, full * 1.1), 180, 360, fill=255, width=weight)
    tile = tile.reduce(4).point([round(value * 0.75 * strength) for value in range(256)])
    mask = Image.new("L", canvas.size)
    for y in range(0, canvas.height, step):
        for x in range(0, canvas.width, step):
            mask.paste(tile, (x, y))
    canvas.paste(mix(palette.haze, palette.main, 0.35).rgb, (0, 0), mask)


def blur_along(image: Image.Image, movement: float) -> Image.Image:
    """Motion blur along the diagonal, strongest at the edges, so that the middle stays sharp."""
    reach = round(abs(movement) * 4)
    if not reach:
        return image
    moved = image.reduce(2)
    for k in range(reach):
        step = 2**k
        dx = step if movement > 0 else -step
        copy = moved.copy()
        copy.paste(moved, (dx, -step))
        moved = Image.blend(moved, copy, 0.5)
    return Image.composite(moved.resize(image.size, Image.Resampling.BILINEAR), image, _edges(image.size))


def _edges(size: tuple[int, int]) -> Image.Image:
    return (
        Image.radial_gradient("L")
        .resize(size, Image.Resampling.BILINEAR)
        .point([min(255, max(0, (value - 60) * 3)) for value in range(256)])
    )


def develop(image: Image.Image) -> Image.Image:
    """The look of Large: darker corners and visible grain."""
    corners = Image.radial_gradient("L").resize(image.size, Image.Resampling.BILINEAR)
    shade = corners.point([255 - round(62 * (value / 255) ** 2.2) for value in range(256)])
    shaded = ImageChops.multiply(image, Image.merge("RGB", (shade, shade, shade)))
    # Steps of four levels: the grain hides them, and the file is a third smaller.
    stepped = shaded.point([min(252, value + 2) & 0xFC for value in range(256)] * 3)
    return ImageChops.add(stepped, _grain(image.size), 1, -128)


@lru_cache(maxsize=9)
def _grain(size: tuple[int, int]) -> Image.Image:
    """Film grain of two pixels, grey, around 128; coarse and in few levels so that it compresses."""
    noise = Image.frombytes("L", (_TILE, _TILE), random.Random(7).randbytes(_TILE * _TILE))
    levels = [128 + _GRAIN * (value > 214) - _GRAIN * (value < 42) for value in range(256)]
    coarse = noise.point(levels)
    tiled = Image.new("L", (math.ceil(size[0] / 2), math.ceil(size[1] / 2)))
    for y in range(0, tiled.height, _TILE):
        for x in range(0, tiled.width, _TILE):
            tiled.paste(coarse, (x, y))
    grain = tiled.resize((tiled.width * 2, tiled.height * 2), Image.Resampling.NEAREST).crop((0, 0, *size))
    return Image.merge("RGB", (grain, grain, grain))
