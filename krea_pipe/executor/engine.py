"""All requests of a plan, each on its way as a task; what was paid comes first, what is new as there is room for it."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from krea_pipe.core.errors import KreaPipeError
from krea_pipe.core.outcome import Failure, Outcome, Result
from krea_pipe.core.request import Key
from krea_pipe.executor.capacity import JobSlot
from krea_pipe.executor.image_task import ImageTask, OtherRuns, SharedParts, image_task
from krea_pipe.executor.inputs import Uploads, UpstreamImages
from krea_pipe.executor.lost import Search
from krea_pipe.executor.session import Session
from krea_pipe.executor.watch import JobWatch, Reader
from krea_pipe.planning.plan import Attach, Hold, Plan, Step, Submit
from krea_pipe.store.crash_log import save_crash_log

_T = TypeVar("_T")

Outcomes: TypeAlias = dict[Key, Outcome]
StepListener: TypeAlias = Callable[[Step, Outcome | None], None]
"""Told of each step: with None when it is begun, with the outcome when it has ended."""

Deliver: TypeAlias = Callable[[Step, Result], bool | Failure]
"""Puts an image where the file's author wants it, or says why it cannot; called in a thread."""


@dataclass(slots=True)
class Engine:
    """Carries out what a plan leaves to do."""

    plan: Plan
    session: Session
    tell: StepListener
    deliver: Deliver
    shared: SharedParts = field(init=False)
    outcomes: Outcomes = field(default_factory=dict)
    error: BaseException | None = None
    logs: dict[str, Path] = field(default_factory=dict)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        session = self.session
        uploads = Uploads(session, {image.source: image for image in self.plan.images})
        watch = JobWatch(session, Reader(session))
        upstream = UpstreamImages(self.plan, session.space.blobs)
        self.shared = SharedParts(session, watch, Search(session), uploads, OtherRuns(session), upstream)

    async def run(self) -> Outcomes:
        """Do the work. What goes wrong in one task ends the run, but gently, and is kept as `error`.

        A POST of another task that were cut off would be paid and have no answer.
        """
        self.session.stop.listeners += [
            self.session.capacity.semaphore.close,
            self.session.submit_gate.semaphore.close,
            self.session.budget.shut,
            self.shared.upstream.give_up,
            self.shared.watch.hurry,
        ]
        background = [self._start(work) for work in (self.shared.watch.run(), self.shared.other_runs.run())]
        try:
            await asyncio.wait([self._start(self._feed())])
            self.shared.watch.hurry()
            while self.tasks:
                await asyncio.wait(self.tasks)
        finally:
            self.session.stop.leave()
            rest = (*background, *self.tasks)  # those only look, and these are left over by a second interrupt
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        return self.outcomes

    async def _feed(self) -> None:
        """Begin every step: jobs that Krea already has first, because they are paid."""
        begun = set[Key]()
        try:
            await self._begin_all(begun)
        finally:
            self.shared.upstream.give_up(step.key for step in self.plan.steps if step.key not in begun)

    async def _begin_all(self, begun: set[Key]) -> None:
        for step in self._steps(Attach):
            begun.add(step.key)
            self._begin(step, JobSlot(self.session.capacity), has_price=False)
        for step in self._steps(Hold):
            begun.add(step.key)
            if not (isinstance(step.action, Hold) and step.action.can_be_settled):
                self.shared.upstream.end(step.key, None)
                continue
            self.session.budget.commit(step.price)
            self.session.submit_gate.shut()
            self._begin(step, JobSlot(self.session.capacity), has_price=True)
        steps = self._steps(Submit)
        for step in steps:
            if self.shared.upstream.is_chained(step):
                begun.add(step.key)
                self._keep(self._chained(step))
        for step in steps:
            if step.key not in begun:
                if self.session.stop.wanted or not await self._send_when_free(step):
                    return
                begun.add(step.key)

    async def _send_when_free(self, step: Step) -> bool:
        """Begin a new request once there are budget and a slot for it; False when there will be none any more."""
        # Budget before slot, as everywhere: who has one and waits for the other must not hold up who has the other.
        slot, stop, budget = JobSlot(self.session.capacity), self.session.stop, self.session.budget
        if not await budget.reserve(step.price):
            if not stop.wanted:
                stop.reach(budget.limit())
            return False
        if not await slot.take():
            budget.release(step.price)
            return False
        self._begin(step, slot, has_price=True)
        return True

    async def _chained(self, step: Step) -> None:
        """Begin a request once the images that it needs are there; until then it holds neither budget nor a slot."""
        upstream = self.shared.upstream
        lack = await upstream.missing(step)
        if lack is not None:
            self.outcomes[step.key] = lack
            upstream.settle(step.key, lack)
        elif self.session.stop.wanted or not await self._send_when_free(step):
            upstream.give_up([step.key])

    def _steps(self, action: type[Attach | Hold | Submit]) -> list[Step]:
        return [step for step in self.plan.steps if isinstance(step.action, action)]

    def _begin(self, step: Step, slot: JobSlot, *, has_price: bool) -> None:
        self.tell(step, None)
        self._keep(self._work(image_task(step, self.shared, slot, has_price=has_price)))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task that the run waits for."""
        task = self._start(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _work(self, task: ImageTask) -> None:
        step = task.step
        try:
            end = await self._bounded(task.take())
            outcome = self.outcomes[step.key] = await task.fail(end) if isinstance(end, Failure) else end
            self.shared.upstream.settle(step.key, outcome)
        finally:
            self.shared.upstream.end(step.key, None)
        if outcome.result is not None:
            delivered = await self._bounded(self.session.shielded(partial(self.deliver, step, outcome.result)))
            if isinstance(delivered, Failure):
                outcome = self.outcomes[step.key] = replace(outcome, status="failed", failure=delivered)
        self.tell(step, outcome)

    async def _bounded(self, work: Awaitable[_T]) -> _T | Failure:
        """What came of some work for one request. What nobody foresaw fails that request alone.

        Raises:
            KreaPipeError: what stops all work, such as a journal that cannot be written.
        """
        try:
            return await work
        except KreaPipeError:
            raise
        except Exception as error:  # noqa: BLE001 (the boundary of a request)
            return self._unforeseen(error)

    def _unforeseen(self, error: Exception) -> Failure:
        """An error of krea-pipe itself as the failure of a request, with one log for each kind of error."""
        kind = repr((type(error), [(one.filename, one.lineno) for one in traceback.extract_tb(error.__traceback__)]))
        if kind not in self.logs:
            home, token = self.session.space.folder.parent, self.session.client.token
            self.logs[kind] = save_crash_log(error, home, lambda text: "\n".join(map(token.masked, text.split("\n"))))
        message = f"krea-pipe has a bug: {type(error).__name__}; please report it with {self.logs[kind]}"
        return Failure("internal_error", message, "failed")

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_error)
        return task

    def _note_error(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.error = self.error or error
            self.session.stop.leave()
