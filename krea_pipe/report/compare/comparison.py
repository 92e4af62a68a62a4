"""The cells of two states of a pipeline, and the change of each: a function of their requests and keys alone."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from krea_pipe.core.errors import Problem
from krea_pipe.core.request import Key
from krea_pipe.core.word_diff import PromptChange, WordPart
from krea_pipe.matrix.cell import Waiting
from krea_pipe.pipeline.pricing import BUILT_IN_PRICES, PriceList
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.planning.change_reason import describe_change, prompt_change, reason_parts
from krea_pipe.planning.keyed_cells import FetchKind as FetchKind
from krea_pipe.planning.keyed_cells import KeyedCell as KeyedCell
from krea_pipe.planning.plan import Sum

ChangeKind = Literal["new", "changed", "moved", "gone", "same"]
CHANGE_KINDS: tuple[ChangeKind, ...] = ("new", "changed", "moved", "gone", "same")


@dataclass(frozen=True, slots=True)
class PipelineState:
    """One state of a pipeline: its cells with their keys, its stages, those that wait for picks, and its prices.

    `idle` are the stages that cannot begin yet: those that wait, and those that come after them.
    """

    found: Sequence[KeyedCell] = ()
    stages: tuple[str, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    idle: frozenset[str] = frozenset()
    prices: PriceList = BUILT_IN_PRICES
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class CellChange:
    """One cell and its change.

    `price` is that of a request that the base does not have, on the first cell that it is for and 0 on others.
    `stored` says that the store has its image, so that a run pays nothing. `was` is the id that a moved cell had.
    `change` is that of its prompt, where the reason is that the prompt changed.
    """

    kind: ChangeKind
    id: str
    stage: str
    key: Key
    reason: str = ""
    price: Decimal = Decimal(0)
    stored: bool = False
    fetched: FetchKind = ""
    was: str | None = None
    change: PromptChange | None = None

    @property
    def is_rendered(self) -> bool:
        """Whether the base does not have the image."""
        return self.kind in ("new", "changed")

    @property
    def explanation(self) -> str:
        """The reason, if it says more than the kind, and whether the image is available at no cost."""
        return "".join(part.marked for part in self.explanation_parts)

    @property
    def explanation_parts(self) -> tuple[WordPart, ...]:
        """The same as parts, of which some are words of the prompt that were removed or added."""
        parts = () if self.reason in ("", self.kind) else reason_parts(self.reason, self.change)
        free = self.free_words if self.is_rendered else ""
        return (*parts, *((WordPart("same", f"; {free}" if parts else free),) if free else ()))

    @property
    def free_words(self) -> str:
        """Why a run pays nothing for the image, or may pay nothing; "" when it pays."""
        if self.stored:
            return "in the store"
        return {"": "", "machine": "fetched at no cost", "krea": "fetched from Krea if it has it"}[self.fetched]


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of a repository: how it was named, and its commit; None means the work tree."""

    name: str
    commit: str | None

    @property
    def words(self) -> str:
        """The state in words."""
        return f"{self.name} ({self.commit[:10]})" if self.commit else self.name


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two states of a pipeline: every cell of the head in the order of the file, then the cells that are gone.

    `file` is its path below the top of the repository, `old_file` the one that it had in the base if it was renamed.
    `problem` says why the base has no cells, if it has none.
    """

    pipeline: str
    file: str
    base: Revision
    head: Revision
    rows: tuple[CellChange, ...]
    stages: tuple[str, ...]
    waiting: tuple[Waiting, ...] = ()
    problem: Problem | None = None
    warnings: tuple[Problem, ...] = ()
    old_file: str | None = None

    def count(self, kind: ChangeKind, stage: str | None = None) -> int:
        """The number of cells of one kind."""
        return sum(row.kind == kind for row in self._of(stage))

    def images(self, stage: str | None = None) -> int:
        """The number of cells in the head."""
        return sum(row.kind != "gone" for row in self._of(stage))

    def rendered(self, stage: str | None = None) -> Sum:
        """The distinct requests that the base does not have, and their price; each counts for its first cell."""
        return _sum(row for row in self._of(stage) if row.is_rendered)

    def stored(self, stage: str | None = None) -> Sum:
        """Those of them whose images the store has."""
        return _sum(row for row in self._of(stage) if row.is_rendered and row.stored)

    def unpaid(self, stage: str | None = None) -> Sum:
        """Those of them that a run would pay."""
        return _sum(row for row in self._of(stage) if row.is_rendered and not row.stored and not row.fetched)

    def fetched(self, kind: FetchKind, stage: str | None = None) -> Sum:
        """Those whose images a run fetches at no cost; Krea may turn out not to have the ones under `krea`."""
        return _sum(row for row in self._of(stage) if row.is_rendered and not row.stored and row.fetched == kind)

    def _of(self, stage: str | None) -> Sequence[CellChange]:
        return self.rows if stage is None else [row for row in self.rows if row.stage == stage]


def _sum(rows: Iterable[CellChange]) -> Sum:
    prices = [row.price for row in rows if row.price]
    return Sum(len(prices), sum(prices, Decimal(0)))


NOTHING_FETCHED: Mapping[Key, FetchKind] = {}


def compare(
    base: PipelineState,
    head: PipelineState,
    fingerprints: Fingerprints,
    *,
    stored: Collection[str] = frozenset(),
    fetched: Mapping[Key, FetchKind] = NOTHING_FETCHED,
) -> tuple[CellChange, ...]:
    """Classify every cell: those of the head in their order, then those that are gone.

    An image whose request the base has under the same id is untouched; under another id it has moved, at no cost.
    `fingerprints` name the images of the head; `stored` are the keys whose images are kept, and `fetched` those whose
    images are available at no cost otherwise.
    """
    return tuple(_Comparing(base, head, fingerprints, stored, fetched).rows())


@dataclass(slots=True)
class _Comparing:
    base: PipelineState
    head: PipelineState
    fingerprints: Fingerprints
    stored: Collection[str]
    fetched: Mapping[Key, FetchKind]
    before: dict[str, KeyedCell] = field(init=False)
    names: dict[Key, list[str]] = field(init=False)
    """The ids of the base's cells that are free to be taken by a moved cell, by key, in the order of the file."""
    first: dict[Key, str] = field(init=False)
    priced: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.before = {cell.id: (cell, key) for cell, key in self.base.found}
        kept = {(cell.id, key) for cell, key in self.head.found}
        self.names, self.first = defaultdict(list), {}
        for cell, key in self.base.found:
            self.first.setdefault(key, cell.id)
            if (cell.id, key) not in kept:
                self.names[key].append(cell.id)

    def rows(self) -> Iterator[CellChange]:
        taken = set[str]()
        for one in self.head.found:
            row = self._row(one)
            taken.update([row.was] if row.was else [])
            yield row
        ids = {cell.id for cell, _ in self.head.found}
        for cell, key in self.base.found:
            if cell.id not in ids and cell.id not in taken:
                waits = "its stage waits for picks" if cell.stage in self.head.idle else ""
                loss = waits or ("left out" if cell.stage in self.head.stages else "its stage was removed")
                yield CellChange("gone", cell.id, cell.stage, key, loss)

    def _row(self, one: KeyedCell) -> CellChange:
        cell, key = one
        before = self.before.get(cell.id)
        if before is not None and before[1] == key:
            return CellChange("same", cell.id, cell.stage, key)
        if key in self.first:
            free = self.names[key]
            if free:
                was = free.pop(0)
                return CellChange("moved", cell.id, cell.stage, key, f"was {was}", was=was)
            return CellChange("moved", cell.id, cell.stage, key, f"same request as {self.first[key]}")
        price = Decimal(0) if key in self.priced else self.head.prices.of(cell.request).usd
        self.priced.add(key)
        stored, fetched = key in self.stored, self.fetched.get(key, "")
        if before is None:
            return CellChange("new", cell.id, cell.stage, key, "new", price, stored, fetched)
        old, new = before[0].request.fields(), cell.request.fields()
        reason = describe_change(old, new, self.fingerprints)
        change = prompt_change(reason, old, new)
        return CellChange("changed", cell.id, cell.stage, key, reason, price, stored, fetched, change=change)
