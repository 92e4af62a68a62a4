"""The mark of a file that a delivery recipe made: what it was made of, and a checksum that says it is unchanged.

Both are attributes of its XMP packet, so that such a file is known wherever it lies and whatever the store has lost.
The checksum is of the whole file as it is with zeros in its place; in a PNG, of all but the packet.
"""

import hashlib
import re
from collections.abc import Mapping

from krea_pipe.core.image_file import PlainText, plain_texts, with_text

XMP_KEY = "XML:com.adobe.xmp"
"""The key of the text in a PNG that has XMP."""
_NAME_SPACE = "https://krea-pipe.invalid/ns/delivery/1/"
_ZEROS = "0" * 64
_CHECKSUM = ' krea-pipe:sha256="'
_MARK = re.compile(rb' krea-pipe:made="([0-9a-f]{64})" krea-pipe:sha256="([0-9a-f]{64})"')


def mark_attributes(made: str) -> Mapping[str, str]:
    """The attributes of XMP that mark a file, before its checksum is known.

    Args:
        made: the identity of the file.
    """
    return {"xmlns:krea-pipe": _NAME_SPACE, "krea-pipe:made": made, "krea-pipe:sha256": _ZEROS}


def sealed(data: bytes) -> bytes:
    """Write the checksum of a file into it.

    Args:
        data: the bytes of a file whose XMP has `mark_attributes`.

    Returns:
        The same with the checksum.
    """
    text = _packet(data)
    if text is None:
        checksum = hashlib.sha256(data).hexdigest()
        return data.replace(f'{_CHECKSUM}{_ZEROS}"'.encode(), f'{_CHECKSUM}{checksum}"'.encode(), 1)
    bare = data[: text.start] + data[text.end :]
    checksum = hashlib.sha256(bare).hexdigest()
    return with_text(bare, {XMP_KEY: text.text.replace(f'{_CHECKSUM}{_ZEROS}"', f'{_CHECKSUM}{checksum}"', 1)})


def made_of(data: bytes) -> str | None:
    """The identity of a file that a recipe made.

    Args:
        data: the bytes of a file of any type.

    Returns:
        Its identity; None if no recipe made it, or it was changed since.
    """
    text = _packet(data)
    found = _MARK.search(data if text is None else text.text.encode())
    if found is None:
        return None
    checksum = found[2].decode()
    if text is None:
        start, end = found.span(2)
        bare = data[:start] + _ZEROS.encode() + data[end:]
    else:
        bare = data[: text.start] + data[text.end :]
    return found[1].decode() if hashlib.sha256(bare).hexdigest() == checksum else None


def _packet(data: bytes) -> PlainText | None:
    return next((one for one in plain_texts(data) if one.key == XMP_KEY), None)
