"""Colours in OKLab, where equal steps look equal (Björn Ottosson, 2020)."""

import cmath
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Colour:
    """Lightness from 0 to 1, and a + bi: its size is the chroma, 0 to about 0.3, its angle the hue."""

    light: float
    tint: complex

    @classmethod
    def of_hue(cls, light: float, chroma: float, hue: float) -> "Colour":
        """The colour of a lightness, a chroma and a hue in degrees."""
        return cls(light, cmath.rect(chroma, math.radians(hue)))

    @classmethod
    def of_rgb(cls, rgb: Iterable[int]) -> "Colour":
        """An sRGB colour."""
        red, green, blue = (_linear(channel / 255) for channel in rgb)
        long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
        middle = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
        short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
        a = 1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short
        b = 0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short
        return cls(0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short, complex(a, b))

    @property
    def chroma(self) -> float:
        """The colourfulness, 0 for grey."""
        return abs(self.tint)

    @property
    def rgb(self) -> Rgb:
        """The colour in 8-bit sRGB; chroma gives way where sRGB cannot show it."""
        return _to_rgb(self.light, self.tint)

    def shift(self, light: float = 0.0, *, chroma: float = 1.0, hue: float = 0.0) -> "Colour":
        """A relative of the colour: lightness and hue are added, chroma is multiplied."""
        return Colour(min(0.99, max(0.04, self.light + light)), self.tint * cmath.rect(chroma, math.radians(hue)))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """A blend of two colours; `share` is that of the second."""
    light = first.light + (second.light - first.light) * share
    return Colour(light, first.tint + (second.tint - first.tint) * share)


def distance(first: Colour, second: Colour) -> float:
    """The visible difference between two colours; black and white have a distance of 1."""
    return math.hypot(first.light - second.light, abs(first.tint - second.tint))


@lru_cache(maxsize=4096)
def _to_rgb(light: float, tint: complex) -> Rgb:
    for _ in range(12):
        channels = _to_linear(light, tint)
        if all(-0.002 <= channel <= 1.002 for channel in channels):
            break
        tint *= 0.88
    red, green, blue = (round(255 * _gamma(min(1.0, max(0.0, channel)))) for channel in channels)
    return red, green, blue


def _to_linear(light: float, tint: complex) -> tuple[float, float, float]:
    long = (light + 0.3963377774 * tint.real + 0.2158037573 * tint.imag) ** 3
    middle = (light - 0.1055613458 * tint.real - 0.0638541728 * tint.imag) ** 3
    short = (light - 0.0894841775 * tint.real - 1.2914855480 * tint.imag) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
