"""A request as it is sent, with references by digest, and the key that identifies it.

The key is the SHA-256 of the canonical request. Reformatting a file, renaming a stage, reordering axes or uploading a
reference again changes no key. Whatever changes a key needs a new `KEY_VERSION`; golden keys notice.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, NewType, TypeAlias, TypeVar

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
KEYED_BEFORE, KEYED_AFTER = f'{{"key_version":{KEY_VERSION},"request":', "}"
"""A key is the digest of canonical JSON between these."""
MEMBERS: Mapping[str, str] = {
    "aspect_ratio": "aspect_ratio",
    "complexity": "complexity",
    "creativity": "creativity",
    "engine": "engine",
    "image": "image",
    "references": "image_style_references",
    "intensity": "intensity",
    "moodboards": "moodboards",
    "movement": "movement",
    "prompt": "prompt",
    "resolution": "resolution",
    "seed": "seed",
    "styles": "styles",
    "take": "take",
    "variant": "variant",
}
"""The fields of a `Request` in the order of its canonical JSON, each with Krea's name; the last one is never absent."""
_WORD = json.encoder.encode_basestring
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


class Request(NamedTuple):
    """One image to generate, every documented field explicit. A seed of None sends no seed.

    `image` is the source picture of image-to-image. `take` tells images without a seed apart, and is not sent. `engine`
    is what draws it, unless the hosted Krea does. It is a tuple because columns of fields become tuples in a sixth of
    the time that frozen dataclasses take, and there are as many requests as cells.
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
            data["image_style_references"] = [image_data(one) for one in self.references]
        if self.moodboards:
            data["moodboards"] = [named_data(one) for one in self.moodboards]
        if self.styles:
            data["styles"] = [named_data(one) for one in self.styles]
        if self.image is not None:
            data["image"] = image_data(self.image)
        if self.take is not None:
            data["take"] = self.take
        if self.engine is not None:
            data["engine"] = self.engine.fields()
        return data

    @property
    def has_images(self) -> bool:
        """Whether some image has to be at Krea before the request is sent."""
        return bool(self.references) or self.image is not None

    @property
    def images(self) -> tuple[Source, ...]:
        """Every image that has to be at Krea before the request is sent."""
        found = tuple([one.id for one in self.references])
        return found if self.image is None else (*found, self.image.id)

    @property
    def upstream(self) -> tuple[Key, ...]:
        """The keys of requests whose images this one needs."""
        return tuple([source.key for source in self.images if isinstance(source, ByKey)]) if self.has_images else ()


def image_data(image: Weighted[Source]) -> Json:
    """An image of a request as JSON data."""
    return {"image": source_text(image.id), "strength": image.strength}


def named_data(one: Weighted[str]) -> Json:
    """A moodboard or a style of a request as JSON data."""
    return {"id": one.id, "strength": one.strength}


def member_text(name: str, data: Json) -> str:
    """A member of a request's canonical JSON: the joined members in the order of `MEMBERS`, in braces, are the whole.

    Args:
        name: the field of the `Request`.
        data: its value as JSON data.

    Returns:
        The member with the comma behind it; nothing for a value that the request omits.
    """
    if data is None or data == []:
        return ""
    text = _WORD(data) if isinstance(data, str) else canonical_json(data)
    return f'"{MEMBERS[name]}":{text}{"" if name == "variant" else ","}'


def canonical_json(data: Json) -> str:
    """JSON text that is the same for the same data: sorted keys, no spaces, no NaN."""
    return _ENCODER.encode(data)


def key_of(request: Request) -> Key:
    """The identity of a request, 64 hexadecimal digits."""
    text = f"{KEYED_BEFORE}{canonical_json(request.fields())}{KEYED_AFTER}"
    return Key(hashlib.sha256(text.encode()).hexdigest())
