"""The folder of a run: `report.json` is what happened, `report.html` is how it looks."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from krea_pipe.errors import Problem, StateError, UsageError
from krea_pipe.report import html
from krea_pipe.report.model import Report
from krea_pipe.report.record import from_json, to_text
from krea_pipe.settings import LOCAL, live_target
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.space import Space, open_space

MAX_EMBEDDED = 2_000

Shrink: TypeAlias = Callable[[bytes], bytes]


def runs_folder(home: Path) -> Path:
    """Where the folders of runs are."""
    return home / "runs"


def write_report(report: Report, folder: Path, space: Space, shrink: Shrink | None = None) -> Path:
    """Write the record and the page of a run, and return the page's path.

    `shrink` makes small pictures anew where they are missing; without it the page shows those originals instead.

    Raises:
        StateError: they can not be written.
    """
    record = to_text(report)
    write_atomically(folder / "report.json", record.encode("utf-8", "replace"))
    page = html.render(report, record=record, thumbnails=_thumbnails(report, space, shrink))
    write_atomically(folder / "report.html", page, durable=False)
    return folder / "report.html"


def read_report(folder: Path) -> Report:
    """The report of a finished run.

    Raises:
        StateError: the record is damaged. UsageError: there is none.
    """
    path = folder / "report.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        hint = "it did not finish; run its pipeline again, which goes on where it stopped"
        raise UsageError(Problem("no_report", f"there is no report in {folder}", hint=hint)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise StateError(Problem("unreadable_report", f"cannot read {path}: {error}")) from error
    if not isinstance(data, dict):
        raise StateError(Problem("unreadable_report", f"{path} holds no report"))
    return from_json(data)


def find_run(home: Path, name: str | None) -> Path:
    """The folder of a run: the latest, or by its id, the beginning of one, its path or that of its report.

    Raises:
        UsageError: there is no such run, or there are several.
    """
    runs = sorted(path for path in runs_folder(home).glob("*") if _is_run(path))
    if name is None:
        if not runs:
            raise _no_run(f"no run is stored in {home}", runs)
        return runs[-1]
    given = Path(name).parent if Path(name).name in ("report.json", "report.html") else Path(name)
    if _is_run(given):
        return given
    found = [run for run in runs if run.name == name] or [run for run in runs if run.name.startswith(name)]
    if len(found) != 1:
        raise _no_run(f"{len(found) or 'no'} runs are called {name}", runs)
    return found[0]


def _is_run(folder: Path) -> bool:
    try:
        return (folder / "report.json").is_file()
    except OSError:  # a name that no file system takes
        return False


def space_of(report: Report, home: Path) -> Space:
    """The name space that a report's images are in."""
    if report.target.kind == "local":
        return open_space(home, LOCAL.space)
    return open_space(home, live_target({"KREA_API_BASE": report.target.base}).space)


def _no_run(message: str, runs: list[Path]) -> UsageError:
    latest = ", ".join(run.name for run in runs[-3:])
    hint = f"the latest: {latest}" if latest else "run a pipeline first: krea-pipe run FILE --local"
    return UsageError(Problem("no_such_run", message, hint=hint))


def _thumbnails(report: Report, space: Space, shrink: Shrink | None) -> Mapping[str, bytes]:
    digests = dict.fromkeys(row.sha256 for row in report.rows if row.sha256)
    found = {digest: _thumbnail(digest, space, shrink) for digest in list(digests)[:MAX_EMBEDDED]}
    return {digest: small for digest, small in found.items() if small is not None}


def _thumbnail(digest: str, space: Space, shrink: Shrink | None) -> bytes | None:
    path = space.thumbnail(digest)
    try:
        return path.read_bytes()
    except OSError:
        data = space.blobs.read(digest) if shrink else None
    if shrink is None or data is None:
        return None
    small = shrink(data)
    write_atomically(path, small, durable=False)
    return small
