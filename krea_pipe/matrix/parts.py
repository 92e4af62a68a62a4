"""Values of cells that depend on few axes: computed once for each combination of these, and reused for other cells."""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Generic, Protocol, TypeVar

from krea_pipe.matrix.blocks import AxisKey, CellBlock
from krea_pipe.matrix.dependencies import Combination

MOST_KNOWN = 2_048
"""Values of one part that are kept, besides those of one block."""

_T = TypeVar("_T")
_Value = TypeVar("_Value", covariant=True)


class Column(Protocol[_Value]):
    """A value of each cell of a matrix, which depends on some axes: positions in a `Combination`, ascending."""

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes."""

    def column(self, block: CellBlock) -> Sequence[_Value]:
        """The values of all cells of a block; errors as for what computes them."""


class Part(Generic[_T]):
    """A value that is computed for one cell of those that agree in its axes.

    `compute` gives the values of all cells of a block.
    """

    def __init__(self, axes: Iterable[int], compute: Callable[[CellBlock], Iterable[_T]]) -> None:
        self.axes = tuple(sorted(axes))
        self._key: Callable[[Combination], AxisKey] = itemgetter(*self.axes) if self.axes else _no_key
        self._compute = compute
        self._known: dict[AxisKey, _T] = {}

    def column(self, block: CellBlock) -> Sequence[_T]:
        """The values of all cells of a block; errors as for what computes them."""
        if is_steady(self.axes, block):
            return list(self._column(block.first)) * len(block.combinations)
        return self._column(block)

    def _column(self, block: CellBlock) -> Sequence[_T]:
        keys = block.keys(self.axes, self._key)
        try:
            return [self._known[key] for key in keys]
        except KeyError:
            self._learn(block, keys)
            return [self._known[key] for key in keys]

    def _learn(self, block: CellBlock, keys: Sequence[AxisKey]) -> None:
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        found = dict(zip(keys, block.combinations, strict=True))
        missing = sorted(cell for key, cell in found.items() if key not in self._known)
        values = self._compute(block.of_some(missing))
        self._known.update(zip(map(self._key, missing), values, strict=True))


class AxisPart(Generic[_T]):
    """A value that is known for each value of one axis."""

    def __init__(self, axis: int, values: Sequence[_T]) -> None:
        self.axes = (axis,)
        self._key = itemgetter(axis)
        self._values = values

    def column(self, block: CellBlock) -> Sequence[_T]:
        """The values of all cells of a block."""
        values = self._values
        if is_steady(self.axes, block):
            return [values[self._key(block.combinations[0])]] * len(block.combinations)
        return [values[index] for index in block.keys(self.axes, self._key)]  # type: ignore[index] # one axis: an index


class Joined:
    """A text that is joined from others."""

    def __init__(self, parts: Iterable[Column[str]]) -> None:
        self.parts = tuple(parts)
        self.axes = tuple(sorted({axis for part in self.parts for axis in part.axes}))

    def column(self, block: CellBlock) -> Sequence[str]:
        """The texts of all cells of a block; errors as for what computes them."""
        count = len(block.combinations)
        pieces: list[str | Sequence[str]] = [""]
        for part in self.parts:
            last = pieces[-1]
            if not is_steady(part.axes, block):
                pieces.append(part.column(block))
            elif isinstance(last, str):
                pieces[-1] = last + part.column(block.first)[0]
            else:
                pieces.append(part.column(block.first)[0])
        match pieces:
            case [str(text)]:
                return [text] * count
            case [str(head), texts]:
                return [head + text for text in texts]
            case [str(head), texts, str(between), ends]:
                return [f"{head}{text}{between}{end}" for text, end in zip(texts, ends, strict=True)]
        columns = [repeat(one, count) if isinstance(one, str) else one for one in pieces]
        return list(map("".join, zip(*columns, strict=True)))


def constant(text: str) -> Part[str]:
    """A text that is the same in all cells."""
    return Part((), lambda block: [text] * len(block.combinations))


def each(compute: Callable[[CellBlock, Combination], _T]) -> Callable[[CellBlock], Iterable[_T]]:
    """Compute a value for one cell after the other."""
    return lambda block: [compute(block, cell) for cell in block.combinations]


def is_steady(axes: Sequence[int], block: CellBlock) -> bool:
    """Whether what depends on some axes is the same in all cells of a block."""
    return not axes or axes[-1] < block.steady


def _no_key(_: Combination) -> None:
    return None
