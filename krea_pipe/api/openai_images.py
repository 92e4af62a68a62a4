"""Draws with a server that has OpenAI's image API: vLLM-Omni or SGLang, one `Backend` for each of its addresses.

Both servers accept fields that they do not know, and answer with what they like: so all fields are sent, and each
answer is checked.
"""

import asyncio
import binascii
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx

from krea_pipe._version import __version__
from krea_pipe.api.body import parts, read_body
from krea_pipe.api.drawn_image import check_drawn
from krea_pipe.api.engine import DrawFailed
from krea_pipe.api.engine_checks import check_server
from krea_pipe.api.engine_requests import image_request
from krea_pipe.api.error_words import as_json, read_refusal
from krea_pipe.api.failures import BadImage, CallFailed, Refused, masking, translated
from krea_pipe.api.sglang_loras import SglangLoras
from krea_pipe.core.dialects import DIALECTS
from krea_pipe.core.engine import Dialect, Drawing, EngineSpec
from krea_pipe.core.engine_address import address_problem
from krea_pipe.core.errors import UsageError
from krea_pipe.core.json_data import Json, list_in
from krea_pipe.core.loopback import is_loopback
from krea_pipe.core.outcome import Failure, FailureClass
from krea_pipe.core.settings import Token, origin_of

_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 2.0
"""uvicorn closes connections that were idle for 5 s, and a request that meets the end of one is lost."""
_MAX_SMALL_ANSWER = 1024 * 1024
_MAX_REFUSAL = 64 * 1024
_OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemory|CUDNN_STATUS_ALLOC_FAILED|CUBLAS_STATUS_ALLOC_FAILED", re.I)
_ABOUT_LORA = re.compile(r"\b(?:lora|adapter|peft)", re.IGNORECASE)
_OF_THE_IMAGE = frozenset({400, 413, 422})
"""The statuses with which a server refuses what it is asked for; others are about the server itself."""


