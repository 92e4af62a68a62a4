"""submit, train, upload, job, jobs, style, styles, cancel, download: one HTTP call each, with every way to fail named.

What httpx raises is translated in `api.failures`, once. The difference that money hangs on: `Unreachable` means that
nothing was sent, `AnswerLost` that Krea may have acted. The token goes to the API alone.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias, Unpack
from urllib.parse import quote, urlsplit

import httpx

from krea_pipe._version import __version__
from krea_pipe.api.address import AllowedAddresses, host_and_port_of, restricted_to
from krea_pipe.api.body import SecretScan, parts, read_body
from krea_pipe.api.clock import ServerClock
from krea_pipe.api.connections import LIMITS, Connections, Content, read_address
from krea_pipe.api.deprecation import Deprecations
from krea_pipe.api.error_words import as_json, is_error_of_krea, is_rejection, one_line, read_refusal, words_in
from krea_pipe.api.failures import REJECTED, AnswerLost, BadImage, CallFailed, Refused, masking, translated
from krea_pipe.api.wire import (
    ADDRESS_FIELDS,
    Job,
    JobPage,
    PageReader,
    Style,
    StylePage,
    asset_url,
    body_of,
    read_http_date,
    read_job,
    read_style,
    read_styles,
    route_of,
)
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.loopback import is_loopback
from krea_pipe.core.request import Request, Source
from krea_pipe.core.secret_kinds import MASK
from krea_pipe.core.settings import Target, Token
from krea_pipe.pipeline.references import Image

MAX_ANSWER_BYTES = 8 * 1024 * 1024
_MAX_REFUSAL_BYTES = 64 * 1024
_MAX_RETRY_AFTER = 300.0
_API_CONNECTIONS = 12
_FILE_CONNECTIONS = 20
CALL_SECONDS = 120.0
_DOWNLOAD_SECONDS = 600.0
_MAX_IMAGE_BYTES = 64 * 1024 * 1024
_MAX_REDIRECTS = 5
TakePart: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Takes the next part of an image."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(slots=True)
class CallTimeLimit:
    """The maximum duration of a call to the API in seconds, and the calls in progress.

    A server that sends a byte now and then trips no other time-out.
    """

    seconds: float = CALL_SECONDS
    _open: set[asyncio.Timeout] = field(default_factory=set)

    @asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """End what takes too long.

        Raises:
            AnswerLost: it was ended.
        """
        async with _limited(self.seconds) as timeout:
            self._open.add(timeout)
            try:
                yield
            finally:
                self._open.discard(timeout)

    def cut(self, seconds: float) -> None:
        """Limit each call, including those in progress, to a number of seconds from now."""
        self.seconds = min(seconds, self.seconds)
        latest = asyncio.get_running_loop().time() + self.seconds
        for timeout in self._open:
            if not timeout.expired() and (timeout.when() or latest) > latest:
                timeout.reschedule(latest)


@dataclass(frozen=True, slots=True)
class Client:
    """Krea, as far as this program needs it."""

    base: str
    api: Connections
    files: Connections
    token: Token
    allowed: AllowedAddresses
    clock: ServerClock = field(default_factory=ServerClock)
    time_limit: CallTimeLimit = field(default_factory=CallTimeLimit)
    deprecations: Deprecations = field(default_factory=Deprecations)
    pages: PageReader = field(default_factory=PageReader)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The deprecated routes that this program uses."""
        hint = "look for a newer version of krea-pipe"
        return tuple(Problem("deprecated_route", words, hint=hint) for words in self.deprecations.by_route.values())

    async def submit(self, request: Request, urls: Mapping[Source, str], webhook: str | None = None) -> Job:
        """Start a job, which will be billed.

        Args:
            request: What to generate.
            urls: The URL of each uploaded image, by its source.
            webhook: The URL that Krea tells when the job has ended, if any.

        Returns:
            The new job.

        Raises:
            Unreachable, Refused: No job exists, unless `Refused.may_have_acted`.
            AnswerLost: One may exist.
        """
        headers = {} if webhook is None else {"X-Webhook-URL": webhook}
        return await self._started(route_of(request), body_of(request, urls), headers)

    async def train(self, body: Mapping[str, Json]) -> Job:
        """Start the training of a style, which will be billed.

        Args:
            body: The JSON of the request.

        Returns:
            The new job.

        Raises:
            Unreachable, Refused: No job exists, unless `Refused.may_have_acted`.
            AnswerLost: One may exist.
        """
        return await self._started("/styles/train", body, {})

    async def job(self, job_id: str) -> Job:
        """Read one job.

        Args:
            job_id: Its id.

        Returns:
            The job as it is now.

        Raises:
            CallFailed: It could not be read.
        """
        job = read_job(await self._call("GET", _path_of(job_id)))
        if job is None or job.id != job_id:
            raise AnswerLost("the answer about a job could not be read")
        return job

    async def jobs(self, limit: int, before: str | None = None) -> JobPage:
        """Read a page of the list of jobs.

        Args:
            limit: The most jobs, up to 1,000.
            before: A time of Krea's, for the jobs created before it; None for the newest.

        Returns:
            Jobs of the account, newest first.

        Raises:
            CallFailed: They could not be read.
        """
        query = {"limit": str(limit)} | ({} if before is None else {"cursor": before})
        page = self.pages.page(await self._call("GET", "/jobs", params=query))
        if page is None:
            raise AnswerLost("the list of jobs could not be read")
        return page

    async def style(self, style_id: str) -> Style:
        """Read one style that this account may use.

        Args:
            style_id: Its id.

        Returns:
            The style.

        Raises:
            CallFailed: It could not be read.
        """
        style = read_style(await self._call("GET", f"/styles/{quote(style_id, safe='')}"))
        if style is None:
            raise AnswerLost("the answer about a style could not be read")
        return style

    async def styles(self, which: str, limit: int, after: str | None = None) -> StylePage:
        """Read a page of the styles that one of Krea's filters shows.

        Args:
            which: The filter's name.
            limit: The most styles, up to 1,000.
            after: The cursor of the page before; None for the first page.

        Returns:
            Some of the styles.

        Raises:
            CallFailed: They could not be read.
        """
        query = {"filter": which, "limit": str(limit)} | ({} if after is None else {"cursor": after})
        page = read_styles(await self._call("GET", "/styles", params=query))
        if page is None:
            raise AnswerLost("the list of styles could not be read")
        return page

    async def cancel(self, job_id: str) -> None:
        """Ask Krea to cancel a job; whether it did is seen when the job is read.

        Args:
            job_id: Its id.

        Raises:
            CallFailed: It could not be asked.
        """
        await self._call("DELETE", _path_of(job_id))

    async def upload(self, image: Image, data: bytes) -> str:
        """Upload a reference, which is safe to repeat.

        Args:
            image: What it is called, and its media type.
            data: Its bytes.

        Returns:
            Its URL at Krea.

        Raises:
            CallFailed: It could not be uploaded.
        """
        name = image.label.rpartition("/")[2].encode("ascii", "replace").decode().replace("?", "_")
        parts = {"file": (name or "reference", data, image.mime or "application/octet-stream")}
        url = asset_url(await self._call("POST", "/assets", files=parts))
        if url is None:
            raise AnswerLost("the answer to an upload contains no URL")
        if MASK in url:
            raise AnswerLost("the answer to an upload contains a URL with the API key, which is never stored")
        return url

    async def download(self, url: str) -> bytes:
        """Fetch an image into memory; see `receive`.

        Args:
            url: Where Krea says that it is; one that is relative begins at the API.

        Returns:
            Its bytes.

        Raises:
            CallFailed: It could not be fetched, or is not whole.
        """
        data = bytearray()

        async def write(part: bytes) -> None:
            data.extend(part)

        await self.receive(url, write)
        return bytes(data)

    async def receive(self, url: str, write: TakePart) -> None:
        """Fetch an image, whole, following a few redirects: from where `allowed` says that images may be.

        Args:
            url: Where Krea says that it is; one that is relative begins at the API.
            write: Takes each part as it arrives. What it was given counts only once all have arrived.

        Raises:
            CallFailed: It could not be fetched, or is not whole.
        """
        scan = SecretScan(self.token.secret.encode() if self.token.can_be_masked else b"")

        async def checked(part: bytes) -> None:
            if scan.finds(part):
                raise BadImage("the image contains the API key, which is never stored")
            await write(part)

        with masking(self.token.masked):
            whole = _absolute(url, self.base)
            async with self.files.slots, _limited(_DOWNLOAD_SECONDS), _opened(self.files, whole, self.allowed) as got:
                if not got.is_success:
                    raise await self._refusal(got)
                await _received(got, checked)

    async def _started(self, route: str, body: Mapping[str, Json], headers: Mapping[str, str]) -> Job:
        data = await self._call("POST", route, json=body, headers=headers)
        job = read_job(data)
        if job is None and is_rejection(data):
            raise Refused(REJECTED, one_line(f"{REJECTED} {words_in(data)}"), None, is_kreas=True)
        if job is None:
            raise AnswerLost("Krea accepted the request, but its answer contains no job id")
        return job

    async def _call(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **content: Unpack[Content]
    ) -> Json:
        async with self.api.slots, self.time_limit.limited():
            sent = self.clock.steady()
            with masking(self.token.masked), translated():
                async with self.api.answer(method, read_address(self.base + path), headers, **content) as response:
                    self.clock.observe(response.headers.get("date", ""), sent)
                    if not response.is_success:
                        raise await self._refusal(response)
                    self.deprecations.note(method, path, response.headers, self.token.masked)
                    body = await read_body(response, MAX_ANSWER_BYTES, inflates=True)
                    data = as_json(body)
                    return data if self.token.is_absent(body) else _without_token(data, self.token)

    async def _refusal(self, response: httpx.Response) -> Refused:
        """An HTTP error in words. Its status counts even if its body does not arrive; a body may echo the token."""
        body = b""
        with suppress(httpx.HTTPError, httpx.StreamError, CallFailed):
            async for part in parts(response, _MAX_REFUSAL_BYTES, inflates=True):
                body += part
        status, words = response.status_code, read_refusal(response.status_code, body, self.token)
        return Refused(status, words, _retry_after(response), is_kreas=is_error_of_krea(body))


