"""Requests that need the images of others: each goes on as soon as those that it needs are there."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from krea_pipe.core.outcome import Failure, Outcome, Result
from krea_pipe.core.request import Key, Source
from krea_pipe.pipeline.references import Image
from krea_pipe.planning.plan import Plan, Reuse, Step
from krea_pipe.store.blobs import Blobs


@dataclass(slots=True)
class Upstream:
    """What became of every request of a plan, for those that wait for it: its result, or None when there is none."""

    plan: Plan
    blobs: Blobs
    ends: "dict[Key, asyncio.Future[Result | None]]" = field(default_factory=dict)
    by_stage: dict[str, list[Key]] = field(default_factory=dict)
    names: dict[Key, str] = field(default_factory=dict)
    above: dict[str, set[str]] = field(default_factory=dict)
    """For each stage those that its cells wait for, or are drawn for."""
    depths: dict[str, int] = field(default_factory=dict)
    stages: "dict[str, asyncio.Task[Key | None]]" = field(default_factory=dict)
    """For each stage that others need the wait for its end."""
    given_up: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        for step in self.plan.steps:
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
        """Say what became of a request."""
        if key in self.ends and not self.ends[key].done():
            self.ends[key].set_result(result)

    def give_up(self, keys: Iterable[Key] | None = None) -> None:
        """Say of some requests, or of all, that nothing more is begun: those that need them are for the next run."""
        for key in list(self.ends) if keys is None else keys:
            if not self.ends[key].done():
                self.given_up.add(key)
                self.end(key, None)

    async def missing(self, step: Step) -> Outcome | None:
        """Wait for what a request needs; how it stands when something of that has no image."""
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

    async def images(self, step: Step) -> Mapping[Source, Image]:
        """The images that stand for the keys in a request; all of them have to be there."""
        found = {}
        for key in step.request.upstream:
            result = await self.ends[key]
            assert result is not None
            source, file = Source(f"sha256:{result.sha256}"), self.blobs.path(result.sha256)
            found[Source(f"key:{key}")] = Image(source, f"{self.names[key]}.{result.extension}", result.mime, file)
        return found

    def _stages(self, step: Step) -> tuple[str, ...]:
        """The stages that have to be drawn before a request is sent.

        Cells of several stages may share it. It goes with the first of these that can be drawn: with another it might
        wait for itself.
        """
        return self.plan.needs.get(min((cell.stage for cell in step.cells), key=self.depths.__getitem__), ())


def _depths(above: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """How many stages come before each, one after the other; a circle was refused when the file was loaded."""
    depths: dict[str, int] = {}
    waiting = list(above)
    while waiting:
        stage = waiting[-1]
        unknown = [one for one in above.get(stage, ()) if one not in depths]
        waiting += unknown
        if not unknown:
            depths[waiting.pop()] = 1 + max((depths[one] for one in above.get(stage, ())), default=-1)
    return depths
