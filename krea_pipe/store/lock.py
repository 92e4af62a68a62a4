"""Locks that die with their process: an open SQLite transaction is one on every system, and no crash leaves it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.store.plain import check_files, stat_of_plain

BUSY_SECONDS = 60
"""Seconds to wait for another process that is writing, and the maximum duration of one read of the facts."""
_TURN_SECONDS = 1
"""Seconds for one attempt to get a lock without a time limit; signals are handled in between."""
_BUSY = "home_busy"


class FileLock:
    """A lock file, opened by and for one thread."""

    def __init__(self, path: Path, seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._connection = _opened(path, seconds)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock, after waiting for another process that holds it.

        Raises:
            StateError: it was not available in time.
        """
        try:
            self._connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            raise _not_taken(self.path, error) from error
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.DatabaseError):
                self._connection.execute("ROLLBACK")


def picks_lock(home: Path) -> Path:
    """The lock file that is held while a picks file is read, changed and written.

    Args:
        home: The home folder.

    Returns:
        Its path.
    """
    return home / "picks.lock"


def lockfiles_lock(home: Path) -> Path:
    """The lock that is held while a pipeline's lock file is read, changed and written.

    Args:
        home: The home folder.

    Returns:
        The path of its file.
    """
    return home / "lockfiles.lock"


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file's lock for one task, after waiting up to 60 seconds for it.

    Args:
        path: The lock file; its folder is made.

    Raises:
        StateError: It was not available in time.
    """
    with closing(FileLock(path)) as lock, lock.held():
        yield


@contextmanager
def exclusive_in_turn(path: Path) -> Iterator[None]:
    """Hold a lock file's lock, after waiting for it as long as another process holds it.

    Args:
        path: The lock file; its folder is made.

    Raises:
        StateError: It is not available.
    """
    with closing(FileLock(path, _TURN_SECONDS)) as lock, contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock.held())
            except StateError as error:
                if error.code != _BUSY:
                    raise
            else:
                break
        yield


def is_held(path: Path) -> bool:
    """Whether a living process holds a lock file's lock; what cannot be asked is taken for held."""
    found = stat_of_plain(path)
    if found is None or found.st_size:
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
            connection.isolation_level = None
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
    except sqlite3.DatabaseError:
        return stat_of_plain(path) is not None
    return False


def _opened(path: Path, seconds: float) -> sqlite3.Connection:
    _check(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        with contextlib.suppress(sqlite3.OperationalError):  # another process holds the lock
            # Nothing is ever written: SQLite need not create and remove a rollback journal each time.
            connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute(f"PRAGMA busy_timeout = {1000 * seconds:.0f}")
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except sqlite3.Error as error:
        raise _unusable(path, str(error)) from error
    return connection


def _check(path: Path) -> None:
    """Refuse a lock file with something in it: nothing is written there, and SQLite would act on what it found."""
    check_files(path, path.with_name(f"{path.name}-journal"))
    found = stat_of_plain(path)
    if found is not None and found.st_size:
        raise StateError(Problem("lock_damaged", f"{path} is damaged", hint="delete it; it contains no data"))


def _not_taken(path: Path, error: sqlite3.DatabaseError) -> StateError:
    if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
        return _unusable(path, str(error))
    message = f"another process has been writing in {path.parent} for {BUSY_SECONDS} s"
    return StateError(Problem(_BUSY, message, hint="find the krea-pipe process that hangs, and stop it"))


def _unusable(path: Path, reason: str) -> StateError:
    hint = "check the folder's permissions and the free space, or set KREA_PIPE_HOME to another folder"
    return StateError(Problem("home_unusable", f"cannot write to {path.parent}: {reason}", hint=hint))
