"""The engine `diffusers`: draws with Krea 2 in this process, on one device.

All work of torch is done by one thread, one image after the other, so that the event loop goes on. Pictures are
compressed by other threads while the next one is drawn.
"""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from krea_pipe.api.engine import DrawFailed
from krea_pipe.core.engine import Drawing, EngineSpec
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.outcome import Failure

if TYPE_CHECKING:
    from PIL.Image import Image

    from krea_pipe.api.diffusers_pipeline import LoadedPipeline

MULTIPLE = 16
"""Pixels: width and height are multiples of it, and diffusers rounds others up."""
INSTALL = "pip install 'krea-pipe[diffusers]'"
OUT_OF_MEMORY = "out_of_memory"
"""The code of the failure of an image for which the memory of the device is not enough."""
_MAX_SEED = 2**63 - 1
_Value = TypeVar("_Value")


def _warn_nobody(_: Problem) -> None:
    """The default of a backend, which tells nobody."""


class DiffusersBackend:
    """A `Backend` that loads the model for the first image and keeps it.

    Args:
        spec: the engine, of kind `diffusers`.
        warn: is told, in the event loop of the call, what an image does not have of its drawing.
        loaded: a model that is loaded already.
    """

    def __init__(
        self,
        spec: EngineSpec,
        warn: Callable[[Problem], None] = _warn_nobody,
        loaded: "LoadedPipeline | None" = None,
    ) -> None:
        self._spec, self._warn = spec, warn
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="krea-pipe-diffusers")
        self._folder: Path | None = None
        self._loaded: LoadedPipeline | Failure | None = loaded

    async def check(self) -> None:
        """See that diffusers, the device and the model are there, without loading the model.

        Raises:
            UsageError: diffusers is not installed or has another version, or there is no such device.
            StateError: the model is not on this machine, is not Krea 2, or could run code.
        """
        await self._in_thread(self._check)

    async def draw(self, drawing: Drawing) -> bytes:
        """Draw one image; a cancelled call ends after the step that is being calculated.

        Args:
            drawing: what to draw.

        Returns:
            The bytes of a PNG of exactly that width and height, which are the same each time.

        Raises:
            DrawFailed: it was not drawn. KreaPipeError: as for `check`.
        """
        if failure := refusal_of(drawing):
            raise DrawFailed(failure)
        stopped = threading.Event()
        try:
            return await self._draw(drawing, stopped.is_set)
        finally:
            stopped.set()

    async def close(self) -> None:
        """Wait for the image that is being drawn, drop the others, and free the memory."""
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)
        self._loaded = None

    async def _draw(self, drawing: Drawing, is_stopped: Callable[[], bool]) -> bytes:
        loop = asyncio.get_running_loop()

        def warn(problem: Problem) -> None:
            loop.call_soon_threadsafe(self._warn, problem)

        image = await self._in_thread(lambda: self._draw_in_thread(drawing, warn, is_stopped))
        return await asyncio.to_thread(_encode, image)

    async def _in_thread(self, work: Callable[[], _Value]) -> _Value:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _check(self) -> Path:
        if self._folder is None:
            self._folder = _check_engine(self._spec)
        return self._folder

    def _draw_in_thread(
        self, drawing: Drawing, warn: Callable[[Problem], None], is_stopped: Callable[[], bool]
    ) -> "Image":
        loaded = self._load()
        try:
            return loaded.draw(drawing, warn, is_stopped)
        except DrawFailed as error:
            if error.failure.code == OUT_OF_MEMORY:
                loaded.free()
            raise

    def _load(self) -> "LoadedPipeline":
        """The pipeline, loaded once: what cannot be loaded is not tried again for each image."""
        if self._loaded is None:
            try:
                self._loaded = _load_pipeline(self._spec, self._check())
            except DrawFailed as error:
                self._loaded = error.failure
        if isinstance(self._loaded, Failure):
            raise DrawFailed(self._loaded, is_replica=True)
        return self._loaded


@asynccontextmanager
async def open_diffusers(spec: EngineSpec, warn: Callable[[Problem], None]) -> AsyncIterator[DiffusersBackend]:
    """The engine of this process, whose memory is freed at the end of the `with` block.

    Args:
        spec: the engine, of kind `diffusers`.
        warn: is told what an image does not have of its drawing.

    Yields:
        The engine; it loads the model for the first image.
    """
    backend = DiffusersBackend(spec, warn)
    try:
        yield backend
    finally:
        await backend.close()


def refusal_of(drawing: Drawing) -> Failure | None:
    """Say why diffusers would draw something else than what is asked for, or nothing.

    Args:
        drawing: what to draw.

    Returns:
        The reason, or None.
    """
    wide, high = drawing.width, drawing.height
    if min(wide, high) < MULTIPLE or wide % MULTIPLE or high % MULTIPLE:
        reason = f"width and height must be multiples of {MULTIPLE} pixels, not {wide} x {high}"
    elif drawing.steps < 1:
        reason = "an image needs at least one step"
    elif not 0 <= drawing.guidance < math.inf:
        reason = "guidance must be 0, which is none, or more"
    elif drawing.negative_prompt and not drawing.guidance:
        reason = "a negative prompt has no effect without guidance; set guidance above 0"
    elif not 0 <= drawing.seed <= _MAX_SEED:
        reason = "a seed must be a whole number from 0 to 2^63 - 1"
    else:
        return None
    return Failure("cannot_draw", reason)


def _check_engine(spec: EngineSpec) -> Path:
    try:
        from krea_pipe.api.diffusers_pipeline import check_engine  # noqa: PLC0415 (an extra, and seconds)
    except (ImportError, OSError) as error:  # OSError: a library of torch that the system lacks
        message = f"the engine diffusers cannot be loaded: {error}"
        raise UsageError(Problem("no_diffusers", message, hint=INSTALL)) from error
    return check_engine(spec)


def _load_pipeline(spec: EngineSpec, folder: Path) -> "LoadedPipeline":
    from krea_pipe.api.diffusers_pipeline import load_model  # noqa: PLC0415 (the same)

    return load_model(spec, folder)


def _encode(image: "Image") -> bytes:
    from krea_pipe.api.diffusers_pipeline import encode_png  # noqa: PLC0415 (the same)

    return encode_png(image)
