"""Problems and failed cells as workflow commands, which GitHub shows beside the lines that they are about."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from krea_pipe.cli.ci_log import ASKED, print_command
from krea_pipe.core.errors import Place

AnnotationKind = Literal["error", "warning"]

_MAX_ANNOTATIONS = 10
"""GitHub shows this many annotations of each kind for a step, and silently drops the rest."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One thing to show: its kind, a short title, the message, and where it is, if it has a place."""

    kind: AnnotationKind
    title: str
    message: str
    at: Place | None = None


def annotate(found: Iterable[Annotation]) -> None:
    """Have GitHub show these, if the environment asks for it, when the command ends and they can be counted."""
    if os.environ.get(ASKED) != "github":
        return
    context = click.get_current_context(silent=True)
    if context is None or context.parent is None:  # no command is running
        _print(list(found))
        return
    root = context.find_root()
    if ASKED not in root.meta:
        waiting: list[Annotation] = []
        root.meta[ASKED] = waiting
        root.call_on_close(lambda: _print(waiting))
    root.meta[ASKED].extend(found)


def _print(found: Sequence[Annotation]) -> None:
    """Print the first of each kind; in place of the last that GitHub would show, say how many there are besides."""
    for kind in ("error", "warning"):
        own = [one for one in found if one.kind == kind]
        shown = own if len(own) <= _MAX_ANNOTATIONS else own[: _MAX_ANNOTATIONS - 1]
        for one in shown:
            _print_one(one)
        if len(shown) < len(own):
            count = len(own) - len(shown)
            rest = f"{count:,} more {kind}s: GitHub shows {_MAX_ANNOTATIONS}, see the log of this step for the rest"
            _print_one(Annotation(own[0].kind, "krea-pipe", rest))


def _print_one(one: Annotation) -> None:
    place: dict[str, object] = {}
    message = one.message
    if one.at is not None and one.at.path.is_file():
        place = {"file": _path(one.at.path), "line": one.at.line, "col": one.at.column}
    elif one.at is not None:  # an option, or a file of another commit
        message = f"{one.at}: {message}"
    print_command(one.kind, message, {**place, "title": one.title}, err=True)


def _path(path: Path) -> str:
    """A path as the checked out repository has it, since that is how GitHub finds the line."""
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
    whole = path.resolve()
    return (whole.relative_to(workspace) if whole.is_relative_to(workspace) else path).as_posix()
