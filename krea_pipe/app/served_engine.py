"""An engine behind Krea's own API: the local Krea hands each job to it, and has its image when it is drawn."""

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from krea_pipe.api.diffusers_backend import DiffusersBackend
from krea_pipe.api.engine import Backend, DrawFailed
from krea_pipe.app.reading import load_pipeline
from krea_pipe.core.engine import Drawing, EngineSpec, Lora
from krea_pipe.core.errors import KreaPipeError, Problem, UsageError, whole_file
from krea_pipe.local.job import Job, JobOutcome
from krea_pipe.local.order import Order, ProofSpec
from krea_pipe.pipeline.spec import Overrides

_CREATIVITIES = ("raw", "low")
"""What the open weights draw; `low` is also what a request has that says nothing."""
_UNSUPPORTED = "unsupported"


def engine_in(file: Path, overrides: Overrides) -> EngineSpec:
    """The engine of a pipeline file, or of a file with definitions for others, that can be served.

    Args:
        file: the file.
        overrides: what the command line says over it.

    Returns:
        The engine, of kind `diffusers`.

    Raises:
        InvalidInput: the file has problems. UsageError: it has no engine of this process.
    """
    spec = load_pipeline(file, overrides, allow_library=True).pipeline.engine
    if spec is None or spec.kind != "diffusers":
        message = "the file has no `engine:`" if spec is None else f"the engine of the file is of `kind: {spec.kind}`"
        hint = "name a file with an engine of `kind: diffusers`, which draws in this process"
        raise UsageError(Problem("no_engine", message, whole_file(file), hint))
    return spec


@contextmanager
def open_served_engine(spec: EngineSpec, warn: Callable[[Problem], None]) -> Iterator["ServedEngine"]:
    """Check an engine of kind `diffusers`, and draw with it until the end of the block.

    Args:
        spec: the engine.
        warn: is told, in any thread, what an image does not have of its request.

    Yields:
        The engine, whose pictures are in a temporary folder.

    Raises:
        KreaPipeError: the engine is not there, or is not the one that is described.
    """
    backend = DiffusersBackend(spec, warn)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="krea-pipe-engine", daemon=True)
    thread.start()
    try:
        with tempfile.TemporaryDirectory(prefix="krea-pipe-") as folder:
            asyncio.run_coroutine_threadsafe(backend.check(), loop).result()
            yield ServedEngine(spec, backend, loop, Path(folder))
    finally:
        asyncio.run_coroutine_threadsafe(_stop(backend), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(backend: DiffusersBackend) -> None:
    """Stop what is being drawn, and wait for its end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await backend.close()


@dataclass(frozen=True, slots=True)
class ServedEngine:
    """Draws jobs of the local Krea.

    Args:
        spec: the engine.
        backend: draws.
        loop: runs in another thread, and has the calls of the backend.
        folder: takes the pictures.
    """

    spec: EngineSpec
    backend: Backend
    loop: asyncio.AbstractEventLoop
    folder: Path
    _loras: dict[str, Lora] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._loras.update(self.spec.loras)
        self._loras.update({lora.name: lora for lora in self.spec.loras.values()})

    def draw(self, job: Job, ended: Callable[[JobOutcome], None]) -> None:
        """Begin to draw the image of a job.

        Args:
            job: the job, which has started.
            ended: is called with its end, in another thread.
        """
        work = asyncio.run_coroutine_threadsafe(self._draw(job), self.loop)
        work.add_done_callback(lambda done: ended(_end_of(done)))

    def image_of(self, job: Job) -> bytes:
        """Read the picture of a job.

        Args:
            job: a job that has ended with an image.

        Returns:
            The bytes of a PNG.
        """
        return (self.folder / job.image_id).read_bytes()

    async def _draw(self, job: Job) -> None:
        data = await self.backend.draw(self._drawing(job.brief))
        await asyncio.to_thread((self.folder / job.image_id).write_bytes, data)

    def _drawing(self, brief: ProofSpec) -> Drawing:
        """What a job asks for.

        Raises:
            KreaPipeError: the open weights cannot draw it.
        """
        order = brief.order
        if found := _unsupported(order):
            raise KreaPipeError(Problem(_UNSUPPORTED, f"the open weights of Krea 2 have no {found}"))
        seed = brief.take if order.seed is None else order.seed
        loras = ((self._lora(style.id), style.strength) for style in order.styles)
        return Drawing.of(self.spec.identity, order.prompt, order.pixels, int(seed), loras)

    def _lora(self, style: str) -> Lora:
        if style not in self._loras:
            known = ", ".join(sorted({lora.name for lora in self._loras.values()})) or "none"
            message = f"the engine has no style {style}; it has {known}"
            raise KreaPipeError(Problem("style_not_found", message))
        return self._loras[style]


def _unsupported(order: Order) -> str | None:
    """What an order asks for that only the hosted Krea has."""
    if order.creativity not in _CREATIVITIES:
        return f"creativity {order.creativity}"
    if order.source is not None:
        return "source image"
    if order.references:
        return "style references"
    if order.moodboard is not None:
        return "moodboards"
    sliders = order.sliders
    if sliders.intensity or sliders.complexity or sliders.movement:
        return "sliders"
    if order.seed is not None and order.seed != int(order.seed):
        return "seeds that are not whole numbers"
    return None


def _end_of(done: "Future[None]") -> JobOutcome:
    """How the drawing of a job ended: with any error too, as its job would otherwise be processed for ever."""
    if done.cancelled():
        return JobOutcome("failed", "interrupted", "the server was stopped")
    error = done.exception()
    match error:
        case None:
            return JobOutcome("image")
        case DrawFailed():
            return JobOutcome("failed", error.failure.code, error.failure.message)
        case KreaPipeError():
            return JobOutcome("failed", error.code, str(error))
    return JobOutcome("failed", "engine_error", f"{type(error).__name__}: {error}")
