"""Text in GitHub-flavoured Markdown that can do no harm there: code spans, and rows of tables."""

import re

from krea_pipe.core.excerpts import writable

_TURNED = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # would turn the text around them


def code(text: str, most: int = 160) -> str:
    """A text as a code span on one line: the one place in Markdown where nothing of it acts.

    No markup, link, picture, mention, issue number, emoji or formula is read in there, by GitHub and GitLab alike.
    """
    plain = " ".join(_TURNED.sub("\ufffd", writable(text)).split())
    if not plain:
        return ""
    if len(plain) > most:
        plain = f"{plain[: most - 1]}…"
    fence = "`" * (1 + _longest_fence(plain))
    space = " " if plain[0] == "`" or plain[-1] == "`" else ""
    return f"{fence}{space}{plain}{space}{fence}"


def fenced(text: str) -> str:
    """A text of many lines as a block of code, out of which none of them gets."""
    plain = _TURNED.sub("\ufffd", writable(text))
    fence = "`" * max(3, 1 + _longest_fence(plain))
    return f"{fence}\n{plain.rstrip()}\n{fence}\n"


def _longest_fence(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def table_head(*names: str) -> list[str]:
    """The lines above the rows of a table."""
    return [table_row(*names), f"|{'---|' * len(names)}"]


def table_row(*cells: str) -> str:
    """A row of a table; GitHub takes a bar for the end of a cell even within code, unless a backslash is before it."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
