"""Decides from which addresses images may be fetched: the public network, and this machine if the API is on it.

An API elsewhere must not make us call services on this machine or in its network. The check applies to the address of
the connection: a name is resolved once, its addresses are checked, and one of them is used. A proxy resolves names
itself, so behind a proxy only literal addresses can be checked.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import httpcore
import httpx

from krea_pipe.api.failures import BadImage
from krea_pipe.core.loopback import is_loopback
from krea_pipe.core.settings import DEFAULT_PORTS

_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_MOST_ADDRESSES = 4
"""Tried one after the other, sharing the time for connecting."""
_MAX_PORT = 65_535
_READ_AT_ONCE = 256 * 1024
"""Asyncio receives no more at a time."""

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(one)
    for one in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "3fff::/20")
)
"""Special networks (https://www.iana.org/assignments/iana-ipv4-special-registry) that some versions of Python take for
public ones, and the address at which each machine at Azure finds its host's services."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_MAX_NAME = 253
_INSIDE = "the image URL points to this machine or to a private network"


@dataclass(frozen=True, slots=True)
class AllowedAddresses:
    """The addresses from which images may be fetched.

    The API's own address is always allowed, because the user has set it.
    """

    here: bool
    api: tuple[str, int]

    def check(self, url: str) -> httpx.URL:
        """Check that the address of an image is https, or on this machine beside the API, without resolving its name.

        Raises:
            BadImage: it is neither, or no address at all.
        """
        parsed = _parsed(url)
        host, port = parsed.raw_host.decode("ascii"), parsed.port or DEFAULT_PORTS.get(parsed.scheme, 0)
        literal = literal_in(host)
        inside = is_loopback(host.rstrip(".")) or (literal is not None and literal.is_loopback)
        beside = inside and self.here and parsed.scheme in DEFAULT_PORTS
        if not beside and (inside or parsed.scheme != "https"):
            raise BadImage("the image URL is neither https nor on this machine beside the API")
        if port > _MAX_PORT:
            raise BadImage("the image URL has an invalid port")
        if literal is None and not _is_name(host):
            raise BadImage("the image URL has an invalid host")
        if literal is not None and not self.permits(literal, host, port):
            raise BadImage(_INSIDE)
        return parsed

    def permits(self, address: _IP, host: str, port: int) -> bool:
        """Whether krea-pipe may connect to an address of a host."""
        return is_public(address) or (self.here and address.is_loopback) or (host.lower(), port) == self.api


@lru_cache(maxsize=256)  # images come from few hosts
def is_public(address: _IP) -> bool:
    """Whether an address is one of the public network's; one that carries an IPv4 address is judged by that."""
    inner = _embedded_ipv4(address)
    if inner is not None:
        return is_public(inner)
    if any(address in network for network in _NOT_PUBLIC):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _GLOBAL_UNICAST and address.is_global
    return address.is_global and not address.is_multicast and not address.is_reserved


@lru_cache(maxsize=256)
def literal_in(host: str) -> _IP | None:
    """The address that a host is written as, in every form that resolvers take: `127.1`, `0x7f000001`, `2130706433`."""
    bare = host.rstrip(".").partition("%")[0]
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(bare))
    except (OSError, ValueError):
        return None


class LargeReads(httpcore.AsyncNetworkStream):
    """A connection whose every read takes what is there: httpcore reads 64 KiB, and TLS gives 16 KiB at a time.

    Each read costs as much in httpx and below as it takes to hash 150 KiB.
    """

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self.inner = inner
        self.tls: ssl.SSLObject | None = inner.get_extra_info("ssl_object")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read at least a byte, unless the connection has ended, and at most a little more than `_READ_AT_ONCE`."""
        first = await self.inner.read(max(max_bytes, _READ_AT_ONCE), timeout)
        return b"".join([first, *self._decrypted(len(first))]) if self.tls is not None and first else first

    def _decrypted(self, size: int) -> Iterator[bytes]:
        """What TLS has received besides; an error comes up again in the next read."""
        assert self.tls is not None
        with suppress(ssl.SSLError):
            while size < _READ_AT_ONCE and (part := self.tls.read(_READ_AT_ONCE)):
                size += len(part)
                yield part

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes."""
        await self.inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """End the connection."""
        await self.inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same connection in TLS."""
        return LargeReads(await self.inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> object:
        """What httpcore asks of a connection."""
        return self.inner.get_extra_info(info)


class ImageNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses for images, and checks each address as it connects."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend, allowed: AllowedAddresses) -> None:
        self.inner, self.allowed = inner, allowed

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to one of the addresses of a host, tried in the order of the resolver.

        Raises:
            BadImage: none of them is allowed. httpcore.ConnectError, httpcore.ConnectTimeout: none can be reached.
        """
        found = await _looked_up(host, port, timeout)
        addresses = [one for one in found if self.allowed.permits(one, host, port)][:_MOST_ADDRESSES]
        if not addresses:
            raise BadImage(_INSIDE)
        share = None if timeout is None else timeout / len(addresses)
        for number, address in enumerate(addresses, 1):
            try:
                stream = await self.inner.connect_tcp(str(address), port, share, local_address, socket_options)
                return LargeReads(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise AssertionError("the last address returns or raises")

    async def sleep(self, seconds: float) -> None:
        """Wait, for httpcore's retries."""
        await self.inner.sleep(seconds)


def restricted_to(allowed: AllowedAddresses, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client that connects to nothing but what is allowed, where no proxy does that for it."""
    transport = client._transport  # httpx has no public way to give its pool a network backend
    if isinstance(transport, httpx.AsyncHTTPTransport):
        pool = transport._pool
        pool._network_backend = ImageNetwork(pool._network_backend, allowed)
    return client


def host_and_port_of(base: str) -> tuple[str, int]:
    """Host and port of an address that has been checked."""
    parsed = httpx.URL(base)
    return parsed.raw_host.decode("ascii").lower(), parsed.port or DEFAULT_PORTS.get(parsed.scheme, 0)


def _parsed(url: str) -> httpx.URL:
    """An address as httpx reads it, which is what calls it: two readers of one address may see two hosts in it."""
    try:
        if url.isprintable():
            return httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise BadImage("the image address is not a URL") from error
    raise BadImage("the image address is not a URL")


def _is_name(host: str) -> bool:
    bare = host.removesuffix(".")
    return len(bare) <= _MAX_NAME and all(_LABEL.fullmatch(label) for label in bare.split("."))


def _embedded_ipv4(address: _IP) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address is a way to write, or to reach (RFC 4291, 6052, 3056)."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


async def _looked_up(host: str, port: int, seconds: float | None) -> list[_IP]:
    """The addresses of a host, each once."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpcore.ConnectTimeout("the host name lookup timed out") from error
    except (OSError, ValueError) as error:
        raise httpcore.ConnectError("the host name cannot be resolved") from error
    return list(dict.fromkeys(ipaddress.ip_address(sockaddr[0]) for *_, sockaddr in found))
