"""What the first bytes of an image tell: its real type and its size, without decoding."""

import struct
from typing import Literal

from krea_pipe.core.image_parts import EOI, PNG_SIGNATURE, SOS, TooMuchWork, jpeg_segments

Mime = Literal["image/png", "image/jpeg", "image/webp"]

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def sniff(head: bytes) -> str | None:
    """Name the media type of a file by its first 32 bytes: PNG, JPEG, WebP or HEIC, else None."""
    return raster_type(head) or ("image/heic" if _is_heic(head) else None)


def size_of(data: bytes) -> tuple[int, int] | None:
    """Read width and height from a PNG, JPEG or WebP header, in pixels and without decoding."""
    try:
        match raster_type(data):
            case "image/png":
                return _png_size(data)
            case "image/jpeg":
                return _jpeg_size(data)
            case "image/webp":
                return _webp_size(data)
    except (struct.error, IndexError, TooMuchWork):
        pass
    return None


def raster_type(head: bytes) -> Mime | None:
    """Name the media type of a picture that can be decoded here: PNG, JPEG or WebP, else None."""
    if head.startswith(PNG_SIGNATURE):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def _is_heic(head: bytes) -> bool:
    """ISO-BMFF puts size, 'ftyp', the major brand, a version and compatible brands first (ISO 14496-12)."""
    if head[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(head[:4], "big"), 64)
    compatible = {head[at : at + 4] for at in range(16, end, 4)}
    return head[8:12] in _HEIF_BRANDS and b"avif" not in compatible


def _png_size(data: bytes) -> tuple[int, int] | None:
    if data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk the segments up to the first start of a frame (ITU T.81, B.2.2), which stands before any scan."""
    for part in jpeg_segments(data):
        if b"\xc0" <= part.kind <= b"\xcf" and part.kind not in (b"\xc4", b"\xc8", b"\xcc"):
            height, width = struct.unpack_from(">HH", data, part.start + 5)
            return width, height
        if part.kind in (SOS, EOI):
            return None
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Read the first chunk: extended, lossless or lossy (RFC 9649, section 2)."""
    match data[12:16]:
        case b"VP8X":
            wide, wide_top, high, high_top = struct.unpack_from("<HBHB", data, 24)
            return (wide | wide_top << 16) + 1, (high | high_top << 16) + 1
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            wide, high = struct.unpack_from("<HH", data, 26)
            return wide & 0x3FFF, high & 0x3FFF
    return None
