"""What a delivery recipe says about a file: its format, its size, and how its pixels are written.

Pixels are made by `transcoding`; this module decodes none, because loading a pipeline needs no Pillow.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from krea_pipe.core.request import canonical_json

RecipeFormat: TypeAlias = Literal["png", "webp", "avif", "jpeg", "original"]
"""`original` is a copy of what Krea sent, byte for byte, whatever its format."""
Colours: TypeAlias = Literal["keep", "srgb"]

_SUFFIXES: Mapping[str, str] = {"png": "png", "webp": "webp", "avif": "avif", "jpeg": "jpg"}
"""The suffixes of files by format; that of an original is known once there is an image."""
DEFAULT_QUALITY: Mapping[str, int] = {"webp": 82, "avif": 65, "jpeg": 88}
"""The default quality by format. The scales of the formats differ: these look alike."""
JPEG_BACKGROUND = "#ffffff"
"""The colour behind transparent parts of a JPEG whose recipe names none."""
TRIM_TOLERANCE = 8
"""How far, of 255, each channel of a border may be from the colour of its corner."""
_VERSION = 1
"""Of the code that makes the files: raised when it makes other pixels of the same recipe, so that all are remade."""


@dataclass(frozen=True, slots=True)
class Transcoding:
    """How a file is made from an image.

    Args:
        format: its format.
        width: the most pixels of its width; at most one of the three is given, and the other side follows.
        height: the most pixels of its height.
        longest: the most pixels of its longer side.
        enlarge: whether an image that is smaller is enlarged to that size.
        quality: 1 to 100; None for PNG and for lossless files.
        lossless: whether WebP keeps each pixel.
        background: the colour behind transparent parts, as `#rrggbb` in sRGB; None keeps them transparent.
        trim: how far, of 255, the colour of a border may vary for it to be cut off; None cuts off nothing.
        colours: whether the colour profile is kept, or the colours are converted to sRGB.
    """

    format: RecipeFormat
    width: int | None = None
    height: int | None = None
    longest: int | None = None
    enlarge: bool = False
    quality: int | None = None
    lossless: bool = False
    background: str | None = None
    trim: int | None = None
    colours: Colours = "keep"

    @property
    def suffix(self) -> str | None:
        """The suffix of its files; None if the image decides it."""
        return _SUFFIXES.get(self.format)

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """The size of the file made from an image of a size, in pixels."""
        share = 1.0
        if self.width is not None:
            share = self.width / width
        elif self.height is not None:
            share = self.height / height
        elif self.longest is not None:
            share = self.longest / max(width, height)
        if share > 1 and not self.enlarge:
            return width, height
        return max(1, round(width * share)), max(1, round(height * share))


@dataclass(frozen=True, slots=True)
class Transcoded:
    """A file as a recipe wants it: its bytes, its size in pixels, and what somebody should know about it."""

    data: bytes
    width: int
    height: int
    notes: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def _digest(recipe: Transcoding) -> str:
    return hashlib.sha256(canonical_json({"version": _VERSION, **asdict(recipe)}).encode()).hexdigest()


def made_id(recipe: Transcoding, image: str, key: str, kind: str) -> str:
    """The identity of a delivered file: the same image, request and recipe give the same file.

    Args:
        recipe: how it is made.
        image: the SHA-256 of the image, as Krea sent it.
        key: the key of its request, whose prompt and seed are in the file.
        kind: `live` or `local`.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(f"{_digest(recipe)} {image} {key} {kind}".encode()).hexdigest()
