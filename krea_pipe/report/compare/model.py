"""The cells of two states of a pipeline as a value, which every form of a comparison takes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from krea_pipe.core.errors import Problem
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell, Waiting
from krea_pipe.planning.plan import Sum

Kind = Literal["new", "changed", "moved", "gone", "same"]
KINDS: tuple[Kind, ...] = ("new", "changed", "moved", "gone", "same")

Found: TypeAlias = tuple[Cell, Key]


@dataclass(frozen=True, slots=True)
class Side:
    """One state of a pipeline: its cells with their keys, its stages, and those that wait for picks.

    `idle` are the stages that cannot begin yet: those that wait, and those that come after them.
    """

    found: Sequence[Found] = ()
    stages: tuple[str, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    idle: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """One cell and what becomes of it.

    `price` is that of a request that the base does not have, on the first cell that it is for and 0 on others.
    `stored` says that the store has its image, so that a run pays nothing. `was` is the id that a moved cell had.
    """

    kind: Kind
    id: str
    stage: str
    key: Key
    reason: str = ""
    price: Decimal = Decimal(0)
    stored: bool = False
    was: str | None = None

    @property
    def is_rendered(self) -> bool:
        """Whether the base does not have the image."""
        return self.kind in ("new", "changed")


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of a repository: how it was asked for, and its commit; None is the work tree as it is."""

    name: str
    commit: str | None

    @property
    def words(self) -> str:
        """The state in words."""
        return f"{self.name} ({self.commit[:10]})" if self.commit else self.name


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two states of a pipeline: every cell of the head in the order of the file, then those that are gone.

    `file` is its path below the top of the repository, `old_file` the one that it had in the base if it was renamed.
    `problem` says why the base has no cells, if that is so.
    """

    pipeline: str
    file: str
    base: Revision
    head: Revision
    rows: tuple[Row, ...]
    stages: tuple[str, ...]
    waiting: tuple[Waiting, ...] = ()
    problem: Problem | None = None
    warnings: tuple[Problem, ...] = ()
    old_file: str | None = None

    def count(self, kind: Kind, stage: str | None = None) -> int:
        """How many cells there are of one kind."""
        return sum(row.kind == kind for row in self._of(stage))

    def images(self, stage: str | None = None) -> int:
        """How many cells the head has."""
        return sum(row.kind != "gone" for row in self._of(stage))

    def rendered(self, stage: str | None = None) -> Sum:
        """The distinct requests that the base does not have, and their price; each counts for its first cell."""
        return _sum(row for row in self._of(stage) if row.is_rendered)

    def stored(self, stage: str | None = None) -> Sum:
        """Those of them whose images the store has."""
        return _sum(row for row in self._of(stage) if row.is_rendered and row.stored)

    def unpaid(self, stage: str | None = None) -> Sum:
        """Those of them that a run would pay."""
        return _sum(row for row in self._of(stage) if row.is_rendered and not row.stored)

    def _of(self, stage: str | None) -> Sequence[Row]:
        return self.rows if stage is None else [row for row in self.rows if row.stage == stage]


def _sum(rows: Iterable[Row]) -> Sum:
    prices = [row.price for row in rows if row.price]
    return Sum(len(prices), sum(prices, Decimal(0)))
