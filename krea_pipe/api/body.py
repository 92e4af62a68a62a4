"""The body of an answer: read as it came, inflated here and not by httpx, and never larger than a limit.

httpx inflates whatever `Content-Encoding` names, in as many layers as it names, before anyone can count: 275 bytes can
stand for 2 GB. So its decoders are never asked.
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
    """The body of an answer in parts, for those who want what comes before it fails; see `read_body`.

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


def _is_compressed(response: httpx.Response, *, inflates: bool) -> bool:
    """Whether a body is one layer of gzip, if it is not as it is; no encoding may be said in many ways."""
    named = response.headers.get_list("content-encoding", split_commas=True)
    encodings = [one for one in (name.strip().lower() for name in named) if one not in ("", "identity")]
    if not encodings:
        return False
    if inflates and len(encodings) == 1 and encodings[0] in _GZIP:
        return True
    layers = f" ({len(encodings):,} layers)" if len(encodings) > 1 else ""
    raise AnswerLost(f"the answer has a content encoding that was not requested{layers}")


def _inflated(stream: "zlib._Decompress", raw: bytes, most: int) -> bytes:
    """Bytes of one gzip member, and nothing behind it; what is left over beyond `most` is never looked at."""
    try:
        part = stream.decompress(raw, most) if not stream.eof else b""
    except zlib.error as error:
        raise AnswerLost("the answer is marked as compressed but cannot be decompressed") from error
    if stream.unused_data or (stream.eof and not part and raw):
        raise AnswerLost("the answer has more data after its compressed part")
    return part
