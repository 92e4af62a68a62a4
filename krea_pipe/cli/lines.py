"""Progress off a terminal: plain lines, as logs want them."""

import contextlib
import time

import click

from krea_pipe.cli.tally import Tally

EVERY = 5.0
FEW = 100


class Lines:
    """A line for each request when they are few, else one every few seconds; failures always."""

    def __init__(self, tally: Tally) -> None:
        self.tally, self.last = tally, time.monotonic()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def changed(self, settled: str | None, *, failed: bool) -> None:
        """Say what has just ended, if anything has."""
        if settled is None:
            return
        due = time.monotonic() - self.last >= EVERY or self.tally.done == self.tally.total
        if failed or due or self.tally.total <= FEW:
            self.last = time.monotonic()
            with contextlib.suppress(OSError):  # who listened has gone, and the run must not end in the middle of it
                click.echo(f"[{self.tally.done}/{self.tally.total}] {settled}{self.tally.tail()}", err=True)
