"""A run in a process of its own that is stopped by signals, against a Krea with two machines."""

import asyncio
import threading
from dataclasses import dataclass, field

from krea_server import GENERATE, ask, send_answer, until

LATENCY = 1000.0
"""Of each job, by the clock of the test."""
PROCESSING = 300.0
"""After so long a job that a machine has taken cannot be cancelled any more."""


def two_machines(krea):
    """Two jobs at once, the others wait; time stands still for them until the test advances the clock."""
    krea.reset(latency=LATENCY, concurrency=2)


def statuses(krea) -> dict[str, str]:
    """How Krea's jobs stand, by prompt; of several the last."""
    now = krea.world.now()
    return {job.brief.order.prompt: job.status(now) for job in krea.world.jobs}


@dataclass
class Hold:
    """Answers that are held back until they are released; the app has acted on the request.

    It acts once there are `after` other jobs: of requests that are sent at once, any may come first.
    """

    after: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    held: list[str] = field(default_factory=list)

    def rule(self, krea, method, prefix, *, text=""):
        async def act(scope, seen, send, app):
            while len(krea.world.jobs) < self.after:
                await asyncio.sleep(0.01)
            answer = await ask(app, scope, seen)
            self.held.append(seen.path)
            while not self.released.is_set():
                await asyncio.sleep(0.01)
            await send_answer(send, *answer)

        krea.rule(method, prefix, act, text=text)
        return self

    def posts(self, krea, *words):
        for word in words:
            self.rule(krea, "POST", GENERATE, text=f'"{word}"')
        return self


@dataclass
class Stopped:
    """A started run, and what it has said."""

    project: object
    process: object
    said: str = ""

    def signal(self, number):
        """Send a signal, and wait until the run has said that it stops."""
        self.process.send_signal(number)
        while "Press Ctrl-C again" not in self.said:
            line = self.process.stderr.readline().decode()
            assert line, f"the run ended without a word: {self.said}"
            self.said += line

    def end(self):
        until(lambda: self.process.poll() is not None, "the end of the run")
        done = self.project.finish(self.process)
        done.err = self.said + done.err
        return done


def started(project, *words, running=None) -> Stopped:
    """A run whose first two jobs are processed, once `running` jobs are known in the journal."""
    run = Stopped(project, project.start("run", "p.yaml", *words))
    if running is not None:
        until(lambda: len(project.events("submitted")) == running, f"{running} jobs")
        project.krea.clock.advance(PROCESSING)
    return run
