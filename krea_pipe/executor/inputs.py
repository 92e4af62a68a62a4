"""Provides the inputs of a request before it is sent: images of earlier stages, and the URLs of its references.

References are uploaded once for each account, and their URLs remembered. A request that needs the images of others goes
on as soon as those are there.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.core.outcome import Failure, Outcome, Result
from krea_pipe.core.request import ByDigest, ByKey, ByUrl, Key, Source, source_text
from krea_pipe.executor.capacity import delays
from krea_pipe.executor.session import Session, failure_of
from krea_pipe.pipeline.references import Image
from krea_pipe.planning.plan import Plan, Reuse, Step
from krea_pipe.store.blobs import Blobs

_UPLOAD_ATTEMPTS = 5
_OF_THE_ACCOUNT = (401, 402)
_MOST_NAMES = 11
"""A request has up to ten style images and a source picture; a training has more."""
_OF_A_FILE = re.compile(r"\b(file|image|asset|media)", re.IGNORECASE)


class ImageChanged(CallFailed):
    """A reference is no longer the image that was planned."""


@dataclass(slots=True)
class Uploads:
    """The URLs of the images that a run sends. `fresh` are those that this run uploaded itself.

    `drawn` are images of this pipeline by the keys that they are generated for; others are identified by their bytes.
    """

    session: Session
    images: Mapping[Source, Image]
    tasks: dict[ByDigest, asyncio.Task[str]] = field(default_factory=dict)
    fresh: set[ByDigest] = field(default_factory=set)
    drawn: dict[ByKey, Image] = field(default_factory=dict)

    async def urls(self, sources: Iterable[Source]) -> dict[Source, str]:
        """The URL of each uploaded source; sources that are URLs already are left out.

        Raises:
            CallFailed: one could not be uploaded.
        """
        wanted = [one for one in sources if not isinstance(one, ByUrl)]
        urls = await asyncio.gather(*(self._url(self._digest_of(one)) for one in wanted), return_exceptions=True)
        for url in urls:
            if isinstance(url, BaseException):
                raise url
        return dict(zip(wanted, cast("list[str]", urls), strict=True))

    def renew(self, used: Mapping[Source, str]) -> bool:
        """Upload again what Krea may have dropped since an earlier run; True if a URL has changed.

        Another request that uses the same image may have had it renewed already.
        """
        renewed = False
        for used_source, url in used.items():
            source = self._digest_of(used_source)
            if source not in self.fresh:
                self.fresh.add(source)
                self.tasks[source] = asyncio.create_task(self._upload(source))
            task = self.tasks[source]
            renewed |= not task.done() or task.exception() is not None or task.result() != url
        return renewed

    def named(self, error: CallFailed, sources: Iterable[Source]) -> CallFailed:
        """The error with the names of a request's images added to what Krea says of one, because it names none."""
        found = (self.drawn.get(one) if isinstance(one, ByKey) else self.images.get(one) for one in sources)
        labels = list(dict.fromkeys(image.label for image in found if image is not None))
        if labels and isinstance(error, Refused) and error.status in (400, 422) and _OF_A_FILE.search(str(error)):
            more = f" and {len(labels) - _MOST_NAMES} more" if len(labels) > _MOST_NAMES else ""
            error.args = (f"{error} (sent with {', '.join(labels[:_MOST_NAMES])}{more})",)
        return error

    def _digest_of(self, source: Source) -> ByDigest:
        """The identity of the bytes of a source."""
        found = self.drawn[source].source if isinstance(source, ByKey) else source
        assert isinstance(found, ByDigest), "a URL is sent as it is"
        return found

    async def _url(self, source: ByDigest) -> str:
        if source not in self.tasks:
            self.tasks[source] = asyncio.create_task(self._remembered_or_new(source))
        return await asyncio.shield(self.tasks[source])

    async def _remembered_or_new(self, source: ByDigest) -> str:
        name = self._fact(source)
        facts = await asyncio.to_thread(self.session.space.facts.read, [name])
        url = facts.get(name, {}).get("url")
        return url if isinstance(url, str) else await self._upload(source)

    async def _upload(self, source: ByDigest) -> str:
        self.fresh.add(source)
        url = await self._posted(source)
        facts = {self._fact(source): {"url": url}}
        await self.session.shielded(lambda: self.session.space.facts.write(facts))
        return url

    async def _posted(self, source: ByDigest) -> str:
        image, data = await self._read(source)
        for delay in (*delays(_UPLOAD_ATTEMPTS, self.session.pace), None):
            try:
                url = await self.session.client.upload(image, data)
            except CallFailed as error:
                if not (isinstance(error, Refused) and error.status in _OF_THE_ACCOUNT):
                    error.args = (f"{image.label}: {error}",)
                self.session.tell("upload_failed", source=source_text(source), code=failure_of(error).code)
                if delay is None or _is_final(error):
                    raise
                longer = error.retry_after or 0 if isinstance(error, Refused) else 0
                if await self.session.stop.sleep_unless_leaving(max(delay, longer)):
                    raise
            else:
                self.session.tell("uploaded", source=source_text(source), bytes=len(data))
                return url
        raise AssertionError("the last try returns or raises")

    async def _read(self, source: ByDigest) -> tuple[Image, bytes]:
        """The bytes of a source."""
        drawn = next((one for one in self.drawn.values() if one.source == source), None)
        if drawn is None:
            return self.images[source], await asyncio.to_thread(_read, self.images[source])
        blobs, digest = self.session.space.blobs, source.sha256
        data = await self.session.shielded(lambda: blobs.read(digest))
        if data is None:
            blobs.drop(digest)  # or the next run would take it for the image
            raise ImageChanged(f"the stored image of {drawn.label} is missing or damaged; rerun to fetch it again")
        return drawn, data

    def _fact(self, source: ByDigest) -> str:
        return f"asset:{self.session.origin}:{self.session.account}:{source_text(source)}"


