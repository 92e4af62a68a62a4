"""Cells of one matrix that are made together, and the combinations of values that no rule leaves out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import TypeAlias

from krea_pipe.core.errors import InvalidInput
from krea_pipe.matrix.dependencies import SOURCE_AXIS, Combination
from krea_pipe.matrix.rendering import CellProblem
from krea_pipe.matrix.resolve import CellDraft, Inherited, Resolver, SourceCell
from krea_pipe.pipeline.source import Trail

MOST_CELLS = 1_024
"""Cells of a block."""

AxisKey: TypeAlias = int | tuple[int, ...] | None
"""The indexes of the values of some axes."""


@dataclass(frozen=True, slots=True)
class BlockSpan:
    """What blocks have in common that take all values of the inner axes, and the same ones of the axis before these.

    `axis` is the position of that axis in a `Combination`; the axes before it have one value each in such a block. The
    values begin with the one numbered `start`. `cells` are those of all blocks with the same values of the axes before.
    """

    axis: int
    start: int
    cells: int


@dataclass
class CellBlock:
    """Cells of one matrix that are made together, in the order of their combinations.

    `sources` are the cells that they are generated for, by their numbers. Blocks of one matrix with the same `span`
    differ only in axes before it.
    """

    resolver: Resolver
    combinations: list[Combination]
    sources: dict[int, SourceCell | None]
    drafts: dict[Combination, CellDraft] = field(default_factory=dict)
    """Those of some cells, which were needed before, perhaps to look at rules."""
    span: BlockSpan | None = None

    @cached_property
    def first(self) -> "CellBlock":
        """The first of these cells alone."""
        return self.of_some(self.combinations[:1])

    def of_some(self, combinations: list[Combination]) -> "CellBlock":
        """A block of some of these cells, in order."""
        return CellBlock(self.resolver, combinations, self.sources, self.drafts)

    @property
    def may_have_problems(self) -> bool:
        """Whether something may be wrong with a cell before its request is made: a template of an axis or of a rule."""
        return self.resolver.is_dynamic or self.resolver.precedence.reads_context

    @cached_property
    def steady(self) -> int:
        """The number of axes, from the first, whose value is the same in all cells."""
        first, last = self.combinations[0], self.combinations[-1]
        same = (number for number, (one, other) in enumerate(zip(first, last, strict=True)) if one != other)
        return next(same, len(first))

    def draft(self, cell: Combination) -> CellDraft:
        """The draft of a cell.

        Raises:
            CellProblem: a template of an axis fails.
        """
        if cell not in self.drafts:
            self.drafts[cell] = self.resolver.draft(cell[1:], self.sources[cell[0]])
        return self.drafts[cell]

    def inherited(self, cell: Combination) -> Inherited:
        """The name, the part of the id and the value of each axis of the cell that a cell is generated for."""
        source = self.sources[cell[SOURCE_AXIS]]
        return () if source is None else source.inherited

    def resolved(self, cell: Combination) -> CellDraft:
        """The draft of a cell whose context has its fields; errors as for `Resolver.fields`."""
        draft = self.draft(cell)
        self.resolver.fields(draft)
        return draft

    def can_take(self, other: "CellBlock") -> bool:
        """Whether the cells of another block can be made together with these."""
        return self.resolver is other.resolver and len(self.combinations) + len(other.combinations) <= MOST_CELLS

    def add(self, other: "CellBlock") -> None:
        """Take the cells of another block, before any of these is made."""
        self.span = None
        self.combinations += other.combinations
        self.sources |= other.sources
        self.drafts |= other.drafts

    @cached_property
    def _keys(self) -> dict[tuple[int, ...], list[AxisKey]]:
        return {}

    def keys(self, axes: tuple[int, ...], key: Callable[[Combination], AxisKey]) -> list[AxisKey]:
        """The indexes of the values of some axes, which a function picks, for each cell."""
        if axes not in self._keys:
            self._keys[axes] = list(map(key, self.combinations))
        return self._keys[axes]


def drafts_of(blocks: Iterable[CellBlock]) -> Iterator[CellDraft]:
    """The drafts of all cells of some blocks; errors as for `CellBlock.draft`."""
    return (block.draft(cell) for block in blocks for cell in block.combinations)


def joined_blocks(blocks: Iterable[CellBlock]) -> Iterator[CellBlock]:
    """Small blocks of one matrix, which follow each other, as larger ones of up to some cells.

    Raises:
        InvalidInput: getting the next block does; the cells before it were given.
    """
    waiting: CellBlock | None = None
    try:
        for block in blocks:
            if waiting is not None and not waiting.can_take(block):
                yield waiting
                waiting = None
            if waiting is None:
                waiting = block
            else:
                waiting.add(block)
            if waiting.may_have_problems:
                yield waiting  # before what is noted of later cells
                waiting = None
    except InvalidInput:
        if waiting is not None:
            yield waiting
        raise
    if waiting is not None:
        yield waiting


def blocks_of(
    resolver: Resolver,
    indexes: Sequence[Sequence[int]],
    sources: dict[int, SourceCell | None],
    used: set[Trail],
    note: Callable[[CellProblem], None],
) -> Iterator[CellBlock]:
    """The combinations of a matrix that no rule leaves out.

    Args:
        resolver: makes the drafts of their cells.
        indexes: the numbers that a combination may have at each position; of the first one, only one.
        sources: the cells that they are generated for, by their numbers.
        used: takes the places of the rules that match a cell.
        note: takes what is wrong with a cell when rules are evaluated; everything before that cell was given then.
    """
    matrix, rules = resolver.matrix, resolver.precedence
    if not resolver.is_dynamic and not matrix.exclude and not matrix.patch:
        for span, combinations in _spanned(indexes):
            yield CellBlock(resolver, combinations, sources, span=span)
        return
    excluding, patching = 0, 0
    block = CellBlock(resolver, [], sources)
    for combination in product(*indexes):
        if len(block.combinations) == MOST_CELLS:
            yield block
            block = CellBlock(resolver, [], sources)
        try:
            context = block.draft(combination).context if block.may_have_problems else {}
            met = rules.met(rules.exclude, combination[1:], context)
            patched = rules.met(rules.patch, combination[1:], context)
        except CellProblem as error:
            if block.combinations:
                yield block
                block = CellBlock(resolver, [], sources)
            note(error)
            continue
        excluding |= met
        if met:
            block.drafts.pop(combination, None)
        else:
            patching |= patched
            block.combinations.append(combination)
    if block.combinations:
        yield block
    used.update(rule.trail for _, rule in rules.exclude.of(excluding))
    used.update(rule.trail for _, rule in rules.patch.of(patching))


def _spanned(indexes: Sequence[Sequence[int]]) -> Iterator[tuple[BlockSpan, list[Combination]]]:
    """All combinations in order, divided where the values of the inner axes begin again."""
    axis, inner = len(indexes) - 1, 1
    while axis > 1 and inner * len(indexes[axis]) <= MOST_CELLS:
        inner *= len(indexes[axis])
        axis -= 1
    values = indexes[axis]
    cells = len(values) * inner
    if not cells:
        return
    blocks = -(-cells // MOST_CELLS)
    size = -(-len(values) // blocks)
    for outer in product(*indexes[:axis]):
        for start in range(0, len(values), size):
            some = [*([one] for one in outer), values[start : start + size], *indexes[axis + 1 :]]
            yield BlockSpan(axis, start, cells), list(product(*some))
