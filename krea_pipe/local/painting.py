"""Marks are painted on a canvas of pixels: antialiased masks, filled with light from a ramp of colours."""

import math
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw

from krea_pipe.local.colour import Colour, mix, ramp
from krea_pipe.local.marks import Ellipse, Form, Light, Mark, Polygon
from krea_pipe.local.palette import Palette

Box = tuple[int, int, int, int]
Bounds = tuple[float, float, float, float]
Stops = tuple[Colour, ...]

_MOST_SAMPLES = 4
_LARGE_AREA = 300_000
_SHADE = 0.25


@dataclass(frozen=True, slots=True)
class Contour:
    """A line around every form: its colour and its width in pixels."""

    colour: Colour
    width: float


@dataclass(frozen=True, slots=True)
class Easel:
    """The canvas, the pixels in one unit of the composition, and the palette."""

    canvas: Image.Image
    unit: float
    palette: Palette
    is_flat: bool = False
    contour: Contour | None = None

    def paint(self, mark: Mark) -> None:
        """Put one mark on the canvas."""
        colour = mix(self.palette[mark.role], self.palette.haze, mark.veil).shift(light=mark.shade * _SHADE)
        bounds = self._bounds(mark)
        clip = _clip(bounds, self.canvas.size)
        if clip is None:
            return
        if mark.light in ("glow", "shadow"):
            self._breathe(mark, colour, bounds, clip)
            return
        mask = _faded(self._mask(mark, clip), mark.alpha)
        if mark.light == "flat" or (self.is_flat and mark.light == "fall"):
            self.canvas.paste(colour.rgb, clip, mask)
        else:
            field, stops = _light_field(mark.light, colour, mark.angle)
            shaded = _cut(field, bounds, clip)
            shaded.putpalette(_cel(stops) if self.is_flat else _ramp(stops))
            self.canvas.paste(shaded.convert("RGB"), clip, mask)
        if self.contour is not None:
            self.canvas.paste(self.contour.colour.rgb, clip, self._mask(mark, clip, line=self.contour.width))

    def _bounds(self, mark: Mark) -> Bounds:
        left, top, right, bottom = _extent(mark.form)
        return left * self.unit, top * self.unit, right * self.unit, bottom * self.unit

    def _mask(self, mark: Mark, clip: Box, *, line: float = 0.0) -> Image.Image:
        """The form in white on black, or only its outline when `line` is its width in pixels."""
        width, height = clip[2] - clip[0], clip[3] - clip[1]
        samples = 2 if width * height > _LARGE_AREA else _MOST_SAMPLES
        mask = Image.new("L", (width * samples, height * samples))
        _draw_form(mask, mark.form, self.unit * samples, (clip[0] * samples, clip[1] * samples), round(line * samples))
        return mask.reduce(samples)

    def _breathe(self, mark: Mark, colour: Colour, bounds: Bounds, clip: Box) -> None:
        if self.is_flat and mark.light == "glow":
            return
        if mark.light == "glow":
            # A glow that is darker than the ground would be a stain.
            brightness = max(colour.light, min(0.96, self.palette.ground.light + 0.04))
            colour = Colour(brightness, colour.chroma * 0.8, colour.hue)
        alpha = mark.alpha * (0.7 if self.is_flat else 1.0)
        self.canvas.paste(colour.rgb, clip, _faded(_cut(_soft_disc(), bounds, clip), alpha))


def _draw_form(mask: Image.Image, form: Form, scale: float, origin: tuple[int, int], line: int) -> None:
    pen = ImageDraw.Draw(mask)
    paint = {"outline": 255, "width": line} if line else {"fill": 255}

    def place(x: float, y: float) -> tuple[float, float]:
        return x * scale - origin[0], y * scale - origin[1]

    if isinstance(form, Polygon):
        pen.polygon([place(x, y) for x, y in form.points], **paint)
    elif isinstance(form, Ellipse):
        pen.ellipse((place(form.x - form.rx, form.y - form.ry), place(form.x + form.rx, form.y + form.ry)), **paint)
    else:
        reach = form.radius
        square = (place(form.x - reach, form.y - reach), place(form.x + reach, form.y + reach))
        pen.arc(square, form.start, form.stop, fill=255, width=line or max(1, round(form.width * scale)))


