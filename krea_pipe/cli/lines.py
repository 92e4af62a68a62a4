"""Progress off a terminal: plain lines, as logs want them."""

import time

from krea_pipe.cli.progress_state import Settled, Tally
from krea_pipe.cli.stderr_log import Voice
from krea_pipe.pipeline.pricing import exact

EVERY = 5.0
FEW = 100


class Lines:
    """A line for each request when they are few, else one every few seconds; failures always."""

    def __init__(self, tally: Tally, voice: Voice) -> None:
        self.tally, self.voice, self.last = tally, voice, time.monotonic()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def changed(self, settled: Settled | None, *, failed: bool) -> None:
        """Say what has just ended, if anything has."""
        if settled is None:
            return
        due = time.monotonic() - self.last >= EVERY or self.tally.done == self.tally.total
        if failed or due or self.tally.total <= FEW:
            self.last = time.monotonic()
            self._say(settled)

    def _say(self, settled: Settled) -> None:
        tally, code = self.tally, settled.failure.code if settled.failure else None
        self.voice.say(
            "info",
            "progress",
            f"[{tally.done}/{tally.total}] {settled}{tally.tail()}",
            cell=settled.cell,
            status=settled.status,
            code=code,
            done=tally.done,
            total=tally.total,
            running=tally.running,
            failed=tally.failed,
            spent_usd=exact(tally.spent),
        )
