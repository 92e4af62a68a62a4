"""Reference images are uploaded once for each account, and their URLs remembered."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from krea_pipe.api.client import CallFailed, Refused
from krea_pipe.references import Image
from krea_pipe.request import Source
from krea_pipe.run.backoff import delays
from krea_pipe.run.session import Session


@dataclass(slots=True)
class Uploads:
    """The URLs of the images that a run sends."""

    session: Session
    images: Mapping[Source, Image]
    tasks: dict[Source, asyncio.Task[str]] = field(default_factory=dict)
    fresh: set[Source] = field(default_factory=set)

    async def urls(self, sources: Iterable[str]) -> dict[str, str]:
        """The URL of each uploaded source; sources that are URLs already are left out.

        Raises:
            CallFailed: one could not be uploaded.
        """
        wanted = [Source(one) for one in sources if one.startswith("sha256:")]
        return {one: await self._url(one) for one in wanted}

    def forget_remembered(self, sources: Iterable[str]) -> bool:
        """Drop URLs that an earlier run left, in case Krea did too; whether there were any."""
        stale = {Source(one) for one in sources if one.startswith("sha256:")} - self.fresh
        self.fresh |= stale
        for source in stale:
            self.tasks[source] = asyncio.create_task(self._upload(source))
        return bool(stale)

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
        for delay in delays(5):
            try:
                return await self.session.client.upload(self.images[source])
            except Refused as error:
                if error.status < 500 and error.status not in (408, 425, 429):
                    raise
                if await self.session.stop.pause(max(delay, error.retry_after or 0)):
                    raise
            except CallFailed:
                if await self.session.stop.pause(delay):
                    raise
        return await self.session.client.upload(self.images[source])

    def _fact(self, source: Source) -> str:
        return f"asset:{self.session.origin}:{self.session.account}:{source}"
