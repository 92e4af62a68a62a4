"""A request as it is sent, with references by digest, and the key that identifies it.

The key is the SHA-256 of the canonical request. Reformatting a file, renaming a stage, reordering axes or uploading a
reference again changes no key. Whatever changes a key needs a new `KEY_VERSION`; golden keys notice.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, NewType, TypeAlias, TypeVar

from krea_pipe.core.engine import EngineIdentity
from krea_pipe.core.json_data import Json

KEY_VERSION = 1

Key = NewType("Key", str)


@dataclass(frozen=True, slots=True)
class ByDigest:
    """An image identified by the SHA-256 of its bytes, as hexadecimal digits."""

    sha256: str


@dataclass(frozen=True, slots=True)
class ByUrl:
    """An image elsewhere, which Krea fetches itself."""

    url: str


@dataclass(frozen=True, slots=True)
class ByKey:
    """An image of the same pipeline, possibly not generated yet: the key of the request that generates it."""

    key: Key


Source: TypeAlias = ByDigest | ByUrl | ByKey
"""The identity of an image in a request."""

_DIGEST, _KEY = "sha256:", "key:"
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def source_text(source: Source) -> str:
    """A source as in a request's JSON: `sha256:<hex>`, `key:<hex>`, or the URL itself."""
    match source:
        case ByDigest():  # patterns that take the field out cost twice as much, for each image of each request
            return _DIGEST + source.sha256
        case ByUrl():
            return source.url
        case ByKey():
            return _KEY + source.key


def parse_source(text: str) -> Source:
    """The source whose text this is: of whatever has neither prefix, a URL. It reads all that `source_text` writes."""
    if text.startswith(_DIGEST):
        return ByDigest(text.removeprefix(_DIGEST))
    if text.startswith(_KEY):
        return ByKey(Key(text.removeprefix(_KEY)))
    return ByUrl(text)


def url_of(source: Source, urls: Mapping[Source, str]) -> str:
    """The URL under which Krea finds an image.

    Args:
        source: the image.
        urls: the URL of each image that was uploaded.

    Raises:
        KeyError: the image is not known by a URL, and was not uploaded.
    """
    return source.url if isinstance(source, ByUrl) else urls[source]


Id = TypeVar("Id", bound=Source | str, covariant=True)


@dataclass(frozen=True, slots=True)
class Weighted(Generic[Id]):
    """Something with a strength: an image by its source, a moodboard or a trained style by its id at Krea."""

    id: Id
    strength: float


@dataclass(frozen=True, slots=True)
class Request:
    """One image to generate, every documented field explicit. A seed of None sends no seed.

    `image` is the source picture of image-to-image. `take` tells images without a seed apart, and is not sent. `engine`
    is what draws it, unless the hosted Krea does.
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
    references: tuple[Weighted[Source], ...] = ()
    moodboards: tuple[Weighted[str], ...] = ()
    styles: tuple[Weighted[str], ...] = ()
    image: Weighted[Source] | None = None
    take: int | None = None
    engine: EngineIdentity | None = None

    def fields(self) -> dict[str, Json]:
        """The request as JSON data under Krea's field names, with sources as text; empty lists are left out."""
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
            data["image_style_references"] = [
                {"image": source_text(one.id), "strength": one.strength} for one in self.references
            ]
        if self.moodboards:
            data["moodboards"] = [{"id": one.id, "strength": one.strength} for one in self.moodboards]
        if self.styles:
            data["styles"] = [{"id": one.id, "strength": one.strength} for one in self.styles]
        if self.image is not None:
            data["image"] = {"image": source_text(self.image.id), "strength": self.image.strength}
        if self.take is not None:
            data["take"] = self.take
        if self.engine is not None:
            data["engine"] = self.engine.fields()
        return data

    @property
    def images(self) -> tuple[Source, ...]:
        """Every image that has to be at Krea before the request is sent."""
        found = tuple([one.id for one in self.references])
        return found if self.image is None else (*found, self.image.id)

    @property
    def upstream(self) -> tuple[Key, ...]:
        """The keys of requests whose images this one needs."""
        if not self.references and self.image is None:
            return ()
        return tuple([source.key for source in self.images if isinstance(source, ByKey)])


def canonical_json(data: Json) -> str:
    """JSON text that is the same for the same data: sorted keys, no spaces, no NaN."""
    return _ENCODER.encode(data)


def key_of(request: Request) -> Key:
    """The identity of a request, 64 hexadecimal digits."""
    return key_of_text(canonical_json(request.fields()))


def key_of_text(text: str) -> Key:
    """The identity of a request that is given as canonical JSON."""
    return Key(hashlib.sha256(f'{{"key_version":{KEY_VERSION},"request":{text}}}'.encode()).hexdigest())
