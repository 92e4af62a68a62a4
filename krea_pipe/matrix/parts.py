"""Values of cells that depend on few axes: computed once for each combination of these, and reused for other cells."""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Generic, Protocol, TypeVar

from krea_pipe.matrix.blocks import AxisKey, BlockSpan, CellBlock
from krea_pipe.matrix.dependencies import Combination

MOST_KNOWN = 2_048
"""Values of one part that are kept, besides those of one block."""

MOST_KEPT = 6_000_000
"""Characters of the values of one part that are kept for blocks with the same span."""

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
        self._outer: Combination = ()
        self._columns: dict[BlockSpan, Sequence[_T]] = {}
        self._spreads: dict[BlockSpan, tuple[list[int], list[int]]] = {}

    def column(self, block: CellBlock) -> Sequence[_T]:
        """The values of all cells of a block; errors as for what computes them."""
        if is_steady(self.axes, block):
            return list(self._column(block.first)) * len(block.combinations)
        return self._column(block) if block.span is None else self._shared(block, block.span)

    def _shared(self, block: CellBlock, span: BlockSpan) -> Sequence[_T]:
        """The values of a block, kept for others with the same span until the outer axes of the part change."""
        first = block.combinations[0]
        outer = tuple([first[axis] for axis in self.axes if axis < span.axis])
        if outer != self._outer:
            self._outer, self._columns = outer, {}
        if span in self._columns:
            return self._columns[span]
        some, like = self._spread(block, span)
        column = list(self._compute(block.of_some([block.combinations[index] for index in some])))
        if len(some) < len(like):
            column = [column[index] for index in like]
        if span.cells * _size(column[0]) <= MOST_KEPT:
            self._columns[span] = column
        return column

    def _spread(self, block: CellBlock, span: BlockSpan) -> tuple[list[int], list[int]]:
        """The cells of a block that differ in the axes of the part, and for each cell which of these is like it."""
        if span in self._spreads:
            return self._spreads[span]
        keys = block.keys(self.axes, self._key)
        firsts: dict[AxisKey, int] = {}
        for index, key in enumerate(keys):
            firsts.setdefault(key, index)
        numbers = {key: number for number, key in enumerate(firsts)}
        found, like = list(firsts.values()), [numbers[key] for key in keys]
        if span.cells * _size(None) <= MOST_KEPT:
            self._spreads[span] = found, like
        return found, like

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
        self._grouped: dict[int, Sequence[Column[str]]] = {}

    def column(self, block: CellBlock) -> Sequence[str]:
        """The texts of all cells of a block; errors as for what computes them."""
        count = len(block.combinations)
        pieces: list[str | Sequence[str]] = [""]
        for part in self.parts if block.span is None else self._groups(block.span.axis):
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

    def _groups(self, axis: int) -> Sequence[Column[str]]:
        """The parts, with those joined that follow each other and depend on no axis before this one."""
        if axis not in self._grouped:
            runs: list[list[Column[str]]] = []
            for part in self.parts:
                is_inner = not part.axes or part.axes[0] >= axis
                if is_inner and runs and all(not one.axes or one.axes[0] >= axis for one in runs[-1]):
                    runs[-1].append(part)
                else:
                    runs.append([part])
            self._grouped[axis] = [_as_one(run) for run in runs]
        return self._grouped[axis]


def _as_one(parts: Sequence[Column[str]]) -> Column[str]:
    """A text that is joined from others, kept for blocks with the same span."""
    whole = Joined(parts)
    return parts[0] if len(parts) == 1 else Part(whole.axes, whole.column)


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


def _size(value: object) -> int:
    """About how much memory a value of a part takes, in characters."""
    text = value[0] if isinstance(value, tuple) and value else value
    return 64 + (len(text) if isinstance(text, str) else 0)
