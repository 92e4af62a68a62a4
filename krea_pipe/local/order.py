"""The contents of a generate call, its price, and the values that determine its proof."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files

from krea_pipe.local.picture import Picture

_DATA = json.loads((files("krea_pipe") / "data" / "krea_2.json").read_text(encoding="utf-8"))

PRICES: Mapping[str, Mapping[str, Decimal]] = {
    variant: {kind: Decimal(usd) for kind, usd in prices.items()}
    for variant, prices in _DATA["prices"]["variants"].items()
}
PIXELS: Mapping[str, tuple[int, int]] = {ratio: tuple(size) for ratio, size in _DATA["pixels"]["1K"].items()}

VARIANTS: tuple[str, ...] = tuple(PRICES)
CREATIVITIES: tuple[str, ...] = tuple(_DATA["creativities"])
SLIDER: tuple[int, int] = tuple(_DATA["slider"])
STRENGTHS: Mapping[str, tuple[float, float]] = {
    kind: tuple(_DATA["strengths"][kind]) for kind in ("references", "moodboards", "styles", "image")
}
MOST: Mapping[str, int] = _DATA["most"]
"""The maximum numbers of references and moodboards in a request."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An input image by URL; strength from -2 to 2, where a negative one pushes away."""

    url: str
    strength: float


@dataclass(frozen=True, slots=True)
class Weighted:
    """The id of a moodboard or a trained style and its strength."""

    id: str
    strength: float


@dataclass(frozen=True, slots=True)
class Sliders:
    """The three sliders, each from -100 to 100 with 0 for off."""

    intensity: int = 0
    complexity: int = 0
    movement: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """A valid generate request with every default filled in."""

    variant: str
    prompt: str
    aspect_ratio: str
    creativity: str = "low"
    seed: float | None = None
    sliders: Sliders = Sliders()
    references: tuple[Reference, ...] = ()
    moodboard: Weighted | None = None
    styles: tuple[Weighted, ...] = ()
    source: Reference | None = None
    resolution: str = "1K"

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of the result; an undocumented aspect ratio has about as many pixels as the others.

        2K, which only pipelines for the open weights ask for, has sides of twice the length.
        """
        width, height = PIXELS.get(self.aspect_ratio) or _pixels_of(self.aspect_ratio)
        return (2 * width, 2 * height) if self.resolution == "2K" else (width, height)

    @property
    def price(self) -> Decimal:
        """USD for one image, 0 for an unknown variant; a moodboard outranks style references, which outrank text."""
        prices = PRICES.get(self.variant)
        if prices is None:
            return Decimal(0)
        if self.moodboard is not None:
            return prices["moodboard"]
        return prices["references"] if self.references else prices["text"]


def _pixels_of(aspect_ratio: str) -> tuple[int, int]:
    wide, _, high = aspect_ratio.partition(":")
    shape = min(max(float(wide) / float(high), 0.125), 8.0)
    return _rounded(1024 * shape**0.5), _rounded(1024 / shape**0.5)


def _rounded(pixels: float) -> int:
    return 32 * round(pixels / 32)


@dataclass(frozen=True, slots=True)
class Training(Order):
    """An order for a style instead of an image; its prompt is the name with the trigger word."""

    name: str = ""
    model: str = "flux_dev"
    trigger_word: str = ""

    @property
    def price(self) -> Decimal:
        """Nothing, because no document says what a training costs."""
        return Decimal(0)


@dataclass(frozen=True, slots=True)
class Tint:
    """A reference image and the strength with which it is used."""

    picture: Picture
    strength: float


@dataclass(frozen=True, slots=True)
class ProofSpec:
    """An order with its input images; `take` distinguishes equal orders without a seed."""

    order: Order
    tints: tuple[Tint, ...] = ()
    source: Tint | None = None
    take: int = 1
