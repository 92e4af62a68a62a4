"""submit, train, upload, job, jobs, style, styles, cancel, download: one HTTP call each, with every way to fail named.

What httpx raises is translated in `api.failures`, once. The difference that money hangs on: `Unreachable` means that
nothing was sent, `AnswerLost` that Krea may have acted. The token goes to the API alone.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookiejar import CookieJar
from urllib.parse import quote, urlsplit

import httpx

from krea_pipe._version import __version__
from krea_pipe.api.address import Allowed, guard, host_and_port_of
from krea_pipe.api.body import parts, read_body
from krea_pipe.api.clock import ServerClock
from krea_pipe.api.download import image_bytes, opened
from krea_pipe.api.echo import without_token
from krea_pipe.api.failures import AnswerLost, BadImage, CallFailed, Refused, masking, translated
from krea_pipe.api.patience import Patience, limited
from krea_pipe.api.wire import (
    Job,
    JobPage,
    Style,
    StylePage,
    as_json,
    asset_url,
    body_of,
    is_error_of_krea,
    read_complaint,
    read_http_date,
    read_job,
    read_page,
    read_style,
    read_styles,
    route_of,
)
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.masking import MASK
from krea_pipe.core.request import Request
from krea_pipe.core.settings import Target, Token, is_loopback
from krea_pipe.pipeline.references import Image

MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_COMPLAINT_BYTES = 64 * 1024
MAX_RETRY_AFTER = 300.0
API_CONNECTIONS = 12
FILE_CONNECTIONS = 20
"""32 in all: httpx pays for each open connection with every request, and its pool is unfair when it is full."""
DOWNLOAD_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Client:
    """Krea, as far as this program needs it."""

    api: httpx.AsyncClient
    files: httpx.AsyncClient
    token: Token
    allowed: Allowed
    clock: ServerClock = field(default_factory=ServerClock)
    api_lanes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(API_CONNECTIONS))
    file_lanes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(FILE_CONNECTIONS))
    patience: Patience = field(default_factory=Patience)

    async def submit(self, request: Request, urls: Mapping[str, str], webhook: str | None = None) -> Job:
        """Start a job, which will be billed; Krea tells `webhook` when it has ended.

        Raises:
            Unreachable, Refused: no job exists, unless `Refused.may_have_acted`. AnswerLost: one may exist.
        """
        headers = {} if webhook is None else {"X-Webhook-URL": webhook}
        return await self._started(route_of(request), body_of(request, urls), headers)

    async def train(self, body: Mapping[str, Json]) -> Job:
        """Start the training of a style, which will be billed.

        Raises:
            Unreachable, Refused: no job exists, unless `Refused.may_have_acted`. AnswerLost: one may exist.
        """
        return await self._started("/styles/train", body, {})

    async def job(self, job_id: str) -> Job:
        """Read one job.

        Raises:
            CallFailed: it could not be read.
        """
        job = read_job(await self._call("GET", _path_of(job_id)))
        if job is None or job.id != job_id:
            raise AnswerLost("the answer about a job could not be read")
        return job

    async def jobs(self, limit: int, before: str | None = None) -> JobPage:
        """The newest jobs of the account, at most 1,000, or those created before a time of Krea's.

        Raises:
            CallFailed: they could not be read.
        """
        query = {"limit": str(limit)} | ({} if before is None else {"cursor": before})
        page = read_page(await self._call("GET", "/jobs", params=query))
        if page is None:
            raise AnswerLost("the list of jobs could not be read")
        return page

    async def style(self, style_id: str) -> Style:
        """Read one style that this account may use.

        Raises:
            CallFailed: it could not be read.
        """
        style = read_style(await self._call("GET", f"/styles/{quote(style_id, safe='')}"))
        if style is None:
            raise AnswerLost("the answer about a style could not be read")
        return style

    async def styles(self, which: str, limit: int, after: str | None = None) -> StylePage:
        """Some of the styles that one of Krea's filters shows, at most 1,000, from a cursor on.

        Raises:
            CallFailed: they could not be read.
        """
        query = {"filter": which, "limit": str(limit)} | ({} if after is None else {"cursor": after})
        page = read_styles(await self._call("GET", "/styles", params=query))
        if page is None:
            raise AnswerLost("the list of styles could not be read")
        return page

    async def cancel(self, job_id: str) -> None:
        """Ask Krea to cancel a job; whether it did is seen when the job is read.

        Raises:
            CallFailed: it could not be asked.
        """
        await self._call("DELETE", _path_of(job_id))

    async def upload(self, image: Image, data: bytes) -> str:
        """Upload a reference's bytes and return its URL. Safe to repeat.

        Raises:
            CallFailed: it could not be uploaded.
        """
        name = image.label.rpartition("/")[2].encode("ascii", "replace").decode().replace("?", "_")
        parts = {"file": (name or "reference", data, image.mime or "application/octet-stream")}
        url = asset_url(await self._call("POST", "/assets", files=parts))
        if url is None:
            raise AnswerLost("the answer to an upload names no URL")
        if MASK in url:
            raise AnswerLost("the answer to an upload names a URL that holds the API key, which is written nowhere")
        return url

    async def download(self, url: str) -> bytes:
        """Fetch an image, whole, following a few redirects: from where `allowed` says that images may be.

        Raises:
            CallFailed: it could not be fetched, or is not whole.
        """
        with masking(self.token.masked):
            async with self.file_lanes, limited(DOWNLOAD_SECONDS), opened(self.files, url, self.allowed) as got:
                if not got.is_success:
                    raise await self._refusal(got)
                data = await image_bytes(got)
        if self.token.can_be_masked and self.token.secret.encode() in data:
            raise BadImage("the image holds the API key, which is written nowhere")
        return data

    async def _started(self, route: str, body: Mapping[str, Json], headers: Mapping[str, str]) -> Job:
        job = read_job(await self._call("POST", route, json=body, headers=headers))
        if job is None:
            raise AnswerLost("Krea accepted the request, but its answer names no job")
        return job

    async def _call(self, method: str, path: str, **content: object) -> Json:
        async with self.api_lanes, self.patience.limited():
            sent = self.clock.steady()
            with masking(self.token.masked), translated():
                async with self.api.stream(method, path, **content) as response:  # type: ignore[arg-type]
                    self.clock.observe(response.headers.get("date", ""), sent)
                    if not response.is_success:
                        raise await self._refusal(response)
                    body = await read_body(response, MAX_ANSWER_BYTES, inflates=True)
                    return without_token(as_json(body), self.token)

    async def _refusal(self, response: httpx.Response) -> Refused:
        """An HTTP error in words. Its status counts even if its body does not arrive; a body may echo the token."""
        body = b""
        with suppress(httpx.HTTPError, httpx.StreamError, CallFailed):
            async for part in parts(response, MAX_COMPLAINT_BYTES, inflates=True):
                body += part
        status, words = response.status_code, read_complaint(response.status_code, body, self.token)
        return Refused(status, words, _retry_after(response), is_kreas=is_error_of_krea(body))


@asynccontextmanager
async def open_client(
    target: Target, token: Token, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[Client]:
    """A client for one target; `transport` replaces the network, as the local Krea does.

    Raises:
        UsageError: a proxy of the environment cannot be used.
    """
    agent = {"User-Agent": f"krea-pipe/{__version__}"}
    here = is_loopback(urlsplit(target.base).hostname or "")
    verify = ssl.create_default_context() if transport is None and target.base.startswith("https") else True

    def opened_for(headers: Mapping[str, str], connections: int, base: str = "") -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=base,
            headers={**agent, **headers},
            transport=transport,
            cookies=_NoCookies(),
            timeout=httpx.Timeout(60, connect=15),
            # httpcore looks at every idle connection for each call, so few are kept.
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=8),
            verify=verify,
            trust_env=not here,  # a proxy would carry the key off this machine in plain http
        )

    async with AsyncExitStack() as stack:
        # Encodings that are named here are those that `api.body` takes.
        authorization = {"Authorization": f"Bearer {token.secret}", "Accept-Encoding": "gzip"}
        identity = {"Accept-Encoding": "identity"}
        with _named_proxies():
            opened = opened_for(authorization, API_CONNECTIONS, target.base), opened_for(identity, FILE_CONNECTIONS)
        api, files = [await stack.enter_async_context(one) for one in opened]
        allowed = Allowed(here, host_and_port_of(target.base))
        guard(files, allowed)
        yield Client(api, files, token, allowed)


class _NoCookies(CookieJar):
    """Keeps nothing: no call needs a cookie, and the reader of the standard library prints tracebacks on odd ones."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Leave an answer's cookies unread."""


@contextmanager
def _named_proxies() -> Iterator[None]:
    """Says that a proxy is wrong without its URL, which may hold a password."""
    hint = "look at HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or set NO_PROXY for the API's host"
    try:
        yield
    except ImportError as error:
        hint = "pip install 'httpx[socks]', or use an http proxy"
        raise UsageError(Problem("bad_proxy", "the environment names a SOCKS proxy", hint=hint)) from error
    except (ValueError, httpx.InvalidURL) as error:
        raise UsageError(Problem("bad_proxy", "the environment names a proxy that is none", hint=hint)) from error


def _path_of(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


def _retry_after(response: httpx.Response) -> float | None:
    """The wait that an answer asks for, in seconds or as a date; a longer one than five minutes is cut to them."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    moment = read_http_date(text)
    if moment is None:
        return None
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), MAX_RETRY_AFTER)