@dataclass(slots=True)
class ImageServer:
    """One server; `url` is the address of its API without a slash at the end, `key` is sent there if there is one."""

    spec: EngineSpec
    url: str
    http: httpx.AsyncClient
    key: Token | None = None
    _loras: SglangLoras = field(init=False)

    def __post_init__(self) -> None:
        self._loras = SglangLoras(self.call)

    @property
    def dialect(self) -> Dialect:
        """How the server speaks."""
        return self.spec.dialect or "vllm-omni"

    async def check(self) -> None:
        """See that the server is there, and is the one that the pipeline file describes.

        Raises:
            KreaPipeError: it is not; the error says what to do.
        """
        await check_server(self)

    async def draw(self, drawing: Drawing) -> bytes:
        """Draw one image.

        Args:
            drawing: what to draw.

        Returns:
            The bytes of a PNG of exactly that width and height.

        Raises:
            DrawFailed: it was not drawn.
        """
        most = DIALECTS[self.dialect].most_loras
        if most is not None and len(drawing.loras) > most:
            message = f"{self.dialect} takes {most} LoRA for an image, and this one has {len(drawing.loras)}"
            raise DrawFailed(Failure("too_many_loras", message, "refused"))
        try:
            async with asyncio.timeout(self.spec.seconds):
                if self.dialect == "sglang":
                    data = await self._loras.drawn(drawing.loras, lambda: self._image(drawing))
                else:
                    data = await self._image(drawing)
        except CallFailed as error:
            raise _draw_failed(error, drawing, self.url) from error
        except TimeoutError as error:
            message = f"the engine at {self.url} drew no image in {self.spec.seconds:g} s"
            raise DrawFailed(Failure("engine_timeout", message, "transient"), is_replica=True) from error
        await asyncio.to_thread(check_drawn, data, drawing)
        return data

    async def call(self, method: str, path: str, body: Json = None, limit: int = _MAX_SMALL_ANSWER) -> Json:
        """Ask the server something.

        Args:
            method: the method.
            path: a path below the API's address, or an address.
            body: JSON data to send, None for none.
            limit: the most bytes that the answer may have.

        Returns:
            The JSON data of the answer; None if it is no JSON.

        Raises:
            CallFailed: there was no answer, or an error.
        """
        return as_json(await self._bytes(method, path, body, limit))

    async def _bytes(self, method: str, path: str, body: Json, limit: int) -> bytes:
        with masking(self._masked), translated():
            content = {} if body is None else {"json": body}
            async with self.http.stream(method, path, **content) as response:  # type: ignore[arg-type]
                if not response.is_success:
                    raise await self._refusal(response)
                return await read_body(response, limit, inflates=False)

    async def _refusal(self, response: httpx.Response) -> Refused:
        body = b""
        with suppress(httpx.HTTPError, httpx.StreamError, CallFailed):
            async for part in parts(response, _MAX_REFUSAL, inflates=False):
                body += part
        return Refused(response.status_code, read_refusal(response.status_code, body, self.key), None, is_kreas=False)

    def _masked(self, text: str) -> str:
        return text if self.key is None else self.key.masked(text)

    async def _image(self, drawing: Drawing) -> bytes:
        request = image_request(self.dialect, self.spec.identity, drawing)
        limit = _most_bytes(drawing)
        answer = await self.call("POST", "/images/generations", request, limit * 4 // 3 + _MAX_SMALL_ANSWER)
        images = list_in(answer, "data") if isinstance(answer, dict) else []
        first = images[0] if images and isinstance(images[0], dict) else {}
        match first:
            case {"b64_json": str(text)}:
                return _decoded(text)
            case {"url": str(url)}:
                return await self._bytes("GET", self._own_address(url), None, limit)
        raise BadImage("the answer contains no image")

    def _own_address(self, url: str) -> str:
        """The address of an image on this server; SGLang may name a path alone."""
        try:
            whole = str(httpx.URL(self.url + "/").join(url))
        except (httpx.InvalidURL, ValueError) as error:
            raise BadImage("the answer names the image with something that is not a URL") from error
        if _origin(whole) != _origin(self.url):
            raise BadImage("the answer names an image on another server, which is not fetched")
        return whole


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return origin_of(f"{parts.scheme}://{parts.netloc}")


def _most_bytes(drawing: Drawing) -> int:
    """The bytes of a PNG that is not compressed, with 16 bits for each of four channels."""
    return drawing.width * drawing.height * 8 + _MAX_SMALL_ANSWER


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise BadImage("the image in the answer is not in base64") from error


def _draw_failed(error: CallFailed, drawing: Drawing, url: str) -> DrawFailed:
    said = f"the engine at {url}: {error}"
    if isinstance(error, BadImage):
        return DrawFailed(Failure("engine_answer", said), is_replica=True)
    if not isinstance(error, Refused):
        code = "engine_answer_lost" if error.may_have_acted else "engine_unreachable"
        return DrawFailed(Failure(code, said, "transient"), is_replica=True)
    if error.status != HTTPStatus.SERVICE_UNAVAILABLE and _OUT_OF_MEMORY.search(str(error)):
        message = f"{drawing.width} x {drawing.height} pixels are too many for the engine's memory; {said}"
        return DrawFailed(Failure("out_of_memory", message))
    if drawing.loras and _ABOUT_LORA.search(str(error)):
        return DrawFailed(Failure("lora_failed", f"the engine cannot use a LoRA; {said}", "refused"))
    if error.status in _OF_THE_IMAGE:
        return DrawFailed(Failure("engine_refused", said, "refused"))
    kind: FailureClass = "transient" if error.status >= 500 or error.status in (408, 429) else "refused"
    return DrawFailed(Failure("engine_failed", said, kind), is_replica=True)


@asynccontextmanager
async def open_image_server(spec: EngineSpec, url: str, key: Token | None = None) -> AsyncIterator[ImageServer]:
    """A server, whose connections are closed at the end of the `with` block.

    Args:
        spec: the engine.
        url: one of its addresses.
        key: the key that is sent there, if any.

    Returns:
        The server.

    Raises:
        UsageError: the address cannot be used, or the key must not be sent there.
    """
    problem = address_problem(url, has_key=key is not None)
    if problem is not None:
        raise UsageError(problem)
    base, headers = url.rstrip("/"), {"User-Agent": f"krea-pipe/{__version__}", "Accept-Encoding": "identity"}
    async with httpx.AsyncClient(
        base_url=base,
        headers=headers if key is None else {**headers, "Authorization": f"Bearer {key.secret}"},
        timeout=httpx.Timeout(spec.seconds, connect=_CONNECT_SECONDS),
        # One more than the images: what checks the server does not wait for them.
        limits=httpx.Limits(max_connections=spec.parallel + 1, keepalive_expiry=_IDLE_SECONDS),
        verify=ssl.create_default_context() if base.startswith("https") else True,
        trust_env=not is_loopback(urlsplit(base).hostname or ""),  # a proxy is on another machine
    ) as http:
        yield ImageServer(spec, base, http, key)
