"""All steps of a plan, bounded and interruptible; each becomes an outcome."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from krea_pipe.outcome import Failure, Outcome, Result
from krea_pipe.plan import Attach, Plan, Step, Submit
from krea_pipe.request import Key
from krea_pipe.run.collect import Collector
from krea_pipe.run.session import Session, now
from krea_pipe.run.submit import History, submit
from krea_pipe.run.uploads import Uploads

Outcomes: TypeAlias = dict[Key, Outcome]
Watch: TypeAlias = Callable[[Step, Outcome | None], None]
"""Told of each step: with None when its job is running, with the outcome when it has ended."""


Deliver: TypeAlias = Callable[[Step, Result], bool | Failure]
"""Puts an image where the file's author wants it, or says why it can not; called in a thread."""


async def run_steps(
    plan: Plan, session: Session, *, concurrency: int, watch: Watch, deliver: Deliver
) -> tuple[Outcomes, BaseException | None]:
    """Carry out what a plan leaves to do, and say what ended the work early, if anything did.

    Jobs that Krea already has come first, because they are paid. What goes wrong in one worker ends the run, but
    gently: a POST of another worker that were cut off would be paid and have no answer.
    """
    work = [step for step in plan.steps if isinstance(step.action, Attach)]
    work += [step for step in plan.steps if isinstance(step.action, Submit)]
    uploads = Uploads(session, {image.source: image for image in plan.uploads})
    workers = _Workers(iter(work), session, uploads, watch, deliver)
    crew = (workers.work() for _ in range(min(concurrency, len(work))))
    ends = await asyncio.gather(*crew, return_exceptions=True)
    return workers.outcomes, next((end for end in ends if end is not None), None)


@dataclass(slots=True)
class _Workers:
    """What the workers of one run share."""

    queue: Iterator[Step]
    session: Session
    uploads: Uploads
    watch: Watch
    deliver: Deliver
    outcomes: Outcomes = field(default_factory=dict)

    async def work(self) -> None:
        """Take steps until there are none, or none is to be begun."""
        in_order = False
        try:
            for step in self.queue:
                if self.session.stop.wanted:
                    break
                await self._work_on(step)
            in_order = True
        finally:
            if not in_order:
                self.session.stop.leave()

    async def _work_on(self, step: Step) -> None:
        self.watch(step, None)
        outcome = self.outcomes[step.key] = await self._settle(step)
        if outcome.result is not None:
            delivered = await self.session.shielded(partial(self.deliver, step, outcome.result))
            if isinstance(delivered, Failure):
                outcome = self.outcomes[step.key] = replace(outcome, status="failed", failure=delivered)
        self.watch(step, outcome)

    async def _settle(self, step: Step) -> Outcome:
        history = History()
        if isinstance(step.action, Attach):
            history.note("attached", step.action.job_id)
            return await Collector(step, self.session, history, None, step.action).collect(step.action.job_id)
        job = await submit(step, self.session, self.uploads, history)
        if isinstance(job, Outcome):
            return job
        return await Collector(step, self.session, history, now()).collect(job.id)
