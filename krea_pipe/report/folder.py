"""The folders of runs, and their `report.json`, which says what happened; `report.rendered_forms` writes them."""

import json
import os
from dataclasses import replace
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.settings import space_name
from krea_pipe.report.model import Report
from krea_pipe.report.record import from_json
from krea_pipe.store.home_list import HomeList
from krea_pipe.store.plain import is_plain, open_plain, read_plain
from krea_pipe.store.presence import RUN_ID
from krea_pipe.store.space import REPORT, Space, open_space

RECORD = REPORT
PAGE_NAME = "report.html"
FORM_NAMES = ("report.md", "junit.xml", "results.csv", "report.css", PAGE_NAME)
"""The forms of a report beside its record; `report.rendered_forms` makes them."""
PLANNED = "started.json"
"""The plan of an unfinished run: its report before the first request."""

RUN_ORDER = "run-order.txt"
"""The runs in the order in which they began, in the home folder."""

ASSEMBLED = "assembled"
"""The folder of the reports of all current cells of a pipeline, in the home folder."""

_HEAD_BYTES = 16_384
_CELLS = b'\n "cells": ['
"""What the cells of a report begin with: no text in it contains the end of a line."""


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
