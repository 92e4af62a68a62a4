"""Images are fetched by a client that has no token, from where they may be, whole, as they are and of a sane size."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from krea_pipe.api.address import Allowed
from krea_pipe.api.body import read_body
from krea_pipe.api.failures import BadImage, translated

MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_REDIRECTS = 5


@asynccontextmanager
async def opened(client: httpx.AsyncClient, url: str, allowed: Allowed) -> AsyncIterator[httpx.Response]:
    """The answer to a GET, past a few redirects, each of which is judged as the first address is.

    Raises:
        CallFailed: the address is not to be fetched from, or does not answer.
    """
    for _ in range(MAX_REDIRECTS + 1):
        address = allowed.check(url)
        with translated():
            async with client.stream("GET", address) as response:
                if not response.is_redirect:
                    yield response
                    return
                url = _target(response)
    raise BadImage("the image's address leads from one redirect to the next")


async def image_bytes(response: httpx.Response) -> bytes:
    """The body of an answer, if it is whole; an image is compressed in itself, and so in no other way.

    Raises:
        CallFailed: it is not, or is too large.
    """
    data = await read_body(response, MAX_IMAGE_BYTES, inflates=False)
    declared = response.headers.get("content-length", str(len(data)))
    if declared != str(len(data)):
        raise BadImage(f"{len(data):,} bytes came of the {declared} that were announced")
    if not data:
        raise BadImage("the image is empty")
    return data


def _target(response: httpx.Response) -> str:
    """Where a redirect leads; httpx raises more than its own errors on what is no address."""
    try:
        return str(response.url.join(response.headers.get("location", "")))
    except (httpx.InvalidURL, ValueError) as error:
        raise BadImage("a redirect of the image leads to no URL") from error
