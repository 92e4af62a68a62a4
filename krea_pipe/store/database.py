"""Opens the database of facts such that nothing in it can take effect that a stranger has put there.

A database may have come with a clone or an archive. Views and triggers in it would be run, its settings be obeyed, and
its journal could name another file that SQLite then deletes. So it is examined first, and refused unless it is exactly
as diskcache creates it.

"""

import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import diskcache

from krea_pipe.store.lock import BUSY_SECONDS
from krea_pipe.store.plain import check_files, open_plain, stat_of_plain

_MOST_BYTES = 4 * 1024 * 1024
"""No value that is read is longer: a fact holds one request and its result."""

_STEPS = 100_000
"""The number of SQLite's virtual machine steps between two readings of the clock."""

DATABASE_NAME = "cache.db"
_WRITTEN_IN_PLACE = b"\1\1"
"""Stands in the header of a database that has a rollback journal, as ours do, and no write-ahead log."""
_ANOTHER_NAMED = bytes.fromhex("d9d505f920a163d7")
"""The end of a journal that names a further file.

Only transactions over several databases have one, and SQLite deletes the file when it rolls back.
"""

_OBJECTS = frozenset(
    (
        "CREATE TABLE Settings ( key TEXT NOT NULL UNIQUE, value)",
        "CREATE TABLE Cache ( rowid INTEGER PRIMARY KEY, key BLOB, raw INTEGER, store_time REAL, expire_time REAL,"
        " access_time REAL, access_count INTEGER DEFAULT 0, tag BLOB, size INTEGER DEFAULT 0, mode INTEGER DEFAULT 0,"
        " filename TEXT, value BLOB)",
        "CREATE UNIQUE INDEX Cache_key_raw ON Cache(key, raw)",
        "CREATE INDEX Cache_expire_time ON Cache (expire_time)",
        "CREATE TRIGGER Settings_count_insert AFTER INSERT ON Cache FOR EACH ROW BEGIN"
        ' UPDATE Settings SET value = value + 1 WHERE key = "count"; END',
        "CREATE TRIGGER Settings_count_delete AFTER DELETE ON Cache FOR EACH ROW BEGIN"
        ' UPDATE Settings SET value = value - 1 WHERE key = "count"; END',
        "CREATE TRIGGER Settings_size_insert AFTER INSERT ON Cache FOR EACH ROW BEGIN"
        ' UPDATE Settings SET value = value + NEW.size WHERE key = "size"; END',
        "CREATE TRIGGER Settings_size_update AFTER UPDATE ON Cache FOR EACH ROW BEGIN"
        ' UPDATE Settings SET value = value + NEW.size - OLD.size WHERE key = "size"; END',
        "CREATE TRIGGER Settings_size_delete AFTER DELETE ON Cache FOR EACH ROW BEGIN"
        ' UPDATE Settings SET value = value - OLD.size WHERE key = "size"; END',
    )
)
"""The structures that diskcache 5.6.3 creates."""

_WORD = re.compile(r"[a-z-]{1,40}")

_SETTINGS = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**62,
    "disk_min_file_size": 2**31,
    "sqlite_journal_mode": "delete",  # no files beside the database, so that a plan can read it in any folder
    "sqlite_synchronous": 2,
    "sqlite_trusted_schema": 0,
}
"""Our settings; without arguments, diskcache uses those stored in a database."""


def settings() -> dict[str, object]:
    """Every setting, so that none is taken from a database."""
    return {**diskcache.DEFAULT_SETTINGS, **_SETTINGS}


def exists(folder: Path) -> bool:
    """Whether there is a database in a folder.

    Args:
        folder: The folder of the facts.

    Returns:
        False also if the folder is missing.

    Raises:
        StateError: Something else is in its place, or in that of the files that SQLite keeps beside it.
    """
    file = folder / DATABASE_NAME
    check_files(file, *(file.with_name(f"{DATABASE_NAME}{end}") for end in ("-journal", "-wal", "-shm")))
    return stat_of_plain(file) is not None


@contextmanager
def open_database(folder: Path, *, writes: bool = True) -> Iterator[sqlite3.Connection]:
    """A connection to the database of a folder, after it was checked.

    Args:
        folder: The folder of the facts.
        writes: Whether what a crash has left half written may be undone.

    Returns:
        The connection, for the `with` block.

    Raises:
        sqlite3.DatabaseError: The database is damaged, or was not created by krea-pipe.
    """
    file = folder / DATABASE_NAME
    _check_files(file)
    mode = "rw" if writes else "ro"
    with closing(
        sqlite3.connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS)
    ) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA cell_size_check=ON")
        end = time.monotonic() + BUSY_SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        _check_objects(connection)
        _check_settings(connection)
        yield connection


def is_whole(connection: sqlite3.Connection) -> bool:
    """Whether a database has all its structures; a crash while it was created may have left some out.

    Args:
        connection: One that `open_database` gave.

    Returns:
        False where diskcache has to complete it.
    """
    found = _objects_of(connection)
    if found != _OBJECTS and found != _objects_now():
        return False
    ((counters,),) = connection.execute("SELECT count(*) FROM Settings WHERE key IN ('count', 'size')")
    return bool(counters == 2)


def _check_files(file: Path) -> None:
    """Look at the bytes that SQLite acts on before anything can be asked."""
    with os.fdopen(open_plain(file), "rb") as stream:
        head = stream.read(20)
    if len(head) == 20 and head[18:] != _WRITTEN_IN_PLACE:
        raise sqlite3.DatabaseError("it is not a database created by krea-pipe")
    if _end_of(file.with_name(f"{DATABASE_NAME}-journal")) == _ANOTHER_NAMED:
        raise sqlite3.DatabaseError("the journal beside it names another file")


def _end_of(journal: Path) -> bytes:
    try:
        with os.fdopen(open_plain(journal), "rb") as stream:
            stream.seek(-len(_ANOTHER_NAMED), os.SEEK_END)
            return stream.read()
    except OSError:  # it does not exist, or has just been created
        return b""


def _check_objects(connection: sqlite3.Connection) -> None:
    found = _objects_of(connection)
    if not found <= _OBJECTS and not found <= _objects_now():
        strange = min(found - _OBJECTS)
        raise sqlite3.DatabaseError(f"krea-pipe did not create all of it: {strange[:60]!r}")


def _objects_of(connection: sqlite3.Connection) -> frozenset[str]:
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL LIMIT 100")
    return frozenset(" ".join(str(sql).split()) for (sql,) in rows)


def _check_settings(connection: sqlite3.Connection) -> None:
    """Refuse settings that diskcache does not know: it makes an attribute of any name, and a statement of some."""
    try:
        found = connection.execute("SELECT key, value FROM Settings LIMIT 100").fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return
        raise
    known = settings().keys() | diskcache.core.METADATA.keys()
    if not all(name in known and (isinstance(value, int) or _WORD.fullmatch(str(value))) for name, value in found):
        raise sqlite3.DatabaseError("it has settings that krea-pipe did not create")


@cache
def _objects_now() -> frozenset[str]:
    """The structures that the installed diskcache creates, in case of another version."""
    with tempfile.TemporaryDirectory(prefix="krea-pipe-") as folder:
        diskcache.Cache(folder, **settings()).close()
        with closing(sqlite3.connect(Path(folder) / DATABASE_NAME)) as connection:
            return _objects_of(connection)
