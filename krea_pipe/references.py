"""A reference becomes a fingerprint: the digest of its bytes, or its URL when the bytes are elsewhere.

Only real JPEG, PNG, WebP or HEIC bytes below the pipeline's repository are taken, because a pull request could
otherwise have a private file uploaded.
"""

import base64
import fnmatch
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from urllib.parse import urlsplit

from krea_pipe.errors import Problem
from krea_pipe.image_header import size_of, sniff
from krea_pipe.nodes import shown
from krea_pipe.pipeline import Pipeline, Value
from krea_pipe.request import Source
from krea_pipe.sandbox import near_word
from krea_pipe.template import is_template

MAX_BYTES = 75 * 1024 * 1024
MAX_URL = 1024
SMALL_SIDE = 512

_WILDCARD = re.compile(r"[*?\[]")


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
    """Every image that a pipeline names, by the text that names it (globs name several) and by source.

    With `problems`, some are left out, and no cells can be made.
    """

    by_text: Mapping[str, tuple[Image, ...]]
    by_source: Mapping[Source, Image]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


class _Unusable(ValueError):
    """An image can not be used: a stable code, a sentence and a hint."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


def fingerprint_images(pipeline: Pipeline) -> Fingerprints:
    """Read every image that the pipeline names; those that are missing, no images or outside are its problems."""
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
    by_source = {image.source: image for found in by_text.values() for image in found}
    return Fingerprints(by_text, by_source, tuple(problems), tuple(warnings))


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
    mime = sniff(data[:64])
    if mime is None:
        hint = "Krea takes JPEG, PNG, WebP and HEIC; the bytes decide, not the name"
        raise _Unusable("reference_not_image", f"{label} is not an image that Krea takes", hint)
    digest = Source("sha256:" + hashlib.sha256(data).hexdigest())
    size = size_of(data)
    if size is None and mime != "image/heic":
        raise _Unusable("reference_damaged", f"{label} starts like {mime} but is cut off or damaged", "export it anew")
    return Image(digest, label, mime, file, size, inline)


def _files(pattern: str, pipeline: Pipeline) -> list[Path]:
    if is_template(pattern):
        hint = "define a set for each, and choose with an axis: `matrix: {references: [one, other]}`"
        raise _Unusable("reference_template", "a reference can not be a template", hint)
    if pattern.startswith(("/", "~")) or PureWindowsPath(pattern).drive:
        raise _Unusable("reference_outside", f"{pattern} is absolute", "write it relative to the pipeline file")
    folder = pipeline.document.file.resolve().parent
    try:
        look = _matching if _WILDCARD.search(pattern) else _followed
        return [_inside(path, pattern, pipeline) for path in look(folder, pattern, pipeline)]
    except (OSError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, _Unusable):
            raise
        reason = error.strerror if isinstance(error, OSError) else "it is not a path or pattern"
        raise _Unusable("reference_unreadable", f"cannot look for {shown(pattern)}: {reason}") from error


def _matching(folder: Path, pattern: str, pipeline: Pipeline) -> list[Path]:
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if _WILDCARD.search(part))
    if ".." in parts[first:]:
        hint = "put it before the wildcard"
        raise _Unusable("reference_outside", f"`..` stands behind a wildcard in {pattern}", hint)
    # Python 3.13 reads `**` inside a name anew; a file must mean the same in each tool.
    if any("**" in part and part != "**" for part in parts):
        raise _Unusable("reference_unreadable", f"`**` stands alone between slashes, and does not in {pattern}")
    found = sorted(path for path in _followed(folder, pattern, pipeline) if path.is_file())
    if not found:
        looked_in = _looked_in(folder.joinpath(*parts[:first]), pipeline)
        raise _Unusable("reference_missing", f"no file matches {pattern}", looked_in)
    return found


def _followed(folder: Path, pattern: str, pipeline: Pipeline) -> list[Path]:
    # Each part is refused as soon as it leads out of the repository, whether by `..` or by a link, and before anything
    # there is listed or looked for: what a message says, or that there is none, would tell which files a machine has.
    found = [folder]
    for part in (pattern + "/*" if pattern.endswith("**") else pattern).split("/"):
        found = list(dict.fromkeys(path for one in found for path in _step(one, part)))
        if not all(path.resolve().is_relative_to(pipeline.root) for path in found):
            raise _outside(pattern, pipeline)
    return found


def _step(path: Path, part: str) -> Iterator[Path]:
    """What one part of a pattern leads to; `**` follows no links."""
    if not _WILDCARD.search(part):
        yield path / part
    elif part == "**":
        yield from (Path(folder) for folder, _, _ in os.walk(path))
    elif path.is_dir():
        yield from (one for one in path.iterdir() if fnmatch.fnmatch(one.name, part))


def _inside(path: Path, pattern: str, pipeline: Pipeline) -> Path:
    real = path.resolve()
    if not real.is_relative_to(pipeline.root):
        raise _outside(pattern, pipeline)
    if real.is_dir():
        raise _Unusable("reference_missing", f"{pattern} is a folder", f"take all of its files with {pattern}/*")
    if not real.is_file():
        near = _near_file(real)
        raise _Unusable("reference_missing", f"{pattern} does not exist", near or _looked_in(real.parent, pipeline))
    return real


def _outside(pattern: str, pipeline: Pipeline) -> _Unusable:
    hint = f"references stay below {pipeline.root.name}/, so that a pull request can not upload other files"
    return _Unusable("reference_outside", f"{pattern} leads outside the repository", hint)


def _looked_in(folder: Path, pipeline: Pipeline) -> str:
    real = folder.resolve()
    inside = real.relative_to(pipeline.root).as_posix() if real.is_relative_to(pipeline.root) else ""
    where = "the repository's top folder" if inside in ("", ".") else inside
    return f"looked in {where}" if real.is_dir() else f"there is no folder {where}"


def _near_file(missing: Path) -> str | None:
    names = sorted(one.name for one in missing.parent.iterdir()) if missing.parent.is_dir() else []
    hint = near_word(missing.name, names)
    return hint if hint.startswith("did") else None


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError as error:
        raise _Unusable("reference_url", "this is not a URL that can be read", "write https://HOST/PATH") from error
    if parts.scheme != "https":
        hint = "use an https URL, or a file beside the pipeline"
        raise _Unusable("reference_url", f"{parts.scheme}: URLs are not taken as references", hint)
    if parts.username or parts.password:
        raise _Unusable("secret_in_file", "this URL holds a user name or password", "remove it")
    if not host or re.search(r"\s", text):
        raise _Unusable("reference_url", "this is not a URL that can be read", "write https://HOST/PATH")
    if len(text) > MAX_URL:
        raise _Unusable("reference_url", f"Krea takes URLs of at most {MAX_URL:,} characters, not {len(text):,}")
    return text


def _decode_data_uri(text: str) -> bytes:
    head, comma, body = text.partition(",")
    if not comma or not head.endswith(";base64"):
        raise _Unusable("reference_data_uri", "this data URI holds no base64", "write data:image/png;base64,…")
    try:
        return base64.b64decode(re.sub(r"\s+", "", body), validate=True)
    except ValueError as error:
        raise _Unusable("reference_data_uri", "what follows the comma is not base64") from error


def _small(found: tuple[Image, ...], value: Value, pipeline: Pipeline) -> Iterator[Problem]:
    for image in found:
        if image.size and max(image.size) < SMALL_SIDE:
            message = f"{image.label} is {image.size[0]} x {image.size[1]} pixels"
            hint = f"Krea tends to ignore references below {SMALL_SIDE} pixels; use a larger one"
            yield Problem("small_reference", message, pipeline.document.place(value.trail), hint)
