"""The lock file of a pipeline: which one it is, how images compare with it, and taking images into it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.app import flow
from krea_pipe.app.lock_place import changes_cells
from krea_pipe.app.pictures import sign
from krea_pipe.app.workspace import Workspace, open_workspace
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.settings import image_kind
from krea_pipe.executor.deliver import digests_at
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.planning.lock_check import Review, accept_images, review_files, review_images
from krea_pipe.planning.lockfile import Lockfile, lock_path, read_lock
from krea_pipe.planning.plan import Plan
from krea_pipe.planning.stale_files import find_marked_stale_files
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.lock import exclusive, lockfiles_lock


@dataclass(frozen=True, slots=True)
class Reviewed:
    """How the image of each cell compares with a lock file; `out` is the folder of the images, if they were read."""

    lock: Path
    reviews: tuple[Review, ...]
    out: Path | None = None


def review_drawn(
    file: Path, overrides: Overrides, options: flow.RunOptions, environment: Mapping[str, str]
) -> Reviewed:
    """Compare the latest images for each cell with the lock file.

    Args:
        file: the pipeline.
        overrides: settings that override it.
        options: which cells, and another lock file.
        environment: where the API and the home folder may be named.

    Returns:
        The lock file, and how the image of each cell compares with it.

    Raises:
        KreaPipeError: the file, the lock file or the store cannot be read, or it is not said which lock file is meant.
    """
    lock, plan, workspace = _drawn(file, overrides, options, environment)
    blobs = workspace.space.blobs
    return Reviewed(lock.file, tuple(review_images(lock, plan, lambda digest: sign(blobs.read(digest) or b""))))


def accept_drawn(
    file: Path, overrides: Overrides, options: flow.RunOptions, environment: Mapping[str, str]
) -> tuple[Path, list[str]]:
    """Take the latest images into the lock file.

    Args:
        file: the pipeline.
        overrides: settings that override it.
        options: which cells, and another lock file.
        environment: where the API and the home folder may be named.

    Returns:
        The lock file, and the ids of the cells whose images were not in it.

    Raises:
        KreaPipeError: the file, the lock file or the store cannot be read, it is not said which lock file is meant, or
            it cannot be written.
    """
    lock, plan, workspace = _drawn(file, overrides, options, environment)
    with exclusive(lockfiles_lock(workspace.home)):
        fresh = read_lock(lock.file)
        taken = [one.id for one in review_images(fresh, plan, lambda _: "") if one.is_open]
        if taken:
            accepted = accept_images(fresh, plan, taken, workspace.space.folder.name)
            write_atomically(fresh.file, accepted.to_lines())
    return lock.file, taken


def stale_files_of(
    file: Path, overrides: Overrides, options: flow.RunOptions, out: Path | None, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Find the files in the output folder that krea-pipe delivered and that no cell of a pipeline produces.

    Without a store, the marks inside files say what krea-pipe has delivered.

    Args:
        file: the pipeline.
        overrides: settings that override it.
        options: how many cells it may have.
        out: the output folder; None is the one that a run takes.
        environment: where the API and the home folder may be named.

    Returns:
        Their paths below the output folder, sorted.

    Raises:
        KreaPipeError: the file or the store cannot be read, or the cells are not those of the file.
    """
    if changes_cells(overrides):
        message = "--strict cannot be combined with --profile, --set and --vars, because they change the cells"
        raise UsageError(Problem("bad_option", message, hint="verify FILE without them"))
    loaded = flow.load_pipeline(file, overrides)
    workspace = open_workspace(environment, file, engine=loaded.pipeline.engine)
    folder = flow.out_folder(out, loaded.pipeline.name, local=False)
    basis = flow.planned(loaded, workspace.space, workspace.target, flow.RunOptions(options.max_cells))
    found = find_marked_stale_files(workspace.space, folder, image_kind(workspace.target.kind), basis.produced(file))
    return tuple(one.path for one in found)


def review_delivered(file: Path, overrides: Overrides, options: flow.RunOptions, out: Path | None) -> Reviewed:
    """Compare the images in the output folder with the lock file.

    No store is needed.

    Args:
        file: the pipeline.
        overrides: settings that override it.
        options: which cells, and another lock file.
        out: the output folder; None is the one that a run takes.

    Returns:
        The lock file, how the file of each cell compares with it, and the output folder.

    Raises:
        KreaPipeError: the file, the lock file or the folder cannot be read, or it is not said which lock file is meant.
    """
    loaded = flow.load_pipeline(file, overrides)
    folder = flow.out_folder(out, loaded.pipeline.name, local=False)
    lock = read_lock(_lock_of(file, options.lock, overrides))
    cells = flow.cells(loaded, max_cells=options.max_cells, selection=options.selection)
    return Reviewed(lock.file, tuple(review_files(lock, cells, lambda path: digests_at(folder, path))), folder)


def _drawn(
    file: Path, overrides: Overrides, options: flow.RunOptions, environment: Mapping[str, str]
) -> tuple[Lockfile, Plan, Workspace]:
    loaded = flow.load_pipeline(file, overrides)
    lock = read_lock(_lock_of(file, options.lock, overrides))
    workspace = open_workspace(environment, file, engine=loaded.pipeline.engine)
    return lock, flow.plan_run(loaded, workspace.space, workspace.target, options), workspace


def _lock_of(file: Path, lock: Path | None, overrides: Overrides) -> Path:
    """The lock file that is meant.

    Raises:
        UsageError: the command line changes the cells, so they do not belong in the file's default one.
    """
    if lock is None and changes_cells(overrides):
        message = "--profile, --set and --vars change the cells, so the default lock file does not match"
        raise UsageError(Problem("needs_lock", message, hint="specify the lock file of that run with --lock FILE"))
    return lock or lock_path(file)
