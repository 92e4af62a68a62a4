"""The messages of a run on stderr."""

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import click

from krea_pipe.cli.ci_log import inert_json
from krea_pipe.cli.messages import print_problems, problem_json
from krea_pipe.core.errors import Problem
from krea_pipe.core.outcome import iso

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class StderrLog:
    """How a command writes to stderr: as text, as JSON Lines for a log collector, or only errors."""

    quiet: bool = False
    in_json: bool = False

    def say(self, level: Level, event: str, text: str, *, styled: str | None = None, **facts: object) -> None:
        """Print one message; `styled` is its form on a terminal, `facts` appear only in JSON."""
        if self.quiet and level != "error":
            return
        with contextlib.suppress(OSError):  # the reader has gone, and the run must not end in the middle of it
            if self.in_json:
                head = {"t": iso(datetime.now(UTC)), "level": level, "event": event, "message": text}
                click.echo(inert_json(json.dumps({**head, **facts})), err=True)
            else:
                click.echo(styled or text, err=True)

    def problems(self, problems: Iterable[Problem], kind: Literal["error", "warning"] = "error") -> None:
        """Say what is wrong; warnings only where they are wanted."""
        if self.quiet and kind == "warning":
            return
        if not self.in_json:
            print_problems(problems, kind=kind)
            return
        for problem in problems:
            said = problem_json(problem)
            self.say(kind, "problem", problem.message, code=said["code"], at=said["at"], hint=said["hint"])

    def shortcomings(self, problems: Iterable[Problem]) -> None:
        """Warn of what was asked for and could not be done, though the run is not worse for it; also when quiet."""
        StderrLog(in_json=self.in_json).problems(problems, "warning")


def stderr_log_of(words: Sequence[str]) -> StderrLog:
    """Options that can be read even if the command line as a whole is invalid."""
    before = ("", *words)
    asked = ("--log-format", "json") in zip(before, words, strict=False)
    return StderrLog(in_json=asked or "--log-format=json" in words)
