"""Merges runs of shards, possibly from other machines, into one run in the home folder: report, images, lock file.

Input from other machines is not trusted: an image counts only with the digest that its report names, and no path in a
report is read or written outside the folders that the user has specified.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import cast

from krea_pipe.app.flow import new_run_id, out_folder
from krea_pipe.app.pictures import shrink
from krea_pipe.core.delivery_mark import made_of
from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.json_data import Json
from krea_pipe.core.provenance import Mark, bare, bare_bytes, with_mark
from krea_pipe.core.settings import image_kind
from krea_pipe.executor.deliver import remember_lock
from krea_pipe.planning.lockfile import SUFFIX, Lockfile, read_lock
from krea_pipe.planning.merged_lock import merged_lock
from krea_pipe.planning.out_folder import InTheWay, in_the_way
from krea_pipe.planning.shard_record import SHARD_FILE, read_shard_record
from krea_pipe.report.decisions import decisions_json, read_decisions
from krea_pipe.report.folder import RECORD, find_run, note_run, read_report, runs_folder, space_of
from krea_pipe.report.html import HtmlOptions
from krea_pipe.report.merging import (
    MergedRow,
    MergedRun,
    Missing,
    ShardRun,
    check_same_version,
    merge_rows,
    merged_exit_code,
    merged_report,
    missing_cells,
)
from krea_pipe.report.model import DeliveredFile, Report, Row, seen_from
from krea_pipe.report.rendered_forms import write_report
from krea_pipe.report.thumbnails import digests_of, import_thumbnails
from krea_pipe.store.atomic import make_folder, write_atomically
from krea_pipe.store.blobs import MOST_BLOB_BYTES
from krea_pipe.store.lock import exclusive, lockfiles_lock
from krea_pipe.store.plain import is_plain, read_plain
from krea_pipe.store.space import Space

_MOST_TEXT_BYTES = 1 << 24
_MOST_FOLDERS = 100_000
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Merged:
    """Several runs as one: its report and folder, and the lock file if the runs kept one.

    `missing` are selected cells that no run has, `absent` the ids of cells whose images are not here. `problems` say
    which files in the output folder were kept because someone has changed them.
    """

    report: Report
    folder: Path
    missing: tuple[Missing, ...]
    absent: tuple[str, ...]
    lock: Path | None
    problems: tuple[Problem, ...]


def merge_runs(
    home: Path,
    words: Sequence[str],
    *,
    out: Path | None,
    lock: Path | None,
    codes: Iterable[int] = (),
    needs_images: bool = False,
) -> Merged:
    """Merge several runs into one.

    Args:
        home: the home folder, in which the merged run is kept.
        words: ids or folders of runs, or folders that hold folders of runs.
        out: the folder for the images; None is that of a run of the pipeline.
        lock: the lock file to write; None is the one that the runs kept, as seen from the working folder.
        codes: exit codes of shards that wrote no report.
        needs_images: whether an image that is not here is a failure.

    Returns:
        The merged run.

    Raises:
        UsageError: they do not belong together, or two have different images of a cell. StateError: a run cannot be
            read, or the merged one cannot be written.
    """
    runs = find_shard_runs(home, words)
    check_same_version(runs)
    rows = merge_rows(runs)
    missing = missing_cells(runs, rows)
    target = _lock_file(runs, lock)
    latest, moment = runs[-1].report, datetime.now(UTC)
    space = space_of(latest, home)
    folder = runs_folder(home) / new_run_id(latest.pipeline.name, moment)
    place = out_folder(out, latest.pipeline.name, local=latest.target.kind == "local")
    delivery = _Images(space, place, image_kind(latest.target.kind))
    rows = [delivery.deliver(one) for one in rows]
    code = merged_exit_code(runs, rows, missing, codes)
    if (delivery.kept or (needs_images and delivery.absent)) and code in (ExitCode.DONE, ExitCode.WAITING):
        code = ExitCode.SOME_FAILED
    report = merged_report(runs, rows, place.as_posix(), MergedRun(folder.name, folder, code, missing))
    if target is not None:
        _write_lock(home, space, target, runs)
    for run in runs:
        import_thumbnails(run.folder / "thumbnails", digests_of(run.report), space)
    note_run(home, folder.name)
    page = HtmlOptions(decisions=decisions_json(read_decisions(report, folder)))
    write_report(report, folder, space, shrink, page, has_originals=not delivery.absent)
    return Merged(report, folder, tuple(missing), tuple(delivery.absent), target, in_the_way(delivery.kept))


def find_shard_runs(home: Path, words: Iterable[str]) -> list[ShardRun]:
    """The specified runs, without duplicates, oldest first.

    Args:
        home: the home folder, for ids of runs.
        words: ids or folders of runs, or folders that hold folders of runs. Of several runs of a shard that are side by
            side, the latest is taken: it began with what the others had stored.

    Raises:
        UsageError: there is no such run, or it is not of a shard. StateError: it cannot be read.
    """
    found: dict[str, ShardRun] = {}
    for word in words:
        for run in _named(home, word):
            found.setdefault(run.report.run_id, run)
    return sorted(found.values(), key=lambda run: (run.report.started_at, run.report.run_id))


def _named(home: Path, word: str) -> list[ShardRun]:
    root = Path(word)
    if not root.is_dir() or is_plain(root / RECORD):
        folder = find_run(home, word)
        return [_read(folder, folder)]
    latest: dict[tuple[Path, str, str], ShardRun] = {}
    for folder in _folders_below(root):
        run = _read(folder, root)
        key = folder.parent, run.report.pipeline.name, str(run.record.shard)
        if key not in latest or latest[key].report.started_at < run.report.started_at:
            latest[key] = run
    if not latest:
        hint = f"the run of a shard writes {RECORD} and {SHARD_FILE}: include both in the artifact"
        raise UsageError(Problem("no_such_run", f"no shard run was found in {root}", hint=hint))
    return list(latest.values())


def _folders_below(root: Path) -> Iterator[Path]:
    """The folders of runs of shards in an artifact; a link is not followed."""
    for count, (folder, names, files) in enumerate(os.walk(root)):
        names.sort()
        if RECORD in files and SHARD_FILE in files:
            yield Path(folder)
        if count > _MOST_FOLDERS:
            hint = "specify the folders of the runs"
            raise UsageError(
                Problem("too_many_folders", f"{root} contains more than {_MOST_FOLDERS:,} folders", hint=hint)
            )


def _read(folder: Path, root: Path) -> ShardRun:
    report, record = read_report(folder), read_shard_record(folder)
    name = report.pipeline.name
    if name != Path(name).name or name.startswith(".") or not name.isprintable():  # it becomes a part of paths
        message = f"the report in {folder} does not name a pipeline"
        raise StateError(Problem("unreadable_report", message, hint="use the unchanged folder of the run"))
    if record is None:
        hint = "merge needs runs of `krea-pipe run --shard`"
        raise UsageError(Problem("not_a_shard", f"{report.run_id} is not a shard run", hint=hint))
    return ShardRun(report, record, folder, root)


class _Images:
    """Brings the images of rows into the store and the output folder."""

    def __init__(self, space: Space, folder: Path, kind: str) -> None:
        self.space, self.folder, self.kind = space, folder, kind
        self.shown = Path(seen_from(Path.cwd(), folder))
        self.absent: list[str] = []
        self.kept: list[InTheWay] = []

    def deliver(self, one: MergedRow) -> MergedRow:
        """Put the image of a row into its place; the row with the new path."""
        row = one.row
        if row.sha256 is None or row.image is None:
            return one
        name = _below(one, row.image)
        data = self._bytes(one, row.image, row.sha256)
        if data is None:
            self.absent.append(row.id)
        else:
            self.space.blobs.put(data)
            self._write(row, row.sha256, name, data)
        delivered = tuple(self._with_file(one, file) for file in row.delivered)
        return replace(one, row=replace(row, image=(self.shown / name).as_posix(), delivered=delivered))

    def _with_file(self, one: MergedRow, file: DeliveredFile) -> DeliveredFile:
        """Put a file that a recipe made into its place, if it is as the report says; the file with its new path."""
        name = _below(one, file.path)
        found, target = replace(file, path=(self.shown / name).as_posix()), self.folder / name
        if file.sha256 is None or _digest_at(target) == file.sha256:
            return found
        data = self._read(one, file.path)
        if data is None or hashlib.sha256(data).hexdigest() != file.sha256:
            return replace(_absent(found), notes=("it is not here: run the pipeline to make it, at no cost",))
        if os.path.lexists(target) and made_of(_bytes_at(target)) is None:
            self.kept.append(InTheWay(one.row.id, target.as_posix(), "exists, but is not a file of these runs"))
            return replace(_absent(found), error="another file is in its place, and was left unchanged")
        write_atomically(target, data, durable=False)
        return found

    def _bytes(self, one: MergedRow, image: str, digest: str) -> bytes | None:
        """Krea's bytes, from the store or from the output folder beside the run."""
        stored = self.space.blobs.read(digest)
        if stored is not None:
            return stored
        found = self._read(one, image)
        data = None if found is None else bare_bytes(found)
        return data if data is not None and bare(data).digest == digest else None

    def _read(self, one: MergedRow, name: str) -> bytes | None:
        """A file beside a run, by its path in the report."""
        path = Path(one.run.folder, one.run.report.base, name).resolve()
        if not any(path.is_relative_to(folder.resolve()) for folder in (one.run.root, Path.cwd())):
            return None
        try:
            return read_plain(path, MOST_BLOB_BYTES + _MOST_TEXT_BYTES)
        except OSError:
            return None

    def _write(self, row: Row, digest: str, name: PurePosixPath, data: bytes) -> None:
        """Write the image unless it exists; a changed file is kept."""
        target = self.folder / name
        if os.path.lexists(target):
            try:
                found = bare(read_plain(target, MOST_BLOB_BYTES + _MOST_TEXT_BYTES))
            except OSError as error:
                self.kept.append(InTheWay(row.id, target.as_posix(), f"cannot be read: {error.strerror}"))
                return
            if found.digest == digest:
                return
            if found.mark is None or found.mark.sha256 != found.digest:
                self.kept.append(InTheWay(row.id, target.as_posix(), "exists, but is not an image of these runs"))
                return
        make_folder(target.parent)
        if name.suffix == ".png":
            mark = Mark(self.kind, row.id, row.key, row.job_id or "", digest)
            data = with_mark(data, mark, cast("Mapping[str, Json]", row.request))
        write_atomically(target, data, durable=False)


