"""The metadata that krea-pipe writes into delivered PNGs, and how to distinguish it from that of others.

Programs that edit metadata move chunks about and add their own, so that a text counts wherever it is. It counts as ours
only while it says what the others say: a prompt that someone has rewritten is theirs, and so is the file. An image that
came with Content Credentials, or is signed otherwise, gets no texts, which would make it invalid, but a file beside it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from krea_pipe._version import __version__
from krea_pipe.core.image_file import (
    ImagePart,
    Insertion,
    PlainText,
    TooMuchWork,
    image_parts,
    image_size,
    plain_texts,
    text_keys,
    texts_for,
)
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import canonical_json
from krea_pipe.core.xmp import XmpFields, xml_text, xmp_packet

_MARK, _DESCRIPTION, _SOFTWARE, _XMP = "krea-pipe", "Description", "Software", "XML:com.adobe.xmp"
_GENERATION = "invokeai_metadata"
"""InvokeAI's key is the only one that readers of prompts understand and ComfyUI does not take for a graph."""
_PROMPT, _SEED, _REQUEST = "prompt", "seed", "request"
"""Texts that earlier versions wrote beside the mark; ComfyUI and others expect JSON in a text `prompt`."""
_SIGNED = frozenset([b"caBX", b"dSIG", b"C2PA"])
"""Chunks that vouch for all bytes: Content Credentials of a PNG, PNG's digital signature, and those of a WebP."""
_C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""Begins the box of an AVIF that has Content Credentials."""
_REMOTE = b"dcterms:provenance"
"""In XMP, the address of Content Credentials that are kept elsewhere; no format compresses XMP that has one."""
_EARLIER_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="{software}"><dc:description><rdf:Alt>'
    '<rdf:li xml:lang="x-default">{description}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF>'
    '</x:xmpmeta><?xpacket end="w"?>'
)
"""XMP of earlier versions, by which their files are recognized; before `xmp_packet` changes, its form is added here."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The metadata of a delivered PNG.

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


def mark_for(png: bytes, mark: Mark, request: Mapping[str, Json]) -> Insertion:
    """Our texts for a PNG that is not signed, except under keys for which Krea has written a text.

    Args:
        png: its bytes, as Krea sent them.
        mark: where it comes from.
        request: the fields of its request.

    Returns:
        What to insert into it, and where.

    Raises:
        ValueError: it is no PNG.
    """
    data = _said(mark, request)
    taken = text_keys(png)
    texts = {**_standard(data, image_size(png)), _MARK: canonical_json(data)}
    return texts_for(png, {key: text for key, text in texts.items() if key not in taken})


def with_mark(png: bytes, mark: Mark, request: Mapping[str, Json]) -> bytes:
    """A PNG with our texts, as `mark_for` gives them.

    Returns:
        The bytes to deliver: the same ones where any change would break a signature.

    Raises:
        ValueError: it is no PNG.
    """
    if is_signed(png):
        return png
    at, texts = mark_for(png, mark, request)
    return b"".join((png[:at], texts, memoryview(png)[at:]))


def sidecar(mark: Mark, request: Mapping[str, Json]) -> bytes:
    """The data of an image as JSON, for a file beside one that takes no texts.

    Args:
        mark: where it comes from.
        request: the fields of its request.

    Returns:
        The bytes of the file.
    """
    return f"{json.dumps(_said(mark, request), ensure_ascii=False, indent=1)}\n".encode("utf-8", "replace")


def _said(mark: Mark, request: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "version": __version__,
        "target": mark.target,
        "cell": mark.cell,
        "key": mark.key,
        "job_id": mark.job_id,
        "sha256": mark.sha256,
        "request": dict(request),
    }


def is_signed(data: bytes) -> bool:
    """Whether an image has Content Credentials, or is signed otherwise, so that any change makes it invalid.

    Args:
        data: the bytes of a PNG, JPEG, WebP or AVIF.

    Returns:
        True also for one with too many parts to be examined.
    """
    try:
        parts = list(image_parts(data))
    except TooMuchWork:
        return True
    return any(_vouches(data, part.kind, part.start) for part in parts) or any(
        _REMOTE in part for part in _beside_pixels(data, parts)
    )


def _beside_pixels(data: bytes, parts: Iterable[ImagePart]) -> Iterator[bytes]:
    """All of a PNG but its pixels, which are most of it; all of another image."""
    at = 0
    for part in parts:
        if part.kind == b"IDAT":
            yield data[at : part.start]
            at = part.end
    yield data[at:] if at else data


def _vouches(data: bytes, kind: bytes, start: int) -> bool:
    """Whether a part of an image vouches for its bytes (C2PA 2.1, appendix A.3)."""
    if kind == b"\xeb":  # JPEG's APP11: a box of JUMBF behind `JP`, a number and a count
        return data.startswith(b"JP", start + 4) and data.startswith(b"jumb", start + 16)
    return kind in _SIGNED or (kind == b"uuid" and data.startswith(_C2PA_UUID, start + 8))


