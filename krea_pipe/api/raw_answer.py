"""An answer with its status, its headers and the form of its body, for observing Krea's behaviour."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from krea_pipe.api.body import parts
from krea_pipe.api.client import Client
from krea_pipe.api.connections import read_address
from krea_pipe.api.error_words import as_json, is_error_of_krea, read_refusal
from krea_pipe.api.failures import CallFailed, masking, translated
from krea_pipe.api.wire import read_http_date
from krea_pipe.core.json_data import Json

_MAX_BYTES = 4_000_000
_MAX_DEPTH = 6
_MAX_KEYS = 40
_TOLD = re.compile(r"retry-after|deprecation|sunset|link|(x-)?rate-?limit.*", re.IGNORECASE)
"""Headers that say something of limits and of the end of an API."""


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One answer to one call.

    `sent` and `received` are times of this machine, `date` is the time that the answer gives, all in UTC. `data` is the
    body if it is JSON, without the token. `words` are what an error says, and `is_understood` says whether a body has
    the form of Krea's errors.
    """

    method: str
    path: str
    status: int
    content_type: str
    data: Json
    words: str
    is_understood: bool
    sent: datetime
    received: datetime
    date: datetime | None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> Json:
        """The keys of the body with the types of their values."""
        return _shape_of(self.data, 0)


async def ask_raw(
    client: Client,
    method: str,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    json: Mapping[str, Json] | None = None,
) -> RawAnswer:
    """Send one call and return its answer, even if it is an error.

    Args:
        client: for the account.
        method: of HTTP.
        path: below the address of the API.
        params: the query.
        json: the body.

    Returns:
        The answer.

    Raises:
        CallFailed: None came, or it is cut off or too large.
    """
    async with client.api.slots, client.time_limit.limited():
        sent = datetime.now(UTC)
        with masking(client.token.masked), translated():
            url = read_address(client.base + path)
            async with client.api.answer(method, url, params=params, json=json) as response:
                received = datetime.now(UTC)
                body = await _body_of(response)
    told = {name.lower(): client.token.masked(text) for name, text in response.headers.items() if _TOLD.fullmatch(name)}
    return RawAnswer(
        method=method,
        path=path,
        status=response.status_code,
        content_type=response.headers.get("content-type", "").partition(";")[0].strip().lower(),
        data=client.token.masked_data(as_json(body)),
        words="" if response.is_success else read_refusal(response.status_code, body, client.token),
        is_understood=is_error_of_krea(body),
        sent=sent,
        received=received,
        date=read_http_date(response.headers.get("date", "")),
        headers=told,
    )


async def _body_of(response: httpx.Response) -> bytes:
    body = b""
    if response.is_success:
        async for part in parts(response, _MAX_BYTES, inflates=True):
            body += part
        return body
    with suppress(httpx.HTTPError, httpx.StreamError, CallFailed):  # an error counts by its status
        async for part in parts(response, _MAX_BYTES, inflates=True):
            body += part
    return body


def _shape_of(data: Json, depth: int) -> Json:
    match data:
        case dict() if depth < _MAX_DEPTH:
            return {key: _shape_of(one, depth + 1) for key, one in list(data.items())[:_MAX_KEYS]}
        case list() if depth < _MAX_DEPTH:
            return [_shape_of(data[0], depth + 1)] if data else []
        case None:
            return None
        case bool():
            return "true or false"
        case int() | float():
            return "number"
        case str():
            return "text"
    return "…"
