"""Small JSON facts by name, in diskcache: no pickle, no eviction, no limit.

diskcache evicts paid results by default once 1 GiB is stored, and unpickles what it reads (CVE-2025-69872), also
through its own JSONDisk. Here values are bytes alone, nothing is ever culled, and no file is deleted that a row names.
Facts are many at a plan, so they are read in batches over a connection of our own.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, TypeVar, cast

import diskcache
from diskcache.core import MODE_RAW

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.store.database import DATABASE_NAME, exists, open_database, settings
from krea_pipe.store.lock import BUSY_SECONDS, exclusive
from krea_pipe.store.plain import check_folders

_T = TypeVar("_T")
_BATCH = 900
_LEAST_ROW = 8
"""A row takes more bytes, so that a database has fewer rows than its size is times this."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """Stores and fetches bytes only."""

    def put(self, key: object) -> tuple[str, bool]:
        """Take text keys only."""
        if not isinstance(key, str):
            raise TypeError("a fact's name is text")
        return key, True

    def get(self, key: object, raw: bool) -> object:
        """Return text keys unchanged."""
        return key if raw else None

    def store(self, value: bytes, read: bool, key: object = None) -> tuple[int, int, None, sqlite3.Binary]:  # noqa: ARG002
        """Put bytes into the row itself, never into a file."""
        return 0, MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> bytes:  # noqa: ARG002
        """Read raw bytes and refuse every other mode, above all pickles."""
        if mode != MODE_RAW or filename is not None or not isinstance(value, bytes):
            raise ValueError("a fact that this program did not write")
        return value

    def remove(self, file_path: str) -> None:
        """Remove nothing: facts have no files, and a row may name any."""


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
        try:
            with self._alone(), closing(self._open()) as cache, cache.transact():
                for name, data in facts.items():
                    cache.set(_storable(name), json.dumps(data, separators=(",", ":")).encode())
        except (sqlite3.DatabaseError, OSError, diskcache.Timeout) as error:
            raise _damaged(self.folder, error) from error

    def _alone(self) -> AbstractContextManager[None]:
        """Keeps other writers out, threads and processes: diskcache's own transactions give up early, as deadlocks."""
        return exclusive(self.folder.with_name(f"{self.folder.name}.lock"))

    def _open(self) -> Any:  # noqa: ANN401 (diskcache has no types)
        """The database, opened for one task: diskcache keeps a connection for each thread, and closes only one."""
        check_folders(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if exists(self.folder):
            with open_database(self.folder):
                pass  # diskcache would obey whatever it contains
        return diskcache.Cache(str(self.folder), disk=BytesDisk, timeout=BUSY_SECONDS, **settings())


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
