"""Output for people and programs: problems with their line and caret, and JSON."""

import itertools
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from krea_pipe.cli.annotations import Annotation, AnnotationKind, annotate
from krea_pipe.cli.ci_log import inert_json
from krea_pipe.core.errors import Place, Problem
from krea_pipe.core.json_data import writable

_COLUMNS = 80
"""Columns of a terminal that a line of a file is cut to."""
LINES = 256
"""Lines that are printed in one go."""


def print_json(data: Mapping[str, object]) -> None:
    """Print one JSON object on stdout."""
    click.echo(inert_json(json.dumps(data, ensure_ascii=not _utf8(), indent=None if len(data) < 3 else 1)))


def print_partial(count: int, expected: int) -> None:
    """Say on stderr that there are fewer images than there could be."""
    if count < expected:
        click.echo(f"{click.style('partial', fg='yellow', bold=True)} {count:,} of {expected:,} images", err=True)


def print_replaced(path: Path, earlier: int, count: int) -> None:
    """Say on stderr that a file took the place of one with more images."""
    if earlier > count:
        click.echo(f"{click.style('replaced', fg='yellow', bold=True)} {path}, which had {earlier:,} images", err=True)


def print_json_line(data: Mapping[str, object]) -> None:
    """Print one JSON object on a separate line."""
    click.echo(inert_json(json.dumps(data, ensure_ascii=not _utf8())))


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of JSON, many at a time."""
    plain = not _utf8()
    waiting = iter(lines)
    while batch := list(itertools.islice(waiting, LINES)):
        text = inert_json("\n".join(batch))
        # `click.echo` would look for colours, which JSON cannot contain.
        sys.stdout.write(f"{_escaped(text) if plain and not text.isascii() else text}\n")
        sys.stdout.flush()


def _escaped(text: str) -> str:
    """JSON in ASCII alone: other characters occur only in its strings, and are escaped."""
    return re.sub(r"[^\x00-\x7f]+", lambda found: json.dumps(found[0])[1:-1], text)


def print_problems(problems: Iterable[Problem], *, kind: AnnotationKind = "error") -> None:
    """Print problems on stderr: what, where with a caret, and what to do."""
    colour = {"error": "red", "warning": "yellow"}[kind]
    found = list(problems)
    for problem in found:
        where = f"{problem.at}: " if problem.at else ""
        click.echo(f"{where}{click.style(kind, fg=colour, bold=True)}: {as_one(problem.message)}", err=True)
        if problem.at and problem.at.text.strip():
            click.echo(_excerpt(problem.at, colour), err=True)
        if problem.hint:
            click.echo(f"  {click.style('hint', fg='cyan')}: {as_one(problem.hint)}", err=True)
    annotate(Annotation(kind, one.code, _with_hint(one), one.at) for one in found)


def as_one(text: str) -> str:
    """A text that may quote anything, as a part of one message: no line of it begins with the text's own words.

    The log of a CI job is read line by line, and GitHub obeys lines such as `::stop-commands::`.
    """
    return "\n  | ".join(re.split(r"\r\n|\r|\n", writable(text)))


def _with_hint(problem: Problem) -> str:
    return f"{problem.message}\nhint: {problem.hint}" if problem.hint else problem.message


def error_json(problems: Sequence[Problem], exit_code: int) -> dict[str, object]:
    """Problems as the object that `--json` prints in place of a result."""
    return {
        "schema": "krea-pipe/error@1",
        "exit_code": exit_code,
        "error": problem_json(problems[0]),
        "problems": [problem_json(problem) for problem in problems],
    }


def problem_json(problem: Problem) -> dict[str, object]:
    """One problem as JSON data."""
    return {
        "code": problem.code,
        "message": problem.message,
        "at": place_json(problem.at),
        "hint": problem.hint,
    }


def place_json(at: Place | None) -> dict[str, object] | None:
    """A place in a file as JSON data."""
    return {"file": str(at.path), "line": at.line, "column": at.column} if at else None


def _excerpt(at: Place, colour: str) -> str:
    """The line with a caret under the column, cut to the width of a terminal, tabs shown as one space."""
    text = re.sub(r"[\t\r]", " ", writable(at.text))
    here = at.column - 1 - at.cut
    if at.is_whole:
        return f"  | {_piece(text, 0, _COLUMNS - 4, is_cut=at.cut > 0)[0]}"
    head = f"  {at.line} | "
    shown, before = _piece(text, here if 0 <= here <= len(text) else 0, _COLUMNS - len(head), is_cut=at.cut > 0)
    if not 0 <= here <= len(text):  # the text there is masked
        return head + shown
    margin = " " * (len(head) - 2)
    return f"{head}{shown}\n{margin}| {' ' * before}{click.style('^', fg=colour, bold=True)}"


def _piece(text: str, here: int, room: int, *, is_cut: bool) -> tuple[str, int]:
    """The part of a line that fits some columns around a character, and the columns before that character."""
    start, end = here, here
    if sum(map(_width, text)) <= room - is_cut:
        start, end = 0, len(text)
    else:
        room -= 2  # for an ellipsis at each end
        used = 0
        while start > 0 and used + _width(text[start - 1]) <= room // 2:
            start -= 1
            used += _width(text[start])
        while end < len(text) and used + _width(text[end]) <= room:
            used += _width(text[end])
            end += 1
        while start > 0 and used + _width(text[start - 1]) <= room:
            start -= 1
            used += _width(text[start])
    lead = "…" if start > 0 or is_cut else ""
    shown = f"{lead}{text[start:end]}{'…' if end < len(text) else ''}"
    return shown, len(lead) + sum(map(_width, text[start:here]))


def _width(letter: str) -> int:
    """The columns that a character takes on a terminal."""
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _utf8() -> bool:
    return (getattr(sys.stdout, "encoding", "") or "").lower().replace("-", "") == "utf8"
