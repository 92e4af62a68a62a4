"""The report as Markdown, for the summary of a job: tables, and a few pictures for where they can be loaded."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from krea_pipe.core.json_data import writable
from krea_pipe.pipeline.cell_ids import label_of
from krea_pipe.pipeline.pricing import usd
from krea_pipe.report.model import Report, Row, by_stage, costs, totals
from krea_pipe.report.words import (
    LOCAL_NOTE,
    STATUS_WORDS,
    CheckView,
    checks_of,
    explanation,
    facts_of,
    notices,
    summary_sentence,
)

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
    """A text of several lines as a code block that it cannot close."""
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


MAX_SUMMARY_BYTES = 1_000_000
"""Bytes. GitHub drops a step's summary above 1,048,576; the rest is for what the step says besides."""

PICTURES = 10
IN_A_ROW = 5
WIDTH = 160
MAX_NAMED = 10

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ACTIVE = re.compile("[&<>\"'`|]")
_NOTE = 120


@dataclass(frozen=True, slots=True)
class _Section:
    """A part of the page: introductory lines, and lines of which as many are shown as fit."""

    title: str
    head: Sequence[str]
    lines: Iterable[str] = ()
    total: int = 0


def render_markdown(
    report: Report, *, thumbnails: str | None = None, limit: int = MAX_SUMMARY_BYTES, missing: Collection[str] = ()
) -> str:
    """Render the run as GitHub-flavoured Markdown of at most `limit` bytes, of which the head needs up to 50,000.

    Rows that do not fit are left out and counted. `thumbnails` is the URL of the folder that holds the small pictures;
    without it they are searched for beside the text, in `thumbnails/`. `missing` are digests without one.
    """
    text = _opening(report)
    for section, share in (
        (_stages(report), 4),
        (_Section("Warnings", [], (f"- {code(one, 400)}" for one in report.warnings), len(report.warnings)), 8),
        (_checks(report), 4),
        (_pictures(report, thumbnails, missing), 1),
        (_problems(report), 2),
        (_cells(report), 1),
    ):
        text += _fitted(section, (limit - _size(text)) // share)
    return text


def _opening(report: Report) -> str:
    lines = [f"## {code(report.pipeline.name)}", ""]
    if report.target.kind == "local":
        lines += [f"**LOCAL PROOFS** – {LOCAL_NOTE}.", ""]
    lines += [summary_sentence(report), ""]
    lines += [f"{one}.\n" for one in notices(report, code, MAX_NAMED)]
    target = "local Krea" if report.target.kind == "local" else report.target.base
    about = [*facts_of(report), ("Target", target)]
    if report.has_costs:
        about.append(("Cap", "none" if report.cost.cap_usd is None else usd(report.cost.cap_usd)))
    lines += table_head("", "")
    lines += [table_row(name, code(value)) for name, value in about]
    return "\n".join(lines) + "\n"


def _stages(report: Report) -> _Section:
    found = by_stage((stage.name for stage in report.stages), report.rows)
    live = report.has_costs
    head = table_head("Stage", "Cells", *map(str.capitalize, STATUS_WORDS.values()), *(["Spent"] if live else []))
    lines = (_stage_row(name, rows, live=live) for name, rows in found.items())
    return _Section("Stages", head, lines, len(found))


def _stage_row(name: str, rows: Sequence[Row], *, live: bool) -> str:
    cells = totals(rows)
    counts = [cells.total, *(getattr(cells, status) for status in STATUS_WORDS)]
    spent = [usd(costs(rows, cap=None).spent_usd)] if live else []
    return table_row(code(name), *(f"{count:,}" for count in counts), *spent)


def _pictures(report: Report, thumbnails: str | None, missing: Collection[str]) -> _Section:
    """At most ten pictures, evenly spread over the cells that have one; equal ones count once."""
    found: dict[str, Row] = {}
    for row in report.rows:
        if row.status in ("succeeded", "reused") and row.sha256 and _DIGEST.fullmatch(row.sha256):
            found.setdefault(row.sha256, row)
    for digest in missing:
        found.pop(digest, None)
    rows = list(found.values())
    count = min(PICTURES, len(rows))
    chosen = [rows[number * (len(rows) - 1) // max(1, count - 1)] for number in range(count)]
    folder = "thumbnails" if thumbnails is None else thumbnails.rstrip("/")
    head: list[str] = []
    for start in range(0, count, IN_A_ROW):
        part = chosen[start : start + IN_A_ROW]
        head += [*table_head(*(code(row.id, 60) for row in part)), table_row(*(_image(folder, row) for row in part))]
        head.append("")
    title = "Images" if count == len(rows) else f"{count} of {len(rows):,} images, evenly spread"
    return _Section(title, head)


def _image(folder: str, row: Row) -> str:
    return f'<img src="{_attribute(f"{folder}/{row.sha256}.webp")}" width="{WIDTH}" alt="{_attribute(row.id[:160])}">'


def _attribute(text: str) -> str:
    """A text that stays within the quotes of an attribute, and of a cell of a table."""
    plain = " ".join(writable(text).split())
    return _ACTIVE.sub(lambda sign: f"&#{ord(sign[0])};", plain)


def _checks(report: Report) -> _Section:
    found = checks_of(report)
    head = table_head("Check", "Limits", "Images", "Failed", "Fails the run") if found else []
    lines = (_check_row(one) for one in found)
    return _Section("Checks", head, lines, len(found))


def _check_row(one: CheckView) -> str:
    failed = f"**{len(one.failed):,}**" if one.failed else "0"
    counts = (f"{len(one.checked):,}", failed, "yes" if one.check.fail else "")
    return table_row(code(one.check.name), code(one.limits), *counts)


def _problems(report: Report) -> _Section:
    rows = [row for row in report.rows if row.status in ("failed", "uncertain") or row.error]
    head = table_head("Cell", "Status", "Code", "Reason") if rows else []
    return _Section("Failed and uncertain", head, (_problem_row(row) for row in rows), len(rows))


def _problem_row(row: Row) -> str:
    return table_row(code(row.id), _status(row), code(row.error.code if row.error else ""), code(explanation(row), 400))


def _cells(report: Report) -> _Section:
    live = report.has_costs
    labels = {
        (stage.name, axis.name, repr(value)): label
        for stage in report.stages
        for axis in stage.axes
        for value, label in axis.values
    }
    head = table_head("Cell", "Axes", "Status", *(["Cost"] if live else []), "Time", "Reason")
    lines = (_cell_row(row, labels, live=live) for row in report.rows)
    return _Section("Cells", head, lines, len(report.rows))


def _cell_row(row: Row, labels: Mapping[tuple[str, str, str], str], *, live: bool) -> str:
    axes = " · ".join(
        f"{name}: {labels.get((row.stage, name, repr(value)), label_of(value))}" for name, value in row.axes.items()
    )
    cost = [usd(row.cost_usd) if row.cost_usd else ""] if live else []
    took = "" if row.timings.seconds is None else f"{row.timings.seconds:.1f} s"
    reason = code(row.error.code) if row.error else code(explanation(row))
    return table_row(code(row.id), code(axes, 240), _status(row), *cost, took, reason)


def _status(row: Row) -> str:
    word = STATUS_WORDS[row.status]
    return word if row.status in ("succeeded", "reused") else f"**{word}**"


def _fitted(section: _Section, room: int) -> str:
    """The section, limited in bytes: rows that do not fit are counted, and empty parts are left out."""
    lines = ["", f"### {section.title}", "", *section.head]
    left = room - sum(map(_size, lines)) - _NOTE
    if left < 0 or not (section.total or section.head):
        return ""
    shown = list(_taken(section.lines, left))
    if len(shown) < section.total:
        rest = section.total - len(shown)
        shown += ["", f"*{rest:,} more {'is' if rest == 1 else 'are'} not shown; see `report.html`.*"]
    return "\n".join([*lines, *shown]).rstrip("\n") + "\n"


def _taken(lines: Iterable[str], room: int) -> Iterator[str]:
    for line in lines:
        room -= _size(line)
        if room < 0:
            return
        yield line


def _size(line: str) -> int:
    return len(line.encode()) + 1