@asynccontextmanager
async def open_client(
    target: Target, token: Token, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[Client]:
    """A client for one target, closed at the end of the `with` block.

    Args:
        target: The API.
        token: The key, which is sent to the API alone.
        transport: What replaces the network, as the local Krea does.

    Returns:
        The client.

    Raises:
        UsageError: A proxy of the environment cannot be used.
    """
    agent = {"User-Agent": f"krea-pipe/{__version__}"}
    here = is_loopback(urlsplit(target.base).hostname or "")
    allowed = AllowedAddresses(here, host_and_port_of(target.base))
    verify = True if transport is not None else ssl.create_default_context()

    def client_for(headers: Mapping[str, str]) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            headers={**agent, **headers},
            transport=transport,
            timeout=httpx.Timeout(60, connect=15),
            limits=LIMITS,
            verify=verify,
            trust_env=not here,  # a proxy would carry the key off this machine in plain http
        )

    def for_api() -> httpx.AsyncClient:
        # Encodings that are named here are those that `api.body` takes.
        return client_for({"Authorization": f"Bearer {token.secret}", "Accept-Encoding": "gzip"})

    def for_files() -> httpx.AsyncClient:
        return restricted_to(allowed, client_for({"Accept-Encoding": "identity"}))

    with _named_proxies():
        api = Connections(for_api, asyncio.Semaphore(_API_CONNECTIONS))
        files = Connections(for_files, asyncio.Semaphore(_FILE_CONNECTIONS))
    try:
        yield Client(target.base, api, files, token, allowed)
    finally:
        await api.close()
        await files.close()


