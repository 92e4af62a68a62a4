"""upload, submit, job, download: one HTTP call each, with every way to fail named.

What httpx raises is translated here, once. The difference that money hangs on: `Unreachable` means that nothing was
sent, `AnswerLost` that Krea may have acted. The token goes to the API alone; images are fetched by a client that has
none.
"""

import email.utils
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import httpx

from krea_pipe import __version__
from krea_pipe.api.wire import Job, as_json, asset_url, body_of, read_complaint, read_job, route_of
from krea_pipe.references import Image
from krea_pipe.request import Request
from krea_pipe.settings import Target, Token, is_loopback

MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_COMPLAINT_BYTES = 64 * 1024
MAX_RETRY_AFTER = 300.0
MAX_REDIRECTS = 5
CONNECTIONS = 32


class CallFailed(Exception):
    """A call did not bring what it was for; the message is one line for people."""


class Unreachable(CallFailed):
    """No connection was made, so Krea has seen nothing."""


class AnswerLost(CallFailed):
    """The request may have arrived, but its answer did not."""


class Refused(CallFailed):
    """Krea answered with an HTTP error. `retry_after` is in seconds, when the answer named a wait."""

    def __init__(self, status: int, complaint: str, retry_after: float | None) -> None:
        super().__init__(complaint)
        self.status, self.retry_after = status, retry_after


class BadImage(CallFailed):
    """What came is not the image that was announced."""


@dataclass(frozen=True, slots=True)
class Client:
    """Krea, as far as this program needs it."""

    api: httpx.AsyncClient
    files: httpx.AsyncClient
    token: Token
    may_look_here: bool

    async def submit(self, request: Request, urls: Mapping[str, str]) -> Job:
        """Start a job, which will be billed.

        Raises:
            Unreachable, Refused: no job exists. AnswerLost: one may exist.
        """
        body = await self._call("POST", route_of(request), json=body_of(request, urls))
        job = read_job(as_json(body))
        if job is None:
            raise AnswerLost("Krea accepted the request, but its answer names no job")
        return job

    async def job(self, job_id: str) -> Job:
        """Read one job.

        Raises:
            CallFailed: it could not be read.
        """
        job = read_job(as_json(await self._call("GET", f"/jobs/{quote(job_id, safe='')}")))
        if job is None or job.id != job_id:
            raise AnswerLost("the answer about a job could not be read")
        return job

    async def upload(self, image: Image, data: bytes) -> str:
        """Upload a reference's bytes and return its URL. Safe to repeat.

        Raises:
            CallFailed: it could not be uploaded.
        """
        name = image.label.rpartition("/")[2].encode("ascii", "replace").decode().replace("?", "_")
        parts = {"file": (name or "reference", data, image.mime or "application/octet-stream")}
        url = asset_url(as_json(await self._call("POST", "/assets", files=parts)))
        if url is None:
            raise AnswerLost("the answer to an upload names no URL")
        return url

    async def download(self, url: str) -> bytes:
        """Fetch an image, whole, following a few redirects: from https, or from this machine if the API is on it.

        Raises:
            CallFailed: it could not be fetched, or is not whole.
        """
        for _ in range(MAX_REDIRECTS + 1):
            _check_image_url(url, here=self.may_look_here)
            with _translated():
                async with self.files.stream("GET", url) as response:
                    if not response.is_success and not response.is_redirect:
                        raise await self._refusal(response)
                    if not response.is_redirect:
                        return await _image_bytes(response)
                    url = str(response.url.join(response.headers.get("location", "")))
        raise BadImage("the image's address leads from one redirect to the next")

    async def _call(self, method: str, path: str, **content: object) -> bytes:
        with _translated():
            async with self.api.stream(method, path, **content) as response:  # type: ignore[arg-type]
                if not response.is_success:
                    raise await self._refusal(response)
                return self.token.masked(await _bounded(response, MAX_ANSWER_BYTES))

    async def _refusal(self, response: httpx.Response) -> Refused:
        """An HTTP error in words. Its status counts even if its body does not arrive; a body may echo the token."""
        body = b""
        with suppress(httpx.HTTPError, httpx.StreamError):
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_COMPLAINT_BYTES:
                    break
        complaint = read_complaint(response.status_code, self.token.masked(body))
        return Refused(response.status_code, complaint, _retry_after(response))


@asynccontextmanager
async def open_client(
    target: Target, token: Token, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[Client]:
    """A client for one target; `transport` replaces the network, as the local Krea does."""
    timeout = httpx.Timeout(60, connect=15)
    agent = {"User-Agent": f"krea-pipe/{__version__}"}
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    here = is_loopback(urlsplit(target.base).hostname or "")
    verify = ssl.create_default_context() if transport is None and target.base.startswith("https") else True
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=target.base,
                headers={**agent, "Authorization": f"Bearer {token.secret}"},
                transport=transport,
                timeout=timeout,
                limits=limits,
                verify=verify,
                trust_env=not here,  # a proxy would carry the key off this machine in plain http
            )
        )
        files = await stack.enter_async_context(
            httpx.AsyncClient(
                headers={**agent, "Accept-Encoding": "identity"},
                transport=transport,
                timeout=timeout,
                limits=limits,
                verify=verify,
                trust_env=not here,
            )
        )
        yield Client(api, files, token, here)


class _translated:  # noqa: N801 (used like a function)
    """Turns what httpx raises into this module's words."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout() | httpx.UnsupportedProtocol():
                raise Unreachable(f"no connection: {_words(error)}") from error
            case httpx.HTTPError() | httpx.InvalidURL() | httpx.StreamError():
                raise AnswerLost(f"the answer was lost: {_words(error)}") from error


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


async def _bounded(response: httpx.Response, limit: int) -> bytes:
    parts, size = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise AnswerLost(f"the answer is larger than {limit:,} bytes")
    return b"".join(parts)


async def _image_bytes(response: httpx.Response) -> bytes:
    data = await _bounded(response, MAX_IMAGE_BYTES)
    declared = response.headers.get("content-length", str(len(data)))
    if declared != str(len(data)) and "content-encoding" not in response.headers:
        raise BadImage(f"{len(data):,} bytes came of the {declared} that were announced")
    if not data:
        raise BadImage("the image is empty")
    return data


def _check_image_url(url: str, *, here: bool) -> None:
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


def _retry_after(response: httpx.Response) -> float | None:
    """The wait that an answer asks for, in seconds or as a date; a longer one than five minutes is cut to them."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)
    return min(max(wait.total_seconds(), 0.0), MAX_RETRY_AFTER)
