"""Measures of the pixels of one image, which is decoded once for all of them.

Except for `colours`, they are of a picture as a browser shows it, on white, of which the longest side has at most 512
pixels. Measured on 1024 x 1024 pixels, all of them together take about half as long as decoding the PNG.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

from PIL import Image, ImageChops, ImageFilter, ImageStat

from krea_pipe.core.images import DAMAGE, NotAnImage, appearance_of, as_seen, eight_bits, opened
from krea_pipe.report.checks.colour_share import SAMPLE_SIDE, share_of_colours

_SIDE = 512
_SAME = 12
"""Levels of a channel within which two pixels have the same colour: what JPEG makes of a flat area."""
_EDGE = 32
"""Levels by which the picture differs from the strip beside it, or it is no border but a gradient."""
_BEYOND = 2
"""Rows from the end of a strip to where the picture has begun, behind what shrinking has mixed."""

_LAPLACIAN = (0, 1, 0, 1, -4, 1, 0, 1, 0)


class Pixels:
    """The decoded pixels of one image, and what is made of them for its measures.

    Args:
        data: the bytes that Krea sent.

    Raises:
        NotAnImage: they are damaged.
    """

    def __init__(self, data: bytes) -> None:
        try:
            image = opened(data)
            image.load()
            self.appearance = appearance_of(image, data)
            self.image = eight_bits(image)
        except (*DAMAGE, OSError) as error:
            raise NotAnImage(f"the image is damaged: {error}") from error

    @cached_property
    def shown(self) -> Image.Image:
        """The small picture in RGB."""
        small = self.image.copy()
        small.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
        small = as_seen(small, self.appearance)
        if small.has_transparency_data:
            seen = small.convert("RGBA")
            small = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
        return small.convert("RGB")

    @cached_property
    def luma(self) -> Image.Image:
        """The luma of the small picture (ITU-R 601)."""
        return self.shown.convert("L")

    @cached_property
    def stat(self) -> ImageStat.Stat:
        """The statistics of the luma."""
        return ImageStat.Stat(self.luma)

    @cached_property
    def sample(self) -> Image.Image:
        """Single pixels of the image in a grid, in RGB or RGBA: none is mixed of several."""
        width, height = self.image.size
        size = (min(width, SAMPLE_SIDE), min(height, SAMPLE_SIDE))
        points = as_seen(self.image.resize(size, Image.Resampling.NEAREST), self.appearance)
        return points.convert("RGBA" if points.has_transparency_data else "RGB")


def brightness(pixels: Pixels) -> float:
    """The mean of the luma, 0 to 1."""
    return pixels.stat.mean[0] / 255


def contrast(pixels: Pixels) -> float:
    """The standard deviation of the luma, 0 to 0.5."""
    return pixels.stat.stddev[0] / 255


def sharpness(pixels: Pixels) -> float:
    """The variance of the Laplacian of the luma, each value limited to ±255.

    It rises when a soft picture is saved as a worse JPEG, so it is of what Krea sent, and never of a delivered copy.
    """
    width, height = pixels.luma.size
    if width < 3 or height < 3:
        return 0.0
    inner = (1, 1, width - 1, height - 1)  # Pillow's filters leave the outermost pixels as they are
    total = squares = 0.0
    for sign in (1, -1):  # a filter of 8 bits has no negative values
        kernel = ImageFilter.Kernel((3, 3), [sign * value for value in _LAPLACIAN], scale=1)
        for value, count in enumerate(pixels.luma.filter(kernel).crop(inner).histogram()):
            total += sign * value * count
            squares += value * value * count
    pixel_count = (width - 2) * (height - 2)
    return squares / pixel_count - (total / pixel_count) ** 2


def blank(pixels: Pixels) -> float:
    """The share of the pixels that have the median colour, channel by channel; 1 is a picture of one colour."""
    middle = tuple(int(value) for value in ImageStat.Stat(pixels.shown).median)
    differing = _unlike(pixels.shown, middle).point(_above(_SAME))
    return differing.histogram()[0] / (differing.width * differing.height)


def border(pixels: Pixels) -> float:
    """The widest strip of one colour along an edge that ends in a straight line, as a share of the width or height."""
    width, height = pixels.shown.size
    found = 0.0
    for corner in dict.fromkeys(((0, 0), (width - 1, height - 1))):
        colour = pixels.shown.getpixel(corner)
        unlike = _unlike(pixels.shown, colour)
        box = unlike.point(_above(_SAME)).getbbox()
        if box is None:
            return 1.0
        edge = unlike.point(_above(_EDGE))
        left, top, right, bottom = box
        strips = (
            (top / height, (0, top + _BEYOND, width, top + _BEYOND + 1)),
            ((height - bottom) / height, (0, bottom - 1 - _BEYOND, width, bottom - _BEYOND)),
            (left / width, (left + _BEYOND, 0, left + _BEYOND + 1, height)),
            ((width - right) / width, (right - 1 - _BEYOND, 0, right - _BEYOND, height)),
        )
        found = max(found, *(share for share, line in strips if share and _is_filled(edge, line)), 0.0)
    return found


def _is_filled(mask: Image.Image, line: tuple[int, int, int, int]) -> bool:
    """Whether more than half of a line is set."""
    counts = mask.crop(line).histogram()
    return 2 * counts[255] > sum(counts)


def _unlike(image: Image.Image, colour: object) -> Image.Image:
    """How far each pixel is from a colour, in the channel that differs most."""
    red, green, blue = ImageChops.difference(image, Image.new("RGB", image.size, colour)).split()  # type: ignore[arg-type]
    return ImageChops.lighter(ImageChops.lighter(red, green), blue)


def _above(level: int) -> list[int]:
    return [0] * (level + 1) + [255] * (255 - level)


_MEASURES: Mapping[str, Callable[[Pixels], float]] = {
    "brightness": brightness,
    "contrast": contrast,
    "sharpness": sharpness,
    "blank": blank,
    "border": border,
}


def measure_pixels(data: bytes, wanted: Iterable[tuple[str, tuple[str, ...], float]]) -> list[float]:
    """Measure one image, which is decoded once.

    Args:
        data: the bytes that Krea sent.
        wanted: each measure by its name, with the colours and the difference of `colours`.

    Returns:
        The values, in the same order.

    Raises:
        NotAnImage: the image is damaged.
    """
    pixels = Pixels(data)
    return [
        _MEASURES[name](pixels) if name in _MEASURES else share_of_colours(pixels.sample, colours, within)
        for name, colours, within in wanted
    ]
