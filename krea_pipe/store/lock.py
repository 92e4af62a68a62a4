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
        StateError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            hint = "wait for it, or use another folder: KREA_PIPE_HOME"
            raise StateError(Problem("run_in_progress", "another run is using this folder", hint=hint)) from error
        yield
