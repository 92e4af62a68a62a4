"""Which cells of a stage a sample keeps: the same ones for ever for the same axis names, value parts and seed.

The pairs are covered by a greedy set cover of our own over the list of cells that `exclude` has left. Measured against
it, allpairspy 2.5.1 leaves out pairs under exclusions (its issue 2), and covertable 3.2.0 covers them, but chooses
other cells when axes change places, chose others in version 2.1, and takes no cells with different axes.
"""

import hashlib
import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

_AxisValue = tuple[str, str]
"""An axis' name and the part that one of its values has in a cell's id."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How a stage is sampled; `n` is the maximum number of cells, None keeps as many as the method needs."""

    method: Literal["pairwise", "random", "first"]
    n: int | None
    seed: int


def choose(cells: Sequence[Sequence[_AxisValue]], sample: Sample) -> list[int]:
    """Choose the cells that a sample keeps.

    Args:
        cells: for each cell its axes and the parts of their values.
        sample: the method; a larger `n` keeps all that a smaller one chose.

    Returns:
        The indexes of the chosen cells, ascending.
    """
    match sample.method:
        case "first":
            order: Sequence[int] = range(len(cells))
        case "random":
            order = _shuffled(cells, sample.seed)
        case "pairwise":
            order = _covering(cells, sample.seed)
    return sorted(order[: sample.n])


def _shuffled(cells: Sequence[Sequence[_AxisValue]], seed: int) -> list[int]:
    """All indexes, in an order that follows from the seed and each cell's own values alone."""
    digests = [_digest(cell, seed) for cell in cells]
    return sorted(range(len(cells)), key=digests.__getitem__)


def _digest(cell: Sequence[_AxisValue], seed: int) -> bytes:
    # Samples in people's repositories hang on these bytes: changing this text would generate, and bill, other cells.
    return hashlib.sha256(json.dumps([seed, sorted(cell)]).encode()).digest()


def _covering(cells: Sequence[Sequence[_AxisValue]], seed: int) -> list[int]:
    """Cells that together hold every pair of the list, each the one that adds the most pairs to those before it.

    What a cell adds only shrinks while others are chosen. So the cells are read by what they added last, the most
    first: one that still adds as much is the best there is, any other is put back lower down.
    """
    pairs, count = _numbered_pairs(cells)
    ranked = _shuffled(cells, seed)
    missing = bytearray(b"\x01") * count
    levels: dict[int, list[int]] = {}
    for rank, index in enumerate(ranked):
        levels.setdefault(len(pairs[index]), []).append(rank)
    chosen = []
    for level in range(max(levels, default=0), 0, -1):
        for rank in sorted(levels.pop(level, ())):
            own = pairs[ranked[rank]]
            added = sum(map(missing.__getitem__, own))
            if added == level:
                chosen.append(ranked[rank])
                for pair in own:
                    missing[pair] = 0
            elif added:
                levels.setdefault(added, []).append(rank)
    return chosen


def _numbered_pairs(cells: Sequence[Sequence[_AxisValue]]) -> tuple[list[tuple[int, ...]], int]:
    """For each cell the numbers of its pairs, and how many pairs there are.

    A cell with a single axis counts its value instead, and one without an axis itself, so that neither is lost.
    """
    values: dict[_AxisValue, int] = {}
    numbers: dict[Hashable, int] = {}
    found = []
    for cell in cells:
        own = sorted([values.setdefault(value, len(values)) for value in cell])
        pairs = combinations(own, min(2, len(own)))
        found.append(tuple([numbers.setdefault(pair, len(numbers)) for pair in pairs]))
    return found, len(numbers)
