"""A reference becomes a fingerprint: the digest of its bytes, or its URL when the bytes are elsewhere.

Only real JPEG, PNG, WebP or HEIC bytes below the pipeline's repository are taken, because a pull request could
otherwise have a private file uploaded. A pointer of Git LFS names the digest of such bytes, which is enough for a plan
and not for a run.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from krea_pipe.core import lfs
from krea_pipe.core.errors import InvalidInput, Problem
from krea_pipe.core.image_file import TooMuchWork, check_work, image_size, sniff
from krea_pipe.core.problem_list import MAX_PROBLEMS
from krea_pipe.core.request import ByDigest, ByUrl, Source
from krea_pipe.pipeline.model import Pipeline, Value
from krea_pipe.pipeline.repo_paths import Unusable, files_of
from krea_pipe.pipeline.template import is_template

MAX_REFERENCE_BYTES = 75 * 1024 * 1024
MAX_URL = 1024
MAX_IMAGES = 5_000
"""Texts that name images."""
SMALL_SIDE = 512
_TAKEN = frozenset({"image/jpeg", "image/png", "image/webp", "image/heic"})
"""The types of image that Krea takes as an upload."""


class CheckedDigests(Protocol):
    """The digests of images that were found to be whole."""

    def __contains__(self, digest: object, /) -> bool:
        """Whether an image was found to be whole."""

    def add(self, digest: str, /) -> None:
        """Note that an image is whole.

        Args:
            digest: the SHA-256 of its bytes.
        """


@dataclass(frozen=True, slots=True)
class Image:
    """A style image: its source in keys, how people call it, and, unless it is a URL, its bytes' type and place.

    `is_pointer` says that there is a pointer of Git LFS in place of the bytes.
    """

    source: Source
    label: str
    mime: str | None = None
    file: Path | None = None
    size: tuple[int, int] | None = None
    inline: str | None = None
    is_pointer: bool = False

    def read(self) -> bytes:
        """The bytes to upload."""
        if self.inline is not None:
            return _decode_data_uri(self.inline)
        return self.file.read_bytes() if self.file else b""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Every image that a pipeline names, by the folder and the text that name it (globs name several) and by source.

    With `problems`, some are left out, and no cells can be made. What a template names is read when it is asked for.
    """

    folder: Path
    root: Path
    by_text: dict[tuple[Path, str], tuple[Image, ...]] = field(default_factory=dict)
    by_source: dict[Source, Image] = field(default_factory=dict)
    by_file: dict[Path, Image] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    checked: CheckedDigests = field(default_factory=set[str])

    def of(self, text: str, folder: Path | None = None) -> tuple[Image, ...]:
        """The images that a text names.

        Args:
            text: a path, a glob, a URL or a data URI.
            folder: the folder that paths count from, resolved; None for that of the pipeline file.

        Raises:
            Unusable: there are no such files, or they cannot be used.
        """
        name = (folder or self.folder, text)
        if name not in self.by_text:
            self.by_text[name] = tuple(self._images(*name))
            self.by_source.update({image.source: image for image in self.by_text[name]})
        return self.by_text[name]

    def _images(self, folder: Path, text: str) -> Iterator[Image]:
        if text.startswith("data:"):
            yield self._whole(_from_bytes(_decode_data_uri(text), "data URI", inline=text))
        elif re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
            yield Image(ByUrl(_checked_url(text)), text)
        else:
            for file in files_of(text, folder, self.root):
                if file not in self.by_file:
                    self.by_file[file] = self._whole(_from_file(file, file.relative_to(self.root).as_posix()))
                yield self.by_file[file]

    def _whole(self, found: tuple[Image, bytes]) -> Image:
        """Examine an image; its bytes are decoded once, and not again by later commands."""
        image, data = found
        digest = image.source.sha256 if isinstance(image.source, ByDigest) else ""
        if not image.is_pointer and digest not in self.checked:
            _check_whole(data, image.label)
            self.checked.add(digest)
        return image


def fingerprint_images(pipeline: Pipeline, checked: CheckedDigests | None = None) -> Fingerprints:
    """Read every image that the pipeline names; what is missing, damaged, not an image or outside is a problem of it.

    Args:
        pipeline: the pipeline.
        checked: the digests of images that need not be decoded; those that are found to be whole are added.
    """
    checked = set[str]() if checked is None else checked
    found = Fingerprints(pipeline.document.file.resolve().parent, pipeline.root, checked=checked)
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for number, value in enumerate(_image_values(pipeline), 1):
        if number > MAX_IMAGES:
            message = f"the references in this file name more than {MAX_IMAGES:,} images"
            at = pipeline.document.place(value.trail)
            problems.append(Problem("too_many", message, at, "use a pattern: refs/*.jpg"))
        if number > MAX_IMAGES or len(problems) > MAX_PROBLEMS:
            break
        try:
            images = found.of(str(value.data), pipeline.document.folder(value.trail))
        except Unusable as error:
            problems.append(Problem(error.code, str(error), pipeline.document.place(value.trail), error.hint))
            continue
        warnings += _small(images, value, pipeline)
        warnings += _pointers(images, value, pipeline)
    return replace(found, problems=tuple(problems), warnings=tuple(warnings[:MAX_PROBLEMS]))


