"""The minimum work for an image: receive it, hash it, decode all of it, and make a small picture.

`python benchmarks/bare_images.py URL COUNT` loads one image repeatedly over one connection, and prints the
milliseconds of CPU time for each, imports not included.
"""

import hashlib
import http.client
import sys
import time
from io import BytesIO
from urllib.parse import urlsplit

from PIL import Image

SIDE = 256
PIECE = 1 << 18
"""Bytes that are read at once."""


def main() -> None:
    """Load the image, and print the time."""
    url, count = urlsplit(sys.argv[1]), int(sys.argv[2])
    connection = http.client.HTTPConnection(url.netloc)
    _look(connection, url.path)  # once, so that Pillow has loaded its formats
    start = time.process_time()
    for _ in range(count):
        _look(connection, url.path)
    print(1000 * (time.process_time() - start) / count)


def _look(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("GET", path)
    answer, digest, body = connection.getresponse(), hashlib.sha256(), BytesIO()
    while piece := answer.read(PIECE):
        digest.update(piece)
        body.write(piece)
    with Image.open(body) as image:
        image.load()
        image.thumbnail((SIDE, SIDE))
        image.save(BytesIO(), "WEBP", quality=80, method=1)


if __name__ == "__main__":
    main()
