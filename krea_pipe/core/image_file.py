"""Reads the structure of image files without decoding them: type, size, parts, decoding work and texts.

Decoders bound memory, not work. For each scan of a JPEG, which may be a hundred bytes, libjpeg passes over all pixels.
Pillow reads each marker and chunk in Python, joins parts of Exif and reads all that they point at, and inflates every
colour profile that it meets. So scans are counted in one pass over the bytes, and Pillow gets only what makes pixels
(`appearance` reads the rest that is needed). A decoder cannot be interrupted in its thread, and so none is begun that
would take long.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Literal, NamedTuple

Mime = Literal["image/png", "image/jpeg", "image/webp", "image/avif"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_IMAGE_PARTS = 65_536
"""PNG writers make chunks of 8 KiB and more, so that a file of 75 MB has less than 10,000; a JPEG has a few dozen."""

SOS, EOI = b"\xda", b"\xd9"

_NEXT = re.compile(rb"\xff++([\x01-\xfe])")  # any number of bytes 0xFF may stand before a marker
_BEHIND_SCAN = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")  # not stuffed, no restart, no fill, nothing that is reserved
MAX_SCANS = 100
"""libjpeg's own script for progressive images has 10 scans, and what mozjpeg's search finds has fewer than 20."""
MAX_SCANNED = 1_500_000_000
"""Pixels times scans: 16 scans of the largest image. A scan of 89 megapixels takes up to 0.3 s."""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel, for each colour type of PNG."""
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""For each pass of an interlaced PNG its first column and row, and its steps between columns and rows."""
_INFLATED_AT_ONCE = 1 << 20

MAX_FILL = 1024
"""Bytes 0xFF in a row inside a scan: no writer fills so, and Pillow copies and reads them again for each 64 KiB."""

_FOR_PIXELS = frozenset(bytes([code]) for code in (*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD)) | {SOS, EOI}
_FOR_COLOURS = {b"\xe0": b"JFIF\0", b"\xee": b"Adobe"}

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_IHDR_END = len(PNG_SIGNATURE) + 25
_PLAIN_FORMS = {b"tEXt": (b"\0", "ascii"), b"iTXt": (b"\0\0\0\0\0", "utf-8")}
"""What is between key and text, and the encoding of the text. In iTXt: no compression, language or translated key."""


class TooMuchWork(ValueError):
    """An image would take too much work to read; the message continues after "it has"."""


class ImagePart(NamedTuple):
    """A segment, with the data of its scan, or a chunk: what it is, and from where to where."""

    kind: bytes
    start: int
    end: int


def jpeg_segments(data: bytes) -> Iterator[ImagePart]:
    """The segments of a JPEG up to its end marker, which is the last (ITU T.81, B.1.1).

    In the data of a scan everything counts that a decoder might take for the begin of a segment.

    Raises:
        TooMuchWork: there are too many.
    """
    at = 2
    for _ in range(MAX_IMAGE_PARTS):
        found = _NEXT.match(data, at)
        if found is None:
            return
        code, start, at = found[1], found.end() - 2, found.end()
        if code == EOI:
            yield ImagePart(code, start, at)
            return
        if code < b"\xc0" or b"\xd0" <= code <= b"\xd8":  # these have no length
            continue
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
        if code == SOS:
            behind = _BEHIND_SCAN.search(data, at)
            at = behind.start() if behind else len(data)
        yield ImagePart(code, start, min(at, len(data)))
    raise _too_many()


def png_chunks(data: bytes) -> Iterator[ImagePart]:
    """The whole chunks of a PNG, up to IEND (PNG, section 5.3).

    Raises:
        TooMuchWork: there are too many.
    """
    at = len(PNG_SIGNATURE)
    for _ in range(MAX_IMAGE_PARTS):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if len(data) < at + 12 or len(data) < end:
            return
        kind = data[at + 4 : at + 8]
        yield ImagePart(kind, at, end)
        if kind == b"IEND":
            return
        at = end
    raise _too_many()


def is_intact(png: bytes | memoryview, chunk: ImagePart) -> bool:
    """Whether a chunk of a PNG has the checksum that it says."""
    checksum = int.from_bytes(png[chunk.end - 4 : chunk.end], "big")
    return zlib.crc32(png[chunk.start + 4 : chunk.end - 4]) == checksum


def has_all_rows(png: bytes) -> bool:
    """Whether the pixels of a PNG are all there; decoders leave those black that its zlib stream lacks.

    Args:
        png: the bytes of a PNG; its size has to be a sane one.

    Returns:
        False also for a stream that is damaged.
    """
    inflater, lacking = zlib.decompressobj(), _scanline_bytes(png)
    try:
        for part in png_chunks(png):
            if part.kind != b"IDAT":
                continue
            packed = png[part.start + 8 : part.end - 4]
            while lacking > 0 and not inflater.eof:
                rows = inflater.decompress(packed, _INFLATED_AT_ONCE)
                lacking, packed = lacking - len(rows), inflater.unconsumed_tail
                if not packed and len(rows) < _INFLATED_AT_ONCE:
                    break
    except zlib.error:
        return False
    return lacking <= 0


def _scanline_bytes(png: bytes) -> int:
    """The number of bytes in the unpacked rows of a PNG, including the filter byte of each (PNG, section 7.2)."""
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", png, 16)
    bits = depth * _CHANNELS.get(colour, 1)
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    sizes = ((-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in passes)
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def ends_whole(data: bytes) -> bool:
    """Whether an image is complete, which decoders do not check; its pixels may still be damaged.

    Args:
        data: the bytes of a file that begins like a PNG, JPEG, WebP, AVIF or HEIC.

    Returns:
        False for a file that is cut off, and for a PNG with a wrong checksum.

    Raises:
        TooMuchWork: it has too many parts.
    """
    match raster_type(data):
        case "image/png":
            return _ends_whole_png(data)
        case "image/jpeg":
            kinds = [part.kind for part in jpeg_segments(data)]
            return SOS in kinds and kinds[-1] == EOI
        case "image/webp":
            return len(data) >= 8 + int.from_bytes(data[4:8], "little")
        case "image/avif":
            boxes = list(avif_boxes(data))
            return {b"meta", b"mdat"} <= {box.kind for box in boxes} and boxes[-1].end == len(data)
    boxes = list(avif_boxes(data))
    return any(box.kind in (b"meta", b"moov") for box in boxes) and boxes[-1].end <= len(data)


def _ends_whole_png(data: bytes) -> bool:
    view = memoryview(data)
    for part in png_chunks(data):
        if not is_intact(view, part):
            return False
        if part.kind == b"IEND":
            return True
    return False


def bits_of_jpeg(data: bytes) -> int:
    """The bits of each sample of a JPEG (ITU T.81, B.2.2).

    Args:
        data: the bytes of a JPEG.

    Returns:
        8 for an ordinary one.

    Raises:
        TooMuchWork: it has too many parts.
    """
    for part in jpeg_segments(data):
        if b"\xc0" <= part.kind <= b"\xcf" and part.kind not in (b"\xc4", b"\xc8", b"\xcc"):
            return data[part.start + 4]
    return 8


def webp_chunks(data: bytes) -> Iterator[ImagePart]:
    """The chunks of a WebP, those of an animation's frames as one each (RFC 9649, section 2.3).

    Raises:
        TooMuchWork: there are too many.
    """
    at = 12
    for _ in range(MAX_IMAGE_PARTS):
        if len(data) < at + 8:
            return
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        yield ImagePart(data[at : at + 4], at, end)
        at = end
    raise _too_many()


def avif_boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[ImagePart]:
    """The boxes of an AVIF, or of a box whose content is between `start` and `end` (ISO 14496-12, 4.2).

    The last one may be cut off, and then ends behind the data.

    Raises:
        TooMuchWork: there are too many.
    """
    at, end = start, len(data) if end is None else end
    for _ in range(MAX_IMAGE_PARTS):
        if end < at + 8:
            return
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        size = max(size, 8) if size else end - at
        yield ImagePart(kind, at, at + size)
        at += size
    raise _too_many()


def _too_many() -> TooMuchWork:
    return TooMuchWork(f"more than {MAX_IMAGE_PARTS:,} parts")


def sniff(head: bytes) -> str | None:
    """Name the media type of a file by its first 64 bytes: PNG, JPEG, WebP, AVIF or HEIC, else None."""
    return raster_type(head) or ("image/heic" if _is_heic(head) else None)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Read width and height from the header of a PNG, JPEG, WebP or AVIF, in pixels and without decoding."""
    mime = raster_type(data)
    with suppress(struct.error, IndexError, TooMuchWork):
        return _SIZES[mime](data) if mime else None
    return None


