"""A comparison in words, as JSON data, and as Markdown for a pull request comment that each push rewrites."""

from collections.abc import Sequence
from dataclasses import asdict
from urllib.parse import quote

from krea_pipe.core.errors import Problem
from krea_pipe.core.money import exact
from krea_pipe.core.word_diff import change_json
from krea_pipe.pipeline.pricing import usd, usd_range
from krea_pipe.planning.plan import Sum
from krea_pipe.report.compare.comparison import CHANGE_KINDS, CellChange, ChangeKind, Comparison, Revision
from krea_pipe.report.markdown import code, table_head, table_row

_SCHEMA = "krea-pipe/comparison@1"
_MAX_COMMENT_CHARACTERS = 60_000
"""Characters. GitHub takes comments of at most 65,536."""
_MAX_ROWS = 40
_ID, _REASON, _NOTE, _NOTES = 120, 240, 200, 20
_GROUPS: tuple[tuple[ChangeKind, ...], ...] = (("changed", "new"), ("moved", "gone", "same"))
KIND_WORDS: dict[ChangeKind, str] = {
    "new": "new",
    "changed": "changed",
    "moved": "moved",
    "gone": "gone",
    "same": "untouched",
}


def headline(comparison: Comparison) -> str:
    """The change in one sentence: the number of images of each kind, and the price."""
    rendered, images = comparison.count("new") + comparison.count("changed"), comparison.images()
    parts = {kind: f"{comparison.count(kind):,} {KIND_WORDS[kind]}" for kind in KIND_WORDS if comparison.count(kind)}
    if "moved" in parts:
        parts["moved"] += " (free)"
    counts = [", ".join(parts[kind] for kind in kinds if kind in parts) for kinds in _GROUPS]
    found = "; ".join(one for one in counts if one)
    if not rendered:
        return f"Nothing to render: {found}." if found else "Nothing to render."
    verb = "Re-renders" if comparison.count("changed") else "Renders"
    requests = comparison.rendered()
    shared = f" ({_counted(requests.count, 'request')})" if requests.count != rendered else ""
    return f"{verb} {rendered:,} of {_counted(images, 'image')}{shared} for {usd(requests.usd)}: {found}."


def stored_words(comparison: Comparison) -> str:
    """The part of it that is available at no cost; "" if none is."""
    stored, unpaid, doubt = comparison.stored(), comparison.unpaid(), comparison.fetched("krea")
    copied = comparison.fetched("machine")
    if not stored.count and not copied.count and not doubt.count:
        return ""
    if not unpaid.count and not copied.count and not doubt.count:
        return "All of them are already stored, so a run would cost nothing."
    found = [
        f"{stored.count:,} already stored" if stored.count else "",
        f"a run fetches {copied.count:,} at no cost" if copied.count else "",
        f"a run fetches {doubt.count:,} from Krea if it still has them" if doubt.count else "",
    ]
    words = ", ".join(filter(None, found))
    most = unpaid.usd + doubt.usd
    price = usd_range(unpaid.usd, most) if most else "nothing"
    return f"{words[0].upper()}{words[1:]}, so a run would cost {price}."


def base_words(comparison: Comparison) -> str:
    """Between which two states the images were compared."""
    head = f", as in {comparison.head.words}" if comparison.head.commit else ""
    old = f", where it is {comparison.old_file}" if comparison.old_file else ""
    return f"{comparison.file}{head}, against {comparison.base.words}{old}"


def problem_words(problem: Problem) -> str:
    """Why the base has no cells, on one line."""
    if problem.code == "new_file":
        return f"{problem.message}, so everything is new."
    where = f"{problem.at}: " if problem.at else ""
    return " ".join(f"The base cannot be used, so everything counts as new: {where}{problem.message}".split())


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def comparison_json(comparison: Comparison) -> dict[str, object]:
    """Every row and the totals; prices are texts of US dollars."""
    return {
        "schema": _SCHEMA,
        "pipeline": comparison.pipeline,
        "file": comparison.file,
        "base": {
            **asdict(comparison.base),
            "file": comparison.old_file or comparison.file,
            "problem": _problem(comparison.problem),
        },
        "head": asdict(comparison.head),
        "headline": headline(comparison),
        "totals": _totals(comparison),
        "stages": [{"name": stage, **_totals(comparison, stage)} for stage in comparison.stages],
        "cells": [_row(row) for row in comparison.rows],
    }


