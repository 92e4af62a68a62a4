"""Implements `krea-pipe gc`: decides what is kept, and deletes the rest.

Images in lock files and kept runs stay, and images that no report has yet. Things are removed one after the other, so
that a crash in between leaves a store that is right.
"""

import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from krea_pipe.app.maintenance.locks import Around, Locks, read_locks
from krea_pipe.app.maintenance.stored import (
    Drawn,
    Listing,
    RunFolder,
    Stored,
    hold,
    leftovers_in,
    moment_of,
    read_diffs,
    read_runs,
    spaces_of,
)
from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.core.worktree import repository
from krea_pipe.executor.deliver import LOCK
from krea_pipe.planning.lockfile import SUFFIX
from krea_pipe.report.folder import PLANNED, RECORD
from krea_pipe.store.home_place import HOME_NAME
from krea_pipe.store.lock import exclusive
from krea_pipe.store.space import Space

Holder: TypeAlias = Literal["lock", "run", "open", "recent"]
"""Why an image is kept: a lock file, a kept run, a result that no report has yet, or its age."""
GarbageKind: TypeAlias = Literal["run folders", "diffs", "thumbnails", "images", "leftovers"]
GARBAGE_KINDS: tuple[GarbageKind, ...] = get_args(GarbageKind)
"""In the order in which they are removed: what names an image goes before the image."""
RECORDS = (RECORD, PLANNED)
PARTS = ("selected/thumbnails", "selected", "thumbnails")


@dataclass(frozen=True, slots=True)
class Reach:
    """Images that stay by digest, each with its first holder, and the ids of runs that stay.

    `since` is the time from which on runs are kept; None keeps none but those that are alive.
    """

    holders: Mapping[str, Holder]
    runs: frozenset[str]
    since: datetime | None


def reach_of(listing: Listing, locks: Locks, since: datetime | None) -> Reach:
    """Find out what must stay."""
    runs = [run for run in listing.runs if run.id in listing.alive or _is_since(run.at, since)]
    drawn = [one for holding in listing.holdings for one in holding.drawn]
    holders: dict[str, Holder] = {}
    for holder, digests in _claims(locks, runs, drawn, since):
        for digest in digests:
            holders.setdefault(digest, holder)
    return Reach(holders, frozenset(run.id for run in runs), since)


def _is_since(moment: datetime, since: datetime | None) -> bool:
    """Whether a time is within what is kept."""
    return since is not None and moment >= since


def _claims(
    locks: Locks, runs: list[RunFolder], drawn: list[Drawn], since: datetime | None
) -> Iterator[tuple[Holder, Iterable[str]]]:
    keys = frozenset[str]().union(*(run.keys for run in runs))
    yield "lock", locks.digests
    yield "lock", (one.sha256 for one in drawn if one.key in locks.keys)
    yield "run", (digest for run in runs for digest in run.digests)
    yield "run", (one.sha256 for one in drawn if one.key in keys)
    yield "open", (one.sha256 for one in drawn if one.is_open)
    yield "recent", (one.sha256 for one in drawn if _is_recent(one, since))


def _is_recent(one: Drawn, since: datetime | None) -> bool:
    """Whether an image is too young to go, though its run may have been deleted by hand; in doubt, it is."""
    moment = moment_of(one.at)
    return since is not None and (moment is None or moment >= since)


@dataclass(frozen=True, slots=True)
class GarbageItem:
    """One thing that goes, whole: a file or a folder. `digest` is the image that it is, or shows, in `space`."""

    kind: GarbageKind
    path: str
    files: tuple[Stored, ...]
    space: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Waste:
    """Everything that would go, and what it would cost in US dollars to generate its images again."""

    pieces: tuple[GarbageItem, ...]
    usd: Decimal

    def of(self, kind: GarbageKind) -> tuple[GarbageItem, ...]:
        """The pieces of one kind."""
        return tuple(piece for piece in self.pieces if piece.kind == kind)

    def freed(self) -> dict[GarbageKind, int]:
        """The bytes that come free, by kind: those of a file with several names only when the last one goes."""
        names: Counter[tuple[int, int]] = Counter()
        freed: dict[GarbageKind, int] = dict.fromkeys(GARBAGE_KINDS, 0)
        for piece in self.pieces:
            for file in piece.files:
                names[file.node] += 1
                if names[file.node] == file.links:
                    freed[piece.kind] += file.size
        return freed