def _extent(form: Form) -> Bounds:
    if isinstance(form, Polygon):
        xs, ys = [x for x, _ in form.points], [y for _, y in form.points]
        return min(xs), min(ys), max(xs), max(ys)
    rx, ry = (form.rx, form.ry) if isinstance(form, Ellipse) else (form.radius, form.radius)
    return form.x - rx, form.y - ry, form.x + rx, form.y + ry


def _clip(bounds: Bounds, size: tuple[int, int]) -> Box | None:
    left, top = max(0, math.floor(bounds[0])), max(0, math.floor(bounds[1]))
    right, bottom = min(size[0], math.ceil(bounds[2])), min(size[1], math.ceil(bounds[3]))
    return (left, top, right, bottom) if left < right and top < bottom else None


def _faded(mask: Image.Image, alpha: float) -> Image.Image:
    return mask if alpha >= 1 else mask.point([round(value * alpha) for value in range(256)])


def _light_field(light: Light, colour: Colour, angle: float) -> tuple[Image.Image, Stops]:
    """Where the light falls, and the colours from its brightest to its darkest place."""
    if light == "ball":
        return _ball(angle >= 0), _ball_stops(colour)
    if light == "round":
        return slope(0.0 if angle >= 0 else 180.0), _round_stops(colour)
    return slope(angle), (colour.shift(light=0.055), colour.shift(light=-0.075, hue=-7))


def _ball_stops(colour: Colour) -> Stops:
    lit = colour.shift(light=0.17, chroma=0.75, hue=8)
    dark, rim = colour.shift(light=-0.15, hue=-10), colour.shift(light=-0.19, hue=-12)
    return lit, colour.shift(light=0.06), colour, colour.shift(light=-0.08, hue=-5), dark, rim


def _round_stops(colour: Colour) -> Stops:
    return (
        colour.shift(light=-0.05),
        colour.shift(light=0.13, chroma=0.85),
        colour,
        colour.shift(light=-0.09, hue=-5),
        colour.shift(light=-0.17, hue=-10),
        colour.shift(light=-0.12, hue=-10),
    )


@lru_cache(maxsize=512)
def _ramp(stops: Stops) -> list[int]:
    return ramp(stops)


@lru_cache(maxsize=512)
def _cel(stops: Stops) -> list[int]:
    """Two flat tones in place of a ramp."""
    light, dark = stops[len(stops) // 3], stops[-2]
    return [*light.rgb * 150, *dark.rgb * 106]


def _cut(field: Image.Image, bounds: Bounds, clip: Box) -> Image.Image:
    """The part of a field stretched over `bounds` that lies in `clip`."""
    left, top, right, bottom = bounds
    across, down = field.width / (right - left), field.height / (bottom - top)
    part = (
        max(0.0, (clip[0] - left) * across),
        max(0.0, (clip[1] - top) * down),
        min(float(field.width), (clip[2] - left) * across),
        min(float(field.height), (clip[3] - top) * down),
    )
    size = (clip[2] - clip[0], clip[3] - clip[1])
    return field.resize(size, Image.Resampling.BILINEAR, box=part)


@lru_cache(maxsize=64)
def slope(angle: float) -> Image.Image:
    """A field from 0 to 255 in the direction of an angle in degrees, over a square."""
    dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    reach = abs(dx) + abs(dy)
    values = [round(255 * (0.5 + ((x - 0.5) * dx + (y - 0.5) * dy) / reach)) for y in (0, 1) for x in (0, 1)]
    corners = Image.new("L", (2, 2))
    corners.putdata(values)
    return corners.resize((64, 64), Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5))


@lru_cache(maxsize=2)
def _ball(is_lit_left: bool) -> Image.Image:
    """The distance from the light on a ball, over its square."""
    left = 68 if is_lit_left else 18
    return _radius().crop((left, 74, left + 170, 244))


@lru_cache(maxsize=1)
def _soft_disc() -> Image.Image:
    """A disc that fades from its middle to its rim without an edge."""
    fade = [round(255 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, value / 252))) ** 1.3) for value in range(256)]
    return _radius().point(fade)


@lru_cache(maxsize=1)
def _radius() -> Image.Image:
    """The distance from the middle of a square of 256: 255 at the middle of its edges and beyond."""
    return Image.radial_gradient("L").point([min(255, round(value * 256 / 181)) for value in range(256)])