def _image_values(pipeline: Pipeline) -> Iterator[Value]:
    for reference in pipeline.references.values():
        yield from (image for image in reference.images if not is_template(image.data))


def check_bytes(images: Iterable[Image]) -> None:
    """Refuse to send images that exist only as a Git LFS pointer.

    Raises:
        InvalidInput: there are such.
    """
    problems = [
        Problem("lfs_pointer", _pointer_words(image), hint=lfs.LFS_HINT) for image in images if image.is_pointer
    ]
    if problems:
        raise InvalidInput(*problems)


def _check_whole(data: bytes, label: str) -> None:
    from krea_pipe.core.images import NotAnImage, check_whole  # noqa: PLC0415 (Pillow, which most commands do without)

    try:
        check_whole(data)
    except NotAnImage as error:
        hint = "export it again as a standard JPEG or PNG"
        raise Unusable("reference_damaged", f"{label} cannot be used: {error}", hint) from error


def _from_file(file: Path, label: str) -> tuple[Image, bytes]:
    try:
        if file.stat().st_size > MAX_REFERENCE_BYTES:
            raise Unusable("reference_too_large", f"{label} is larger than 75 MB, which Krea refuses")
        data = file.read_bytes()
    except OSError as error:
        raise Unusable("reference_unreadable", f"cannot read {label}: {error.strerror}") from error
    pointer = lfs.pointer_in(data)
    if pointer is not None:
        return Image(ByDigest(pointer.digest), label, file=file, is_pointer=True), data
    return _from_bytes(data, label, file=file)


def _from_bytes(data: bytes, label: str, *, file: Path | None = None, inline: str | None = None) -> tuple[Image, bytes]:
    mime = sniff(data[:64])
    if mime not in _TAKEN:
        hint = "Krea accepts JPEG, PNG, WebP and HEIC; the content matters, not the file name"
        raise Unusable("reference_not_image", f"{label} is not an image that Krea accepts", hint)
    try:
        check_work(data)
    except TooMuchWork as error:
        raise Unusable("reference_too_costly", f"{label} has {error}", "export it again in a standard form") from error
    digest = ByDigest(hashlib.sha256(data).hexdigest())
    size = image_size(data)
    if size is None and mime != "image/heic":
        raise Unusable("reference_damaged", f"{label} looks like {mime} but is truncated or damaged", "export it again")
    return Image(digest, label, mime, file, size, inline), data


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError as error:
        raise Unusable("reference_url", "this is not a valid URL", "write https://HOST/PATH") from error
    if parts.scheme != "https":
        hint = "use an https URL, or a file beside the pipeline"
        raise Unusable("reference_url", f"{parts.scheme}: URLs are not accepted as references", hint)
    if parts.username or parts.password:
        raise Unusable("secret_in_file", "this URL contains a user name or password", "remove it")
    if not host or re.search(r"\s", text):
        raise Unusable("reference_url", "this is not a valid URL", "write https://HOST/PATH")
    if len(text) > MAX_URL:
        raise Unusable("reference_url", f"Krea accepts URLs of at most {MAX_URL:,} characters, not {len(text):,}")
    return text


def _decode_data_uri(text: str) -> bytes:
    head, comma, body = text.partition(",")
    if not comma or not head.endswith(";base64"):
        raise Unusable("reference_data_uri", "this data URI does not contain base64", "write data:image/png;base64,…")
    try:
        return base64.b64decode(re.sub(r"\s+", "", body), validate=True)
    except ValueError as error:
        raise Unusable("reference_data_uri", "the part after the comma is not base64") from error


def _small(found: tuple[Image, ...], value: Value, pipeline: Pipeline) -> Iterator[Problem]:
    for image in found:
        if image.size and max(image.size) < SMALL_SIDE:
            message = f"{image.label} is {image.size[0]} x {image.size[1]} pixels"
            hint = f"Krea tends to ignore references below {SMALL_SIDE} pixels; use a larger image"
            yield Problem("small_reference", message, pipeline.document.place(value.trail), hint)


def _pointers(found: tuple[Image, ...], value: Value, pipeline: Pipeline) -> Iterator[Problem]:
    for image in found:
        if image.is_pointer:
            yield Problem("lfs_pointer", _pointer_words(image), pipeline.document.place(value.trail), lfs.LFS_HINT)


def _pointer_words(image: Image) -> str:
    return f"{image.label} is a Git LFS pointer: the image itself is missing"
