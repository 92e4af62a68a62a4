"""Images are fetched by a client that has no token, from https, whole and of a sane size."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx

from krea_pipe.api.failures import AnswerLost, BadImage, translated
from krea_pipe.settings import is_loopback

MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_REDIRECTS = 5


@asynccontextmanager
async def opened(client: httpx.AsyncClient, url: str, *, here: bool) -> AsyncIterator[httpx.Response]:
    """The answer to a GET, past a few redirects; `here` allows addresses on this machine.

    Raises:
        CallFailed: the address is not to be fetched from, or does not answer.
    """
    for _ in range(MAX_REDIRECTS + 1):
        _check_url(url, here=here)
        with translated():
            async with client.stream("GET", url) as response:
                if not response.is_redirect:
                    yield response
                    return
                url = str(response.url.join(response.headers.get("location", "")))
    raise BadImage("the image's address leads from one redirect to the next")


async def image_bytes(response: httpx.Response) -> bytes:
    """The body of an answer, if it is whole.

    Raises:
        CallFailed: it is not, or is too large.
    """
    data = await bounded(response, MAX_IMAGE_BYTES)
    declared = response.headers.get("content-length", str(len(data)))
    if declared != str(len(data)) and "content-encoding" not in response.headers:
        raise BadImage(f"{len(data):,} bytes came of the {declared} that were announced")
    if not data:
        raise BadImage("the image is empty")
    return data


async def bounded(response: httpx.Response, limit: int) -> bytes:
    """The body of an answer, up to a limit in bytes.

    Raises:
        AnswerLost: it is larger.
    """
    parts, size = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise AnswerLost(f"the answer is larger than {limit:,} bytes")
    return b"".join(parts)


def _check_url(url: str, *, here: bool) -> None:
    """Refuse what is no https URL; an API elsewhere must not have us call services of this machine or its network."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise BadImage(f"the image's address is no URL: {error}") from error
    inside = host is not None and is_loopback(host)
    if (
        host
        and url.isprintable()
        and (here if inside else parts.scheme == "https")
        and parts.scheme in ("http", "https")
    ):
        return
    raise BadImage("the image's address is neither https nor beside an API on this machine")
