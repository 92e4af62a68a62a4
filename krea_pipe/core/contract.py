"""Krea's documentation of Krea 2, read from `data/krea_2.json`, which contains each fact once, with its source."""

import json
from collections.abc import Mapping
from decimal import Decimal

from krea_pipe.core.package_data import data_text
from krea_pipe.core.request import Request

_DATA = json.loads(data_text("krea_2.json"))

PRICES: Mapping[str, Mapping[str, Decimal]] = {
    variant: {kind: Decimal(usd) for kind, usd in prices.items()}
    for variant, prices in _DATA["prices"]["variants"].items()
}
"""US dollars for one image, by variant and by the dearest thing that it uses: `text`, `references`, `moodboard`."""
PRICES_AS_OF: str = _DATA["prices"]["as_of"]
"""The day on which these prices were looked up, as YYYY-MM-DD."""
SIZES: Mapping[str, tuple[int, int]] = {
    ratio: (width, height) for ratio, (width, height) in _DATA["pixels"]["1K"].items()
}
"""Width and height in pixels at 1K, by aspect ratio."""

_INFERRED: frozenset[str] = frozenset(_DATA["pixels"]["inferred"])

VARIANTS: tuple[str, ...] = tuple(PRICES)
ASPECT_RATIOS: tuple[str, ...] = tuple(SIZES)
RESOLUTIONS: tuple[str, ...] = ("1K",)
CREATIVITIES: tuple[str, ...] = tuple(_DATA["creativities"])
SLIDER: tuple[int, int] = tuple(_DATA["slider"])
"""The least and the most of `intensity`, `complexity` and `movement`."""
STRENGTH_RANGES: Mapping[str, tuple[float, float]] = {
    kind: tuple(_DATA["strengths"][kind]) for kind in ("references", "moodboards", "styles", "image")
}
MAX_STYLE_REFERENCES: int = _DATA["most"]["references"]
MAX_MOODBOARDS: int = _DATA["most"]["moodboards"]


def requested_size(request: Request) -> tuple[int, int] | None:
    """Width and height of the image that a request most likely gives, if they are known.

    An engine is told the size, and at 2K both sides are twice as long.
    """
    size = SIZES.get(request.aspect_ratio)
    if size is not None and request.engine is not None and request.resolution == "2K":
        return 2 * size[0], 2 * size[1]
    return size if request.resolution == "1K" else None


def documented_size(request: Request) -> tuple[int, int] | None:
    """Width and height of the image that Krea's documents promise for a request.

    None where they do not: for a ratio that they leave out, and for a source picture, which may have a say in it.
    """
    is_open = request.image is not None or (request.engine is None and request.aspect_ratio in _INFERRED)
    return None if is_open else requested_size(request)


def is_of_documented_size(request: Request, width: int, height: int) -> bool:
    """Whether an image has the size that Krea's documents promise for a request, where they promise one.

    Args:
        request: the request.
        width: the width of the image in pixels.
        height: its height in pixels.

    Returns:
        False for an image of another size.
    """
    return documented_size(request) in (None, (width, height))
