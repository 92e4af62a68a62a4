"""What decoding an image would take, judged before anything decodes it, and what a decoder is given.

Decoders bound memory, not work. For each scan of a JPEG, which may be a hundred bytes, libjpeg passes over all pixels.
Pillow reads each marker and chunk in Python, joins parts of Exif and reads all that they point at, and inflates every
colour profile that it meets. So scans are counted in one pass over the bytes, and Pillow gets only what makes pixels. A
decoder cannot be interrupted in its thread, and so none is begun that would take long.
"""

from collections.abc import Iterator

from krea_pipe.core.image_header import raster_type, size_of
from krea_pipe.core.image_parts import (
    EOI,
    PNG_SIGNATURE,
    SOS,
    Part,
    TooMuchWork,
    jpeg_segments,
    png_chunks,
    webp_chunks,
)

MAX_SCANS = 100
"""libjpeg's own script for progressive images has 10 scans, and what mozjpeg's search finds has fewer than 20."""
MAX_SCANNED = 1_500_000_000
"""Pixels times scans: 16 scans of the largest image. A scan of 89 megapixels takes up to 0.3 s."""

MAX_FILL = 1024
"""Bytes 0xFF in a row inside a scan: no writer fills so, and Pillow copies and reads them again for each 64 KiB."""

_FOR_PIXELS = frozenset(bytes([code]) for code in (*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD)) | {SOS, EOI}
_FOR_COLOURS = {b"\xe0": b"JFIF\0", b"\xee": b"Adobe"}


def check_work(data: bytes) -> None:
    """Refuse an image that would take too much work to decode; one that is damaged is left to the decoder.

    Raises:
        TooMuchWork: it has too many parts or scans.
    """
    scans, fill = 0, b"\xff" * (MAX_FILL + 1)
    for part in _parts(data):
        if part.kind == SOS:
            scans += 1
            if data.find(fill, part.start, part.end) >= 0:
                raise TooMuchWork(f"a scan with more than {MAX_FILL:,} fill bytes in a row")
    if scans > MAX_SCANS:
        raise TooMuchWork(f"{scans:,} scans, more than the {MAX_SCANS} that are decoded")
    width, height = size_of(data) or (0, 0)
    if scans * width * height > MAX_SCANNED:
        raise TooMuchWork(f"{scans} scans of {width} x {height} pixels, more than are decoded at that size")


def only_pixels(data: bytes) -> bytes:
    """A PNG or JPEG without all that its pixels do not depend on; other images as they are.

    Raises:
        TooMuchWork: it has too many parts.
    """
    view = memoryview(data)
    match raster_type(data):
        case "image/jpeg":
            kept = (view[part.start : part.end] for part in jpeg_segments(data) if _makes_pixels(data, part))
            return b"".join([b"\xff\xd8", *kept])
        case "image/png":
            chunks = (part for part in png_chunks(data) if part.kind[:1].isupper() or part.kind == b"tRNS")
            return b"".join([PNG_SIGNATURE, *(view[part.start : part.end] for part in chunks)])
    return data


def _makes_pixels(data: bytes, part: Part) -> bool:
    begin = _FOR_COLOURS.get(part.kind)
    return part.kind in _FOR_PIXELS or (begin is not None and data.startswith(begin, part.start + 4))


def _parts(data: bytes) -> Iterator[Part]:
    match raster_type(data):
        case "image/jpeg":
            return jpeg_segments(data)
        case "image/png":
            return png_chunks(data)
        case "image/webp":
            return webp_chunks(data)
    return iter(())
