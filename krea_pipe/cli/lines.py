"""Progress off a terminal: plain lines, as logs want them."""

import time

from krea_pipe.cli.progress_state import ProgressState, Settled
from krea_pipe.cli.stderr_log import StderrLog
from krea_pipe.pipeline.pricing import exact

EVERY = 5.0
FEW = 100


class Lines:
    """A line for each request when they are few, else one every few seconds; failures always."""

    def __init__(self, progress_state: ProgressState, stderr_log: StderrLog) -> None:
        self.progress_state, self.stderr_log, self.last = progress_state, stderr_log, time.monotonic()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def changed(self, settled: Settled | None, *, failed: bool) -> None:
        """Say what has just ended, if anything has."""
        if settled is None:
            return
        due = time.monotonic() - self.last >= EVERY or self.progress_state.done == self.progress_state.total
        if failed or due or self.progress_state.total <= FEW:
            self.last = time.monotonic()
            self._say(settled)

    def _say(self, settled: Settled) -> None:
        progress_state, code = self.progress_state, settled.failure.code if settled.failure else None
        self.stderr_log.say(
            "info",
            "progress",
            f"[{progress_state.done}/{progress_state.total}] {settled}{progress_state.tail()}",
            cell=settled.cell,
            status=settled.status,
            code=code,
            done=progress_state.done,
            total=progress_state.total,
            running=progress_state.running,
            failed=progress_state.failed,
            spent_usd=exact(progress_state.spent),
        )
