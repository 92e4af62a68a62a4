"""A comparison as Markdown, for a comment on a pull request that each push writes anew."""

from collections.abc import Sequence
from urllib.parse import quote

from krea_pipe.pipeline.pricing import usd
from krea_pipe.report.compare.model import Comparison, Row
from krea_pipe.report.compare.words import KIND_WORDS, headline, problem_words, stored_words
from krea_pipe.report.markup import code, table_head, table_row

LIMIT = 60_000
"""Characters. GitHub takes comments of at most 65,536."""

SHOWN = 40
_ID, _REASON, _NOTE, _NOTES = 120, 240, 200, 20


def render(made: Comparison, waiting: Sequence[str] = (), *, limit: int = LIMIT) -> str:
    """Render a comparison as a comment of at most so many characters; `waiting` are sentences about stages that wait.

    Its first line is the same for the same file, so that the comment can be found again.
    """
    text = _opening(made, waiting)
    rendered = [row for row in made.rows if row.is_rendered]
    moved, gone = ([row for row in made.rows if row.kind == kind] for kind in ("moved", "gone"))
    head = table_head("Cell", "Change", "Reason", "Price")
    text += _table(head, [_rendered_row(row) for row in rendered], limit - len(text))
    text += _folded(f"{len(moved):,} moved (free)", table_head("Cell", ""), moved, limit - len(text))
    return text + _folded(f"{len(gone):,} gone", table_head("Cell", ""), gone, limit - len(text))


def marker(file: str) -> str:
    """The first line of a comment about a pipeline file, by its path below the top of the repository."""
    # `--` would end an HTML comment.
    return f"<!-- krea-pipe plan {quote(file, safe='/', errors='replace').replace('--', '-%2D')} -->"


def _opening(made: Comparison, waiting: Sequence[str]) -> str:
    head = f" as of {_revision(made.head.name, made.head.commit)}" if made.head.commit else ""
    old = f", where it is {code(made.old_file, _ID)}" if made.old_file else ""
    stored = stored_words(made)
    lines = [
        marker(made.file),
        f"### {code(made.file, _ID)}",
        "",
        f"**{headline(made)}**{f' {stored}' if stored else ''}",
        "",
        f"Against {_revision(made.base.name, made.base.commit)}{old}{head}; nothing was rendered for this.",
    ]
    if made.problem is not None:
        lines += ["", code(problem_words(made.problem), 400)]
    for words in (*waiting, *(f"Warning: {one.message}" for one in made.warnings))[:_NOTES]:
        lines += ["", code(words, 400)]
    return "\n".join(lines) + "\n"


def _revision(name: str, commit: str | None) -> str:
    return code(name, _ID) + (f" ({code(commit[:10])})" if commit else "")


def _rendered_row(row: Row) -> str:
    price = usd(row.price) if row.price else ""
    return table_row(code(row.id, _ID), KIND_WORDS[row.kind], code(_reason(row), _REASON), price)


def _reason(row: Row) -> str:
    found = "" if row.reason == row.kind else row.reason
    return f"{found}; in the store" if found and row.stored else "in the store" if row.stored else found


def _folded(title: str, head: list[str], rows: Sequence[Row], room: int) -> str:
    opening, closing = f"\n<details><summary>{title}</summary>\n", "\n</details>\n"
    lines = [table_row(code(row.id, _ID), code(row.reason, _REASON)) for row in rows]
    inside = _table(head, lines, room - len(opening) - len(closing))
    return f"{opening}{inside}{closing}" if inside else ""


def _table(head: list[str], lines: Sequence[str], room: int) -> str:
    """As many of the first rows as there is room for, and how many more there are."""
    room -= sum(len(line) + 1 for line in head) + _NOTE
    shown: list[str] = []
    for line in lines[:SHOWN]:
        room -= len(line) + 1
        if room < 0:
            break
        shown.append(line)
    if not shown:
        return ""
    more = ["", f"… and {len(lines) - len(shown):,} more"] if len(shown) < len(lines) else []
    return "\n".join(["", *head, *shown, *more]) + "\n"
