"""The share of an image that has one of some colours, by CIEDE2000.

The differences are of colours in CIE L*a*b* under D65, as sRGB defines them. Checked with the data of Sharma, Wu and
Dalal, "The CIEDE2000 Color-Difference Formula" (2005), to four decimals.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from PIL import Image

SAMPLE_SIDE = 96
"""Sampled points along each side: the share is exact to about 0.01 x 0.01."""
OPAQUE = 128
"""The alpha from which a pixel counts."""

Lab: TypeAlias = tuple[float, float, float]
_RGB: TypeAlias = tuple[int, int, int]

_LINEAR = tuple(
    value / 255 / 12.92 if value / 255 <= 0.04045 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in range(256)
)
_WHITE = (0.95047, 1.0, 1.08883)
_LIGHTEST_WEIGHT = 1.75
"""The largest weight of a difference in lightness, S_L: a larger difference cannot be within the limit."""


def share_of_colours(sample: Image.Image, colours: Sequence[str], within: float) -> float:
    """The share of the opaque pixels that are within a difference of one of the colours.

    Args:
        sample: pixels in sRGB, as RGB or RGBA.
        colours: as #rrggbb.
        within: the largest CIEDE2000 difference.

    Returns:
        From 0 to 1; 0 if no pixel is opaque.
    """
    targets = [lab_of_rgb(_rgb(colour)) for colour in colours]
    total = found = 0
    for count, pixel in sample.getcolors(sample.width * sample.height) or ():
        values = pixel if isinstance(pixel, tuple) else (pixel,) * 3
        if len(values) > 3 and values[3] < OPAQUE:
            continue
        total += count
        colour = (int(values[0]), int(values[1]), int(values[2]))
        if any(_is_within(colour, target, within) for target in targets):
            found += count
    return found / total if total else 0.0


def _rgb(text: str) -> _RGB:
    number = int(text.removeprefix("#"), 16)
    return number >> 16, number >> 8 & 255, number & 255


@lru_cache(maxsize=65_536)
def _is_within(colour: _RGB, target: Lab, within: float) -> bool:
    lab = lab_of_rgb(colour)
    return abs(lab[0] - target[0]) <= within * _LIGHTEST_WEIGHT and ciede2000(lab, target) <= within


def _root(value: float) -> float:
    return math.cbrt(value) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116


@lru_cache(maxsize=65_536)
def lab_of_rgb(colour: _RGB) -> Lab:
    """A colour of sRGB, with channels from 0 to 255, as L*, a* and b*."""
    red, green, blue = (_LINEAR[value] for value in colour)
    x = _root((0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / _WHITE[0])
    y = _root((0.2126729 * red + 0.7151522 * green + 0.0721750 * blue) / _WHITE[1])
    z = _root((0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / _WHITE[2])
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(one: Lab, other: Lab) -> float:
    """The difference of two colours by CIEDE2000, with all parametric factors 1."""
    mean_chroma = (math.hypot(*one[1:]) + math.hypot(*other[1:])) / 2
    stretch = 1.5 - math.sqrt(mean_chroma**7 / (mean_chroma**7 + 25**7)) / 2
    (a1, b1), (a2, b2) = (one[1] * stretch, one[2]), (other[1] * stretch, other[2])
    chroma1, chroma2 = math.hypot(a1, b1), math.hypot(a2, b2)
    hue1, hue2 = (math.degrees(math.atan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = hue2 - hue1 if chroma1 * chroma2 else 0.0
    turn -= math.copysign(360, turn) if abs(turn) > 180 else 0
    hue = hue1 + turn / 2 if chroma1 * chroma2 else hue1 + hue2
    lightness, chroma = (one[0] + other[0]) / 2, (chroma1 + chroma2) / 2
    tilt = (
        1
        - 0.17 * math.cos(math.radians(hue - 30))
        + 0.24 * math.cos(math.radians(2 * hue))
        + 0.32 * math.cos(math.radians(3 * hue + 6))
        - 0.20 * math.cos(math.radians(4 * hue - 63))
    )
    of_lightness = (other[0] - one[0]) / (1 + 0.015 * (lightness - 50) ** 2 / math.sqrt(20 + (lightness - 50) ** 2))
    of_chroma = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    of_hue = 2 * math.sqrt(chroma1 * chroma2) * math.sin(math.radians(turn / 2)) / (1 + 0.015 * chroma * tilt)
    rotation = -2 * math.sqrt(chroma**7 / (chroma**7 + 25**7))
    rotation *= math.sin(math.radians(60 * math.exp(-(((hue % 360 - 275) / 25) ** 2))))
    return math.sqrt(of_lightness**2 + of_chroma**2 + of_hue**2 + rotation * of_chroma * of_hue)
