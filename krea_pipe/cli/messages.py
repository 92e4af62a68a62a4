"""What people and programs read: problems with their line and caret, and JSON."""

import itertools
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence

import click

from krea_pipe.errors import Place, Problem

MAX_LINE = 110
LINES = 256
"""Lines that are printed in one go."""


def print_json(data: Mapping[str, object]) -> None:
    """Print one JSON object on stdout."""
    click.echo(json.dumps(data, ensure_ascii=not _utf8(), indent=None if len(data) < 3 else 1))


def print_json_line(data: Mapping[str, object]) -> None:
    """Print one JSON object on a line of its own."""
    click.echo(json.dumps(data, ensure_ascii=not _utf8()))


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of JSON, many at a time."""
    plain = not _utf8()
    waiting = iter(lines)
    while batch := list(itertools.islice(waiting, LINES)):
        text = "\n".join(batch)
        click.echo(_escaped(text) if plain and not text.isascii() else text)


def _escaped(text: str) -> str:
    """JSON in ASCII alone: what is not ASCII stands in its strings, and is escaped there."""
    return re.sub(r"[^\x00-\x7f]+", lambda found: json.dumps(found[0])[1:-1], text)


def print_problems(problems: Iterable[Problem], *, kind: str = "error") -> None:
    """Print problems on stderr: what, where with a caret, and what to do."""
    colour = {"error": "red", "warning": "yellow"}[kind]
    for problem in problems:
        where = f"{problem.at}: " if problem.at else ""
        click.echo(f"{where}{click.style(kind, fg=colour, bold=True)}: {problem.message}", err=True)
        if problem.at and problem.at.text.strip():
            click.echo(_excerpt(problem.at, colour), err=True)
        if problem.hint:
            click.echo(f"  {click.style('hint', fg='cyan')}: {problem.hint}", err=True)


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
    at = problem.at
    return {
        "code": problem.code,
        "message": problem.message,
        "at": {"file": str(at.path), "line": at.line, "column": at.column} if at else None,
        "hint": problem.hint,
    }


def _excerpt(at: Place, colour: str) -> str:
    """The line with a caret under the column, cut to what fits, tabs shown as one space."""
    text = at.text.replace("\t", " ")
    start = max(0, at.column - 1 - MAX_LINE // 2) if len(text) > MAX_LINE else 0
    shown = text[start : start + MAX_LINE]
    margin = " " * len(str(at.line))
    caret = " " * (at.column - 1 - start) + click.style("^", fg=colour, bold=True)
    return f"  {at.line} | {shown}\n  {margin} | {caret}"


def _utf8() -> bool:
    return (getattr(sys.stdout, "encoding", "") or "").lower().replace("-", "") == "utf8"
