"""Problems and failed cells as workflow commands, which GitHub shows beside the lines that they are about."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from krea_pipe.errors import Place
from krea_pipe.report.words import writable

Kind = Literal["error", "warning"]

NAME = "KREA_PIPE_ANNOTATIONS"
MOST = 10
"""GitHub shows so many of each kind for one step, and drops the rest without a word."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One thing to show: its kind, a short title, the message, and where it stands if it stands anywhere."""

    kind: Kind
    title: str
    message: str
    at: Place | None = None


def annotate(found: Iterable[Annotation]) -> None:
    """Have GitHub show these, if the environment asks for it, when the command ends and they can be counted."""
    if os.environ.get(NAME) != "github":
        return
    context = click.get_current_context(silent=True)
    if context is None or context.parent is None:  # no command is under way any more
        _print(list(found))
        return
    root = context.find_root()
    if NAME not in root.meta:
        waiting: list[Annotation] = []
        root.meta[NAME] = waiting
        root.call_on_close(lambda: _print(waiting))
    root.meta[NAME].extend(found)


def _print(found: Sequence[Annotation]) -> None:
    """Print the first of each kind; in place of the last that GitHub would show, say how many there are besides."""
    for kind in ("error", "warning"):
        own = [one for one in found if one.kind == kind]
        shown = own if len(own) <= MOST else own[: MOST - 1]
        for one in shown:
            click.echo(_command(one), err=True)
        if len(shown) < len(own):
            rest = f"{len(own) - len(shown):,} more {kind}s: GitHub shows {MOST}, the log of this step has all of them"
            click.echo(_command(Annotation(own[0].kind, "krea-pipe", rest)), err=True)


def _command(one: Annotation) -> str:
    """A workflow command, as https://docs.github.com/actions/reference/workflow-commands-for-github-actions has it."""
    properties: dict[str, object] = {"title": one.title}
    message = one.message
    if one.at is not None and one.at.path.is_file():
        properties = {"file": _path(one.at.path), "line": one.at.line, "col": one.at.column, **properties}
    elif one.at is not None:  # an option, or a file of another commit
        message = f"{one.at}: {message}"
    listed = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{one.kind} {listed}::{_data(message)}"


def _path(path: Path) -> str:
    """A path as the checked out repository has it, since that is how GitHub finds the line."""
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
    whole = path.resolve()
    return (whole.relative_to(workspace) if whole.is_relative_to(workspace) else path).as_posix()


def _data(text: str) -> str:
    return writable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
