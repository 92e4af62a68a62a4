"""Jobs of an engine that answers a call with the image itself: they are run here, and end with this process."""

import asyncio
import secrets
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from krea_pipe.api.client import CallTimeLimit, TakePart
from krea_pipe.api.clock import ServerClock
from krea_pipe.api.diffusers_backend import open_diffusers
from krea_pipe.api.engine import Backend, DrawFailed, EngineUnavailable
from krea_pipe.api.failures import BadImage, CallFailed, Refused
from krea_pipe.api.fleet import open_image_servers
from krea_pipe.api.wire import Job, JobPage
from krea_pipe.core.contract import requested_size
from krea_pipe.core.engine import Drawing, EngineSpec
from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.core.outcome import iso
from krea_pipe.core.request import Request, Source
from krea_pipe.core.settings import Token
from krea_pipe.pipeline.references import Image

_TICK = timedelta(milliseconds=1)


@dataclass(slots=True)
class _Task:
    """One job, its work, and its image until it is fetched."""

    job: Job
    work: "asyncio.Task[bytes] | None" = None
    image: bytes | None = None
    error: BaseException | None = None


@dataclass(slots=True)
class EngineJobs:
    """An engine with the interface of Krea's API: what is submitted is drawn in a task of its own."""

    backend: Backend
    spec: EngineSpec
    token: Token
    clock: ServerClock = field(default_factory=ServerClock)
    time_limit: CallTimeLimit = field(default_factory=CallTimeLimit)
    warnings: list[Problem] = field(default_factory=list)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _tasks: dict[str, _Task] = field(default_factory=dict)
    _times: list[datetime] = field(default_factory=list)
    _ids: list[str] = field(default_factory=list)
    _places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        # diffusers compresses an image while it draws the next one.
        self._places = asyncio.Semaphore(self.spec.parallel * len(self.spec.urls) or 2)

    async def submit(self, request: Request, urls: Mapping[Source, str], webhook: str | None = None) -> Job:  # noqa: ARG002 (Krea's)
        """Begin to draw an image.

        Args:
            request: What to draw.
            urls: The URLs of uploaded images, which an engine does not take.
            webhook: A URL to tell of the end, which an engine does not call.

        Returns:
            The new job.
        """
        created = max(self.now(), self._times[-1] + _TICK) if self._times else self.now()
        job_id = secrets.token_hex(16)
        task = self._tasks[job_id] = _Task(Job(job_id, "queued", created_at=created))
        self._times.append(created)
        self._ids.append(job_id)
        task.work = asyncio.create_task(self._draw(task, drawing_of(self.spec, request)))
        task.work.add_done_callback(partial(self._end, task))
        return task.job

    async def job(self, job_id: str) -> Job:
        """Read one job.

        Raises:
            Refused: There is no such job.
        """
        return self._task(job_id).job

    async def jobs(self, limit: int, before: str | None = None) -> JobPage:
        """Read a page of the list of jobs, newest first.

        Args:
            limit: The most jobs.
            before: For the jobs that were created before a time; None for the newest.
        """
        end = len(self._ids) if before is None else bisect_left(self._times, datetime.fromisoformat(before))
        start = max(0, end - limit)
        found = tuple(self._tasks[job_id].job for job_id in reversed(self._ids[start:end]))
        return JobPage(found, iso(self._times[start]) if start else None)

    async def cancel(self, job_id: str) -> None:
        """Stop drawing an image.

        Raises:
            Refused: There is no such job.
        """
        task = self._task(job_id)
        if task.work is not None:
            task.work.cancel()
            await asyncio.wait([task.work])

    async def upload(self, image: Image, data: bytes) -> str:  # noqa: ARG002 (Krea's)
        """Refuse an image: an engine draws from text.

        Raises:
            CallFailed: Always.
        """
        raise CallFailed(f"an engine takes no images, and {image.label} is one")

    async def receive(self, url: str, write: TakePart) -> None:
        """Give the image of a job, once.

        Args:
            url: The id of the job.
            write: Takes the image.

        Raises:
            BadImage: It is not there.
        """
        task = self._tasks.get(url)
        if task is not None and task.error is not None:
            raise task.error
        if task is None or task.image is None:
            raise BadImage("the image was taken before; rerun to draw it again")
        image, task.image = task.image, None
        await write(image)

    async def close(self) -> None:
        """Stop all work."""
        works = [task.work for task in self._tasks.values() if task.work is not None]
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    async def _draw(self, task: _Task, drawing: Drawing) -> bytes:
        """Draw when there is a place; a job that waits for one can be cancelled, as at Krea."""
        async with self._places:
            task.job = replace(task.job, status="processing")
            return await self.backend.draw(drawing)

    def _end(self, task: _Task, work: "asyncio.Task[bytes]") -> None:
        """Note how a job has ended; an error that no engine has is raised to the one who fetches the image."""
        ended = replace(task.job, completed_at=iso(self.now()))
        error = None if work.cancelled() else work.exception()
        task.work = None
        if work.cancelled():
            task.job = replace(ended, status="cancelled")
        elif isinstance(error, DrawFailed):
            task.job = replace(ended, status="failed", failure=error.failure)
        else:
            task.error, task.image = error, None if error else work.result()
            task.job = replace(ended, status="completed", urls=(task.job.id,))

    def _task(self, job_id: str) -> _Task:
        if job_id not in self._tasks:
            raise Refused(404, "there is no such job", None, is_kreas=True)
        return self._tasks[job_id]


@asynccontextmanager
async def open_engine(spec: EngineSpec, token: Token) -> AsyncIterator[EngineJobs]:
    """An engine that is there, stopped at the end of the `with` block.

    Args:
        spec: The engine as the pipeline file describes it.
        token: The key that is sent to it; an empty one is not sent.

    Yields:
        The engine with the interface of Krea's API.

    Raises:
        EngineUnavailable: It is not there, or is not the one that the file describes.
    """
    warnings = list[Problem]()
    async with _open_backend(spec, token, warnings.append) as backend:
        try:
            await backend.check()
        except KreaPipeError as error:
            raise EngineUnavailable(*error.problems) from error
        jobs = EngineJobs(backend, spec, token, warnings=warnings)
        try:
            yield jobs
        finally:
            await jobs.close()


def _open_backend(
    spec: EngineSpec, token: Token, warn: Callable[[Problem], None]
) -> AbstractAsyncContextManager[Backend]:
    if spec.kind == "diffusers":
        return open_diffusers(spec, warn)
    return open_image_servers(spec, token if token.secret else None, warn)


def drawing_of(spec: EngineSpec, request: Request) -> Drawing:
    """What an engine is to draw for a request.

    Args:
        spec: The engine.
        request: A request of a pipeline with that engine, which has a seed and a known size.

    Returns:
        The image to draw.
    """
    size = requested_size(request)
    assert size is not None
    assert request.seed is not None
    loras = ((spec.loras[style.id], style.strength) for style in request.styles)
    return Drawing.of(spec.identity, request.prompt, size, request.seed, loras)