def raster_type(head: bytes) -> Mime | None:
    """Name the media type of a picture that can be decoded here: PNG, JPEG, WebP or AVIF, else None."""
    if head.startswith(PNG_SIGNATURE):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return "image/avif" if _brands(head) & _AVIF_BRANDS else None


def _brands(head: bytes) -> set[bytes]:
    """ISO-BMFF puts size, 'ftyp', the major brand, a version and compatible brands first (ISO 14496-12)."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), 64)
    return {head[at : at + 4] for at in (8, *range(16, end, 4))}


def _is_heic(head: bytes) -> bool:
    return head[8:12] in _HEIF_BRANDS and not _brands(head) & _AVIF_BRANDS


def _png_size(data: bytes) -> tuple[int, int] | None:
    if data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk the segments up to the first start of a frame (ITU T.81, B.2.2), which precedes any scan."""
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


def _avif_size(data: bytes) -> tuple[int, int] | None:
    """The largest of the sizes that items have, for those of tiles and thumbnails are smaller (ISO 23008-12, 6.5.3)."""
    sizes = [struct.unpack_from(">II", data, box.start + 12) for box in avif_properties(data) if box.kind == b"ispe"]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def avif_properties(data: bytes) -> Iterator[ImagePart]:
    """The boxes with the properties of an AVIF's images.

    The boxes `meta`, `iprp` and `ipco` that hold them lie in each other; the first has a version in front.

    Args:
        data: the bytes of an AVIF.

    Raises:
        TooMuchWork: there are too many.
    """
    places = [(0, len(data))]
    for kind, head in ((b"meta", 12), (b"iprp", 8), (b"ipco", 8)):
        boxes = (box for start, end in places for box in avif_boxes(data, start, end) if box.kind == kind)
        places = [(box.start + head, min(box.end, len(data))) for box in boxes]
    for start, end in places:
        yield from avif_boxes(data, start, end)


