"""What a generate call asks for, as values, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Variant = Literal["medium", "large", "medium-turbo"]
Tier = Literal["text", "style references", "moodboard"]
Creativity = Literal["raw", "low", "medium", "high"]

VARIANTS: tuple[Variant, ...] = ("medium", "large", "medium-turbo")
CREATIVITIES: tuple[Creativity, ...] = ("raw", "low", "medium", "high")

# Width and height at 1K from Krea's user guide; the guide lacks 3:4, which mirrors 4:3 here.
PIXELS: Mapping[str, tuple[int, int]] = {
    "1:1": (1024, 1024),
    "4:3": (1184, 896),
    "3:2": (1248, 832),
    "16:9": (1376, 768),
    "2.35:1": (1568, 672),
    "4:5": (928, 1152),
    "3:4": (896, 1184),
    "2:3": (832, 1248),
    "9:16": (768, 1376),
}

# USD per image from Krea's overview page; Turbo from ComfyUI's price badge.
PRICES: Mapping[Variant, Mapping[Tier, Decimal]] = {
    "medium": {
        "text": Decimal("0.030"),
        "style references": Decimal("0.035"),
        "moodboard": Decimal("0.040"),
    },
    "large": {
        "text": Decimal("0.060"),
        "style references": Decimal("0.065"),
        "moodboard": Decimal("0.070"),
    },
    "medium-turbo": {
        "text": Decimal("0.015"),
        "style references": Decimal("0.0175"),
        "moodboard": Decimal("0.020"),
    },
}


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

    variant: Variant
    prompt: str
    aspect_ratio: str
    creativity: Creativity = "low"
    seed: float | None = None
    sliders: Sliders = Sliders()
    references: tuple[Reference, ...] = ()
    moodboard: Weighted | None = None
    styles: tuple[Weighted, ...] = ()
    source: Reference | None = None

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of the result."""
        return PIXELS[self.aspect_ratio]

    @property
    def price(self) -> Decimal:
        """USD for one image; a moodboard outranks style references, which outrank text."""
        tier: Tier = "text"
        if self.moodboard is not None:
            tier = "moodboard"
        elif self.references:
            tier = "style references"
        return PRICES[self.variant][tier]
