"""What krea-pipe writes into the PNGs that it delivers, and how that is told from what others have written.

Programs that edit metadata move chunks about and add their own, so that a text counts wherever it is. It counts as ours
only while it says what the others say: a prompt that someone has rewritten is theirs, and so is the file.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from krea_pipe._version import __version__
from krea_pipe.core.image_file import PlainText, plain_texts, with_text
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import canonical_json

MARK = "krea-pipe"
_PROMPT, _SEED, _REQUEST = "prompt", "seed", "request"
TEXTS = (MARK, _PROMPT, _SEED, _REQUEST)
"""The texts inside each PNG, in this order."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a delivered PNG says of itself.

    Args:
        target: the kind of API that it came from, `live` or `local`.
        cell: the id of its cell.
        key: the key of its request.
        job_id: its job at Krea.
        sha256: the digest of the bytes that Krea sent.
    """

    target: str
    cell: str
    key: str
    job_id: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Bare:
    """An image without our texts: the digest of its bytes, and what our texts said of it, if there were any."""

    digest: str
    mark: Mark | None


def with_mark(png: bytes, mark: Mark, request: Mapping[str, Json]) -> bytes:
    """Insert our texts into a PNG.

    Args:
        png: its bytes, as Krea sent them.
        mark: where it comes from.
        request: the fields of its request.

    Returns:
        The bytes to deliver.

    Raises:
        ValueError: it is no PNG.
    """
    return with_text(png, _texts(mark, request))


def bare(data: bytes) -> Bare:
    """Take our texts out of a delivered image.

    Args:
        data: the bytes of a file of any type.

    Returns:
        The digest of what is left, which is that of Krea's bytes unless someone has changed the file.
    """
    ours = sorted(_ours(list(plain_texts(data))), key=lambda one: one.start)
    digest, at, view = hashlib.sha256(), 0, memoryview(data)
    for one in ours:
        digest.update(view[at : one.start])
        at = one.end
    digest.update(view[at:])
    mark = next((_mark(one.text) for one in ours if one.key == MARK), None)
    return Bare(digest.hexdigest(), mark)


def _texts(mark: Mark, request: Mapping[str, Json]) -> dict[str, str]:
    data: dict[str, Json] = {
        "version": __version__,
        "target": mark.target,
        "cell": mark.cell,
        "key": mark.key,
        "job_id": mark.job_id,
        "sha256": mark.sha256,
    }
    return {MARK: canonical_json(data), **_of_request(request), _REQUEST: canonical_json(dict(request))}


def _of_request(request: Mapping[str, Json]) -> dict[str, str]:
    """The texts that follow from that of the request."""
    seed = request.get("seed")
    return {_PROMPT: str(request.get("prompt", "")), _SEED: "" if seed is None else str(seed)}


def _ours(texts: list[PlainText]) -> Iterator[PlainText]:
    """At most one text for each key: a second one came with the image."""
    mark = next((one for one in texts if one.key == MARK and _mark(one.text)), None)
    if mark is not None:
        yield mark
    request = next((one for one in texts if one.key == _REQUEST and _canonical(one.text) is not None), None)
    if request is None:
        return
    yield request
    for key, expected in _of_request(_canonical(request.text) or {}).items():
        written = expected.encode("utf-8", "replace").decode("utf-8")
        yield from [one for one in texts if (one.key, one.text) == (key, written)][:1]


def _mark(text: str) -> Mark | None:
    data = _canonical(text)
    if data is None or not isinstance(data.get("sha256"), str):
        return None
    return Mark(*(str(data.get(name, "")) for name in ("target", "cell", "key", "job_id", "sha256")))


def _canonical(text: str) -> dict[str, Json] | None:
    """An object whose JSON stands as we write it; None for anything else."""
    try:
        data = json.loads(text)
        return cast("dict[str, Json]", data) if isinstance(data, dict) and canonical_json(data) == text else None
    except (ValueError, TypeError, RecursionError):
        return None
