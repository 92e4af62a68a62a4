"""The contents of the home folder: single images, totals of name spaces, and whether everything is intact."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from krea_pipe.app.maintenance.stored import Stored, files_below, hold, pictures_in, read_diffs, read_runs, spaces_of
from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.pricing import usd
from krea_pipe.store.database import DATABASE_NAME, exists, open_database
from krea_pipe.store.known import cell_name, result_name
from krea_pipe.store.plain import open_plain, read_plain
from krea_pipe.store.space import Space


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A stored image: the cells that had it last, its variant ("" when only the journal knows it), when it was
    generated, its price in US dollars, its bytes."""

    key: str
    sha256: str
    cells: tuple[str, ...]
    variant: str
    drawn_at: str
    usd: Decimal
    size: int


@dataclass(frozen=True, slots=True)
class SpaceTotals:
    """A name space in figures: images and what they cost, and the bytes of everything that is kept for it."""

    name: str
    images: int
    usd: Decimal
    blobs: int
    thumbnails: int
    facts: int
    journal: int
    runs: int
    run_bytes: int

    @property
    def size(self) -> int:
        """All of it, in bytes."""
        return self.blobs + self.thumbnails + self.facts + self.journal + self.run_bytes


def stored_images(space: Space) -> list[StoredImage]:
    """Every stored image of a name space that answers a request, the newest first.

    Args:
        space: the name space.

    Returns:
        The images, with prices in US dollars and sizes in bytes.

    Raises:
        StateError: the facts or the journal cannot be read.
    """
    holding, prefix = hold(space), cell_name("")
    cells: dict[str, list[str]] = {}
    for name, fact in space.facts.beginning_with(prefix).items():
        cells.setdefault(str(fact.get("key")), []).append(name.removeprefix(prefix))
    results = space.facts.beginning_with(result_name(""))
    found = [
        StoredImage(
            key=one.key,
            sha256=one.sha256,
            cells=tuple(sorted(cells.get(one.key, ()))),
            variant=_variant(results.get(result_name(one.key))),
            drawn_at=one.at,
            usd=one.usd,
            size=holding.blobs[one.sha256].size,
        )
        for one in holding.drawn
        if one.sha256 in holding.blobs
    ]
    return sorted(found, key=lambda one: (one.drawn_at, one.key), reverse=True)


def space_totals(home: Path) -> list[SpaceTotals]:
    """Every name space of a home folder in figures.

    Args:
        home: the home folder.

    Returns:
        One for each name space, by name.

    Raises:
        StateError: what is kept cannot be read.
    """
    runs = read_runs(home)
    return [_totals(space, [run.files for run in runs if run.space == space.folder.name]) for space in spaces_of(home)]


def diff_bytes(home: Path) -> int:
    """The bytes of all comparisons of runs.

    Args:
        home: the home folder.

    Returns:
        Their size on disk, in bytes.
    """
    return _bytes(file for diff in read_diffs(home) for file in diff.files)


def _totals(space: Space, runs: list[tuple[Stored, ...]]) -> SpaceTotals:
    holding = hold(space)
    # A small picture has a name in the folder of each run that shows it, and its bytes once.
    thumbnails = {file.node for file in holding.thumbnails.values()}
    return SpaceTotals(
        name=holding.name,
        images=len(holding.blobs),
        usd=holding.bill(holding.blobs),
        blobs=_bytes(holding.blobs.values()),
        thumbnails=_bytes(holding.thumbnails.values()),
        facts=_bytes(files_below(space.facts.folder)),
        journal=space.journal.path.stat().st_size if space.journal.path.is_file() else 0,
        runs=len(runs),
        run_bytes=_bytes(file for files in runs for file in files if file.node not in thumbnails),
    )


def _bytes(files: Iterable[Stored]) -> int:
    return sum({file.node: file.size for file in files}.values())


def _variant(fact: dict[str, Json] | None) -> str:
    request = (fact or {}).get("request")
    return str(request.get("variant", "")) if isinstance(request, dict) else ""


@dataclass(frozen=True, slots=True)
class CacheFinding:
    """Something that is not as it should be, and what to do; one that is no damage is only worth knowing."""

    space: str
    is_damage: bool
    message: str
    hint: str


def verify_space(space: Space) -> Iterator[CacheFinding]:
    """Read everything in a name space, and yield damage.

    Args:
        space: the name space.

    Yields:
        Each problem, as it is found.

    Raises:
        StateError: a folder cannot be read.
    """
    name, facts = space.folder.name, space.facts.folder / DATABASE_NAME
    for is_damage, message, hint in (*_database(facts), *_journal(space.journal.path), *_images(space)):
        yield CacheFinding(name, is_damage, message, hint)


def _database(file: Path) -> Iterator[tuple[bool, str, str]]:
    if not exists(file.parent):
        return
    try:
        with open_database(file.parent, writes=False) as connection:
            connection.set_progress_handler(None, 0)  # it sees each page once, however long that takes
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    except (sqlite3.DatabaseError, OSError) as error:
        if file.with_name("cache.db-journal").exists():
            yield False, f"{file} was being written", "a crash may have interrupted it; the next run repairs it"
            return
        found = [str(error)]
    if found != ["ok"]:
        hint = f"move {file.parent} away; the results are restored from the journal"
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
            yield False, f"{file}:{number} was truncated by a crash", "no action is needed: nothing depended on it yet"
        else:
            hint = "it is skipped; if a paid image is missing in plans, `krea-pipe recover` finds its job"
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
            price = f"; a new one would cost {usd(prices[digest])}" if digest in prices else ""
            hint = f"delete it: a run fetches it from Krea again if Krea still has it{price}"
            yield True, f"{file.path} is not the image that was stored", hint
    gone = {one.key: one.usd for one in drawn if one.sha256 not in blobs}
    kept = {one.key for one in drawn if one.sha256 in blobs}
    lost = [price for key, price in gone.items() if key not in kept]
    if lost:
        message = f"{len(lost):,} {'result has' if len(lost) == 1 else 'results have'} no stored image"
        price = usd(sum(lost, Decimal(0)))
        hint = (
            f"as after gc; a run fetches the images that it needs from Krea again; new ones would cost at most {price}"
        )
        yield False, message, hint


def _is_whole(path: str, digest: str) -> bool:
    try:
        with os.fdopen(open_plain(path), "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == digest
    except OSError:
        return False
