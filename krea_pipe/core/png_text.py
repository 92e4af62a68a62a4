"""Text entries inside a PNG, written and read without touching the pixels (PNG, section 11.3.3)."""

import zlib
from collections.abc import Iterator, Mapping, Sequence

from krea_pipe.core.image_parts import PNG_SIGNATURE

_IHDR_END = len(PNG_SIGNATURE) + 25
_MAX_INFLATED = 1 << 20


def with_text(png: bytes, entries: Mapping[str, str]) -> bytes:
    """Insert one iTXt chunk an entry right after IHDR; keys are Latin-1 of 1 to 79 bytes, else ValueError."""
    if not png.startswith(PNG_SIGNATURE) or png[12:16] != b"IHDR" or len(png) < _IHDR_END:
        raise ValueError("not a PNG: the signature or the IHDR chunk is missing")
    chunks = [_international_text(key, text) for key, text in entries.items()]
    return b"".join((png[:_IHDR_END], *chunks, png[_IHDR_END:]))


def without_text(png: bytes, keys: Sequence[str]) -> bytes:
    """Take out what `with_text` put in for entries of these keys, in this order; any other bytes stay as they are."""
    rest = memoryview(png)[_IHDR_END:]
    for key in keys:
        size = 12 + int.from_bytes(rest[:4], "big")
        if bytes(rest[4 : 9 + len(key)]) != b"iTXt" + _keyword(key) + b"\0" or size > len(rest):
            return png
        rest = rest[size:]
    return b"".join((png[:_IHDR_END], rest))


def read_text(png: bytes) -> dict[str, str]:
    """Read tEXt and iTXt entries from a PNG or its first bytes; what is cut off or garbled is left out."""
    entries: dict[str, str] = {}
    for kind, body in _text_chunks(png):
        entry = _plain_entry(body) if kind == b"tEXt" else _international_entry(body)
        if entry is not None:
            entries.setdefault(*entry)
    return entries


def _international_text(key: str, text: str) -> bytes:
    name = _keyword(key)
    # An uncompressed iTXt: keyword, NUL, flag 0, method 0, empty language tag, empty translated keyword.
    body = b"iTXt" + name + b"\0\0\0\0\0" + text.encode("utf-8", "replace")
    return (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def _keyword(key: str) -> bytes:
    try:
        name = key.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"a PNG text key is Latin-1, so it cannot be {key!r}") from error
    if not 1 <= len(name) <= 79 or b"\0" in name:
        raise ValueError(f"a PNG text key has 1 to 79 characters and no NUL, so it cannot be {key!r}")
    return name


def _text_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and body of each whole text chunk whose checksum is right, until IEND or the bytes end."""
    at = len(PNG_SIGNATURE) if png.startswith(PNG_SIGNATURE) else len(png)
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        kind, checksum = png[at + 4 : at + 8], png[end : end + 4]
        if len(checksum) < 4 or kind == b"IEND":
            return
        if kind in (b"tEXt", b"iTXt") and zlib.crc32(png[at + 4 : end]) == int.from_bytes(checksum, "big"):
            yield kind, png[at + 8 : end]
        at = end + 4


def _plain_entry(body: bytes) -> tuple[str, str] | None:
    key, nul, text = body.partition(b"\0")
    return (key.decode("latin-1"), text.decode("latin-1")) if key and nul else None


def _international_entry(body: bytes) -> tuple[str, str] | None:
    key, _, rest = body.partition(b"\0")
    parts = rest[2:].split(b"\0", 2)
    if not key or len(parts) != 3:
        return None
    text = _inflated(parts[2]) if rest[0] == 1 else parts[2]
    try:
        return None if text is None else (key.decode("latin-1"), text.decode("utf-8"))
    except UnicodeDecodeError:
        return None


def _inflated(data: bytes) -> bytes | None:
    """Inflate up to 1 MiB; a longer text is a bomb, or nothing that krea-pipe wrote."""
    decoder = zlib.decompressobj()
    try:
        text = decoder.decompress(data, _MAX_INFLATED)
    except zlib.error:
        return None
    return text if decoder.eof else None
