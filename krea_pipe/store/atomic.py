"""Files that are complete or absent."""

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.store.plain import read_all

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_COPIED_AT_ONCE = 1 << 20


class NewFile:
    """A file beside its target under a temporary name; at the end of the `with` block, it is in place or removed.

    Its methods raise OSErrors, which the caller turns into the error that names the target.
    """

    def __init__(self, folder: Path) -> None:
        """Create the file.

        Args:
            folder: the folder of its target, or another one of the same file system; it is made if it is missing.

        Raises:
            OSError: the file cannot be created.
        """
        # Three files for each image: `os` with names takes half the time of `tempfile` and paths.
        self._name = f"{folder}/.krea-pipe-{secrets.token_hex(6)}.tmp"
        self.handle = _created(self._name, folder)
        self._is_open = True

    def __enter__(self) -> "NewFile":
        """Use the file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file, unless it is in place."""
        self.discard()

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.handle, rest) :]

    def copy(self, source: int, start: int) -> None:
        """Append another file from a byte to its end: by the kernel, which can share its blocks, where it offers that.

        Args:
            source: the descriptor of the file.
            start: the number of the first byte.
        """
        if hasattr(os, "copy_file_range"):
            with contextlib.suppress(OSError):  # not every file system can; a real problem comes up again below
                while copied := os.copy_file_range(source, self.handle, _COPIED_AT_ONCE, start):
                    start += copied
        os.lseek(source, start, os.SEEK_SET)
        while part := os.read(source, _COPIED_AT_ONCE):
            self.write(part)

    def read(self) -> bytes:
        """All bytes that were written."""
        return read_all(self.handle)

    def put(self, path: Path | str, *, durable: bool) -> None:
        """Give the file its place, in which it replaces another one.

        Args:
            path: the path of the target.
            durable: whether to wait until the bytes and the name are on disk.
        """
        if durable:
            os.fsync(self.handle)
        self._close()  # Windows renames no open file
        os.replace(self._name, path)  # noqa: PTH105
        self._name = ""
        if durable:
            sync_folder(Path(path).parent)

    def discard(self) -> None:
        """Close the file and remove it, unless it is in place."""
        self._close()
        if self._name:
            Path(self._name).unlink(missing_ok=True)
            self._name = ""

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self.handle)


def write_atomically(path: Path, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
    """Write a file, whole or part after part, so that a crash leaves the old one or the new one.

    Args:
        path: Its path; its folder is made.
        data: The bytes, or their parts.
        durable: Whether to wait until it is on disk; what can be made again need not be waited for.

    Raises:
        StateError: The file cannot be written.
    """
    try:
        with NewFile(path.parent) as new:
            with os.fdopen(new.handle, "wb", closefd=False) as stream:
                stream.writelines((data,) if isinstance(data, bytes) else data)
            new.put(path, durable=durable)
    except OSError as error:
        raise unwritable(path, error) from error


def copy_atomically(path: Path, source: int, *, head: bytes = b"", start: int = 0) -> None:
    """Write a copy of another file, not durably, so that a crash leaves the old file or the new one.

    Args:
        path: Its path; its folder is made.
        source: The descriptor of the file to copy.
        head: What the copy begins with.
        start: The number of the first byte of the source that follows.

    Raises:
        StateError: The copy cannot be written.
    """
    try:
        with NewFile(path.parent) as new:
            new.write(head)
            new.copy(source, start)
            new.put(path, durable=False)
    except OSError as error:
        raise unwritable(path, error) from error


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
        raise unwritable(folder, error) from error


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk; not every system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unwritable(path: Path, error: OSError) -> StateError:
    """The error of a file or folder that cannot be written."""
    message = f"cannot write {path}: {error.strerror}"
    return StateError(Problem("not_writable", message, hint="check the folder's permissions and the free space"))
