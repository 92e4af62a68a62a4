"""What draws images: one interface, which the hosted Krea has (`api.client.Client`) and engines of one's own have.

An engine that answers a call with the image itself is a `Backend`; `api.engine_jobs` makes jobs of its calls.
"""

from typing import Protocol

from krea_pipe.core.engine import Drawing
from krea_pipe.core.outcome import Failure


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
