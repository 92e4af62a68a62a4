"""Values of cells that depend on few axes: computed once for each combination of these, and reused for other cells."""

from collections.abc import Callable, Iterable
from itertools import repeat
from operator import itemgetter
from typing import Generic, TypeVar

from krea_pipe.matrix.blocks import AxisKey, CellBlock
from krea_pipe.matrix.dependencies import Combination

MOST_KNOWN = 8_192
"""Values of one part that are kept."""

_T = TypeVar("_T")


class Part(Generic[_T]):
    """One value of each cell of a matrix, which depends on some of its axes."""

    def __init__(self, axes: Iterable[int], compute: Callable[[CellBlock, Combination], _T]) -> None:
        self.axes = tuple(sorted(axes))
        self.key: Callable[[Combination], AxisKey] = itemgetter(*self.axes) if self.axes else _no_key
        self._compute = compute
        self._known: dict[AxisKey, _T] = {}

    def is_steady(self, block: CellBlock) -> bool:
        """Whether all cells of a block have the same value."""
        return not self.axes or self.axes[-1] < block.steady

    def of(self, block: CellBlock, cell: Combination) -> _T:
        """The value of one cell; errors as for what computes it."""
        key = self.key(cell)
        if key not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = self._compute(block, cell)
        return self._known[key]

    def column(self, block: CellBlock) -> list[_T]:
        """The values of all cells of a block; errors as for what computes them."""
        if self.is_steady(block):
            return [self.of(block, block.combinations[0])] * len(block.combinations)
        keys, known = block.keys(self.axes, self.key), self._known
        if len(known) >= MOST_KNOWN:
            known.clear()
        for key, cell in zip(keys, block.combinations, strict=True):
            if key not in known:
                known[key] = self._compute(block, cell)
        return [known[key] for key in keys]


def _no_key(_: Combination) -> None:
    return None


class Joined:
    """A text of each cell that is joined from parts."""

    def __init__(self, parts: Iterable[Part[str]]) -> None:
        self.parts = tuple(parts)
        self.axes = frozenset(axis for part in self.parts for axis in part.axes)

    def of(self, block: CellBlock, cell: Combination) -> str:
        """The text of one cell."""
        return "".join([part.of(block, cell) for part in self.parts])

    def column(self, block: CellBlock) -> list[str]:
        """The texts of all cells of a block."""
        count = len(block.combinations)
        pieces: list[str | list[str]] = [""]
        for part in self.parts:
            last = pieces[-1]
            if not part.is_steady(block):
                pieces.append(part.column(block))
            elif isinstance(last, str):
                pieces[-1] = last + part.of(block, block.combinations[0])
            else:
                pieces.append(part.of(block, block.combinations[0]))
        match pieces:
            case [str(text)]:
                return [text] * count
            case [str(head), [*texts]]:
                return [head + text for text in texts]
        columns = [repeat(one, count) if isinstance(one, str) else one for one in pieces]
        return list(map("".join, zip(*columns, strict=True)))


def constant(text: str) -> Part[str]:
    """A part that is the same in all cells."""
    return Part((), lambda *_: text)
