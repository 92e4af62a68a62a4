"""Reads the body of an answer: received unchanged, decompressed here and not by httpx, and never larger than a limit.

httpx decompresses every layer that `Content-Encoding` names before anyone can count: 275 bytes can become 2 GB. For
this reason its decoders are never used.
"""

import zlib
from collections.abc import AsyncIterator

import httpx

from krea_pipe.api.failures import AnswerLost

_GZIP = frozenset({"gzip", "x-gzip"})


async def read_body(response: httpx.Response, limit: int, *, inflates: bool) -> bytes:
    """The whole body of an answer.

    Args:
        response: an answer whose body has not been read.
        limit: the most bytes that it may have, as they come and inflated.
        inflates: whether one layer of gzip is taken.

    Raises:
        AnswerLost: it is larger, not whole, or in another encoding.
    """
    body = bytearray()  # one buffer: a body in parts of a byte each would take 40 times its size as a list
    async for part in parts(response, limit, inflates=inflates):
        body += part
    return bytes(body)


async def parts(response: httpx.Response, limit: int, *, inflates: bool) -> AsyncIterator[bytes]:
    """Read the body of an answer in parts, for callers that need what arrives before it fails; see `read_body`.

    Raises:
        AnswerLost: it is larger than the limit, not whole, or in another encoding.
    """
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS) if _is_compressed(response, inflates=inflates) else None
    came = made = 0
    async for raw in response.aiter_raw():
        came += len(raw)
        part = raw if stream is None else _inflated(stream, raw, limit - made + 1)
        made += len(part)
        yield part
        if max(came, made) > limit:
            raise AnswerLost(f"the answer is larger than {limit:,} bytes")
    if came and stream is not None and not stream.eof:
        raise AnswerLost("the compressed answer is truncated")


class SecretScan:
    """Finds a secret in a body that arrives in parts, also across several of them."""

    def __init__(self, secret: bytes) -> None:
        """Look for a secret.

        Args:
            secret: what must not be in the body; nothing is found if it is empty.
        """
        self._secret, self._before = secret, b""

    def finds(self, part: bytes) -> bool:
        """Whether the secret ends in the next part."""
        if not self._secret:
            return False
        reach = len(self._secret) - 1
        border = self._before + part[:reach]
        found = self._secret in border or self._secret in part
        last = part if len(part) >= reach else border
        self._before = last[len(last) - min(reach, len(last)) :]
        return found


def _is_compressed(response: httpx.Response, *, inflates: bool) -> bool:
    """Whether a body is one layer of gzip; False if it is uncompressed, which headers express in several ways."""
    named = response.headers.get_list("content-encoding", split_commas=True)
    encodings = [one for one in (name.strip().lower() for name in named) if one not in ("", "identity")]
    if not encodings:
        return False
    if inflates and len(encodings) == 1 and encodings[0] in _GZIP:
        return True
    layers = f" ({len(encodings):,} layers)" if len(encodings) > 1 else ""
    raise AnswerLost(f"the answer has a content encoding that was not requested{layers}")


def _inflated(stream: "zlib._Decompress", raw: bytes, most: int) -> bytes:
    """Decompress one gzip member, up to `most` bytes; bytes beyond that are never read."""
    try:
        part = stream.decompress(raw, most) if not stream.eof else b""
    except zlib.error as error:
        raise AnswerLost("the answer is marked as compressed but cannot be decompressed") from error
    if stream.unused_data or (stream.eof and not part and raw):
        raise AnswerLost("the answer has more data after its compressed part")
    return part