@asynccontextmanager
async def _limited(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Treat a call that takes longer than some seconds as a lost answer."""
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield timeout
    except TimeoutError as error:
        raise AnswerLost("no complete answer arrived in time", is_given_up=True) from error


def _absolute(url: str, base: str) -> str:
    """The absolute address of an image; text that is not an address is returned unchanged, and refused later."""
    if _SCHEME.match(url) or not url.isprintable():
        return url
    try:
        return str(httpx.URL(f"{base}/").join(url))
    except (httpx.InvalidURL, ValueError):
        return url


@asynccontextmanager
async def _opened(files: Connections, url: str, allowed: AllowedAddresses) -> AsyncIterator[httpx.Response]:
    """The answer to a GET after a few redirects, each of which is checked like the first address."""
    for _ in range(_MAX_REDIRECTS + 1):
        address = allowed.check(url)
        with translated():
            async with files.answer("GET", address) as response:
                if not response.is_redirect:
                    yield response
                    return
                url = _redirected(response)
    raise BadImage("the image URL redirects too many times")


async def _received(response: httpx.Response, write: TakePart) -> None:
    """Pass on the body of an answer; an image is compressed in itself, and so in no other way.

    Raises:
        BadImage: it is not whole, or empty.
    """
    size = 0
    async for part in parts(response, _MAX_IMAGE_BYTES, inflates=False):
        size += len(part)
        await write(part)
    declared = response.headers.get("content-length", str(size))
    if declared != str(size):
        raise BadImage(f"{size:,} of {declared} announced bytes arrived")
    if not size:
        raise BadImage("the image is empty")


def _redirected(response: httpx.Response) -> str:
    """The target of a redirect; for invalid addresses, httpx raises errors that are not its own."""
    try:
        return str(response.url.join(response.headers.get("location", "")))
    except (httpx.InvalidURL, ValueError) as error:
        raise BadImage("the image redirects to something that is not a URL") from error


def _without_token(data: Json, token: Token) -> Json:
    """An answer without the token; addresses of images, which are fetched but never written, are unchanged."""
    clean = token.masked_data(data)
    for own, other in _jobs_in(data, clean):
        result, masked = own.get("result"), other.get("result")
        if isinstance(result, dict) and isinstance(masked, dict):
            masked |= {name: one for name, one in result.items() if name in ADDRESS_FIELDS}
        elif isinstance(result, str | list):
            other["result"] = result
    return clean


def _jobs_in(data: Json, clean: Json) -> Iterator[tuple[dict[str, Json], dict[str, Json]]]:
    """Candidates for jobs in an answer: the answer itself, and the items of its lists, each with its masked form."""
    if isinstance(data, dict) and isinstance(clean, dict):
        yield data, clean
        listed, masked = data.get("items"), clean.get("items")
        if isinstance(listed, list) and isinstance(masked, list):
            pairs = zip(listed, masked, strict=True)
            yield from ((one, other) for one, other in pairs if isinstance(one, dict) and isinstance(other, dict))


@contextmanager
def _named_proxies() -> Iterator[None]:
    """Says that a proxy is wrong without its URL, which may hold a password."""
    hint = "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or set NO_PROXY for the API's host"
    try:
        yield
    except ImportError as error:
        hint = "pip install 'httpx[socks]', or use an http proxy"
        raise UsageError(Problem("bad_proxy", "the environment sets a SOCKS proxy", hint=hint)) from error
    except (ValueError, httpx.InvalidURL) as error:
        raise UsageError(Problem("bad_proxy", "the environment sets an invalid proxy", hint=hint)) from error


def _path_of(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


def _retry_after(response: httpx.Response) -> float | None:
    """The wait that an answer asks for, in seconds or as a date; a longer one than five minutes is cut to them."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _MAX_RETRY_AFTER)
    moment = read_http_date(text)
    if moment is None:
        return None
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), _MAX_RETRY_AFTER)
