"""Sends calls over connections that no other call uses at the same time.

httpcore looks at every connection of a pool for each call, so that a call from a pool of 20 costs twice as much as from
a pool of one. For this reason each call that is under way has an httpx client of its own, with a connection or two. It
goes to the transport of that client: redirects, cookies, authentication and hooks, which httpx adds above it, are not
used here, and cost a third of a call. What a transport raises are httpx's own errors.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypedDict, Unpack

import httpx

from krea_pipe.core.json_data import Json

LIMITS = httpx.Limits(max_connections=4, max_keepalive_connections=4)
"""Connections of one client: images may come from a few hosts, and through redirects between them."""


class Content(TypedDict, total=False):
    """What a call sends, as httpx takes it."""

    params: Mapping[str, str] | None
    json: Mapping[str, Json] | None
    files: Mapping[str, tuple[str, bytes, str]]


@dataclass(slots=True)
class Connections:
    """The clients for calls to one API, or to the hosts of images.

    Args:
        make: Makes another client; all have the same settings.
        slots: Taken by a caller for the time of its call, so that there are not more clients than slots.
    """

    make: Callable[[], httpx.AsyncClient]
    slots: asyncio.Semaphore
    _clients: list[httpx.AsyncClient] = field(default_factory=list)
    _idle: list[httpx.AsyncClient] = field(default_factory=list)
    """The clients that no call uses; the one that was used last is at the end, and is used next."""
    _headers: httpx.Headers = field(init=False)
    _timeout: dict[str, float | None] = field(init=False)

    def __post_init__(self) -> None:
        self._idle.append(self._another())
        self._headers, self._timeout = self._idle[0].headers, self._idle[0].timeout.as_dict()

    @asynccontextmanager
    async def answer(
        self, method: str, url: httpx.URL, headers: Mapping[str, str] | None = None, **content: Unpack[Content]
    ) -> AsyncIterator[httpx.Response]:
        """Send a call, whose answer is closed at the end of the block.

        Args:
            method: The method of HTTP.
            url: The address.
            headers: Headers of this call alone.
            content: What is sent.

        Returns:
            The answer, whose body has not been read.

        Raises:
            httpx.HTTPError, httpx.InvalidURL: No answer came.
        """
        request = httpx.Request(method, url, headers=self._headers, extensions={"timeout": self._timeout}, **content)
        if headers:
            request.headers.update(headers)
        client = self._idle.pop() if self._idle else self._another()
        try:
            response = await client._transport_for_url(url).handle_async_request(request)
            response.request = request
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            self._idle.append(client)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.aclose()

    def _another(self) -> httpx.AsyncClient:
        self._clients.append(self.make())
        return self._clients[-1]


@lru_cache(maxsize=64)
def read_address(address: str) -> httpx.URL:
    """An address, read once.

    Raises:
        httpx.InvalidURL: It cannot be read.
    """
    return httpx.URL(address)
