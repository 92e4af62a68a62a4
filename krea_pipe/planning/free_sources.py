"""Finds images that are missing from the store and need no request: in files, other home folders and a shared store.

An image below the output folder counts when its bytes, without our texts, have the digest that the lock file names for
the request; its name and place do not matter. Nothing is written, and a run verifies each image that it copies.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell
from krea_pipe.planning.lockfile import LockLine
from krea_pipe.store.delivered import PREFIX, image_in
from krea_pipe.store.known import look_up
from krea_pipe.store.remote.bucket import RemoteFailed
from krea_pipe.store.remote.remote import Remote
from krea_pipe.store.space import Space, open_space

_SUFFIXES = ("png", "jpg", "jpeg", "webp", "avif")


@dataclass(frozen=True, slots=True)
class FromFile:
    """An image below the output folder, by its path."""

    path: Path

    @property
    def place(self) -> str:
        """The place, in words."""
        return self.path.as_posix()


@dataclass(frozen=True, slots=True)
class FromHome:
    """The store of another home folder: the folder of its name space."""

    space: Path

    @property
    def place(self) -> str:
        """The place, in words."""
        return self.space.parent.as_posix()


@dataclass(frozen=True, slots=True)
class FromRemote:
    """The shared store at an address: the result of a request, whose digest is known once it is read."""

    address: str
    key: Key

    @property
    def place(self) -> str:
        """The place, in words."""
        return self.address


FreeSource: TypeAlias = FromFile | FromHome | FromRemote
"""A place from which an image can be copied at no cost, without asking Krea."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An image that can be copied, and what is known about it.

    `finished_at` is when it was generated (UTC, ISO 8601), "" when that is not known. `is_accepted` says that the lock
    file has no line for the request, or names this image.
    """

    source: FreeSource
    sha256: str
    job_id: str
    cost_usd: Decimal
    finished_at: str = ""
    is_accepted: bool = True


@dataclass(frozen=True, slots=True)
class FreePlaces:
    """The places to search: the output folder, other homes and a shared store; `space` is the store itself."""

    space: Space
    out: Path
    homes: tuple[Path, ...] = ()
    remote: Remote | None = None


@dataclass(frozen=True, slots=True)
class Offers:
    """The results for each request, in the order of the attempts, and the places that cannot be read."""

    by_key: Mapping[Key, Sequence[Offer]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def find_offers(
    cells: Iterable[tuple[Cell, Key]], locked: Mapping[Key, Sequence[LockLine]], places: FreePlaces
) -> Offers:
    """Look for images of requests that the store does not have.

    Args:
        cells: The cells that lack an image, each with the key of its request.
        locked: The lines of the lock file by key.
        places: Where to look.

    Returns:
        What was found.

    Raises:
        StateError: The store itself cannot be read.
    """
    wanted = list(cells)
    if not wanted:
        return Offers()
    offers, problems = defaultdict[Key, list[Offer]](list), list[Problem]()
    for key, offer in _in_files(wanted, locked, places):
        offers[key].append(offer)
    for home in places.homes:
        try:
            for key, offer in _in_home(wanted, locked, open_space(home, places.space.folder.name)):
                offers[key].append(offer)
        except StateError as error:
            problems += error.problems
    if places.remote is not None:
        try:
            for key, offer in _in_remote(wanted, locked, places.remote):
                offers[key].append(offer)
        except RemoteFailed as error:
            hint = "the run continues without it, and pays only with `--without-claims`"
            problems.append(Problem("no_shared_store", f"the shared store is not read: {error}", hint=hint))
    return Offers(offers, tuple(problems))


def _in_files(
    cells: Sequence[tuple[Cell, Key]], locked: Mapping[Key, Sequence[LockLine]], places: FreePlaces
) -> Iterator[tuple[Key, Offer]]:
    """Images that the lock file names: at the path of their own cell, or anywhere else below the output folder."""
    lines = defaultdict[str, list[LockLine]](list)
    for key in dict.fromkeys(key for _, key in cells):
        for line in locked.get(key, ()):
            lines[line.sha256].append(line)
    if not lines or not places.out.is_dir():
        return
    files, taken = _Files(places.space, places.out), set[Key]()
    own = dict.fromkeys(f"{cell.out}.{suffix}" for cell, key in cells if key in locked for suffix in _SUFFIXES)
    others = (name for name in _names_below(places.out) if name not in own)
    for names in (own, others):
        for name, digest in files.digests(names):
            for line in lines.pop(digest, ()):
                if line.key not in taken:
                    taken.add(line.key)
                    yield line.key, Offer(FromFile(places.out / name), digest, line.job_id, line.price_usd)
            if not lines:
                return


@dataclass(frozen=True, slots=True)
class _Files:
    """The files below an output folder, by their paths below it."""

    space: Space
    folder: Path

    def digests(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """The digest of the image in each image file; a file that is unchanged since its delivery is not read."""
        base = f"{PREFIX}{self.folder.absolute().as_posix()}/"
        listed = [name for name in names if os.path.exists(f"{self.folder}/{name}")]  # noqa: PTH110 (many, as text)
        facts = self.space.facts.read(f"{base}{name}" for name in listed)
        for name in listed:
            digest = image_in(f"{self.folder}/{name}", facts.get(f"{base}{name}"))
            if digest is not None:
                yield name, digest


def _names_below(folder: Path) -> Iterator[str]:
    """Every image file below a folder, in an order that does not depend on the disk."""
    for above, folders, names in os.walk(folder):
        folders.sort()
        inner = Path(above).relative_to(folder)
        yield from ((inner / name).as_posix() for name in sorted(names) if name.lower().endswith(_SUFFIXES))


def _in_home(
    cells: Sequence[tuple[Cell, Key]], locked: Mapping[Key, Sequence[LockLine]], home: Space
) -> Iterator[tuple[Key, Offer]]:
    """Images that are stored in another home folder."""
    found = look_up(home, [key for _, key in cells], map(str, range(len(cells))))
    for key, result in found.results.items():
        known = Key(key)
        is_accepted = known not in locked or any(line.sha256 == result.sha256 for line in locked[known])
        source = FromHome(home.folder)
        yield known, Offer(source, result.sha256, result.job_id, result.cost_usd, result.finished_at, is_accepted)


def _in_remote(
    cells: Sequence[tuple[Cell, Key]], locked: Mapping[Key, Sequence[LockLine]], remote: Remote
) -> Iterator[tuple[Key, Offer]]:
    """Images of a shared store, by one listing. Where the lock file names an image, only that one is taken."""
    if (warning := remote.check_format()) is not None:
        remote.warn(warning)
    shared = remote.results.keys()
    for key in dict.fromkeys(key for _, key in cells):
        if key in shared:
            line = locked[key][-1] if key in locked else None
            source = FromRemote(remote.bucket.address, key)
            yield key, Offer(source, line.sha256 if line else "", line.job_id if line else "", Decimal(0))
