"""The parts that image files are made of: JPEG segments, PNG and WebP chunks, found without decoding anything."""

import re
from collections.abc import Iterator
from typing import NamedTuple

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PARTS = 65_536
"""PNG writers make chunks of 8 KiB and more, so that a file of 75 MB has less than 10,000; a JPEG has a few dozen."""

SOS, EOI = b"\xda", b"\xd9"

_NEXT = re.compile(rb"\xff++([\x01-\xfe])")  # any number of bytes 0xFF may stand before a marker
_BEHIND_SCAN = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")  # not stuffed, no restart, no fill, nothing that is reserved


class TooMuchWork(ValueError):
    """An image would take too much work to read; the message goes on from "it has"."""


class Part(NamedTuple):
    """A segment, with the data of its scan, or a chunk: what it is, and from where to where."""

    kind: bytes
    start: int
    end: int


def jpeg_segments(data: bytes) -> Iterator[Part]:
    """The segments of a JPEG up to its end marker, which is the last (ITU T.81, B.1.1).

    In the data of a scan everything counts that a decoder might take for the begin of a segment.

    Raises:
        TooMuchWork: there are too many.
    """
    at = 2
    for _ in range(MAX_PARTS):
        found = _NEXT.match(data, at)
        if found is None:
            return
        code, start, at = found[1], found.end() - 2, found.end()
        if code == EOI:
            yield Part(code, start, at)
            return
        if code < b"\xc0" or b"\xd0" <= code <= b"\xd8":  # these have no length
            continue
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
        if code == SOS:
            behind = _BEHIND_SCAN.search(data, at)
            at = behind.start() if behind else len(data)
        yield Part(code, start, min(at, len(data)))
    raise _too_many()


def png_chunks(data: bytes) -> Iterator[Part]:
    """The whole chunks of a PNG, up to IEND (PNG, section 5.3).

    Raises:
        TooMuchWork: there are too many.
    """
    at = len(PNG_SIGNATURE)
    for _ in range(MAX_PARTS):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if len(data) < at + 12 or len(data) < end:
            return
        kind = data[at + 4 : at + 8]
        yield Part(kind, at, end)
        if kind == b"IEND":
            return
        at = end
    raise _too_many()


def webp_chunks(data: bytes) -> Iterator[Part]:
    """The chunks of a WebP, those of an animation's frames as one each (RFC 9649, section 2.3).

    Raises:
        TooMuchWork: there are too many.
    """
    at = 12
    for _ in range(MAX_PARTS):
        if len(data) < at + 8:
            return
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        yield Part(data[at : at + 4], at, end)
        at = end
    raise _too_many()


def _too_many() -> TooMuchWork:
    return TooMuchWork(f"more than {MAX_PARTS:,} parts")
