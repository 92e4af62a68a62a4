"""Two states of a pipeline become rows: a function of their cells and keys alone."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from krea_pipe.core.request import Key
from krea_pipe.pipeline.pricing import price_of
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.planning.plan import describe_change
from krea_pipe.report.compare.model import Found, Row, Side


def compare(
    base: Side, head: Side, fingerprints: Fingerprints, *, stored: Collection[str] = frozenset()
) -> tuple[Row, ...]:
    """Say of every cell what becomes of it: those of the head in their order, then those that are gone.

    An image whose request the base has under the same id is untouched; under another id it has moved, at no cost.
    `fingerprints` name the images of the head; `stored` are the keys whose images are kept.
    """
    return tuple(_Comparing(base, head, fingerprints, stored).rows())


@dataclass(slots=True)
class _Comparing:
    base: Side
    head: Side
    fingerprints: Fingerprints
    stored: Collection[str]
    before: dict[str, Found] = field(init=False)
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

    def rows(self) -> Iterator[Row]:
        taken = set[str]()
        for one in self.head.found:
            row = self._row(one)
            taken.update([row.was] if row.was else [])
            yield row
        ids = {cell.id for cell, _ in self.head.found}
        for cell, key in self.base.found:
            if cell.id not in ids and cell.id not in taken:
                yield Row("gone", cell.id, cell.stage, key, self._loss(cell.stage))

    def _row(self, one: Found) -> Row:
        cell, key = one
        before = self.before.get(cell.id)
        if before is not None and before[1] == key:
            return Row("same", cell.id, cell.stage, key)
        if key in self.first:
            free = self.names[key]
            if free:
                was = free.pop(0)
                return Row("moved", cell.id, cell.stage, key, f"was {was}", was=was)
            return Row("moved", cell.id, cell.stage, key, f"same request as {self.first[key]}")
        price = Decimal(0) if key in self.priced else price_of(cell.request)
        self.priced.add(key)
        stored = key in self.stored
        if before is None:
            return Row("new", cell.id, cell.stage, key, "new", price, stored)
        reason = describe_change(before[0].request.fields(), cell.request.fields(), self.fingerprints)
        return Row("changed", cell.id, cell.stage, key, reason, price, stored)

    def _loss(self, stage: str) -> str:
        if stage in self.head.idle:
            return "its stage waits for picks"
        return "left out" if stage in self.head.stages else "its stage is gone"
