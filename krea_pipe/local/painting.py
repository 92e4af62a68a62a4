"""Marks, the coloured shapes of a composition, and the canvas on which they are painted.

Marks are measured in units of the shorter side of the picture, angles in degrees clockwise from three o'clock.
"""

import cmath
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from PIL import Image, ImageDraw

from krea_pipe.local.colour import Colour, Rgb, mix
from krea_pipe.local.palette import Palette, Role

Point = tuple[float, float]
Outline = tuple[Point, ...]
# flat colour; light from above; the shading of a cylinder; of a ball; a soft glow; a soft shadow
Light = Literal["flat", "fall", "round", "ball", "glow", "shadow"]

_LARGE_AREA = 60_000
_RADIUS = Image.radial_gradient("L").point(lambda value: min(255.0, value * 256 / 181))
_BALL = _RADIUS.crop((68, 74, 238, 244))
_SOFT_DISC = _RADIUS.point(lambda value: 255 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, value / 252))) ** 1.3)


@dataclass(frozen=True, slots=True)
class Mark:
    """A closed outline, its colour and how light falls on it.

    `tier` is the richness (0 to 5) from which it is drawn, `veil` how far it fades into the haze, `shade` how much
    lighter it is than its colour.
    """

    outline: Outline
    role: Role
    light: Light = "fall"
    tier: float = 0.0
    veil: float = 0.0
    alpha: float = 1.0
    shade: float = 0.0


