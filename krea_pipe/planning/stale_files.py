"""Stale files in an output folder: krea-pipe delivered them, nobody has changed them, and no cell produces them now.

Nothing is removed here. A file counts as delivered for a pipeline if a fact of the store says so, or, where there is
none, if the mark inside it does. Everything else is somebody's: changed files, links, and files of other pipelines.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from krea_pipe.core.delivery_mark import made_of
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Result
from krea_pipe.core.provenance import bare
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.rerolling import TAKES_FOLDER
from krea_pipe.matrix.selection import fold
from krea_pipe.planning.out_folder import beside_name
from krea_pipe.store.blobs import MOST_BLOB_BYTES
from krea_pipe.store.delivered import PREFIX, is_as_delivered
from krea_pipe.store.known import look_up
from krea_pipe.store.space import Space

_SUFFIXES = ("png", "jpg", "webp", "avif")
_TAKES = f"{TAKES_FOLDER}/"
_MOST_BYTES = MOST_BLOB_BYTES + (1 << 24)


@dataclass(frozen=True, slots=True)
class StaleFile:
    """A file that no cell produces: its path below the output folder, and the digest of its bytes."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Produced:
    """What a pipeline produces in its output folder.

    Args:
        source: the absolute path of the pipeline file.
        cells: every cell, selected or not, with the key of its request.
        is_gone: whether no cell has an id any longer; a stage that waits for picks may yet have it.
        all_known: whether no stage waits, so that the cells are all there are.
    """

    source: str
    cells: Sequence[tuple[Cell, Key]]
    is_gone: Callable[[str], bool]
    all_known: bool

    def paths(self, results: Mapping[str, Result]) -> set[str]:
        """Every path that a file of a cell may have, below the output folder, in the form used for comparison.

        Some file systems know no difference between upper and lower case.

        Args:
            results: the images that are stored, by the keys of their requests: their types are known.

        Returns:
            The paths, with those beside changed files.
        """
        found = set[str]()
        for cell, key in self.cells:
            result = results.get(key)
            suffixes = _SUFFIXES if result is None else (result.extension,)
            found.update(f"{cell.out}.{suffix}" for suffix in (*suffixes, "json"))
            for file in cell.files:
                own = file.recipe.how.suffix
                found.update(f"{file.path}.{suffix}" for suffix in ((own,) if own else suffixes))
        return {fold(one) for path in found for one in (path, beside_name(path))}


@dataclass(slots=True)
class _Search:
    """The search for stale files in one folder."""

    folder: Path
    produced: Produced
    wanted: set[str]
    facts: Mapping[str, Mapping[str, Json]]
    kind: str
    top: Path = field(init=False)

    def __post_init__(self) -> None:
        self.top = self.folder.resolve()

    def by_fact(self, path: str, fact: Mapping[str, Json]) -> StaleFile | None:
        """The file that a fact is about, if it is a stale file."""
        is_ours = fact.get("file") == self.produced.source and not fact.get("over")
        if not is_ours or self._may_be_produced(path, str(fact.get("cell", ""))):
            return None
        data = self.read(path)
        if data is None or not is_as_delivered(data, fact):
            return None
        return StaleFile(path, hashlib.sha256(data).hexdigest())

    def by_mark(self, path: str) -> StaleFile | None:
        """A file without a fact, if the mark inside says that it is a stale file."""
        data = None if fold(path) in self.wanted else self.read(path)
        if data is None:
            return None
        inside = bare(data)
        mark = inside.mark
        if mark is not None:
            is_whole, cell = mark.sha256 == inside.digest and mark.target == self.kind, mark.cell
        else:
            is_whole, cell = made_of(data) is not None, ""
        if not is_whole or self._may_be_produced(path, cell):
            return None
        return StaleFile(path, hashlib.sha256(data).hexdigest())

    def read(self, path: str) -> bytes | None:
        """The bytes of a file below the folder; None if it is a link, or below one, or no file that we deliver."""
        file = self.folder / path
        try:
            found = os.lstat(file)
            if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= _MOST_BYTES:
                return None
            if file.parent.resolve() != self.top / Path(path).parent:
                return None
            return file.read_bytes()
        except (OSError, ValueError, RuntimeError):
            return None

    def _may_be_produced(self, path: str, cell: str) -> bool:
        """Whether a cell produces a file, or may do so once the picks of its stage are there."""
        if fold(path) in self.wanted:
            return True
        if path.startswith(_TAKES):  # takes stay as long as their cell
            return not self.produced.is_gone(path.removeprefix(_TAKES).rpartition("/")[0])
        if self.produced.all_known:
            return False
        # A cell that exists is known, so that its file is elsewhere now; otherwise it may be one of a waiting stage.
        return not cell or not (self.produced.is_gone(cell) or cell in {one.id for one, _ in self.produced.cells})


def find_stale_files(space: Space, folder: Path, kind: str, produced: Produced) -> tuple[StaleFile, ...]:
    """Find what a pipeline has delivered into a folder and no longer produces, by the facts of the store.

    Args:
        space: the store of the target.
        folder: the output folder.
        kind: `live` or `local`.
        produced: what the pipeline produces.

    Returns:
        The stale files, sorted by path.

    Raises:
        StateError: the store cannot be read.
    """
    search, base = _search(space, folder, kind, produced)
    found = (search.by_fact(name.removeprefix(base), fact) for name, fact in search.facts.items())
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.path))


def find_marked_stale_files(space: Space, folder: Path, kind: str, produced: Produced) -> tuple[StaleFile, ...]:
    """Find the same, and files without a fact whose marks say that krea-pipe delivered them.

    A mark does not name the pipeline: the folder has to be of this one alone.

    Args:
        space: the store of the target.
        folder: the output folder.
        kind: `live` or `local`.
        produced: what the pipeline produces.

    Returns:
        The stale files, sorted by path.

    Raises:
        StateError: the store cannot be read.
    """
    search, base = _search(space, folder, kind, produced)
    found = {one.path: one for one in find_stale_files(space, folder, kind, produced)}
    for path in _files_below(folder):
        if f"{base}{path}" not in search.facts and (marked := search.by_mark(path)) is not None:
            found[path] = marked
    return tuple(found[path] for path in sorted(found))


def _search(space: Space, folder: Path, kind: str, produced: Produced) -> tuple[_Search, str]:
    base = f"{PREFIX}{folder.absolute().as_posix()}/"
    known = look_up(space, [key for _, key in produced.cells], (cell.id for cell, _ in produced.cells))
    facts = space.facts.beginning_with(base)
    return _Search(folder, produced, produced.paths(known.results), facts, kind), base


def _files_below(folder: Path) -> Iterator[str]:
    """The paths of all files below a folder; links are not followed."""
    for above, _, names in os.walk(folder):
        for name in names:
            yield Path(above, name).relative_to(folder).as_posix()
