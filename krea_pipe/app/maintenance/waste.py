"""What would go: everything in the home folder that nothing reaches."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias, get_args

from krea_pipe.app.maintenance.reach import Reach, is_since
from krea_pipe.app.maintenance.stored import Listing, Stored

Kind: TypeAlias = Literal["run folders", "diffs", "thumbnails", "images", "leftovers"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are removed: what names an image goes before the image."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that goes, whole: a file or a folder. `digest` is the image that it is, or shows, in `space`."""

    kind: Kind
    path: str
    files: tuple[Stored, ...]
    space: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Waste:
    """Everything that would go, and what it would cost in US dollars to draw its images again."""

    pieces: tuple[Piece, ...]
    usd: Decimal

    def of(self, kind: Kind) -> tuple[Piece, ...]:
        """The pieces of one kind."""
        return tuple(piece for piece in self.pieces if piece.kind == kind)

    def freed(self) -> dict[Kind, int]:
        """The bytes that come free, by kind: those of a file with several names only when the last one goes."""
        names: Counter[tuple[int, int]] = Counter()
        freed: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        for piece in self.pieces:
            for file in piece.files:
                names[file.node] += 1
                if names[file.node] == file.links:
                    freed[piece.kind] += file.size
        return freed


def waste_of(listing: Listing, reach: Reach) -> Waste:
    """Decide what goes."""
    pieces = tuple(sorted(_pieces(listing, reach), key=lambda piece: KINDS.index(piece.kind)))
    gone = {holding.name: holding.blobs.keys() - reach.holders.keys() for holding in listing.holdings}
    return Waste(pieces, sum((one.bill(gone[one.name]) for one in listing.holdings), Decimal(0)))


def _pieces(listing: Listing, reach: Reach) -> Iterator[Piece]:
    folders = [Piece("run folders", run.path, run.files) for run in listing.runs if run.id not in reach.runs]
    folders += [Piece("diffs", one.path, one.files) for one in listing.diffs if not is_since(one.at, reach.since)]
    yield from folders
    for holding in listing.holdings:
        for digest, file in holding.thumbnails.items():
            if digest not in reach.holders:
                yield Piece("thumbnails", file.path, (file,), holding.name, digest)
        for digest, file in holding.blobs.items():
            if digest not in reach.holders:
                yield Piece("images", file.path, (file,), holding.name, digest)
    for left in listing.leftovers:
        if not any(left.path.startswith(f"{folder.path}/") for folder in folders):
            yield Piece("leftovers", left.path, left.files)
