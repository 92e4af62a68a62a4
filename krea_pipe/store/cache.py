"""Small JSON facts by name, in diskcache: no pickle, no eviction, no limit.

diskcache evicts paid results by default once 1 GiB is stored, and unpickles what it reads (CVE-2025-69872), also
through its own JSONDisk. Here values are bytes alone, nothing is ever culled, and no file is deleted that a row names.
Facts are many at a plan, so they are read in batches over a connection of our own.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import diskcache
from diskcache.core import MODE_RAW

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.store.database import DATABASE_NAME, exists, open_database, settings
from krea_pipe.store.lock import BUSY_SECONDS, exclusive
from krea_pipe.store.plain import check_folders

_T = TypeVar("_T")
_BATCH = 900
_QUERY = (
    "SELECT substr(key, ?), value FROM Cache"
    f" WHERE raw = 1 AND mode = {MODE_RAW} AND typeof(key) = 'text' AND typeof(value) = 'blob'"
)
"""Names and texts of facts; its parameter is where the part of the name begins that is returned."""
_LEAST_ROW = 8
"""A row takes more bytes, so that a database has fewer rows than its size is times this."""
_ROWS_FOR_A_NAME = 8
"""To find one fact by its name costs as much as to go past this many in the order in which they are stored."""


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
        return self.read_as(decoded, names)

    def read_as(self, decode: Callable[[bytes], _T | None], names: Iterable[str], prefix: str = "") -> dict[str, _T]:
        """The facts of these names in another form, which may hold less of them.

        Args:
            decode: Reads the JSON text of a fact; None if it cannot be read.
            names: The names without their prefix.
            prefix: What all the names begin with.

        Returns:
            The facts that exist, by their names without the prefix.

        Raises:
            StateError: the database is damaged.
        """
        if not exists(self.folder):
            return {}
        known = {_storable(name): name for name in names}
        return self._ask(
            lambda db: {
                known[name]: fact
                for name, text in self._texts(db, known, _storable(prefix))
                if (fact := decode(text)) is not None
            }
        )

    def beginning_with(self, prefix: str) -> dict[str, dict[str, Json]]:
        """Every fact whose name begins so.

        Raises:
            StateError: the database is damaged.
        """
        return self._ask(
            lambda db: {
                f"{prefix}{name}": fact
                for name, text in self._all_texts(db, _storable(prefix))
                if (fact := decoded(text)) is not None
            }
        )

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

    def _ask(self, question: Callable[[sqlite3.Connection], dict[str, _T]]) -> dict[str, _T]:
        if not exists(self.folder):
            return {}
        try:
            with open_database(self.folder) as connection:
                return question(connection)
        except (sqlite3.DatabaseError, OSError) as error:
            if "no such table" in str(error):  # an emptied file: the journal still knows what was paid
                return {}
            raise _damaged(self.folder, error) from error

    def _texts(
        self, connection: sqlite3.Connection, names: Collection[str], prefix: str
    ) -> Iterator[tuple[str, bytes]]:
        """The names and texts of facts, in whichever way is faster."""
        ((last,),) = connection.execute("SELECT max(rowid) FROM Cache")
        if len(names) * _ROWS_FOR_A_NAME < (last or 0):
            return _texts_by_name(connection, names, prefix)
        return ((name, text) for name, text in self._all_texts(connection, prefix) if name in names)

    def _all_texts(self, connection: sqlite3.Connection, prefix: str) -> Iterator[tuple[str, bytes]]:
        rows = connection.execute(f"{_QUERY} AND substr(key, 1, ?) = ?", (len(prefix) + 1, len(prefix), prefix))
        return _at_most((self.folder / DATABASE_NAME).stat().st_size // _LEAST_ROW, rows)

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


def _texts_by_name(connection: sqlite3.Connection, names: Iterable[str], prefix: str) -> Iterator[tuple[str, bytes]]:
    waiting = iter(names)
    while batch := [f"{prefix}{name}" for name in islice(waiting, _BATCH)]:
        marks = ",".join("?" * len(batch))
        rows = connection.execute(f"{_QUERY} AND key IN ({marks})", (len(prefix) + 1, *batch))
        yield from _at_most(len(batch), rows)


def _at_most(count: int, rows: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Rows that cannot be more: in a damaged database, pages may be reached again and again."""
    for number, row in enumerate(rows):
        if number >= count:
            raise sqlite3.DatabaseError("it has more rows than possible")
        yield row


def decoded(text: bytes) -> dict[str, Json] | None:
    """The data of a fact, None if it cannot be read."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _damaged(folder: Path, error: Exception) -> StateError:
    if isinstance(error, diskcache.Timeout) or "locked" in str(error):
        message = f"another process has been using the cache in {folder} for {BUSY_SECONDS} s"
        return StateError(Problem("cache_busy", message, hint="try again when it is done"))
    hint = f"move {folder} away; the results are restored from the journal"
    return StateError(Problem("cache_damaged", f"cannot use the cache in {folder}: {error}", hint=hint))