_SIZES = {"image/png": _png_size, "image/jpeg": _jpeg_size, "image/webp": _webp_size, "image/avif": _avif_size}
_PARTS = {"image/png": png_chunks, "image/jpeg": jpeg_segments, "image/webp": webp_chunks, "image/avif": avif_boxes}


def image_parts(data: bytes) -> Iterator[ImagePart]:
    """The parts of an image: segments of a JPEG, chunks of a PNG or WebP, boxes of an AVIF; none of another file.

    Raises:
        TooMuchWork: there are too many.
    """
    mime = raster_type(data)
    yield from _PARTS[mime](data) if mime else ()


def check_work(data: bytes) -> None:
    """Refuse an image that would take too much work to decode; one that is damaged is left to the decoder.

    Raises:
        TooMuchWork: it has too many parts or scans.
    """
    scans, fill = 0, b"\xff" * (MAX_FILL + 1)
    for part in image_parts(data):
        if part.kind == SOS:
            scans += 1
            if data.find(fill, part.start, part.end) >= 0:
                raise TooMuchWork(f"a scan with more than {MAX_FILL:,} fill bytes in a row")
    if scans > MAX_SCANS:
        raise TooMuchWork(f"{scans:,} scans, more than the {MAX_SCANS} that are decoded")
    width, height = image_size(data) or (0, 0)
    if scans * width * height > MAX_SCANNED:
        raise TooMuchWork(f"{scans} scans of {width} x {height} pixels, more than are decoded at that size")


def only_pixels(data: bytes) -> bytes:
    """An image without the parts that Pillow would read although its pixels do not depend on them; WebP is unchanged.

    Raises:
        TooMuchWork: it has too many parts.
    """
    view = memoryview(data)
    match raster_type(data):
        case "image/jpeg":
            kept = (view[part.start : part.end] for part in jpeg_segments(data) if _makes_pixels(data, part))
            return b"".join([b"\xff\xd8", *kept])
        case "image/png":
            chunks = list(png_chunks(data))
            for_pixels = [part for part in chunks if part.kind[:1].isupper() or part.kind == b"tRNS"]
            if len(for_pixels) == len(chunks):
                return data
            return b"".join([PNG_SIGNATURE, *(view[part.start : part.end] for part in for_pixels)])
        case "image/avif":  # named otherwise rather than left out: offsets count from the begin of the file
            boxes = ((part.kind, view[part.start : part.end]) for part in avif_boxes(data))
            return b"".join(bytes(one).replace(b"Exif", b"none") if kind == b"meta" else one for kind, one in boxes)
    return data


