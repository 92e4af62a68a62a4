"""Files that are whole or not there at all."""

import contextlib
import os
import tempfile
from pathlib import Path

from krea_pipe.errors import Problem, StateError


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file so that a crash leaves the old one or the new one: temp file beside it, fsync, replace.

    What can be made again need not be `durable`, and is not waited for.

    Raises:
        StateError: the file can not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".krea-pipe-", suffix=".tmp")
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        StateError: it can not be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk; not every system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unwritable(path: Path, error: OSError) -> StateError:
    message = f"cannot write {path}: {error.strerror}"
    return StateError(Problem("not_writable", message, hint="check the folder's rights and the free space"))
