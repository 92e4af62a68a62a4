"""Files and folders below a home folder: a link is not followed, and a pipe or a device is not waited for.

A home folder may have come with a clone or an archive, and a link in it may lead anywhere.
"""

import errno
import os
import stat
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError

_CAREFUL = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
"""Windows has neither of the first two; there, the kind of a file is checked before it is opened."""


def is_plain(path: Path | str) -> bool:
    """Whether there is a plain file of this name.

    Args:
        path: Any path.

    Returns:
        False for a link, and for anything else.
    """
    return stat_of_plain(path) is not None


def stat_of_plain(path: Path | str) -> os.stat_result | None:
    """The status of a plain file; None for a link, for anything else, and if there is nothing."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def open_plain(path: Path | str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Open a plain file, and nothing else.

    Args:
        path: The path of the file.
        flags: As for `os.open`.
        mode: The permissions of a file that is made.

    Returns:
        A file descriptor, which the caller closes.

    Raises:
        OSError: It cannot be opened, or is something else.
    """
    try:
        _check_kind(path)
        handle = os.open(path, flags | _CAREFUL, mode)
    except ValueError as error:
        raise OSError(errno.EINVAL, "this is not a valid file name", str(path)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return handle


def read_plain(path: Path | str, most: int | None = None) -> bytes:
    """The bytes of a plain file.

    Args:
        path: The path of the file.
        most: The most bytes that it may have; None for any number.

    Returns:
        All its bytes.

    Raises:
        OSError: It cannot be read, is larger, or is something else.
    """
    with open(open_plain(path), "rb", buffering=0) as stream:
        if most is not None and os.fstat(stream.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
        return stream.readall()


def read_all(handle: int) -> bytes:
    """The bytes of an open file, from its begin.

    Args:
        handle: its descriptor, which stays open.

    Returns:
        The bytes.

    Raises:
        OSError: It cannot be read.
    """
    os.lseek(handle, 0, os.SEEK_SET)
    with open(handle, "rb", buffering=0, closefd=False) as stream:
        return stream.readall()


def check_folders(*folders: Path) -> None:
    """Refuse anything that is not a separate folder; a missing one is accepted.

    Args:
        folders: Paths below the home folder.

    Raises:
        StateError: One is a link, or no folder.
    """
    for folder in folders:
        found = _found(folder)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            raise _not_plain(folder, found, "folder")


def check_files(*files: Path) -> None:
    """Refuse anything that is not a plain file with a single name; a missing one is accepted.

    Args:
        files: Their paths.

    Raises:
        StateError: one is a link, a second name of a file, or no file.
    """
    for file in files:
        found = _found(file)
        if found is None:
            continue
        if not stat.S_ISREG(found.st_mode):
            raise _not_plain(file, found, "file")
        if found.st_nlink > 1:  # what is written into it would change the other as well
            hint = "replace it with a copy"
            raise StateError(Problem("home_linked", f"{file} has other hard links", hint=hint))


def check_shards(folder: Path) -> None:
    """Refuse a folder of files by digest in which a folder is a link.

    Raises:
        StateError: there is one, or the folder cannot be read.
    """
    check_folders(folder)
    try:
        with os.scandir(folder) as entries:
            linked = [one.path for one in entries if len(one.name) == 2 and not one.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(Problem("home_unreadable", f"cannot read {folder}: {error.strerror}")) from error
    check_folders(*map(Path, linked))


def _found(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "this is not a valid file name"
        hint = "check the folder's permissions, or set KREA_PIPE_HOME to another folder"
        raise StateError(Problem("home_unreadable", f"cannot access {path}: {reason}", hint=hint)) from error


def _check_kind(path: Path | str) -> None:
    """Describe what is in a file's place: the system's message about a link or a pipe does not help."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return  # it may be made
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is {_kind_of(mode)}", str(path))


def _not_plain(path: Path, found: os.stat_result, wanted: str) -> StateError:
    message = f"{path} is {_kind_of(found.st_mode)}, but krea-pipe needs its own {wanted} there"
    hint = "links that lead out of the home folder are not followed: move it away, or set KREA_PIPE_HOME"
    return StateError(Problem("home_linked" if stat.S_ISLNK(found.st_mode) else "home_unusable", message, hint=hint))


def _kind_of(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a file" if stat.S_ISREG(mode) else "a pipe, a socket or a device"
