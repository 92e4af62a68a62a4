"""Marks that git leaves in a file where a merge has found no answer."""

import re
from pathlib import Path

from krea_pipe.core.errors import Problem
from krea_pipe.core.excerpts import LineIndex

CODE = "merge_conflict"
MESSAGE = "this is a mark of a merge conflict"
CHOOSE = "keep what is right of both sides, and delete the lines of marks: <<<<<<<, ======= and >>>>>>>"
KEEP_BOTH = "keep the lines of both sides and delete the marks"

_MARK = re.compile(r"^(?:<{7,}|>{7,}|\|{7,})(?:[ \t][^\r\n]*)?\r?$", re.MULTILINE)
_LINE = re.compile(r"[<=>|]{7}")


def conflict_at(text: str) -> int | None:
    """Where the first mark of a merge conflict stands in a text; a line of equals signs alone is none."""
    found = _MARK.search(text)
    return found.start() if found else None


def is_mark(line: str) -> bool:
    """Whether a line is such a mark, where no other line can begin like one."""
    return _LINE.match(line) is not None


def conflict_in(file: Path, text: str, hint: str = CHOOSE) -> Problem | None:
    """What is wrong with a text that has marks of a merge conflict, at the first of them."""
    at = conflict_at(text)
    return None if at is None else Problem(CODE, MESSAGE, LineIndex(file, text).place(at), hint)
