"""How to show the pixels of an image file: its orientation and its colours.

Both are in metadata, which is never given to a decoder. What is read here is bounded: one tag of Exif, and one colour
profile. Sources: CIPA DC-008 (Exif 2.3), 4.6.4; ICC.1:2022, annex B; PNG, 11.3.2; RFC 9649, 2.7; ISO 14496-12, 12.1.5.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress

from krea_pipe.core.image_file import (
    TooMuchWork,
    avif_properties,
    jpeg_segments,
    png_chunks,
    raster_type,
    webp_chunks,
)
from krea_pipe.core.matrix_profile import GAMMA_OF_CODE, OF_CODE, SRGB, SRGB_CURVE, matrix_profile

MAX_PROFILE = 4 * 1024 * 1024
"""Bytes of a colour profile; those of printing presses have up to 3 MB, those of screens have fewer than 10 kB."""
_MAX_TAGS = 256
_GAMMA_OF_SRGB = 45_455
"""The `gAMA` chunk of a PNG in sRGB; programs treat values within 5 % of it as sRGB."""
_ORIENTATION = 0x0112
_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"


def orientation(data: bytes) -> int:
    """Find out the orientation in which to show an image.

    Args:
        data: the bytes of a PNG, JPEG or WebP; other files are upright.

    Returns:
        A number from 1 to 8 as Exif defines it; 1 is upright.
    """
    for block in _exif_blocks(data):
        with suppress(struct.error):
            return _orientation_in(block.removeprefix(_EXIF))
    return 1


def colour_profile(data: bytes) -> bytes | None:
    """Find the ICC profile of an image, or make the one of the colours that it names by numbers.

    Args:
        data: the bytes of a PNG, JPEG, WebP or AVIF.

    Returns:
        The bytes of its profile; None for sRGB, or if it has no usable profile.
    """
    profile: bytes | None = None
    with suppress(TooMuchWork, zlib.error, struct.error):
        match raster_type(data):
            case "image/jpeg":
                profile = _joined_profile(data)
            case "image/png":
                profile = _png_profile(dict(_before_pixels(data)))
            case "image/avif":
                boxes = (data[part.start + 8 : part.end] for part in avif_properties(data) if part.kind == b"colr")
                profile = next(filter(None, map(_avif_profile, boxes)), None)
            case "image/webp":
                found = (data[part.start + 8 : part.end] for part in webp_chunks(data) if part.kind == b"ICCP")
                profile = next(found, None)
    return profile if profile and 128 < len(profile) <= MAX_PROFILE else None


def _exif_blocks(data: bytes) -> Iterator[bytes]:
    with suppress(TooMuchWork):
        match raster_type(data):
            case "image/jpeg":
                for part in jpeg_segments(data):
                    if part.kind == b"\xe1" and data.startswith(_EXIF, part.start + 4):
                        yield data[part.start + 4 : part.end]
            case "image/png":
                for part in png_chunks(data):
                    if part.kind == b"eXIf":
                        yield data[part.start + 8 : part.end - 4]
            case "image/webp":
                for part in webp_chunks(data):
                    if part.kind == b"EXIF":
                        yield data[part.start + 8 : part.end]


def _orientation_in(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, first)
    for number in range(min(count, _MAX_TAGS)):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, first + 2 + 12 * number)
        if tag == _ORIENTATION:
            return value if 1 <= value <= 8 else 1
    return 1


def _joined_profile(jpeg: bytes) -> bytes | None:
    """The parts of a profile are numbered, because a segment has at most 64 KiB."""
    parts: dict[int, bytes] = {}
    for part in jpeg_segments(jpeg):
        if part.kind == b"\xe2" and jpeg.startswith(_ICC, part.start + 4) and part.end > part.start + 18:
            parts.setdefault(jpeg[part.start + 16], jpeg[part.start + 18 : part.end])
    return b"".join(parts[number] for number in sorted(parts)) or None


def _before_pixels(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    for part in png_chunks(png):
        if part.kind == b"IDAT":
            return
        yield part.kind, png[part.start + 8 : part.end - 4]


def _png_profile(chunks: Mapping[bytes, bytes]) -> bytes | None:
    """The profile of a PNG by the order that its standard gives to the chunks (PNG, section 4.3)."""
    if b"cICP" in chunks:
        return _coded_profile(*struct.unpack_from(">BB", chunks[b"cICP"]))
    if b"iCCP" in chunks:
        return _inflated(chunks[b"iCCP"].partition(b"\0")[2][1:])
    if b"sRGB" in chunks or b"gAMA" not in chunks:
        return None
    (share,) = struct.unpack(">I", chunks[b"gAMA"])
    gamma = SRGB_CURVE if abs(share - _GAMMA_OF_SRGB) < _GAMMA_OF_SRGB / 20 else 100_000 / max(1, share)
    named = struct.unpack(">8I", chunks[b"cHRM"]) if b"cHRM" in chunks else None
    white_x, white_y, red_x, red_y, green_x, green_y, blue_x, blue_y = (
        (one / 100_000 for one in named) if named else SRGB
    )
    primaries = (white_x, white_y, red_x, red_y, green_x, green_y, blue_x, blue_y)
    return matrix_profile(primaries, gamma) if 0 <= gamma < 10 else None


def _avif_profile(colr: bytes) -> bytes | None:
    if colr[:4] in (b"prof", b"rICC"):
        return colr[4:]
    return _coded_profile(*struct.unpack_from(">HH", colr, 4)) if colr[:4] == b"nclx" else None


def _coded_profile(primaries: int, transfer: int) -> bytes | None:
    """The profile of colours that are named by the codes of ITU-T H.273; None for those of high dynamic range."""
    known = primaries in OF_CODE and transfer in GAMMA_OF_CODE
    return matrix_profile(OF_CODE[primaries], GAMMA_OF_CODE[transfer]) if known else None


def _inflated(packed: bytes) -> bytes | None:
    decoder = zlib.decompressobj()
    profile = decoder.decompress(packed, MAX_PROFILE + 1)
    return profile if decoder.eof else None
