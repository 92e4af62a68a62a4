"""The forms of a report: written into the folder of its run, and as one file to send."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.report import csv_table, html, junit, markdown
from krea_pipe.report.folder import PAGE_NAME, PLANNED, RECORD
from krea_pipe.report.html import HtmlOptions
from krea_pipe.report.model import Report, seen_from
from krea_pipe.report.record import to_lines
from krea_pipe.report.thumbnails import Shrink, digests_of, link_thumbnails, make_thumbnails, read_thumbnails
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.plain import check_folders
from krea_pipe.store.space import Space

MAX_MB = 25
"""The size that most mail servers accept."""

MB = 1_000_000
_HEADER_BYTES = 4_000
GENERATOR = b'<meta name="generator" content="krea-pipe">'
"""Stands in the head of each page."""

_ReportFormat: TypeAlias = Callable[[Report, HtmlOptions], str | Iterable[bytes]]
FORMS: Mapping[str, _ReportFormat] = {
    "report.md": lambda report, page: markdown.render_markdown(
        report, thumbnails=page.thumbnails_url, missing=page.missing
    ),
    "junit.xml": lambda report, _: _encoded(junit.render_junit(report)),
    "results.csv": lambda report, _: _encoded(csv_table.render_csv(report)),
    html.STYLE_NAME: lambda _report, _page: html.render_style(),
    PAGE_NAME: html.render_html,
}
"""The forms of a report by the names of their files, beside the record. A new form is a function and a line here."""


def write_planned(report: Report, folder: Path) -> None:
    """Write down what a run is about to do, for viewers during the run.

    Raises:
        StateError: it cannot be written.
    """
    write_atomically(folder / PLANNED, _encoded(to_lines(report)), durable=False)


def write_report(
    report: Report, folder: Path, space: Space, shrink: Shrink, page: HtmlOptions, *, has_originals: bool = True
) -> Path:
    """Write the record of a run and every form of it.

    Args:
        report: what has happened.
        folder: the folder of the run, which is rendered.
        space: the name space that keeps the images.
        shrink: makes small pictures where they are missing.
        page: what the forms show besides the report; its `missing` and `originals` are filled in here.
        has_originals: whether the images of all rows are in that name space.

    Returns:
        The path of the HTML page.

    Raises:
        StateError: they cannot be written.
    """
    check_folders(folder / "thumbnails")
    write_atomically(folder / RECORD, _encoded(to_lines(report)))
    (folder / PLANNED).unlink(missing_ok=True)
    missing = link_thumbnails(digests_of(report), space, folder / "thumbnails")
    make_thumbnails(missing, space, shrink)
    missing = link_thumbnails(missing, space, folder / "thumbnails")
    originals = seen_from(folder, space.blobs.folder) if has_originals else ""
    page = replace(page, missing=missing, originals=originals)
    for name, render in FORMS.items():
        rendered = render(report, page)
        data = rendered.encode("utf-8", "replace") if isinstance(rendered, str) else rendered
        write_atomically(folder / name, data, durable=False)
    return folder / PAGE_NAME


def _encoded(parts: Iterable[str]) -> Iterator[bytes]:
    return (part.encode("utf-8", "replace") for part in parts)


def write_single(
    report: Report, file: Path, space: Space, shrink: Shrink, page: HtmlOptions, *, max_mb: int, folder: Path
) -> int:
    """Write the page of a run as one file that has its small pictures in it, to send to someone.

    Args:
        report: what has happened.
        file: the file to write, which ends in .html.
        space: the name space that keeps the images.
        shrink: makes small pictures where they are missing.
        page: what the page shows besides the report.
        max_mb: how many megabytes (of 1,000,000 bytes) the file may have.
        folder: the folder of the run, which could be sent in its place.

    Returns:
        Its size in bytes.

    Raises:
        UsageError: it would be larger than that, or the name is no page's, or another file's.
        StateError: it cannot be written.
    """
    if file.suffix.lower() not in (".html", ".htm"):  # so that a slip does not overwrite the pipeline file
        hint = f"name it {file.stem or 'report'}.html"
        raise UsageError(Problem("not_a_page", f"{file} does not end in .html", hint=hint))
    check_free(file)
    digests = digests_of(report)
    make_thumbnails(digests, space, shrink)
    pictures = dict(read_thumbnails(digests, space))
    parts = list(html.render_html(report, replace(page, form="single", thumbnails=pictures)))
    size = sum(map(len, parts))
    if size > max_mb * MB:
        message = f"{file} would be {megabytes(size)} MB, above --max-mb {max_mb}"
        hint = (
            f"select fewer cells with -k, raise the limit with --max-mb {-(-size // MB)}, or send the folder {folder}"
        )
        raise UsageError(Problem("too_large", message, hint=hint))
    write_atomically(file, parts, durable=False)
    return size


def check_free(path: Path) -> None:
    """Refuse to write over a file that is no report's page."""
    try:
        with path.open("rb") as stream:
            is_ours = GENERATOR in stream.read(_HEADER_BYTES)
    except FileNotFoundError:
        return
    except OSError:
        is_ours = False
    if not is_ours:
        hint = "choose another name; only an earlier report is overwritten"
        raise UsageError(Problem("file_in_the_way", f"{path} exists and is not a report", hint=hint))


def check_thumbnails_url(url: str) -> str:
    """A URL below which small pictures are served.

    Raises:
        UsageError: it is no plain http or https URL with a host.
    """
    try:
        parts = urlsplit(url)
        is_plain = url.isprintable() and not re.search(r"[\s?#\\\"<>]", url)
        if is_plain and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return url
    except ValueError:  # a port that is no number, brackets that do not close
        pass
    hint = "give the folder's URL, as in https://example.com/run/thumbnails"
    raise UsageError(
        Problem("bad_url", f"{url!r} is not an http or https URL to which a file name can be appended", hint=hint)
    )


def megabytes(size: int) -> str:
    """Rounded up, so that what is too large never looks as if it fitted."""
    return f"{-(-size * 10 // MB) / 10:,.1f}"