def _absent(file: DeliveredFile) -> DeliveredFile:
    return replace(file, width=None, height=None, bytes=None, sha256=None)


def _bytes_at(path: Path) -> bytes:
    try:
        return read_plain(path, MOST_BLOB_BYTES + _MOST_TEXT_BYTES)
    except OSError:
        return b""


def _digest_at(path: Path) -> str:
    return hashlib.sha256(_bytes_at(path)).hexdigest()


def _below(one: MergedRow, path: str) -> PurePosixPath:
    """The path of an image, or of a file made from it, below the output folder of its run.

    Raises:
        UsageError: the report names a path outside of it.
    """
    images, image = PurePosixPath(one.run.record.images), PurePosixPath(path)
    name = image.relative_to(images) if image.is_relative_to(images) else PurePosixPath("..")
    if not name.parts or ".." in name.parts or "\\" in str(name) or ":" in str(name):
        message = f"{one.run.name} lists a file of {one.row.id} as {path}, which is outside {images}"
        raise UsageError(Problem("bad_path", message, hint="use the unchanged folder of the run"))
    return name


def _lock_file(runs: Sequence[ShardRun], lock: Path | None) -> Path | None:
    """The lock file to write; None if the runs used none.

    Raises:
        UsageError: it is not said which one, or the one of the runs is not below the working folder.
    """
    names = {run.record.lock for run in runs if run.record.lock}
    if not names:
        return None
    if lock is not None:
        return lock
    found = Path(min(names))
    is_here = not found.is_absolute() and ".." not in found.parts and found.parent.is_dir()
    if len(names) > 1 or not is_here or not found.name.endswith(SUFFIX):
        message = (
            f"the runs used the lock file {', '.join(sorted(names)[:_SHOWN])}, which was not found from this folder"
        )
        hint = "specify the lock file to write with --lock FILE, or merge in the folder where the shards ran"
        raise UsageError(Problem("lock_elsewhere", message, hint=hint))
    return found


def _write_lock(home: Path, space: Space, file: Path, runs: Sequence[ShardRun]) -> None:
    with exclusive(lockfiles_lock(home)):
        before = read_lock(file)
        after: Lockfile = merged_lock(before, [run.record for run in runs if run.record.lock])
        if after.lines != before.lines:
            remember_lock(space, file)
            write_atomically(file, after.to_lines())