def waste_of(listing: Listing, reach: Reach) -> Waste:
    """Decide what goes."""
    pieces = tuple(sorted(_pieces(listing, reach), key=lambda piece: GARBAGE_KINDS.index(piece.kind)))
    gone = {holding.name: holding.blobs.keys() - reach.holders.keys() for holding in listing.holdings}
    return Waste(pieces, sum((one.bill(gone[one.name]) for one in listing.holdings), Decimal(0)))


def _pieces(listing: Listing, reach: Reach) -> Iterator[GarbageItem]:
    folders = [GarbageItem("run folders", run.path, run.files) for run in listing.runs if run.id not in reach.runs]
    folders += [
        GarbageItem("diffs", one.path, one.files) for one in listing.diffs if not _is_since(one.at, reach.since)
    ]
    yield from folders
    for holding in listing.holdings:
        for digest, file in holding.thumbnails.items():
            if digest not in reach.holders:
                yield GarbageItem("thumbnails", file.path, (file,), holding.name, digest)
        for digest, file in holding.blobs.items():
            if digest not in reach.holders:
                yield GarbageItem("images", file.path, (file,), holding.name, digest)
    for left in listing.leftovers:
        if not any(left.path.startswith(f"{folder.path}/") for folder in folders):
            yield GarbageItem("leftovers", left.path, left.files)


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything in the home folder: the lock files, what is kept, and what would be deleted."""

    listing: Listing
    locks: Locks
    reach: Reach
    waste: Waste


@dataclass(frozen=True, slots=True)
class Removed:
    """The number of deleted items, and those that could not be deleted, each with the reason."""

    count: int
    failures: tuple[str, ...]


def collect(
    home: Path, keep: timedelta, environment: Mapping[str, str], *, forgets: bool, deletes: bool
) -> tuple[Survey, Removed | None]:
    """Examine a home folder, and delete what is not needed.

    Args:
        home: the home folder.
        keep: how far back the images of runs are kept; None keeps none.
        environment: for git.
        forgets: also remove images of pipelines whose folders are missing, for example on a disk that is not mounted.
        deletes: remove it; otherwise only report.

    Returns:
        The contents, and what was removed, if anything.

    Raises:
        InvalidInput: a lock file cannot be read. StateError: something else that names images cannot be, or a run is in
            progress.

    """
    if not deletes:
        return _survey(home, keep, environment, forgets=forgets), None
    with _no_run_begins(home):
        found = _survey(home, keep, environment, forgets=forgets)
        alive = found.listing.alive
        if alive:
            message = f"nothing is deleted while runs are in progress: {', '.join(sorted(alive)[:3])}"
            raise StateError(Problem("runs_alive", message, hint="wait for them to end, or stop them with Ctrl-C"))
        return found, _remove_all(found.waste.pieces)


def _survey(home: Path, keep: timedelta, environment: Mapping[str, str], *, forgets: bool) -> Survey:
    """Look through a home folder; see `collect`."""
    now = datetime.now(UTC)
    spaces = spaces_of(home)
    holdings = tuple(hold(space) for space in spaces)
    listing = Listing(holdings, read_runs(home), read_diffs(home), leftovers_in(home, now))
    locks = read_all_locks(home, spaces, (), environment, forgets=forgets)
    reach = reach_of(listing, locks, now - keep if keep else None)
    return Survey(listing, locks, reach, waste_of(listing, reach))


def read_all_locks(
    home: Path, spaces: Sequence[Space], folders: Iterable[Path], environment: Mapping[str, str], *, forgets: bool
) -> Locks:
    """Read the lock files near the working folder, those of the home folder, and those near other folders.

    Args:
        home: the home folder.
        spaces: its name spaces, whose facts name the pipeline of each image.
        folders: where else to look.
        environment: for git.
        forgets: ignore images of pipelines whose folders are missing.

    Returns:
        What the lock files name.

    Raises:
        InvalidInput: a lock file cannot be read. StateError: git, or a folder, cannot be.
    """
    facts = [fact for space in spaces for fact in space.facts.beginning_with("out:").values()]
    written = [fact for space in spaces for fact in space.facts.beginning_with(LOCK).values()]
    pipelines, files = _places(facts), tuple(file for file in _places(written) if file.name.endswith(SUFFIX))
    beside = (home.absolute().parent,) if home.name == HOME_NAME else ()
    here = (Path.cwd(),) if repository(Path.cwd()) else ()
    around = Around(tuple(dict.fromkeys((*here, *beside, *folders))), pipelines, files, environment)
    away = tuple(file for file in (*pipelines, *files) if not file.parent.is_dir())
    locks = replace(read_locks(around), away=() if forgets else away)
    if locks.away:
        keys = frozenset(str(fact.get("key")) for fact in facts if Path(str(fact.get("file"))) in away)
        return replace(locks, keys=locks.keys | keys)
    return locks


def _places(facts: Iterable[Mapping[str, Json]]) -> tuple[Path, ...]:
    return tuple(Path(file) for file in sorted({str(fact["file"]) for fact in facts if fact.get("file")}))


@contextmanager
def _no_run_begins(home: Path) -> Iterator[None]:
    """Keep runs from beginning: one that is being born waits until this is over.

    Raises:
        StateError: the locks are not to be had.
    """
    with ExitStack() as held:
        for space in spaces_of(home):
            held.enter_context(exclusive(space.presence.folder.with_name("running.lock")))
        yield


def _remove_all(pieces: Iterable[GarbageItem]) -> Removed:
    """Remove things in their order: records first, so that no report names an image that is gone."""
    count, failures = 0, []
    for piece in pieces:
        try:
            _remove(piece)
            count += 1
        except OSError as error:
            failures.append(f"{piece.path}: {error.strerror}")
    return Removed(count, tuple(failures))


def _remove(piece: GarbageItem) -> None:
    path = Path(piece.path)
    if piece.kind not in ("run folders", "diffs") and (path.is_symlink() or not path.is_dir()):
        path.unlink(missing_ok=True)
        return
    if not path.name.startswith(".krea-pipe-"):
        if _has_others(path, {file.path for file in piece.files}):
            _remove_own(path, piece.files)
            return
        # Under another name, and without its record, a folder that is half gone is not taken for a run.
        moved = path.with_name(f".krea-pipe-{secrets.token_hex(6)}.tmp")
        os.replace(path, moved)  # noqa: PTH105
        path = moved
    for name in RECORDS:
        with suppress(FileNotFoundError):
            (path / name).unlink()
    shutil.rmtree(path)


def _has_others(folder: Path, own: Set[str]) -> bool:
    """Whether a folder holds something that krea-pipe does not call so: it stays, and its folder with it."""
    parts = {f"{folder}/{name}" for name in PARTS}
    return any(
        f"{above}/{name}" not in (own if name in names or Path(above, name).is_symlink() else parts)
        for above, folders, names in os.walk(folder)
        for name in (*folders, *names)
    )


def _remove_own(folder: Path, files: Iterable[Stored]) -> None:
    for file in sorted((Path(one.path) for one in files), key=lambda one: one.name not in RECORDS):
        file.unlink(missing_ok=True)
    for name in PARTS:
        with suppress(OSError):  # it is not empty, or missing
            (folder / name).rmdir()
