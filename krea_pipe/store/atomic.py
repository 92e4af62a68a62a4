"""Files that are complete or absent."""

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def write_atomically(path: Path, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
    """Write a file, whole or part after part, so that a crash leaves the old one or the new one.

    Args:
        path: Its path; its folder is made.
        data: The bytes, or their parts.
        durable: Whether to wait until it is on disk; what can be made again need not be waited for.

    Raises:
        StateError: The file cannot be written.
    """
    # Three files for each image: `os` with names takes half the time of `tempfile` and paths.
    temporary = f"{path.parent}/.krea-pipe-{secrets.token_hex(6)}.tmp"
    try:
        handle = _created(temporary, path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.writelines((data,) if isinstance(data, bytes) else data)
                if durable:
                    stream.flush()
                    os.fsync(handle)
            os.replace(temporary, path)  # noqa: PTH105
        finally:
            Path(temporary).unlink(missing_ok=True)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def _created(file: str, folder: Path) -> int:
    try:
        return os.open(file, _NEW, 0o644)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(file, _NEW, 0o644)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents.

    Args:
        folder: Its path; an existing one is left unchanged.

    Raises:
        StateError: It cannot be created.
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
    return StateError(Problem("not_writable", message, hint="check the folder's permissions and the free space"))
