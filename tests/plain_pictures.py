"""The pictures that the served Krea has for jobs: of the size that was asked for, and quick to make and to look at.

Each has a shade by its number and the id of its job inside, so that no two have the same bytes. To look at a picture of
this size takes longer than all the rest of its way, so each shade is looked at once.
"""

import zlib
from functools import cache, lru_cache
from io import BytesIO

from PIL import Image

from krea_pipe.core import images
from krea_pipe.core.contract import SIZES
from krea_pipe.local import jobs

IHDR_END = 33
MARK = b"tEXtComment\0plain "
IMAGES = 256
"""Images that are remembered."""
DRAWN: set[bytes] = set()
"""The proofs that this process has drawn."""
WARM = 8
"""Shades that a parent of forks has looked at."""


@cache
def shade(number, size) -> bytes:
    buffer = BytesIO()
    Image.new("L", size, number * 37 % 256).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def plain_picture(number, name, size) -> bytes:
    """The picture of the job of a number and a name."""
    data, body = shade(number, size), MARK + name.encode()
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return data[:IHDR_END] + chunk + data[IHDR_END:]


def look_once(warm=0):
    """Have each proof, and each shade of a plain picture, looked at once in this process; `warm` shades now."""
    examine = images.examine
    remembered = lru_cache(maxsize=IMAGES)(examine)

    def examine_once(data, side=images.THUMBNAIL_SIDE):
        if data in DRAWN:
            return remembered(data, side)
        if data[IHDR_END + 4 : IHDR_END + 4 + len(MARK)] != MARK:
            return examine(data, side)
        end = IHDR_END + 12 + int.from_bytes(data[IHDR_END : IHDR_END + 4], "big")
        return remembered(data[:IHDR_END] + data[end:], side)

    images.examine = examine_once
    for number in range(warm):
        examine_once(plain_picture(number, "", SIZES["1:1"]))


def draw_once():
    """Have each proof drawn once in this process: many tests of a file begin with the same run."""
    draw = lru_cache(maxsize=IMAGES)(jobs.draw_proof)

    def draw_and_remember(spec):
        data = draw(spec)
        DRAWN.add(data)
        return data

    jobs.draw_proof = draw_and_remember