def bow(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> Outline:
    """A part of an ellipse."""
    count = 8 + round(96 * math.sqrt(max(rx, ry)))
    angles = [math.radians(start + (stop - start) * i / count) for i in range(count + 1)]
    return tuple((x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles)


def disc(x: float, y: float, radius: float) -> Outline:
    """A circle."""
    return bow(x, y, radius, radius)


def ring(x: float, y: float, radius: float, width: float, start: float = 0, stop: float = 360) -> Outline:
    """A part of a ring: outer radius, width, and two angles."""
    inner = radius - width
    return (*bow(x, y, radius, radius, start, stop), *bow(x, y, inner, inner, stop, start))


def box(left: float, top: float, right: float, bottom: float) -> Outline:
    """An upright rectangle."""
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def arch(x: float, base: float, half: float, height: float) -> Outline:
    """A doorway with a round top on `base`, given half its width."""
    return ((x - half, base), *bow(x, base - height + half, half, half, 180, 360), (x + half, base))


def vessel(x: float, base: float, *profile: Point) -> Outline:
    """A turned body by its half-widths at heights above `base`."""
    side = []
    for (half, low), (next_half, high) in pairwise(profile):
        for i in range(13):
            ease = 0.5 - 0.5 * math.cos(math.pi * i / 12)
            side.append((half + (next_half - half) * ease, base - low - (high - low) * i / 12))
    foot = profile[0][0]
    right = [(x + half, y) for half, y in reversed(side)]
    return (*((x - half, y) for half, y in side), *right, *bow(x, base, foot, foot * 0.2, 0, 180))


def petal(x: float, y: float, length: float, width: float, angle: float) -> Outline:
    """A leaf that grows from a point in the direction of an angle."""
    steps = [0.5 - 0.5 * math.cos(math.pi * i / 28) for i in range(29)]
    rim = [complex(step * length, width / 2 * math.sin(math.pi * step**0.85)) for step in steps]
    turn = cmath.rect(1, math.radians(angle))
    turned = [point * turn for point in (*rim, *(point.conjugate() for point in reversed(rim)))]
    return tuple((x + point.real, y + point.imag) for point in turned)


_Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Canvas:
    """The picture, the pixels in one unit of the composition, and the palette.

    `is_flat` leaves gradients out; `line` is the width in pixels of a line around every mark, 0 for none.
    """

    image: Image.Image
    unit: float
    palette: Palette
    is_flat: bool = False
    line: float = 0.0
    line_colour: Rgb = (0, 0, 0)

    def paint(self, mark: Mark) -> None:
        """Put one mark on the picture."""
        colour = mix(self.palette.of(mark.role), self.palette.haze, mark.veil).shift(mark.shade)
        xs, ys = zip(*((x * self.unit, y * self.unit) for x, y in mark.outline), strict=True)
        bounds = (math.floor(min(xs)), math.floor(min(ys)), math.ceil(max(xs)), math.ceil(max(ys)))
        clip = (*map(max, bounds[:2], (0, 0)), *map(min, bounds[2:], self.image.size))
        if clip[0] >= clip[2] or clip[1] >= clip[3]:
            return
        if mark.light == "glow":
            # A glow that is darker than the ground would be a stain.
            colour = Colour(max(colour.light, min(0.96, self.palette.ground.light + 0.04)), colour.tint * 0.8)
        if mark.light in ("glow", "shadow"):
            soft = _stretch(_SOFT_DISC, bounds, clip).point(lambda value: value * mark.alpha)
            self.image.paste(colour.rgb, clip, soft)
            return
        mask = _mask(xs, ys, clip, alpha=mark.alpha)
        if mark.light == "flat" or (self.is_flat and mark.light == "fall"):
            self.image.paste(colour.rgb, clip, mask)
        else:
            self.image.paste(_stretch(_shade(mark.light, colour, is_smooth=not self.is_flat), bounds, clip), clip, mask)
        if self.line:
            self.image.paste(self.line_colour, clip, _mask(xs, ys, clip, line=self.line))


def ramp(*stops: Colour, is_smooth: bool = True) -> Image.Image:
    """A column of 256 pixels from the first of some colours to the last, or one of steps."""
    column = Image.new("RGB", (1, len(stops)))
    column.putdata([stop.rgb for stop in stops])
    return column.resize((1, 256), Image.Resampling.BILINEAR if is_smooth else Image.Resampling.NEAREST)


def _shade(light: Light, colour: Colour, *, is_smooth: bool) -> Image.Image:
    """A colour in some light, as a small picture to be stretched over a mark."""
    if light == "fall":
        return ramp(colour.shift(0.055), colour, colour.shift(-0.075, hue=-7), is_smooth=is_smooth)
    lit, dark = colour.shift(0.16, chroma=0.78, hue=8), colour.shift(-0.18, hue=-11)
    column = ramp(lit, colour, dark, is_smooth=is_smooth)
    if light == "round":
        return column.transpose(Image.Transpose.ROTATE_90)
    ball = _BALL.copy()
    ball.putpalette(column.tobytes())
    return ball.convert("RGB")


def _mask(
    xs: tuple[float, ...], ys: tuple[float, ...], clip: _Box, *, alpha: float = 1.0, line: float = 0.0
) -> Image.Image | None:
    """The form in white on black, or only its outline when `line` is its width in pixels; None for a whole box."""
    width, height = clip[2] - clip[0], clip[3] - clip[1]
    if len(set(xs)) == len(set(ys)) == 2 and alpha == 1 and not line:
        return None
    samples = 2 if width * height > _LARGE_AREA else 4
    mask = Image.new("L", (width * samples, height * samples))
    points = [((x - clip[0]) * samples, (y - clip[1]) * samples) for x, y in zip(xs, ys, strict=True)]
    if line:
        ImageDraw.Draw(mask).line([*points, points[0]], 255, max(1, round(line * samples)))
    else:
        ImageDraw.Draw(mask).polygon(points, round(255 * alpha))
    return mask.reduce(samples)


def _stretch(field: Image.Image, bounds: _Box, clip: _Box) -> Image.Image:
    """The part of a field stretched over `bounds` that lies in `clip`."""
    left, top, right, bottom = bounds
    part = (
        (clip[0] - left) * field.width / (right - left),
        (clip[1] - top) * field.height / (bottom - top),
        (clip[2] - left) * field.width / (right - left),
        (clip[3] - top) * field.height / (bottom - top),
    )
    return field.resize((clip[2] - clip[0], clip[3] - clip[1]), Image.Resampling.NEAREST, box=part)
