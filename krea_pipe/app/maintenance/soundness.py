"""Whether what is stored is as it was written. Nothing is changed, and nothing is taken on trust."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from krea_pipe.app.maintenance.disk import hold, pictures_in
from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.pricing import usd
from krea_pipe.store.database import DATABASE_NAME, exists, open_database
from krea_pipe.store.plain import open_plain, read_plain
from krea_pipe.store.space import Space


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, and what to do; one that is no damage is only worth knowing."""

    space: str
    is_damage: bool
    message: str
    hint: str


def look_over(space: Space) -> Iterator[Finding]:
    """Read everything that a name space keeps.

    Raises:
        StateError: a folder cannot be read.
    """
    name, facts = space.folder.name, space.facts.folder / DATABASE_NAME
    for is_damage, message, hint in (*_database(facts), *_journal(space.journal.path), *_images(space)):
        yield Finding(name, is_damage, message, hint)


def _database(file: Path) -> Iterator[tuple[bool, str, str]]:
    if not exists(file.parent):
        return
    try:
        with open_database(file.parent, writes=False) as connection:
            connection.set_progress_handler(None, 0)  # it sees each page once, however long that takes
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    except (sqlite3.DatabaseError, OSError) as error:
        if file.with_name("cache.db-journal").exists():
            yield False, f"{file} was being written", "a crash may have cut that off: the next run puts it right"
            return
        found = [str(error)]
    if found != ["ok"]:
        hint = f"move {file.parent} away; the results come back from the journal"
        yield True, f"{file} is damaged: {'; '.join(found)}", hint


def _journal(file: Path) -> Iterator[tuple[bool, str, str]]:
    try:
        lines = read_plain(file).split(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(Problem("journal_unusable", f"cannot read {file}: {error.strerror}")) from error
    for number, line in enumerate(lines, 1):
        if not line or _is_understood(line):
            continue
        if line.startswith(b"{") and not line.rstrip().endswith(b"}") and line.isascii() and b"\0" not in line:
            yield False, f"{file}:{number} was cut off by a crash", "nothing to do: nothing had followed from it yet"
        else:
            hint = "it is passed over; if a paid image is missing in plans, `krea-pipe recover` finds its job"
            yield True, f"{file}:{number} cannot be read", hint


def _is_understood(line: bytes) -> bool:
    try:
        data: Json = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and "event" in data and "key" in data


def _images(space: Space) -> Iterator[tuple[bool, str, str]]:
    blobs = pictures_in(space.blobs.folder)
    try:
        drawn = hold(space).drawn
    except StateError:  # the database, which has been named above
        drawn = ()
    prices = {one.sha256: one.usd for one in drawn}
    for digest, file in blobs.items():
        if not _is_whole(file.path, digest):
            price = f", for {usd(prices[digest])}" if digest in prices else ""
            yield True, f"{file.path} is not the image that was stored", f"delete it: it is drawn again{price}"
    gone = {one.key: one.usd for one in drawn if one.sha256 not in blobs}
    kept = {one.key for one in drawn if one.sha256 in blobs}
    lost = [price for key, price in gone.items() if key not in kept]
    if lost:
        message = f"{len(lost):,} {'result has' if len(lost) == 1 else 'results have'} no stored image any more"
        hint = f"as after gc; to draw what pipelines still need of them costs {usd(sum(lost, Decimal(0)))} at most"
        yield False, message, hint


def _is_whole(path: str, digest: str) -> bool:
    try:
        with os.fdopen(open_plain(path), "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == digest
    except OSError:
        return False
