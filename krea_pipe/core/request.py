"""A request as it is sent, with references by digest, and the key that identifies it.

The key is the SHA-256 of the canonical request. Reformatting a file, renaming a stage, reordering axes or uploading
a reference anew changes no key. Whatever changes a key needs a new `KEY_VERSION`; golden keys notice.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import NewType

from krea_pipe.core.json_data import Json

KEY_VERSION = 1

Key = NewType("Key", str)
Source = NewType("Source", str)
"""What identifies an image: `sha256:<hex>` of its bytes, an https URL, or `key:<hex>`, the key that it is drawn for."""

_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Weighted:
    """Something with a strength: a style reference by its source, a moodboard or a trained style by its id."""

    id: str
    strength: float


@dataclass(frozen=True, slots=True)
class Request:
    """One image to draw, every documented field explicit. A seed of None sends no seed.

    `image` is the source picture of image-to-image. `take` tells images without a seed apart, and is not sent.
    """

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
    image: Weighted | None = None
    take: int | None = None

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
        if self.image is not None:
            data["image"] = {"image": self.image.id, "strength": self.image.strength}
        if self.take is not None:
            data["take"] = self.take
        return data

    @property
    def images(self) -> tuple[Weighted, ...]:
        """Every image that has to be at Krea before the request is sent."""
        return self.references if self.image is None else (*self.references, self.image)

    @property
    def upstream(self) -> tuple[Key, ...]:
        """The keys of requests whose images this one needs."""
        return tuple(Key(one.id[4:]) for one in self.images if one.id.startswith("key:"))


def canonical_json(data: Json) -> str:
    """JSON text that is the same for the same data: sorted keys, no spaces, no NaN."""
    return _ENCODER.encode(data)


def key_of(request: Request) -> Key:
    """The identity of a request, 64 hexadecimal digits."""
    return key_of_text(canonical_json(request.fields()))


def key_of_text(text: str) -> Key:
    """The identity of a request that is given as canonical JSON."""
    return Key(hashlib.sha256(f'{{"key_version":{KEY_VERSION},"request":{text}}}'.encode()).hexdigest())
