"""What draws images: one interface, which the hosted Krea has (`api.client.Client`) and engines of one's own have.

An engine that answers a call with the image itself is a `Backend`; `api.engine_jobs.EngineJobs` makes jobs of its
calls. What an engine can draw is known before a run: the fields and sizes from `core.fields.FieldRules`, the price from
`pipeline.pricing.PriceList`, and from `core.settings.Target` whether a repeated request costs money (`bills`) and
whether its jobs outlive the run (`lasting`).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from krea_pipe.api.client import CallTimeLimit, TakePart
from krea_pipe.api.clock import ServerClock
from krea_pipe.api.wire import Job, JobPage
from krea_pipe.core.engine import Drawing
from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.core.outcome import Failure
from krea_pipe.core.request import Request, Source
from krea_pipe.core.settings import Token
from krea_pipe.pipeline.references import Image


class Engine(Protocol):
    """Takes requests, runs them as jobs, and gives their images.

    All calls raise `CallFailed`.
    """

    @property
    def token(self) -> Token:
        """The key that is sent."""

    @property
    def clock(self) -> ServerClock:
        """The clock that dates the jobs."""

    @property
    def time_limit(self) -> CallTimeLimit:
        """How long a call may take."""

    @property
    def warnings(self) -> Sequence[Problem]:
        """What a user has to know after the run."""

    async def submit(self, request: Request, urls: Mapping[Source, str], webhook: str | None = None) -> Job:
        """Start a job.

        Args:
            request: What to generate.
            urls: The URL of each uploaded image, by its source.
            webhook: The URL to tell when the job has ended, if any.

        Returns:
            The new job.
        """

    async def job(self, job_id: str) -> Job:
        """Read one job.

        Args:
            job_id: Its id.

        Returns:
            The job as it is now.
        """

    async def jobs(self, limit: int, before: str | None = None) -> JobPage:
        """Read a page of the list of jobs.

        Args:
            limit: The most jobs.
            before: A time, for the jobs created before it; None for the newest.

        Returns:
            Jobs, newest first.
        """

    async def cancel(self, job_id: str) -> None:
        """Ask for a job to be cancelled.

        Args:
            job_id: Its id.
        """

    async def upload(self, image: Image, data: bytes) -> str:
        """Upload a reference.

        Args:
            image: What it is called, and its media type.
            data: Its bytes.

        Returns:
            Its URL.
        """

    async def receive(self, url: str, write: TakePart) -> None:
        """Fetch the image of a job.

        Args:
            url: Where the job says that it is.
            write: Takes each part as it arrives.
        """


class EngineUnavailable(KreaPipeError):
    """The engine is not there, or is not the one that the pipeline file describes; nothing was sent."""


class DrawFailed(Exception):
    """An engine did not draw an image; `failure` says why.

    `is_replica` says that the reason is the replica and not the image, so that another replica may draw it.
    """

    def __init__(self, failure: Failure, *, is_replica: bool = False) -> None:
        super().__init__(failure.message)
        self.failure, self.is_replica = failure, is_replica


class Backend(Protocol):
    """Draws one image for each call; repeating a call gives the same image and costs nothing."""

    async def check(self) -> None:
        """See that the engine is there and is the one that the pipeline file describes.

        Raises:
            KreaPipeError: it is not; the error says what to do.
        """

    async def draw(self, drawing: Drawing) -> bytes:
        """Draw one image.

        Args:
            drawing: what to draw.

        Returns:
            The bytes of a PNG of exactly that width and height.

        Raises:
            DrawFailed: it was not drawn.
        """