def _totals(comparison: Comparison, stage: str | None = None) -> dict[str, object]:
    """The images of the head, the cells of each kind, and the distinct requests that the base does not have."""
    return {
        "images": comparison.images(stage),
        **{kind: comparison.count(kind, stage) for kind in CHANGE_KINDS},
        "rendered": _sum(comparison.rendered(stage)),
        "stored": _sum(comparison.stored(stage)),
        "fetched": _sum(comparison.fetched("machine", stage)),
        "in_doubt": _sum(comparison.fetched("krea", stage)),
        "unpaid": _sum(comparison.unpaid(stage)),
    }


def _sum(one: Sum) -> dict[str, object]:
    return {"requests": one.count, "usd": exact(one.usd)}


def _problem(one: Problem | None) -> dict[str, object] | None:
    if one is None:
        return None
    return {"code": one.code, "message": one.message, "at": None if one.at is None else str(one.at), "hint": one.hint}


def _row(row: CellChange) -> dict[str, object]:
    named = {"id": row.id, "stage": row.stage, "kind": row.kind, "key": row.key, "reason": row.reason}
    return {
        **named,
        "price_usd": exact(row.price),
        "stored": row.stored,
        "fetched": row.fetched or None,
        "was": row.was,
        **change_json(row.change),
    }


def render_comparison(
    comparison: Comparison, waiting: Sequence[str] = (), *, limit: int = _MAX_COMMENT_CHARACTERS
) -> str:
    """Render a comparison as a comment with a maximum length; `waiting` are sentences about stages that wait.

    Its first line is the same for the same file, so that the comment can be found again.
    """
    text = _opening(comparison, waiting)
    rendered = [row for row in comparison.rows if row.is_rendered]
    moved, gone = ([row for row in comparison.rows if row.kind == kind] for kind in ("moved", "gone"))
    head = table_head("Cell", "Change", "Reason", "Price")
    lines = [
        table_row(
            code(row.id, _ID), KIND_WORDS[row.kind], code(row.explanation, _REASON), usd(row.price) if row.price else ""
        )
        for row in rendered[:_MAX_ROWS]
    ]
    text += _table(head, lines, len(rendered), limit - len(text))
    text += _folded(f"{len(moved):,} moved (free)", table_head("Cell", ""), moved, limit - len(text))
    return text + _folded(f"{len(gone):,} gone", table_head("Cell", ""), gone, limit - len(text))


def marker(file: str) -> str:
    """The first line of a comment about a pipeline file, by its path below the top of the repository."""
    # `--` would end an HTML comment.
    return f"<!-- krea-pipe plan {quote(file, safe='/', errors='replace').replace('--', '-%2D')} -->"


def _opening(comparison: Comparison, waiting: Sequence[str]) -> str:
    head = f" as of {_revision(comparison.head)}" if comparison.head.commit else ""
    old = f", where it is {code(comparison.old_file, _ID)}" if comparison.old_file else ""
    stored = stored_words(comparison)
    lines = [
        marker(comparison.file),
        f"### {code(comparison.file, _ID)}",
        "",
        f"**{headline(comparison)}**{f' {stored}' if stored else ''}",
        "",
        f"Against {_revision(comparison.base)}{old}{head}; nothing was rendered.",
    ]
    if comparison.problem is not None:
        lines += ["", code(problem_words(comparison.problem), 400)]
    for words in (*waiting, *(f"Warning: {one.message}" for one in comparison.warnings))[:_NOTES]:
        lines += ["", code(words, 400)]
    return "\n".join(lines) + "\n"


def _revision(one: Revision) -> str:
    return code(one.name, _ID) + (f" ({code(one.commit[:10])})" if one.commit else "")


def _folded(title: str, head: list[str], rows: Sequence[CellChange], room: int) -> str:
    opening, closing = f"\n<details><summary>{title}</summary>\n", "\n</details>\n"
    lines = [table_row(code(row.id, _ID), code(row.reason, _REASON)) for row in rows[:_MAX_ROWS]]
    inside = _table(head, lines, len(rows), room - len(opening) - len(closing))
    return f"{opening}{inside}{closing}" if inside else ""


def _table(head: list[str], lines: Sequence[str], total: int, room: int) -> str:
    """As many of the first rows as fit, and the number of the others of the total."""
    room -= sum(len(line) + 1 for line in head) + _NOTE
    shown: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        shown.append(line)
    if not shown:
        return ""
    more = ["", f"… and {total - len(shown):,} more"] if len(shown) < total else []
    return "\n".join(["", *head, *shown, *more]) + "\n"
