"""Small JSON facts by name, in a database of diskcache: no pickle, no eviction, no limit.

diskcache makes the database, and any program can open it with diskcache. Its rows are read and written over a
connection of our own: diskcache evicts paid results by default once 1 GiB is stored, unpickles what it reads
(CVE-2025-69872), deletes the files that a row names, and writes all its settings again, one transaction for each,
whenever it opens one. A plan reads many facts, so they are read in batches.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import diskcache
from diskcache.core import MODE_RAW

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.store.database import DATABASE_NAME, exists, is_whole, open_database, settings
from krea_pipe.store.lock import BUSY_SECONDS, exclusive
from krea_pipe.store.plain import check_folders

_T = TypeVar("_T")
_BATCH = 900
_QUERY = (
    "SELECT substr(key, ?), value FROM Cache"
    f" WHERE raw = 1 AND mode = {MODE_RAW} AND typeof(key) = 'text' AND typeof(value) = 'blob'"
)
"""Names and texts of facts; its parameter is where the part of the name begins that is returned."""
_UPSERT = f"""
INSERT INTO Cache (key, raw, store_time, access_time, mode, value) VALUES (?1, 1, ?2, ?2, {MODE_RAW}, ?3)
ON CONFLICT (key, raw) DO UPDATE SET
    store_time = ?2, access_time = ?2, mode = {MODE_RAW}, value = ?3,
    expire_time = NULL, access_count = 0, tag = NULL, size = 0, filename = NULL
"""
"""Writes a row as diskcache does for bytes; its parameters are the name, the time and the text."""
_TOUCH = "UPDATE Settings SET value = value WHERE key = 'count'"
"""Fails where the database cannot be written, although there may be nothing to write."""
_LEAST_ROW = 8
"""A row takes more bytes, so that a database has fewer rows than its size is times this."""
_ROWS_FOR_A_NAME = 8
"""To find one fact by its name costs as much as to go past this many in the order in which they are stored."""


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
        now = time.time()
        rows = ((_storable(name), now, _encoded(data)) for name, data in facts.items())
        try:
            with self._alone(), self._whole() as connection, connection:
                connection.set_progress_handler(None, 0)  # it limits what a damaged database may cost a question
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute(_TOUCH)
                connection.executemany(_UPSERT, rows)
        except (sqlite3.DatabaseError, OSError, diskcache.Timeout) as error:
            raise _damaged(self.folder, error) from error

    def _alone(self) -> AbstractContextManager[None]:
        """Keeps other writers out, threads and processes: SQLite gives up where two wait for each other."""
        return exclusive(self.folder.with_name(f"{self.folder.name}.lock"))

    @contextmanager
    def _whole(self) -> Iterator[sqlite3.Connection]:
        """A connection to the database; diskcache creates it, or what a crash has left out of it."""
        check_folders(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if exists(self.folder):
            with open_database(self.folder) as connection:
                if is_whole(connection):
                    yield connection
                    return
        diskcache.Cache(str(self.folder), timeout=BUSY_SECONDS, **settings()).close()
        with open_database(self.folder) as connection:
            yield connection


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


def _encoded(data: Mapping[str, Json]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def decoded(text: bytes) -> dict[str, Json] | None:
    """Read the text of a fact.

    Args:
        text: The fact as the database has it.

    Returns:
        Its data; None if it cannot be read.
    """
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
