"""A reference becomes a fingerprint: the digest of its bytes, or its URL when the bytes are elsewhere.

Only real JPEG, PNG, WebP or HEIC bytes below the pipeline's repository are taken, because a pull request could
otherwise have a private file uploaded.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from krea_pipe import images
from krea_pipe.errors import InvalidInput, Problem
from krea_pipe.pipeline import Pipeline, Value
from krea_pipe.request import Source

MAX_BYTES = 75 * 1024 * 1024
MAX_URL = 1024
SMALL_SIDE = 512


@dataclass(frozen=True, slots=True)
class Image:
    """A style image: its source in keys, how people call it, and, unless it is a URL, its bytes' type and place."""

    source: Source
    label: str
    mime: str | None = None
    file: Path | None = None
    size: tuple[int, int] | None = None
    inline: str | None = None

    def read(self) -> bytes:
        """The bytes to upload."""
        if self.inline is not None:
            return _decode_data_uri(self.inline)
        return self.file.read_bytes() if self.file else b""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Every image that a pipeline names: by the text that names it (globs name several), and by source."""

    by_text: Mapping[str, tuple[Image, ...]]
    by_source: Mapping[Source, Image]
    warnings: tuple[Problem, ...]


class _Unusable(ValueError):
    """An image can not be used: a stable code, a sentence and a hint."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


def fingerprint_images(pipeline: Pipeline) -> Fingerprints:
    """Read every image that the pipeline names.

    Raises:
        InvalidInput: with every image that is missing, no image, or outside the repository.
    """
    by_text: dict[str, tuple[Image, ...]] = {}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for value in _image_values(pipeline):
        text = str(value.data)
        try:
            by_text[text] = by_text.get(text) or tuple(_images(text, pipeline))
        except _Unusable as error:
            problems.append(Problem(error.code, str(error), pipeline.document.place(value.trail), error.hint))
            continue
        warnings += _small(by_text[text], value, pipeline)
    if problems:
        raise InvalidInput(*problems)
    by_source = {image.source: image for found in by_text.values() for image in found}
    return Fingerprints(by_text, by_source, tuple(warnings))


def _image_values(pipeline: Pipeline) -> Iterator[Value]:
    for reference in pipeline.references.values():
        yield from reference.images


def _images(text: str, pipeline: Pipeline) -> Iterator[Image]:
    if text.startswith("data:"):
        yield _from_bytes(_decode_data_uri(text), "data URI", inline=text)
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        yield Image(Source(_checked_url(text)), text)
    else:
        for file in _files(text, pipeline):
            yield _from_file(file, pipeline)


def _from_file(file: Path, pipeline: Pipeline) -> Image:
    label = file.relative_to(pipeline.root).as_posix()
    try:
        if file.stat().st_size > MAX_BYTES:
            raise _Unusable("reference_too_large", f"{label} is larger than 75 MB, which Krea refuses")
        data = file.read_bytes()
    except OSError as error:
        raise _Unusable("reference_unreadable", f"cannot read {label}: {error.strerror}") from error
    return _from_bytes(data, label, file=file)


def _from_bytes(data: bytes, label: str, *, file: Path | None = None, inline: str | None = None) -> Image:
    mime = images.sniff(data[:64])
    if mime is None:
        hint = "Krea takes JPEG, PNG, WebP and HEIC; the bytes decide, not the name"
        raise _Unusable("reference_not_image", f"{label} is not an image that Krea takes", hint)
    digest = Source("sha256:" + hashlib.sha256(data).hexdigest())
    size = images.size_of(data)
    if size is None and mime != "image/heic":
        raise _Unusable("reference_damaged", f"{label} starts like {mime} but can not be read")
    return Image(digest, label, mime, file, size, inline)


def _files(pattern: str, pipeline: Pipeline) -> list[Path]:
    folder = pipeline.document.file.resolve().parent
    if Path(pattern).is_absolute() or pattern.startswith("~"):
        raise _Unusable("reference_outside", f"{pattern} is absolute", "write it relative to the pipeline file")
    if re.search(r"[*?\[]", pattern):
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if not found:
            raise _Unusable("reference_missing", f"nothing matches {pattern}", f"looked in {folder}")
    else:
        found = [folder / pattern]
    return [_inside(path, pattern, pipeline) for path in found]


def _inside(path: Path, pattern: str, pipeline: Pipeline) -> Path:
    real = path.resolve()
    if not real.is_relative_to(pipeline.root):
        hint = f"references stay below {pipeline.root}, so that a pull request can not upload other files"
        raise _Unusable("reference_outside", f"{pattern} leads outside the repository", hint)
    if not real.is_file():
        what = "is a folder" if real.is_dir() else "does not exist"
        raise _Unusable("reference_missing", f"{pattern} {what}", f"looked for {real}")
    return real


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError as error:
        raise _Unusable("reference_url", f"not a URL: {error}") from error
    if parts.scheme != "https" or not host:
        raise _Unusable("reference_url", f"{parts.scheme}: URLs are not taken as references", "use an https URL")
    if parts.username or parts.password:
        raise _Unusable("secret_in_file", "this URL holds a user name or password", "remove it")
    if len(text) > MAX_URL:
        raise _Unusable("reference_url", f"Krea takes URLs of at most {MAX_URL} characters, not {len(text)}")
    return text


def _decode_data_uri(text: str) -> bytes:
    head, comma, body = text.partition(",")
    if not comma or not head.endswith(";base64"):
        raise _Unusable("reference_data_uri", "a data URI is data:image/…;base64,…")
    try:
        return base64.b64decode(re.sub(r"\s+", "", body), validate=True)
    except binascii.Error as error:
        raise _Unusable("reference_data_uri", f"the data URI is not base64: {error}") from error


def _small(found: tuple[Image, ...], value: Value, pipeline: Pipeline) -> Iterator[Problem]:
    for image in found:
        if image.size and max(image.size) < SMALL_SIDE:
            message = f"{image.label} is {image.size[0]}x{image.size[1]}; Krea tends to ignore references under 512 px"
            yield Problem("small_reference", message, pipeline.document.place(value.trail))
