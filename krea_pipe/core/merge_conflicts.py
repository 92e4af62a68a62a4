"""Conflict markers, which git leaves in a file where a merge needs a decision."""

import re
from pathlib import Path

from krea_pipe.core.errors import Problem
from krea_pipe.core.excerpts import LineIndex

CONFLICT = "merge_conflict"
MESSAGE = "this is a merge conflict marker"
CHOOSE = "keep the correct parts of both sides, and delete the marker lines: <<<<<<<, ======= and >>>>>>>"
KEEP_BOTH = "keep the lines of both sides and delete the markers"

_MARK = re.compile(r"^(?:<{7,}|>{7,}|\|{7,})(?:[ \t][^\r\n]*)?\r?$", re.MULTILINE)
_LINE = re.compile(r"[<=>|]{7}")


def conflict_at(text: str) -> int | None:
    """The index of the first conflict marker in a text; a line of equals signs alone does not count."""
    found = _MARK.search(text)
    return found.start() if found else None


def is_mark(line: str) -> bool:
    """Whether a line is a conflict marker, in a file in which no other line can begin like one."""
    return _LINE.match(line) is not None


def conflict_in(file: Path, text: str, hint: str = CHOOSE) -> Problem | None:
    """The problem of a text with conflict markers, at the first of them."""
    at = conflict_at(text)
    return None if at is None else Problem(CONFLICT, MESSAGE, LineIndex(file, text).place(at), hint)
