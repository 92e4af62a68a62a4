"""The folder of a run: `report.json` is what happened, the other files are how it looks."""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.settings import space_name
from krea_pipe.report import csv_table, html, junit, markdown
from krea_pipe.report.html import HtmlOptions
from krea_pipe.report.model import Report, seen_from
from krea_pipe.report.record import from_json, to_lines
from krea_pipe.report.thumbnails import Shrink, digests_of, link_thumbnails, make_thumbnails, read_thumbnails
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.home_list import HomeList
from krea_pipe.store.plain import check_folders, is_plain, open_plain, read_plain
from krea_pipe.store.presence import RUN_ID
from krea_pipe.store.space import REPORT, Space, open_space

RECORD = REPORT
PAGE_NAME = "report.html"
PLANNED = "started.json"
"""The plan of an unfinished run: its report before the first request."""

RUN_ORDER = "run-order.txt"
"""The runs in the order in which they began, in the home folder."""

ASSEMBLED = "assembled"
"""The folder of the reports of all current cells of a pipeline, in the home folder."""

MAX_MB = 25
"""The size that most mail servers accept."""

MB = 1_000_000
_HEADER_BYTES = 4_000
_HEAD_BYTES = 16_384
_CELLS = b'\n "cells": ['
"""What the cells of a report begin with: no text in it contains the end of a line."""
GENERATOR = b'<meta name="generator" content="krea-pipe">'
"""Stands in the head of each page."""

_ReportFormat: TypeAlias = Callable[[Report, HtmlOptions], str | Iterable[bytes]]
FORMS: Mapping[str, _ReportFormat] = {
    "report.md": lambda report, page: markdown.render_markdown(
        report, thumbnails=page.thumbnails_url, missing=page.missing
    ),
    "junit.xml": lambda report, _: junit.render_junit(report),
    "results.csv": lambda report, _: csv_table.render_csv(report),
    html.STYLE_NAME: lambda _report, _page: html.render_style(),
    PAGE_NAME: html.render_html,
}
"""The forms of a report by the names of their files, beside the record. A new form is a function and a line here."""


def runs_folder(home: Path) -> Path:
    """The folder that contains the folders of runs."""
    return home / "runs"


def note_run(home: Path, run_id: str) -> None:
    """Record that a run has started: clocks can be set back, so its name does not show which run is the latest.

    Args:
        home: the home folder.
        run_id: the name of its folder.
    """
    _order(home).append(run_id)


def last_run(home: Path) -> Path | None:
    """The folder of the run that started last, which may not be there or not finished; None if no run is noted."""
    noted = _order(home).read()
    return runs_folder(home) / noted[-1] if noted else None


def _order(home: Path) -> HomeList:
    return HomeList(home / RUN_ORDER, RUN_ID)


def write_planned(report: Report, folder: Path) -> None:
    """Write down what a run is about to do, for viewers during the run.

    Raises:
        StateError: it cannot be written.
    """
    write_atomically(folder / PLANNED, _encoded(report), durable=False)


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
    write_atomically(folder / RECORD, _encoded(report))
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


def _encoded(report: Report) -> Iterator[bytes]:
    return (line.encode("utf-8", "replace") for line in to_lines(report))


def read_report(folder: Path) -> Report:
    """The report of a finished run.

    Raises:
        StateError: the record is damaged. UsageError: there is no record.
    """
    try:
        return read_record(folder / RECORD)
    except FileNotFoundError as error:
        hint = "it did not finish; rerun its pipeline to continue"
        raise UsageError(Problem("no_report", f"there is no report in {folder}", hint=hint)) from error


def read_record(path: Path) -> Report:
    """The report that a file holds.

    Raises:
        FileNotFoundError: there is no such file. StateError: it is damaged, or a link.
    """
    try:
        data = json.loads(read_plain(path).decode())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise StateError(Problem("unreadable_report", f"cannot read {path}: {error}")) from error
    if not isinstance(data, dict):
        raise StateError(Problem("unreadable_report", f"{path} contains no report"))
    return from_json(data)


def read_head(path: Path) -> Report:
    """The report that a file holds, without its cells, which come last and are not read.

    Raises:
        FileNotFoundError: there is no such file. StateError: it is damaged, or a link.
    """
    try:
        data = json.loads(_head_of(path))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError):
        return replace(read_record(path), rows=())  # it was not written by krea-pipe, or is damaged
    return from_json(data)


def _head_of(path: Path) -> bytes:
    """The text of a report up to its cells, with none of them.

    Raises:
        ValueError: it has another form.
    """
    head = bytearray()
    with os.fdopen(open_plain(path), "rb", buffering=0) as stream:
        while piece := stream.read(_HEAD_BYTES):
            start = max(len(head) - len(_CELLS), 0)
            head += piece
            if (end := head.find(_CELLS, start)) >= 0:
                return bytes(head[:end]) + _CELLS + b"]}"
    raise ValueError(f"{path} has no cells")


def run_folders(home: Path) -> list[Path]:
    """Everything in the place where runs are stored, those that are no folders too, in the order of their beginning.

    Args:
        home: the home folder.

    Returns:
        The paths; runs of earlier versions, whose order was not noted, come first and by name.
    """
    order = {run: number for number, run in enumerate(_order(home).read())}
    folders = [one for one in runs_folder(home).glob("*") if not one.is_symlink()]
    return sorted(folders, key=lambda one: (order.get(one.name, -1), one.name))


def find_run(home: Path, name: str | None, *, unfinished: bool = False) -> Path:
    """The folder of a run: the latest, or by its id, the beginning of one, its path or that of a file in it.

    With `unfinished`, a run that has no report yet, or never will, is one as well.

    Raises:
        UsageError: there is no such run, or there are several.
    """
    files = (RECORD, PLANNED) if unfinished else (RECORD,)
    folders = run_folders(home)
    runs = [folder for folder in folders if _holds(folder, *files)]
    if not name:
        if not runs:
            raise _no_run(f"no run is stored in {home}", runs)
        return runs[-1]
    path = Path(os.path.expanduser(name))  # noqa: PTH111 (which fails where there is no such user)
    given = path.parent if path.name in (RECORD, PLANNED, PAGE_NAME) else path
    if os.path.islink(given):  # noqa: PTH114 (a name may be too long); a named link means its target
        given = Path(os.path.realpath(given))
    if _holds(given, *files):
        return given
    for folder in (given, *folders):
        if not unfinished and (folder == given or folder.name.startswith(name)) and _holds(folder, PLANNED):
            hint = "watch it with `krea-pipe view`, or rerun its pipeline to continue"
            message = f"{folder.name} has no report: it is in progress or was interrupted"
            raise UsageError(Problem("no_report", message, hint=hint))
    found = [run for run in runs if run.name == name] or [run for run in runs if run.name.startswith(name)]
    if len(found) != 1:
        raise _no_run(f"{len(found) or 'no'} runs match {name}", runs)
    return found[0]


def _holds(folder: Path, *names: str) -> bool:
    return any(is_plain(folder / name) for name in names)


def space_of(report: Report, home: Path) -> Space:
    """The name space that a report's images are in."""
    return open_space(home, space_name(report.target.kind, report.target.base))


def _no_run(message: str, runs: list[Path]) -> UsageError:
    latest = ", ".join(run.name for run in runs[-3:])
    hint = f"latest runs: {latest}" if latest else "run a pipeline first: krea-pipe run FILE --local"
    return UsageError(Problem("no_such_run", message, hint=hint))


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
