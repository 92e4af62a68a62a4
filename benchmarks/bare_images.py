"""The minimum work on images: receive each, hash it, decode it whole, and make a small picture of it as WebP.

A bare loop over one connection, without HTTP library, files, journal, checks or retries; `python
benchmarks/bare_images.py JOBS`, with the Krea in the environment. It waits until all jobs have ended, with one call a
second, so that it does nothing else for a job than POST it and work on its image.
"""

import hashlib
import http.client
import io
import json
import os
import sys
import time
from urllib.parse import urlsplit

from PIL import Image

ROUTE = "/generate/image/krea/krea-2/medium"
PART = 1 << 20


class Bare:
    """One connection to a Krea."""

    def __init__(self, base: str, key: str) -> None:
        place = urlsplit(base)
        self.connection = http.client.HTTPConnection(place.hostname or "", place.port)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> dict:
        """An answer as JSON."""
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, self.headers)
        return json.load(self.connection.getresponse())

    def order(self, number: int) -> None:
        """Start a job."""
        self.call(
            "POST", ROUTE, {"prompt": f"A glass lamp, number {number}", "aspect_ratio": "1:1", "resolution": "1K"}
        )

    def image(self, url: str) -> bytes:
        """Receive an image, and hash it meanwhile."""
        place, data, digest = urlsplit(url), bytearray(), hashlib.sha256()
        self.connection.request("GET", place.path, headers=self.headers)
        answer = self.connection.getresponse()
        while part := answer.read(PART):
            digest.update(part)
            data += part
        return bytes(data)


def small_picture(data: bytes) -> bytes:
    """Decode an image whole, and shrink it."""
    image, small = Image.open(io.BytesIO(data)), io.BytesIO()
    image.load()
    image.thumbnail((256, 256))
    image.save(small, "WEBP")
    return small.getvalue()


def main() -> None:
    """Run the loop."""
    jobs, bare = int(sys.argv[1]), Bare(os.environ["KREA_API_BASE"], os.environ["KREA_API_KEY"])
    for number in range(jobs):
        bare.order(number)
    listed: list[dict] = []
    while sum(job["status"] == "completed" for job in listed) < jobs:
        time.sleep(1)
        listed = bare.call("GET", "/jobs?limit=1000")["items"]
    for job in listed:
        small_picture(bare.image(job["result"]["urls"][0]))


if __name__ == "__main__":
    main()