def bare(data: bytes) -> Bare:
    """Remove our texts from a delivered image.

    Args:
        data: the bytes of a file of any type.

    Returns:
        The digest of what is left, which is that of Krea's bytes unless someone has changed the file.
    """
    ours, digest = _ours(data), hashlib.sha256()
    for part in _between(data, ours):
        digest.update(part)
    mark = next((_mark(one.text) for one in ours if one.key == _MARK), None)
    return Bare(digest.hexdigest(), mark)


def bare_bytes(data: bytes) -> bytes:
    """The bytes of an image as Krea sent them, from those of a delivered file.

    Args:
        data: the bytes of a file of any type.

    Returns:
        The bytes without our texts, whose digest `bare` gives.
    """
    return b"".join(_between(data, _ours(data)))


def _between(data: bytes, texts: list[PlainText]) -> Iterator[memoryview]:
    """The bytes between texts, which are sorted by position."""
    at, view = 0, memoryview(data)
    for one in texts:
        yield view[at : one.start]
        at = one.end
    yield view[at:]


def _standard(mark: Mapping[str, Json], size: tuple[int, int] | None) -> dict[str, str]:
    """The texts for other programs, which follow from the mark and the size of the image.

    XMP comes first: exifr under Node reads only 512 bytes of a file that it opens by its path.
    """
    fields = mark.get("request")
    request = fields if isinstance(fields, dict) else {}
    prompt, seed, is_proof = str(request.get("prompt", "")), request.get("seed"), mark.get("target") == "local"
    software = f"krea-pipe {mark.get('version', '')}"
    model = "local Krea" if is_proof else f"Krea 2 {request.get('variant', '')}"
    return {
        _XMP: xmp_packet(XmpFields(software, prompt, seed, is_proof=is_proof)),
        _DESCRIPTION: prompt,
        _SOFTWARE: software,
        _GENERATION: _generation(software, model, prompt, seed, size),
    }


def _generation(software: str, model: str, prompt: str, seed: Json, size: tuple[int, int] | None) -> str:
    """The request in InvokeAI's form, in ASCII. Readers need a scheduler and a negative prompt; Krea has neither."""
    data: dict[str, Json] = {"app_version": software, "positive_prompt": prompt, "negative_prompt": ""}
    data |= {"model": {"model_name": model}, "scheduler": model}
    data |= {} if seed is None else {"seed": seed}
    data |= {} if size is None else {"width": size[0], "height": size[1]}
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _earlier_packet(standard: Mapping[str, str]) -> str:
    """The XMP that earlier versions wrote beside the same texts."""
    software, description = xml_text(standard[_SOFTWARE]), xml_text(standard[_DESCRIPTION])
    return _EARLIER_PACKET.format(software=software, description=description)


def _of_request(request: Mapping[str, Json]) -> dict[str, str]:
    """The texts of earlier versions, which follow from that of the request."""
    seed = request.get("seed")
    return {_PROMPT: str(request.get("prompt", "")), _SEED: "" if seed is None else str(seed)}


def _ours(data: bytes) -> list[PlainText]:
    """Our texts by position, at most one for each key: a second one came with the image."""
    texts, found = list(plain_texts(data)), []
    mark = next((one for one in texts if one.key == _MARK and _mark(one.text)), None)
    request = next((one for one in texts if one.key == _REQUEST and _canonical(one.text) is not None), None)
    expected: dict[str, tuple[str, ...]] = {}
    if mark is not None:
        found.append(mark)
        standard = _standard(_canonical(mark.text) or {}, image_size(data))
        expected = {key: (text,) for key, text in standard.items()}
        expected[_XMP] = (standard[_XMP], _earlier_packet(standard))
    if request is not None:
        found.append(request)
        expected |= {key: (text,) for key, text in _of_request(_canonical(request.text) or {}).items()}
    for key, forms in expected.items():
        written = [text.encode("utf-8", "replace").decode("utf-8") for text in forms]
        found += [one for one in texts if one.key == key and one.text in written][:1]
    return sorted(found, key=lambda one: one.start)


def _mark(text: str) -> Mark | None:
    data = _canonical(text)
    if data is None or not isinstance(data.get("sha256"), str):
        return None
    return Mark(*(str(data.get(name, "")) for name in ("target", "cell", "key", "job_id", "sha256")))


def _canonical(text: str) -> dict[str, Json] | None:
    """An object in the JSON form that krea-pipe writes; None for anything else."""
    try:
        data = json.loads(text)
        return cast("dict[str, Json]", data) if isinstance(data, dict) and canonical_json(data) == text else None
    except (ValueError, TypeError, RecursionError):
        return None
