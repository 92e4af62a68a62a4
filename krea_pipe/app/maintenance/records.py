"""The folders of runs and of comparisons, as far as it matters for what may go."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from krea_pipe.app.maintenance.disk import folders_in, own_files
from krea_pipe.app.maintenance.reach import moment_of
from krea_pipe.app.maintenance.stored import DiffFolder, RunFolder
from krea_pipe.core.errors import KreaPipeError, Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.core.settings import LOCAL, live_target
from krea_pipe.report.folder import PLANNED, RECORD, runs_folder
from krea_pipe.store.plain import is_plain, read_plain

DIGEST = re.compile(r"[0-9a-f]{64}")


def read_runs(home: Path) -> tuple[RunFolder, ...]:
    """Every run that has a report, or was about to have one.

    Raises:
        StateError: a record cannot be read, so what it names is not known.
    """
    return tuple(run for folder in folders_in(runs_folder(home)) if (run := _run(folder)) is not None)


def read_diffs(home: Path) -> tuple[DiffFolder, ...]:
    """Every comparison of two runs, with the time when it was last written."""
    return tuple(diff for folder in folders_in(home / "diffs") if (diff := _diff(folder)) is not None)


def _run(folder: Path) -> RunFolder | None:
    file = next((folder / name for name in (RECORD, PLANNED) if is_plain(folder / name)), None)
    if file is None:
        return None
    data = _read(file)
    is_finished = file.name == RECORD
    moment = moment_of(str(data.get("finished_at" if is_finished else "started_at")))
    if moment is None or not str(data.get("schema")).startswith("krea-pipe/run-report@"):
        raise _unreadable(file, "it is no report of a run")
    rows, references = _objects(data.get("cells")), _objects(data.get("references"))
    return RunFolder(
        path=str(folder),
        id=folder.name,
        space=_space(data.get("target")),
        at=moment,
        is_finished=is_finished,
        digests=frozenset(_digests((*rows, *references), "sha256")),
        keys=frozenset(_digests(rows, "key")),
        files=tuple(own_files(folder)),
    )


def _diff(folder: Path) -> DiffFolder | None:
    records = [file for file in (folder / RECORD, folder / "selected" / RECORD) if is_plain(file)]
    if not records:
        return None
    written = max(file.stat().st_mtime for file in records)
    return DiffFolder(str(folder), datetime.fromtimestamp(written, UTC), tuple(own_files(folder)))


def _read(file: Path) -> dict[str, Json]:
    try:
        data = json.loads(read_plain(file).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(file, str(error)) from error
    if not isinstance(data, dict):
        raise _unreadable(file, "it is no report of a run")
    return data


def _unreadable(file: Path, reason: str) -> StateError:
    hint = f"what this run names is not known; if you do not need it, delete {file.parent}"
    return StateError(Problem("unreadable_report", f"cannot read {file}: {reason}", hint=hint))


def _objects(data: Json) -> tuple[dict[str, Json], ...]:
    return tuple(one for one in data if isinstance(one, dict)) if isinstance(data, list) else ()


def _digests(rows: tuple[dict[str, Json], ...], name: str) -> Iterator[str]:
    for row in rows:
        text = row.get(name)
        if isinstance(text, str) and DIGEST.fullmatch(text):
            yield text


def _space(target: Json) -> str:
    data = target if isinstance(target, dict) else {}
    if data.get("kind") == "local":
        return LOCAL.space
    try:
        return live_target({"KREA_API_BASE": str(data.get("base", ""))}).space
    except KreaPipeError:
        return ""
