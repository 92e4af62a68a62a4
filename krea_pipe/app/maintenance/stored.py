"""What lies in the home folder, as values: files, images of a name space, folders of runs and of comparisons."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Stored:
    """A file with its size in bytes. `node` is what its names share, `links` how many names there are."""

    path: str
    size: int
    node: tuple[int, int]
    links: int = 1


@dataclass(frozen=True, slots=True)
class Drawn:
    """A result: its request's key, its image by digest, what that cost, when it came (UTC, ISO 8601).

    `is_open` says that the request is in flight again, or that no report has the result yet.
    """

    key: str
    sha256: str
    usd: Decimal
    at: str
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """What a name space has: images and small pictures by digest, every result, and the runs that are alive."""

    name: str
    blobs: Mapping[str, Stored]
    thumbnails: Mapping[str, Stored]
    drawn: tuple[Drawn, ...] = ()
    alive: frozenset[str] = frozenset()

    def bill(self, digests: Iterable[str]) -> Decimal:
        """What the images of these digests cost; a request counts when none of its images is another."""
        chosen = set(digests)
        of_keys: dict[str, list[Drawn]] = {}
        for one in self.drawn:
            if one.sha256 in self.blobs:
                of_keys.setdefault(one.key, []).append(one)
        lost = (found[0].usd for found in of_keys.values() if all(one.sha256 in chosen for one in found))
        return sum(lost, Decimal(0))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run: its name space, the time in its record, the images and requests that it names."""

    path: str
    id: str
    space: str
    at: datetime
    is_finished: bool
    digests: frozenset[str]
    keys: frozenset[str]
    files: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class DiffFolder:
    """The folder of a comparison, and when it was written."""

    path: str
    at: datetime
    files: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class Leftover:
    """A temporary file that a crash has left, or a folder that was being removed."""

    path: str
    files: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything in a home folder that may go or has to stay."""

    holdings: tuple[Holding, ...]
    runs: tuple[RunFolder, ...] = ()
    diffs: tuple[DiffFolder, ...] = ()
    leftovers: tuple[Leftover, ...] = ()

    @property
    def alive(self) -> frozenset[str]:
        """The runs that go on at this moment."""
        return frozenset[str]().union(*(one.alive for one in self.holdings))
