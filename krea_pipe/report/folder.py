"""The folder of a run: `report.json` is what happened, the other files are how it looks."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.settings import LOCAL, live_target
from krea_pipe.report import csv_table, html, junit, markdown
from krea_pipe.report.model import Report
from krea_pipe.report.places import seen_from
from krea_pipe.report.record import from_json, to_lines
from krea_pipe.report.thumbnails import Shrink, digests_of, make_missing, put_beside, read_thumbnails
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.plain import check_folders, is_plain, read_plain
from krea_pipe.store.space import Space, open_space

RECORD = "report.json"
PLANNED = "started.json"
"""What a run that goes on, or has died, was about to do: the report as it stood before the first request."""


@dataclass(frozen=True, slots=True)
class Dress:
    """What the files beside the record show besides it: the picks files by stage, and where thumbnails are.

    `has_originals` says that the images of all rows are in the run's own name space.
    """

    decisions: Mapping[str, Json] = field(default_factory=dict)
    thumbnails_url: str | None = None
    has_originals: bool = True


def runs_folder(home: Path) -> Path:
    """Where the folders of runs are."""
    return home / "runs"


def write_planned(report: Report, folder: Path) -> None:
    """Write down what a run is about to do, for those who look at it while it goes on.

    Raises:
        StateError: it cannot be written.
    """
    write_atomically(folder / PLANNED, _encoded(report), durable=False)


def write_report(report: Report, folder: Path, space: Space, shrink: Shrink, dress: Dress = Dress()) -> Path:
    """Write the record of a run and every form of it, and return the page's path.

    `shrink` makes small pictures where they are missing.

    Raises:
        StateError: they cannot be written.
    """
    check_folders(folder / "thumbnails")
    write_atomically(folder / RECORD, _encoded(report))
    (folder / PLANNED).unlink(missing_ok=True)
    originals = seen_from(folder, space.blobs.folder) if dress.has_originals else ""
    missing = put_beside(digests_of(report), space, folder / "thumbnails")
    make_missing(missing, space, shrink)
    missing = put_beside(missing, space, folder / "thumbnails")
    texts = {
        "report.md": markdown.render(report, thumbnails=dress.thumbnails_url, missing=missing),
        "junit.xml": junit.render(report),
        "results.csv": csv_table.render(report),
    }
    for name, text in texts.items():
        write_atomically(folder / name, text.encode("utf-8", "replace"), durable=False)
    page = html.render(report, html.Page(decisions=dress.decisions, missing=missing, originals=originals))
    write_atomically(folder / "report.html", page, durable=False)
    return folder / "report.html"


def single_page(report: Report, space: Space, shrink: Shrink, dress: Dress = Dress()) -> Iterator[bytes]:
    """The page of a run with its small pictures in it, in parts."""
    digests = digests_of(report)
    make_missing(digests, space, shrink)
    pictures = dict(read_thumbnails(digests, space))
    return html.render(report, html.Page("single", decisions=dress.decisions, thumbnails=pictures))


def _encoded(report: Report) -> Iterator[bytes]:
    return (line.encode("utf-8", "replace") for line in to_lines(report))


def read_report(folder: Path) -> Report:
    """The report of a finished run.

    Raises:
        StateError: the record is damaged. UsageError: there is none.
    """
    try:
        return read_record(folder / RECORD)
    except FileNotFoundError as error:
        hint = "it did not finish; run its pipeline again, which goes on where it stopped"
        raise UsageError(Problem("no_report", f"there is no report in {folder}", hint=hint)) from error


def read_record(path: Path) -> Report:
    """The report that a file holds.

    Raises:
        FileNotFoundError: there is none. StateError: it is damaged, or a link.
    """
    try:
        data = json.loads(read_plain(path).decode())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise StateError(Problem("unreadable_report", f"cannot read {path}: {error}")) from error
    if not isinstance(data, dict):
        raise StateError(Problem("unreadable_report", f"{path} holds no report"))
    return from_json(data)


def find_run(home: Path, name: str | None, *, unfinished: bool = False) -> Path:
    """The folder of a run: the latest, or by its id, the beginning of one, its path or that of a file in it.

    With `unfinished`, a run that has no report yet, or never will, is one as well.

    Raises:
        UsageError: there is no such run, or there are several.
    """
    files = (RECORD, PLANNED) if unfinished else (RECORD,)
    folders = sorted(one for one in runs_folder(home).glob("*") if not one.is_symlink())
    runs = [folder for folder in folders if _holds(folder, *files)]
    if not name:
        if not runs:
            raise _no_run(f"no run is stored in {home}", runs)
        return runs[-1]
    given = Path(name).parent if Path(name).name in (RECORD, PLANNED, "report.html") else Path(name)
    if os.path.islink(given):  # noqa: PTH114 (a name may be too long); whoever names a link means what it leads to
        given = Path(os.path.realpath(given))
    if _holds(given, *files):
        return given
    for folder in (given, *folders):
        if not unfinished and (folder == given or folder.name.startswith(name)) and _holds(folder, PLANNED):
            hint = "look at it with `krea-pipe view`, or run its pipeline again, which goes on where it stopped"
            message = f"{folder.name} has no report: it goes on, or was cut off"
            raise UsageError(Problem("no_report", message, hint=hint))
    found = [run for run in runs if run.name == name] or [run for run in runs if run.name.startswith(name)]
    if len(found) != 1:
        raise _no_run(f"{len(found) or 'no'} runs are called {name}", runs)
    return found[0]


def _holds(folder: Path, *names: str) -> bool:
    return any(is_plain(folder / name) for name in names)


def space_of(report: Report, home: Path) -> Space:
    """The name space that a report's images are in."""
    if report.target.kind == "local":
        return open_space(home, LOCAL.space)
    return open_space(home, live_target({"KREA_API_BASE": report.target.base}).space)


def _no_run(message: str, runs: list[Path]) -> UsageError:
    latest = ", ".join(run.name for run in runs[-3:])
    hint = f"the latest: {latest}" if latest else "run a pipeline first: krea-pipe run FILE --local"
    return UsageError(Problem("no_such_run", message, hint=hint))
