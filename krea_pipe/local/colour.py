"""Colours in OKLCH, where equal steps look equal (Björn Ottosson, 2020)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

Rgb = tuple[int, int, int]

_RAMP_STOPS = 9


@dataclass(frozen=True, slots=True)
class Colour:
    """Lightness 0..1, chroma 0..about 0.3, hue in degrees."""

    light: float
    chroma: float
    hue: float

    @property
    def rgb(self) -> Rgb:
        """The colour in 8-bit sRGB; chroma gives way where sRGB cannot show it."""
        return _to_rgb(round(self.light, 4), round(self.chroma, 4), round(self.hue, 2))

    def shift(self, *, light: float = 0.0, chroma: float = 1.0, hue: float = 0.0) -> "Colour":
        """A relative of the colour: lightness and hue are added, chroma is multiplied."""
        return Colour(min(0.99, max(0.04, self.light + light)), self.chroma * chroma, (self.hue + hue) % 360)


def from_rgb(rgb: Rgb) -> Colour:
    """An sRGB colour in OKLCH."""
    red, green, blue = (_linear(channel / 255) for channel in rgb)
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    middle = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    light = 0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short
    a = 1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short
    return Colour(light, math.hypot(a, b), math.degrees(math.atan2(b, a)) % 360)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """A blend in OKLab; `share` is that of the second colour."""
    ax, ay = _cartesian(first)
    bx, by = _cartesian(second)
    a, b = ax + (bx - ax) * share, ay + (by - ay) * share
    light = first.light + (second.light - first.light) * share
    return Colour(light, math.hypot(a, b), math.degrees(math.atan2(b, a)) % 360)


def turn(first: Colour, second: Colour, share: float) -> Colour:
    """A blend along the shorter way round the hues, which keeps the chroma that `mix` would lose."""
    way = (second.hue - first.hue + 180) % 360 - 180
    if min(first.chroma, second.chroma) < 0.02:
        return mix(first, second, share)
    light = first.light + (second.light - first.light) * share
    return Colour(light, first.chroma + (second.chroma - first.chroma) * share, (first.hue + way * share) % 360)


def distance(first: Colour, second: Colour) -> float:
    """How different two colours look, in OKLab; black and white are 1 apart."""
    ax, ay = _cartesian(first)
    bx, by = _cartesian(second)
    return math.hypot(first.light - second.light, ax - bx, ay - by)


def ramp(stops: Sequence[Colour]) -> list[int]:
    """A palette of 256 RGB triples, flattened for Pillow, that runs evenly through the stops."""
    knots = [_along(stops, i / (_RAMP_STOPS - 1)).rgb for i in range(_RAMP_STOPS)]
    flat: list[int] = []
    for i in range(256):
        at = i / 255 * (_RAMP_STOPS - 1)
        low = min(int(at), _RAMP_STOPS - 2)
        share = at - low
        flat += [round(a + (b - a) * share) for a, b in zip(knots[low], knots[low + 1], strict=True)]
    return flat


def _along(stops: Sequence[Colour], place: float) -> Colour:
    at = place * (len(stops) - 1)
    low = min(int(at), len(stops) - 2)
    return mix(stops[low], stops[low + 1], at - low)


def _cartesian(colour: Colour) -> tuple[float, float]:
    angle = math.radians(colour.hue)
    return colour.chroma * math.cos(angle), colour.chroma * math.sin(angle)


@lru_cache(maxsize=4096)
def _to_rgb(light: float, chroma: float, hue: float) -> Rgb:
    for _ in range(12):
        channels = _to_linear(light, chroma, hue)
        if all(-0.002 <= channel <= 1.002 for channel in channels):
            break
        chroma *= 0.88
    red, green, blue = (round(255 * _gamma(min(1.0, max(0.0, channel)))) for channel in channels)
    return red, green, blue


def _to_linear(light: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = _cartesian(Colour(light, chroma, hue))
    long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
