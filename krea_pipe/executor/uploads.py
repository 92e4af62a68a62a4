"""Reference images are uploaded once for each account, and their URLs remembered."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.core.request import Source
from krea_pipe.executor.backoff import delays
from krea_pipe.executor.refusal import failure_of
from krea_pipe.executor.session import Session
from krea_pipe.pipeline.references import Image

TRIES = 5


class ImageChanged(CallFailed):
    """A reference is no longer the image that was planned."""


@dataclass(slots=True)
class Uploads:
    """The URLs of the images that a run sends. `fresh` are those that this run uploaded itself.

    `drawn` are images of this pipeline by the keys that they are drawn for; others are known by their bytes.
    """

    session: Session
    images: Mapping[Source, Image]
    tasks: dict[Source, asyncio.Task[str]] = field(default_factory=dict)
    fresh: set[Source] = field(default_factory=set)
    drawn: dict[Source, Image] = field(default_factory=dict)

    async def urls(self, sources: Iterable[str]) -> dict[str, str]:
        """The URL of each uploaded source; sources that are URLs already are left out.

        Raises:
            CallFailed: one could not be uploaded.
        """
        wanted = [Source(one) for one in sources if one.startswith(("sha256:", "key:"))]
        urls = await asyncio.gather(*(self._url(self._bytes_of(one)) for one in wanted), return_exceptions=True)
        for url in urls:
            if isinstance(url, BaseException):
                raise url
        return dict(zip(wanted, cast("list[str]", urls), strict=True))

    def renew(self, used: Mapping[str, str]) -> bool:
        """Upload anew what Krea may have dropped since an earlier run; whether there are other URLs than the used ones.

        Another request that uses the same image may have had it renewed already.
        """
        renewed = False
        for name, url in used.items():
            source = self._bytes_of(Source(name))
            if source not in self.fresh:
                self.fresh.add(source)
                self.tasks[source] = asyncio.create_task(self._upload(source))
            task = self.tasks[source]
            renewed |= not task.done() or task.exception() is not None or task.result() != url
        return renewed

    def _bytes_of(self, source: Source) -> Source:
        return self.drawn[source].source if source in self.drawn else source

    async def _url(self, source: Source) -> str:
        if source not in self.tasks:
            self.tasks[source] = asyncio.create_task(self._remembered_or_new(source))
        return await asyncio.shield(self.tasks[source])

    async def _remembered_or_new(self, source: Source) -> str:
        name = self._fact(source)
        facts = await asyncio.to_thread(self.session.space.facts.read, [name])
        url = facts.get(name, {}).get("url")
        return url if isinstance(url, str) else await self._upload(source)

    async def _upload(self, source: Source) -> str:
        self.fresh.add(source)
        url = await self._posted(source)
        facts = {self._fact(source): {"url": url}}
        await self.session.shielded(lambda: self.session.space.facts.write(facts))
        return url

    async def _posted(self, source: Source) -> str:
        image, data = await self._read(source)
        for delay in (*delays(TRIES, self.session.pace), None):
            try:
                url = await self.session.client.upload(image, data)
            except CallFailed as error:
                self.session.tell("upload_failed", source=source, code=failure_of(error).code)
                if delay is None or _is_final(error):
                    raise
                longer = error.retry_after or 0 if isinstance(error, Refused) else 0
                if await self.session.stop.sleep_unless_leaving(max(delay, longer)):
                    raise
            else:
                self.session.tell("uploaded", source=source, bytes=len(data))
                return url
        raise AssertionError("the last try returns or raises")

    async def _read(self, source: Source) -> tuple[Image, bytes]:
        """The bytes that a source stands for."""
        drawn = next((one for one in self.drawn.values() if one.source == source), None)
        if drawn is None:
            return self.images[source], await asyncio.to_thread(_read, self.images[source])
        blobs, digest = self.session.space.blobs, source.removeprefix("sha256:")
        data = await self.session.shielded(lambda: blobs.read(digest))
        if data is None:
            blobs.drop(digest)  # or the next run would take it for the image
            raise ImageChanged(f"the stored image of {drawn.label} is missing or damaged; run again to draw it anew")
        return drawn, data

    def _fact(self, source: Source) -> str:
        return f"asset:{self.session.origin}:{self.session.account}:{source}"


def _read(image: Image) -> bytes:
    """The bytes of a reference, as they were when it was planned: they are what the key stands for."""
    try:
        data = image.read()
    except OSError as error:
        raise ImageChanged(f"{image.label} cannot be read any more: {error.strerror}") from error
    if image.source != "sha256:" + hashlib.sha256(data).hexdigest():
        raise ImageChanged(f"{image.label} was changed while the run was under way; run again")
    return data


def _is_final(error: CallFailed) -> bool:
    return isinstance(error, Refused) and error.status < 500 and error.status not in (408, 425, 429)
