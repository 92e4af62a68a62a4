"""Receives images in parts, from a download or an answer, into files of the store: no whole image is held meanwhile."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from krea_pipe.executor.session import Session
from krea_pipe.store.blobs import NewBlob

_T = TypeVar("_T")
_WRITTEN_AT_ONCE = 256 * 1024
"""Bytes of each image that wait to be written: to hand fewer to a thread costs more than to write them."""


class IncomingImage:
    """An image that arrives; at the end of the `async with` block, it is stored or its file is removed.

    Threads write it, so that the event loop never waits for the disk.
    """

    def __init__(self, session: Session) -> None:
        """Begin to receive an image.

        Args:
            session: the run.
        """
        self._session, self._blob = session, session.space.blobs.new()
        self._parts: list[bytes] = []
        self._size, self._is_complete = 0, False

    async def __aenter__(self) -> "IncomingImage":
        """Use the image."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Remove what is not stored; in a thread, because another one writes to its end when the run is cancelled."""
        if not self._is_complete:
            asyncio.get_running_loop().run_in_executor(None, self._blob.discard)

    async def write(self, part: bytes) -> None:
        """Take the next part.

        Raises:
            StateError: it cannot be written.
        """
        self._parts.append(part)
        self._size += len(part)
        if self._size >= _WRITTEN_AT_ONCE:
            parts, self._parts, self._size = self._parts, [], 0
            await self._session.shielded(partial(self._blob.write, *parts))

    async def complete(self, keep: Callable[[NewBlob], _T]) -> _T:
        """Have the image verified and stored once its last part has arrived.

        Args:
            keep: does that, in a thread.

        Returns:
            Its result.

        Raises:
            StateError: the image cannot be written.
        """

        def finish() -> _T:
            try:
                self._blob.write(*self._parts)
                return keep(self._blob)
            finally:
                self._blob.discard()

        self._is_complete = True
        return await self._session.shielded(finish)
