"""Small JSON facts by name, in a database of diskcache: no pickle, no eviction, no limit.

diskcache evicts paid results by default once 1 GiB is stored, and unpickles what it reads (CVE-2025-69872), also
through its own JSONDisk. Here it only creates the database: to open one, it writes each of its settings and waits for
the disk each time. Rows are read and written over a connection of our own, many at a time, and are bytes alone.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar, cast

import diskcache
from diskcache.core import MODE_RAW

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.store.database import DATABASE_NAME, exists, is_complete, open_database, settings
from krea_pipe.store.lock import BUSY_SECONDS, exclusive
from krea_pipe.store.plain import check_folders

_T = TypeVar("_T")
_BATCH = 900
_WRITE = f"""
INSERT INTO Cache (key, raw, store_time, access_time, mode, value) VALUES (?1, 1, ?2, ?2, {MODE_RAW}, ?3)
ON CONFLICT (key, raw) DO UPDATE SET
    store_time = ?2, access_time = ?2, mode = {MODE_RAW}, value = ?3,
    expire_time = NULL, access_count = 0, tag = NULL, size = 0, filename = NULL
"""
"""Writes a row as diskcache does, with the bytes in the row itself and never in a file."""
_LEAST_ROW = 8
"""A row takes more bytes, so that a database has fewer rows than its size is times this."""


class Facts:
    """A folder of facts. Opening one that does not exist reads as empty and creates nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, names: Iterable[str]) -> dict[str, dict[str, Json]]:
        """The facts of these names, those that exist.

        Raises:
            StateError: the database is damaged.
        """
        if not exists(self.folder):
            return {}
        known = {_storable(name): name for name in names}
        return {known[name]: data for name, data in self._ask(lambda db: _selected(db, list(known)))}

    def beginning_with(self, prefix: str) -> dict[str, dict[str, Json]]:
        """Every fact whose name begins so.

        Raises:
            StateError: the database is damaged.
        """
        return self.read(name for name in self._ask(self._names) if name.startswith(prefix))

    def write(self, facts: Mapping[str, Mapping[str, Json]]) -> None:
        """Keep facts, all or none of them.

        Raises:
            StateError: the database is damaged or cannot be written.
        """
        if facts:
            self._write(facts)

    def prepare(self) -> None:
        """Find out whether facts can be kept.

        Raises:
            StateError: the database is damaged or cannot be written.
        """
        self._write({})

    def _ask(self, question: Callable[[sqlite3.Connection], Iterable[_T]]) -> list[_T]:
        if not exists(self.folder):
            return []
        try:
            with open_database(self.folder) as connection:
                return list(question(connection))
        except (sqlite3.DatabaseError, OSError) as error:
            if "no such table" in str(error):  # an emptied file: the journal still knows what was paid
                return []
            raise _damaged(self.folder, error) from error

    def _names(self, connection: sqlite3.Connection) -> Iterator[str]:
        rows = connection.execute("SELECT key FROM Cache WHERE raw = 1")
        most = (self.folder / DATABASE_NAME).stat().st_size // _LEAST_ROW
        return (str(name) for (name,) in _at_most(most, rows))

    def _write(self, facts: Mapping[str, Mapping[str, Json]]) -> None:
        now = time.time()
        try:
            with self._alone():
                self._make()
                with open_database(self.folder) as connection, connection:
                    connection.execute("PRAGMA synchronous=FULL")
                    connection.execute("UPDATE Settings SET value = value WHERE key = 'count'")  # a write without facts
                    connection.executemany(_WRITE, (_row(name, data, now) for name, data in facts.items()))
        except (sqlite3.DatabaseError, OSError, diskcache.Timeout) as error:
            raise _damaged(self.folder, error) from error

    def _alone(self) -> AbstractContextManager[None]:
        """Keeps other writers out, threads and processes: diskcache's own transactions give up early, as deadlocks."""
        return exclusive(self.folder.with_name(f"{self.folder.name}.lock"))

    def _make(self) -> None:
        """Create what is missing of the database."""
        check_folders(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if exists(self.folder):
            with open_database(self.folder) as connection:  # diskcache would obey whatever it contains
                if is_complete(connection):
                    return
        diskcache.Cache(str(self.folder), timeout=BUSY_SECONDS, **settings()).close()


def _row(name: str, data: Mapping[str, Json], now: float) -> tuple[str, float, bytes]:
    return _storable(name), now, json.dumps(data, separators=(",", ":")).encode()


def _storable(name: str) -> str:
    """A name as SQLite can keep it: file names need not be UTF-8."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def _selected(connection: sqlite3.Connection, names: list[str]) -> Iterator[tuple[str, dict[str, Json]]]:
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        marks = ",".join("?" * len(batch))
        query = f"SELECT key, value FROM Cache WHERE raw = 1 AND mode = {MODE_RAW} AND key IN ({marks})"
        for name, value in _at_most(len(batch), connection.execute(query, batch)):
            data = _decoded(value)
            if data is not None:
                yield name, data


def _at_most(count: int, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Rows that cannot be more: in a damaged database, pages may be reached again and again."""
    for number, row in enumerate(rows):
        if number >= count:
            raise sqlite3.DatabaseError("it has more rows than possible")
        yield row


def _decoded(value: object) -> dict[str, Json] | None:
    try:
        data = json.loads(cast("bytes", value))
    except (ValueError, TypeError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _damaged(folder: Path, error: Exception) -> StateError:
    if isinstance(error, diskcache.Timeout) or "locked" in str(error):
        message = f"another process has been using the cache in {folder} for {BUSY_SECONDS} s"
        return StateError(Problem("cache_busy", message, hint="try again when it is done"))
    hint = f"move {folder} away; the results are restored from the journal"
    return StateError(Problem("cache_damaged", f"cannot use the cache in {folder}: {error}", hint=hint))
