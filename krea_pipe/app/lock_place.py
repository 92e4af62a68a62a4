"""Which lock file a run keeps."""

from pathlib import Path

from krea_pipe.pipeline.spec import Overrides
from krea_pipe.planning.lockfile import lock_path


def lock_of_run(file: Path, lock: Path | None, overrides: Overrides, *, frozen: bool) -> Path | None:
    """The lock file that a run keeps, or with `frozen` reads.

    Args:
        file: the pipeline.
        lock: the lock file that is named, if one is.
        overrides: settings that override the pipeline.
        frozen: whether the run only reads it.

    Returns:
        The lock file; None where the cells are not those of the file.
    """
    return lock if lock or (changes_cells(overrides) and not frozen) else lock_path(file)


def changes_cells(overrides: Overrides) -> bool:
    """Whether options override a file, in which case its cells can differ from those of its lock file.

    Args:
        overrides: the settings of the command line.

    Returns:
        False when the cells are those of the file alone.
    """
    return bool(overrides.profiles or overrides.sets or overrides.var_files)