def _read(image: Image) -> bytes:
    """The bytes of a reference, unchanged since it was planned: the key depends on them."""
    try:
        data = image.read()
    except OSError as error:
        raise ImageChanged(f"{image.label} can no longer be read: {error.strerror}") from error
    if image.source != ByDigest(hashlib.sha256(data).hexdigest()):
        raise ImageChanged(f"{image.label} was changed during the run; rerun the command")
    return data


def _is_final(error: CallFailed) -> bool:
    return isinstance(error, Refused) and error.status < 500 and error.status not in (408, 425, 429)


@dataclass(slots=True)
class UpstreamImages:
    """The result of each request of a plan, for the requests that wait for it; None for no image.

    Nothing is noted if no request of the plan waits for others.
    """

    plan: Plan
    blobs: Blobs
    ends: "dict[Key, asyncio.Future[Result | None]]" = field(default_factory=dict)
    by_stage: dict[str, list[Key]] = field(default_factory=dict)
    names: dict[Key, str] = field(default_factory=dict)
    above: dict[str, set[str]] = field(default_factory=dict)
    """For each stage those that its cells wait for, or are generated for."""
    depths: dict[str, int] = field(default_factory=dict)
    stages: "dict[str, asyncio.Task[Key | None]]" = field(default_factory=dict)
    """For each stage that others need the wait for its end."""
    given_up: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        has_chains = bool(self.plan.needs) or any(step.request.upstream for step in self.plan.steps)
        for step in self.plan.steps if has_chains else ():
            self.ends[step.key] = loop.create_future()
            self.names[step.key] = step.cells[0].id
            for stage in dict.fromkeys(cell.stage for cell in step.cells):
                self.by_stage.setdefault(stage, []).append(step.key)
            for cell in step.cells:
                above = self.above.setdefault(cell.stage, set(self.plan.needs.get(cell.stage, ())))
                above.update(() if cell.source is None else cell.source.split("/")[:1])
            if isinstance(step.action, Reuse):
                self.end(step.key, step.action.result)
        self.depths = _depths(self.above)

    def is_chained(self, step: Step) -> bool:
        """Whether a request has to wait for others."""
        return bool(step.request.upstream or self._stages(step))

    def settle(self, key: Key, outcome: Outcome) -> None:
        """Say how a request has ended, or that it is left to the next run."""
        if outcome.status == "pending" and outcome.failure is None:
            self.give_up([key])
        self.end(key, outcome.result)

    def end(self, key: Key, result: Result | None) -> None:
        """Publish the outcome of a request."""
        if key in self.ends and not self.ends[key].done():
            self.ends[key].set_result(result)

    def give_up(self, keys: Iterable[Key] | None = None) -> None:
        """Say of some requests, or of all, that nothing more is begun: those that need them are for the next run."""
        for key in list(self.ends) if keys is None else keys:
            if key in self.ends and not self.ends[key].done():
                self.given_up.add(key)
                self.end(key, None)

    async def missing(self, step: Step) -> Outcome | None:
        """Wait for the images that a request needs; returns its status if one of them has no image."""
        for stage in self._stages(step):
            if stage not in self.stages:  # one wait for all cells that need the stage, which may be many on both sides
                self.stages[stage] = asyncio.create_task(self._first_without(self.by_stage.get(stage, ())))
            key = await asyncio.shield(self.stages[stage])
            if key is not None:
                return self._lack(key)
        key = await self._first_without(step.request.upstream)
        return None if key is None else self._lack(key)

    async def _first_without(self, keys: Iterable[Key]) -> Key | None:
        """The first of some requests that has no image once it has ended."""
        for key in keys:
            if key not in self.ends or await self.ends[key] is None:
                return key
        return None

    def _lack(self, key: Key) -> Outcome:
        if key in self.given_up:
            return Outcome("pending")
        message = f"it needs {self.names.get(key, 'an image of an earlier stage')}, which has no image"
        return Outcome("pending", failure=Failure("upstream_missing", message))

    async def images(self, step: Step) -> Mapping[ByKey, Image]:
        """The images for the keys in a request; all of them must exist."""
        found = {}
        for key in step.request.upstream:
            result = await self.ends[key]
            assert result is not None
            source, file = ByDigest(result.sha256), self.blobs.path(result.sha256)
            found[ByKey(key)] = Image(source, f"{self.names[key]}.{result.extension}", result.mime, file)
        return found

    def _stages(self, step: Step) -> tuple[str, ...]:
        """The stages that must be generated before a request is sent.

        Cells of several stages may share it. It goes with the first of these that can be generated: with another it
        might wait for itself.
        """
        if not self.plan.needs:
            return ()
        return self.plan.needs.get(min((cell.stage for cell in step.cells), key=self.depths.__getitem__), ())


def _depths(above: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """The number of stages before each stage in its chain; cycles were refused when the file was loaded."""
    depths: dict[str, int] = {}
    waiting = list(above)
    while waiting:
        stage = waiting[-1]
        unknown = [one for one in above.get(stage, ()) if one not in depths]
        waiting += unknown
        if not unknown:
            depths[waiting.pop()] = 1 + max((depths[one] for one in above.get(stage, ())), default=-1)
    return depths
