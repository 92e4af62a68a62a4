"""One run at a time in one name space, by a lock that dies with its process."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from krea_pipe.errors import Problem, StateError


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file's lock. An open SQLite transaction is one on every system, and no crash leaves it behind.

    Raises:
        StateError: another process holds it, or it can not be taken here.
    """
    with closing(_opened(path)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            raise _not_taken(path, error) from error
        yield


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(path, timeout=0, isolation_level=None)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except sqlite3.Error as error:
        raise _unusable(path, str(error)) from error


def _not_taken(path: Path, error: sqlite3.DatabaseError) -> StateError:
    if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
        return _unusable(path, str(error))
    hint = "wait for it, or use another folder: KREA_PIPE_HOME"
    return StateError(Problem("run_in_progress", "another run is using this folder", hint=hint))


def _unusable(path: Path, reason: str) -> StateError:
    hint = "check the folder's rights and the free space, or set KREA_PIPE_HOME to another one"
    return StateError(Problem("home_unusable", f"cannot keep anything in {path.parent}: {reason}", hint=hint))
