"""What a home folder keeps: the images of a name space one by one, and every name space summed up."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from krea_pipe.app.maintenance.disk import files_below, hold, spaces_of
from krea_pipe.app.maintenance.records import read_diffs, read_runs
from krea_pipe.app.maintenance.stored import Stored
from krea_pipe.core.json_data import Json
from krea_pipe.store.known import cell_name, result_name
from krea_pipe.store.space import Space


@dataclass(frozen=True, slots=True)
class Shelved:
    """A stored image: the cells that had it last, its variant ("" when only the journal knows it), when it was drawn,
    its price in US dollars, its bytes."""

    key: str
    sha256: str
    cells: tuple[str, ...]
    variant: str
    drawn_at: str
    usd: Decimal
    size: int


@dataclass(frozen=True, slots=True)
class Sums:
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


def shelf(space: Space) -> list[Shelved]:
    """Every stored image of a name space that answers a request, the newest first.

    Raises:
        StateError: the facts or the journal cannot be read.
    """
    holding, prefix = hold(space), cell_name("")
    cells: dict[str, list[str]] = {}
    for name, fact in space.facts.beginning_with(prefix).items():
        cells.setdefault(str(fact.get("key")), []).append(name.removeprefix(prefix))
    results = space.facts.beginning_with(result_name(""))
    found = [
        Shelved(
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


def sum_up(home: Path) -> list[Sums]:
    """Every name space of a home folder in figures.

    Raises:
        StateError: what is kept cannot be read.
    """
    runs = read_runs(home)
    return [_sums(space, [run.files for run in runs if run.space == space.folder.name]) for space in spaces_of(home)]


def diff_bytes(home: Path) -> int:
    """The bytes of all comparisons of runs."""
    return _bytes(file for diff in read_diffs(home) for file in diff.files)


def _sums(space: Space, runs: list[tuple[Stored, ...]]) -> Sums:
    holding = hold(space)
    # A small picture has a name in the folder of each run that shows it, and its bytes once.
    thumbnails = {file.node for file in holding.thumbnails.values()}
    return Sums(
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
