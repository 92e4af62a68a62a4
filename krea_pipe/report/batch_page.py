"""The page of a batch: each pipeline with its counts, its price, its first pictures and a link to its report."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from pathlib import Path
from urllib.parse import quote

from krea_pipe.core.errors import Problem
from krea_pipe.pipeline.pricing import usd
from krea_pipe.report.model import Report, seen_from
from krea_pipe.report.words import summary_sentence
from krea_pipe.store.atomic import write_atomically

BATCHES = "batches"
"""The folder of the pages of batches, in the home folder."""
_PICTURES = 6
"""Pictures of each pipeline."""
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>krea-pipe batch</title><style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin-bottom: 0; }
section { border-top: 1px solid #8886; padding: 1rem 0; }
h2 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .2rem 0; }
.bad { color: light-dark(#a40000, #ff8a80); }
.strip { display: flex; flex-wrap: wrap; gap: 6px; margin-top: .6rem; }
.strip img { height: 96px; width: auto; max-width: 200px; border-radius: 3px; }
</style></head><body>
"""


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A pipeline of a batch: its file, its exit code, and its report with its folder, or the problems instead."""

    file: str
    code: int
    report: Report | None
    folder: Path | None
    problems: tuple[Problem, ...]


def write_batch_page(folder: Path, rows: Sequence[BatchRow]) -> Path:
    """Write the page that links the reports of a batch.

    Args:
        folder: the folder for it.
        rows: the pipelines, in order.

    Returns:
        The page.

    Raises:
        StateError: it cannot be written.
    """
    page = folder / "index.html"
    parts = "".join(_section(row, folder) for row in rows)
    write_atomically(page, f"{_HEAD}{_title(rows)}{parts}</body></html>\n".encode())
    return page


def _title(rows: Sequence[BatchRow]) -> str:
    reports = [row.report for row in rows if row.report is not None]
    images = sum(report.cells.total for report in reports)
    spent = sum((report.cost.spent_usd for report in reports), Decimal(0))
    paid = "" if all(report.target.kind == "local" for report in reports) else f", {usd(spent)} spent"
    started = min((report.started_at for report in reports), default="")
    pipelines = f"{len(rows)} pipeline{'' if len(rows) == 1 else 's'}"
    return f"<h1>{pipelines}, {images:,} image{'' if images == 1 else 's'}{paid}</h1>\n<p>{escape(started)}</p>\n"


def _section(row: BatchRow, folder: Path) -> str:
    if row.report is None or row.folder is None:
        said = "".join(f'<p class="bad">{escape(str(problem))}</p>\n' for problem in row.problems)
        return f"<section><h2>{escape(row.file)}</h2>\n{said}</section>\n"
    link = quote(seen_from(folder, row.folder / "report.html"))
    shown = list(dict.fromkeys(one.sha256 for one in row.report.rows if one.sha256))
    pictures = [seen_from(folder, row.folder / "thumbnails" / f"{one}.webp") for one in shown[:_PICTURES]]
    strip = "".join(f'<a href="{link}"><img src="{quote(one)}" alt=""></a>' for one in pictures)
    bad = ' class="bad"' if row.code else ""
    code = f"; exit code {int(row.code)}" if row.code else ""
    return (
        f'<section><h2><a href="{link}">{escape(row.report.pipeline.name)}</a></h2>\n<p>{escape(row.file)}</p>\n'
        f"<p{bad}>{escape(summary_sentence(row.report))}{code}</p>\n"
        f'<div class="strip">{strip}</div>\n</section>\n'
    )
