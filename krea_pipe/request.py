"""A request as it is sent, with references by digest, and the key that identifies it.

The key is the SHA-256 of the canonical request. Reformatting a file, renaming a stage, reordering axes or uploading
a reference anew changes no key. Whatever changes a key needs a new `KEY_VERSION`; golden keys notice.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import NewType

from krea_pipe.nodes import Json

KEY_VERSION = 1

Key = NewType("Key", str)
Source = NewType("Source", str)
"""What identifies a reference image: `sha256:<hex>` of its bytes, or an https URL."""

_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Weighted:
    """Something with a strength: a style reference by its source, a moodboard or a trained style by its id."""

    id: str
    strength: float


@dataclass(frozen=True, slots=True)
class Request:
    """One image to draw, every documented field explicit. A seed of None sends no seed."""

    variant: str
    prompt: str
    aspect_ratio: str
    resolution: str
    seed: int | None
    creativity: str
    intensity: int
    complexity: int
    movement: int
    references: tuple[Weighted, ...] = ()
    moodboards: tuple[Weighted, ...] = ()
    styles: tuple[Weighted, ...] = ()

    def fields(self) -> dict[str, Json]:
        """The request as JSON data under Krea's field names, references by source; empty lists are left out."""
        data: dict[str, Json] = {
            "variant": self.variant,
            "prompt": self.prompt,
            "aspect_ratio": self.aspect_ratio,
            "resolution": self.resolution,
            "creativity": self.creativity,
            "intensity": self.intensity,
            "complexity": self.complexity,
            "movement": self.movement,
        }
        if self.seed is not None:
            data["seed"] = self.seed
        if self.references:
            data["image_style_references"] = [{"image": one.id, "strength": one.strength} for one in self.references]
        if self.moodboards:
            data["moodboards"] = [{"id": one.id, "strength": one.strength} for one in self.moodboards]
        if self.styles:
            data["styles"] = [{"id": one.id, "strength": one.strength} for one in self.styles]
        return data


def canonical_json(data: Json) -> str:
    """JSON text that is the same for the same data: sorted keys, no spaces, no NaN."""
    return _ENCODER.encode(data)


def key_of(request: Request) -> Key:
    """The identity of a request, 64 hexadecimal digits."""
    text = canonical_json({"key_version": KEY_VERSION, "request": request.fields()})
    return Key(hashlib.sha256(text.encode()).hexdigest())
