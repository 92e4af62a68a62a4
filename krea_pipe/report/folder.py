"""The folder of a run: `report.json` is what happened, `report.html` is how it looks."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from krea_pipe.errors import Problem, StateError, UsageError
from krea_pipe.images import NotAnImage, thumbnail
from krea_pipe.report import html
from krea_pipe.report.model import Report
from krea_pipe.report.record import from_json, to_json
from krea_pipe.settings import LOCAL, live_target
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.space import Space, open_space

MAX_EMBEDDED = 2_000


def runs_folder(home: Path) -> Path:
    """Where the folders of runs are."""
    return home / "runs"


def write_report(report: Report, folder: Path, space: Space) -> Path:
    """Write the record and the page of a run, and return the page's path.

    Raises:
        StateError: they can not be written.
    """
    write_atomically(folder / "report.json", _lines(to_json(report)).encode())
    page = html.render(report, thumbnails=_thumbnails(report, space))
    write_atomically(folder / "report.html", page.encode(), durable=False)
    return folder / "report.html"


def read_report(folder: Path) -> Report:
    """The report of a finished run.

    Raises:
        StateError: the record is damaged. UsageError: there is none.
    """
    path = folder / "report.json"
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        hint = "it did not finish; run its pipeline again, which goes on where it stopped"
        raise UsageError(Problem("no_report", f"there is no report in {folder}", hint=hint)) from error
    except (OSError, ValueError) as error:
        raise StateError(Problem("unreadable_report", f"cannot read {path}: {error}")) from error


def find_run(home: Path, name: str | None) -> Path:
    """The folder of a run: the latest, or the one with this id, this beginning of an id, or this path.

    Raises:
        UsageError: there is no such run, or there are several.
    """
    runs = sorted(path for path in runs_folder(home).glob("*") if (path / "report.json").is_file())
    if name is None:
        if not runs:
            raise _no_run(f"no run is stored in {home}", runs)
        return runs[-1]
    if (Path(name) / "report.json").is_file():
        return Path(name)
    found = [run for run in runs if run.name == name] or [run for run in runs if run.name.startswith(name)]
    if len(found) != 1:
        raise _no_run(f"{len(found) or 'no'} runs are called {name}", runs)
    return found[0]


def space_of(report: Report, home: Path) -> Space:
    """The name space that a report's images are in."""
    if report.target.kind == "local":
        return open_space(home, LOCAL.space)
    return open_space(home, live_target({"KREA_API_BASE": report.target.base}).space)


def _lines(data: Mapping[str, object]) -> str:
    """JSON with a line for each cell: short enough to look at, and far faster to write than indented."""
    cells = ",\n".join(json.dumps(cell, ensure_ascii=False) for cell in cast("list[object]", data["cells"]))
    head = json.dumps({**data, "cells": []}, ensure_ascii=False, indent=1)
    return head.removesuffix("[]\n}") + "[\n" + cells + "\n]}\n"


def _no_run(message: str, runs: list[Path]) -> UsageError:
    latest = ", ".join(run.name for run in runs[-3:])
    hint = f"the latest: {latest}" if latest else "run a pipeline first: krea-pipe run FILE --local"
    return UsageError(Problem("no_such_run", message, hint=hint))


def _thumbnails(report: Report, space: Space) -> Mapping[str, bytes]:
    digests = dict.fromkeys(row.sha256 for row in report.rows if row.sha256)
    found = {digest: _thumbnail(digest, space) for digest in list(digests)[:MAX_EMBEDDED]}
    return {digest: small for digest, small in found.items() if small is not None}


def _thumbnail(digest: str, space: Space) -> bytes | None:
    path = space.thumbnail(digest)
    try:
        return path.read_bytes()
    except OSError:
        return _made_again(digest, space, lambda small: write_atomically(path, small, durable=False))


def _made_again(digest: str, space: Space, keep: Callable[[bytes], None]) -> bytes | None:
    data = space.blobs.read(digest)
    if data is None:
        return None
    try:
        small = thumbnail(data)
    except NotAnImage:
        return None
    keep(small)
    return small