def _makes_pixels(data: bytes, part: ImagePart) -> bool:
    begin = _FOR_COLOURS.get(part.kind)
    return part.kind in _FOR_PIXELS or (begin is not None and data.startswith(begin, part.start + 4))


class Insertion(NamedTuple):
    """Bytes to insert into a file, and where."""

    at: int
    data: bytes


def texts_for(png: bytes, entries: Mapping[str, str]) -> Insertion:
    """One chunk for each entry, in their order, right before the pixels.

    Programs that read a text only up to the pixels find it there, and it is behind the colour profile, which some
    programs look for only at the beginning of a file. A text in ASCII becomes a tEXt chunk, any other an iTXt chunk.

    Args:
        png: the bytes of a PNG.
        entries: texts by their keys, which are Latin-1 of 1 to 79 bytes.

    Raises:
        ValueError: it is no PNG, or a key cannot be one.
    """
    if not png.startswith(PNG_SIGNATURE) or png[12:16] != b"IHDR" or len(png) < _IHDR_END:
        raise ValueError("not a PNG: the signature or the IHDR chunk is missing")
    chunks, at = [_text_chunk(key, text) for key, text in entries.items()], _IHDR_END
    with suppress(TooMuchWork):
        at = next((part.start for part in png_chunks(png) if part.kind == b"IDAT"), at)
    return Insertion(at, b"".join(chunks))


def with_text(png: bytes, entries: Mapping[str, str]) -> bytes:
    """A PNG with texts; see `texts_for`."""
    texts = texts_for(png, entries)
    return b"".join((png[: texts.at], texts.data, memoryview(png)[texts.at :]))


class PlainText(NamedTuple):
    """A text chunk as `with_text` writes them, and from where to where it is in the file."""

    key: str
    text: str
    start: int
    end: int


def plain_texts(data: bytes) -> Iterator[PlainText]:
    """Every text chunk of a PNG that `with_text` of this or an earlier version may have written, wherever it is.

    Args:
        data: the bytes of a file of any type.

    Yields:
        The intact tEXt chunks in ASCII, and iTXt chunks without compression, language or translated key, in the order
        of the file.
    """
    with suppress(TooMuchWork):
        for part in png_chunks(data) if data.startswith(PNG_SIGNATURE) else ():
            if part.kind not in _PLAIN_FORMS or not is_intact(data, part):
                continue
            between, coding = _PLAIN_FORMS[part.kind]
            key, nul, text = data[part.start + 8 : part.end - 4].partition(between)
            if nul and key and b"\0" not in key:
                with suppress(UnicodeDecodeError):
                    yield PlainText(key.decode("latin-1"), text.decode(coding), part.start, part.end)


def text_keys(png: bytes) -> frozenset[str]:
    """The keys of all texts of a PNG, of any form and intact or not.

    Args:
        png: the bytes of a PNG.

    Returns:
        The keys.
    """
    kinds, found = (b"tEXt", b"zTXt", b"iTXt"), set()
    with suppress(TooMuchWork):
        for part in png_chunks(png):
            if part.kind in kinds:
                found.add(png[part.start + 8 : part.end - 4].partition(b"\0")[0].decode("latin-1"))
    return frozenset(found)


def _text_chunk(key: str, text: str) -> bytes:
    """An uncompressed text: ImageMagick and others lose iTXt, and readers disagree on what tEXt beyond ASCII means."""
    kind = b"tEXt" if text.isascii() and "\0" not in text else b"iTXt"
    body = kind + _keyword(key) + _PLAIN_FORMS[kind][0] + text.encode("utf-8", "replace")
    return (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def _keyword(key: str) -> bytes:
    try:
        name = key.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"a PNG text key is Latin-1, so it cannot be {key!r}") from error
    if not 1 <= len(name) <= 79 or b"\0" in name:
        raise ValueError(f"a PNG text key has 1 to 79 characters and no NUL, so it cannot be {key!r}")
    return name
