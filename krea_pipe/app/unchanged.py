"""A run that has nothing to do names the last report if that says the same, and writes none.

Such a run leaves a digest of all that its report was made of beside the report. The next one compares its own.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from krea_pipe._version import __version__
from krea_pipe.app.execution import Prepared
from krea_pipe.app.finished_run import FinishedRun
from krea_pipe.core.errors import InvalidInput, KreaPipeError
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.outcome import Ending
from krea_pipe.core.request import source_text
from krea_pipe.executor.prune import Pruned
from krea_pipe.matrix.picking import picks_file
from krea_pipe.planning.lock_check import LockUpdate
from krea_pipe.planning.lockfile import Lockfile, lock_bytes, read_lock
from krea_pipe.planning.plan import Reuse, Step
from krea_pipe.planning.recipe_files import look_over_recipes
from krea_pipe.planning.stale_files import find_stale_files
from krea_pipe.report.folder import FORM_NAMES, RECORD, last_run, read_head
from krea_pipe.report.recipe_delivery import RecipeDelivery, not_made
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.journal_summary import write_summary
from krea_pipe.store.plain import is_plain, read_plain

STATE = "state.txt"
"""The digest of all that a report of a run without work was made of."""


def unchanged_run(prepared: Prepared, home: Path) -> FinishedRun | None:
    """The last run, if a run that has nothing to do would report the same.

    Args:
        prepared: a plan that is ready to run.
        home: the home folder.

    Returns:
        The last run without the rows of its report; None if there is something to do or to report.

    Raises:
        StateError: the store cannot be read.
    """
    folder = last_run(home)
    if folder is None or not is_reused(prepared) or not _is_noted(folder, state_of(prepared)):
        return None
    recipes, pruned = _recipes(prepared), _pruned(prepared)
    if recipes is None or (pruned is None) != (prepared.produced is None):
        return None
    prepared.delivery.remember()
    write_summary(prepared.space.journal, prepared.replay)
    lock = None if prepared.locking is None else LockUpdate(Lockfile(prepared.locking.file), 0, ())
    report = read_head(folder / RECORD)
    return FinishedRun(
        *(report, folder, Ending(), (), lock, (), prepared.fetched, prepared.loaded.of_cells, recipes, pruned),
        is_earlier=True,
    )


def note_state(prepared: Prepared, finished: FinishedRun) -> None:
    """Leave the digest beside the report of a run that had nothing to do, for the next one to compare."""
    is_done = finished.report.exit_code == ExitCode.DONE and not finished.problems and _is_locked(prepared, finished)
    if not is_done or not is_reused(prepared):
        return
    write_summary(prepared.space.journal, prepared.replay)
    with suppress(InvalidInput):  # a lock file that someone has damaged meanwhile
        state = state_of(prepared)
        if finished.kept is None or read_lock(finished.kept.lock.file).lines == finished.kept.lock.lines:
            write_atomically(finished.folder / STATE, f"{state}\n".encode(), durable=False)


def is_reused(prepared: Prepared) -> bool:
    """Whether every image of a run was stored and reported before, lies in its place, and needs no check."""
    plan, delivery = prepared.plan, prepared.delivery
    if plan.waiting or not plan.steps or prepared.record is not None or prepared.remote is not None:
        return False
    if prepared.fetched.copied or prepared.fetched.problems or delivery.kept or delivery.beside:
        return False
    if any(stage.checks for stage in prepared.loaded.pipeline.stages):
        return False
    base, settled = delivery.out.base, delivery.settled
    return all(
        isinstance(step.action, Reuse)
        and (step.action.kept and step.action.counted and not step.action.adopted)
        and all(f"{base}{cell.out}.{step.action.result.extension}" in settled for cell in step.cells)
        for step in plan.steps
    )


def state_of(prepared: Prepared) -> str:
    """A digest of all that the report of a run without work is made of, but for its times and the commit."""
    digest = hashlib.sha256()
    for part in (*_settings(prepared), *_files(prepared), *_axes(prepared)):
        digest.update(f"{json.dumps(part, default=str)}\n".encode())
    for step in prepared.plan.steps:
        digest.update(_step(step).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _is_locked(prepared: Prepared, finished: FinishedRun) -> bool:
    """Whether the lock file has just the images of a run now."""
    locking, lock = prepared.locking, finished.kept
    return locking is None or (lock is not None and not lock.drifted and (locking.writes or not lock.changes))


def _settings(prepared: Prepared) -> Iterator[object]:
    target, pipeline = prepared.target, prepared.loaded.pipeline
    yield __version__, target.kind, target.base, Path.cwd(), prepared.delivery.folder, prepared.cap
    yield pipeline.name, pipeline.description, prepared.pipeline_cells, [*map(str, prepared.loaded.warnings)]
    yield pipeline.document.data, pipeline.variables, pipeline.is_over
    yield {name: value.data for name, value in pipeline.overrides.items()}
    yield [(source_text(source), image.label) for source, image in prepared.loaded.fingerprints.by_source.items()]


def _files(prepared: Prepared) -> Iterator[object]:
    """The texts of the pipeline's files, the lock file, and the picks, which pages show."""
    pipeline = prepared.loaded.pipeline
    if prepared.locking is not None:
        data = lock_bytes(prepared.locking.file)
        yield prepared.locking.file, data and hashlib.sha256(data).hexdigest()
        yield len(prepared.locking.keys), prepared.locking.frozen
    for file in pipeline.document.files:
        yield file.file, file.text
    for stage in pipeline.stages:
        path = picks_file(pipeline, stage.name)
        with suppress(OSError):
            yield path, hashlib.sha256(path.read_bytes()).hexdigest()


def _axes(prepared: Prepared) -> Iterator[object]:
    for stage in prepared.loaded.pipeline.stages:
        for axis in stage.all_axes:
            yield stage.name, axis.name
            yield from ((value.label, value.data) for value in axis.values)


def _step(step: Step) -> str:
    assert isinstance(step.action, Reuse)
    cells = [(one.position, one.id, one.stage, one.axes, one.out, one.source, one.template) for one in step.cells]
    result = step.action.result
    return f"{step.key} {step.price} {step.reason} {result.sha256} {result.job_id} {cells}\n"


def _is_noted(folder: Path, state: str) -> bool:
    """Whether the report of a run is complete, and was made of the same."""
    if not all(is_plain(folder / name) for name in (RECORD, *FORM_NAMES)) or not (folder / "thumbnails").is_dir():
        return False
    with suppress(OSError, KreaPipeError):
        return read_plain(folder / STATE).decode("ascii", "replace").strip() == state
    return False


def _recipes(prepared: Prepared) -> RecipeDelivery | None:
    """What to report of the files of recipes; None if one of them has to be made, or differs."""
    steps, delivery = prepared.plan.steps, prepared.delivery
    if not any(cell.files for step in steps for cell in step.cells):
        return RecipeDelivery()
    files = look_over_recipes(
        *(prepared.space, delivery.folder, prepared.target.kind, prepared.plan),
        source=prepared.loaded.pipeline.document.file,
        changed=delivery.out.changed,
        is_over=delivery.is_over,
    )
    return not_made(files) if len(files.current) == files.total and not files.notes else None


def _pruned(prepared: Prepared) -> Pruned | None:
    """That nothing was removed; None if something has to be, or if nothing may be."""
    if prepared.produced is None:
        return None
    stale = find_stale_files(prepared.space, prepared.delivery.folder, prepared.target.kind, prepared.produced)
    return None if stale else Pruned()
