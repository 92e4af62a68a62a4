"""A pipeline becomes cells, streamed in the order of the file: the last axis varies fastest."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

from krea_pipe.core.json_data import Json
from krea_pipe.core.request import key_of
from krea_pipe.matrix.cell import Cell, Made, Waiting
from krea_pipe.matrix.cell_problems import CellProblems, too_many_picks
from krea_pipe.matrix.out_paths import OutPaths, Taken, collision, folded, may_collide, path_of
from krea_pipe.matrix.rendering import CellProblem
from krea_pipe.matrix.resolve import Resolver, Upcell
from krea_pipe.pipeline.cell_ids import Scalar
from krea_pipe.pipeline.model import Matrix, Pipeline, Stage
from krea_pipe.pipeline.pricing import price_of
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.sampling import choose
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.template import reset_budgets

MAX_CELLS = 100_000
MAX_COPIED = 50_000_000
"""Variables times cells."""
CHECKS_PER_CELL = 5
"""Conditions of rules that may be looked at, for each cell that a pipeline may have."""
MAX_PRICED = 500
"""Source cells that are looked at for what a pick of one may cost."""


def cell_count(stage: Stage) -> int:
    """How many cells the axes of a stage span for each source, before rules."""
    return sum(math.prod(len(axis.values) for axis in matrix.axes) for matrix in stage.matrices)


@dataclass(slots=True)
class Expansion:
    """One expansion: what was found on the way is complete once all cells were taken."""

    pipeline: Pipeline
    fingerprints: Fingerprints
    max_cells: int = MAX_CELLS
    waiting: list[Waiting] = field(default_factory=list)
    wrong: CellProblems = field(init=False)
    count: int = 0
    checks: int = 0
    paths: OutPaths | None = None
    kept: dict[str, list[Cell]] = field(default_factory=dict)
    data: dict[str, dict[str, Json]] = field(default_factory=dict)
    sources: frozenset[str] = frozenset()
    collided: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        stages = self.pipeline.stages
        self.wrong = CellProblems(self.pipeline.document)
        self.sources = frozenset(one.upstream.stage for one in stages if one.upstream is not None)
        self.paths = OutPaths() if may_collide(stages) else None

    def cells(self) -> Iterator[Cell]:
        """Every cell.

        Raises:
            InvalidInput: too many cells, two cells on one path, or cells that cannot be made; the first of each kind
                of problem, up to a hundred at once.
        """
        self._check_count()
        reset_budgets()
        for stage in self.pipeline.stages:
            yield from self._placed(stage)
        self.wrong.check()

    def of_stage(self, name: str) -> list[Cell]:
        """The cells of one stage, without their places among all.

        Raises:
            InvalidInput: some cannot be made.
        """
        reset_budgets()
        found = self._upcells(name)
        self.wrong.check()
        return found

    def _placed(self, stage: Stage) -> Iterator[Cell]:
        """The cells of a stage, in their places; those that other stages need are kept."""
        for cell in self._upcells(stage.name) if stage.name in self.sources else self._made(stage):
            self.count += 1
            yield cell.at(self.count - 1)
            self._check_variables(stage, self.count)
            if self.count > self.max_cells:
                what = f"with the stage `{stage.name}` there are more cells"
                self.wrong.too_many(stage, what, self.max_cells, 10 * self.max_cells)

    def _upcells(self, name: str) -> list[Cell]:
        if name not in self.kept:
            stage = next(one for one in self.pipeline.stages if one.name == name)
            self.kept[name] = []  # a circle was refused when the file was loaded
            self.kept[name] = list(self._made(stage))
        return self.kept[name]

    def _made(self, stage: Stage) -> Iterator[Cell]:
        used: set[Trail] = set()
        rows = self._sampled(stage, self._combined(stage, used))
        ids: set[str] | None = set() if _may_repeat(stage) else None
        count = 0
        for made in rows:
            count += 1
            cell = self._cell(stage, made, ids)
            if cell is not None:
                yield cell
        if not self._waits(stage):  # without cells no rule can match
            self.wrong.check_rules(stage, used, is_empty=count == 0)

    def _combined(self, stage: Stage, used: set[Trail]) -> Iterator[Made]:
        """Every combination that no rule leaves out."""
        try:
            resolvers = [Resolver(self.pipeline, stage, matrix, self.fingerprints) for matrix in stage.matrices]
        except CellProblem as error:
            self.wrong.note(error)
            return
        spanned, each = 0, cell_count(stage)
        for source in self._sources(stage, resolvers):
            spanned += each if source is not None else 0
            if spanned > self.max_cells:  # before rules and samples, which would have to look at each of them
                sources = spanned // each
                what = f"the stage `{stage.name}` spans {each:,} cells for each of {sources:,} sources or more"
                self.wrong.too_many(stage, what, self.max_cells, 10 * self.max_cells)
            for resolver in resolvers:
                yield from self._of_matrix(resolver, source, used)

    def _of_matrix(self, resolver: Resolver, source: Cell | None, used: set[Trail]) -> Iterator[Made]:
        matrix, layers = resolver.matrix, resolver.precedence
        self._count_checks(resolver)
        excluding, patching = 0, 0
        upcell, inherited = self._inherited(source, resolver.names)
        for combination in itertools.product(*[range(len(axis.values)) for axis in matrix.axes]):
            values = [axis.values[index] for axis, index in zip(matrix.axes, combination, strict=True)]
            try:
                context, values = resolver.context(values, upcell)
                met = layers.met(layers.exclude, combination, context)
                patched = layers.met(layers.patch, combination, context)
            except CellProblem as error:
                self.wrong.note(error)
                continue
            excluding |= met
            if not met:
                patching |= patched
                yield Made(matrix, resolver, combination, values, context, upcell, inherited)
        used.update(rule.trail for _, rule in layers.exclude.of(excluding))
        used.update(rule.trail for _, rule in layers.patch.of(patching))

    def _count_checks(self, resolver: Resolver) -> None:
        """Stop before conditions of rules are looked at too often."""
        stage, layers = resolver.stage, resolver.precedence
        self.checks += layers.exclude.checks + layers.patch.checks
        most = CHECKS_PER_CELL * self.max_cells
        if self.checks > most:
            what = f"the rules of the stage `{stage.name}` have `if:` looked at for {self.checks:,} cells"
            self.wrong.too_many(stage, what, most, -(-self.checks // CHECKS_PER_CELL), code="too_many_rules")

    def _waits(self, stage: Stage) -> bool:
        """Whether a stage, or one that it is drawn for, has too few picks."""
        above = next((one for one in self.pipeline.stages if stage.upstream and one.name == stage.upstream.stage), None)
        return any(one.stage == stage.name for one in self.waiting) or (above is not None and self._waits(above))

    def _sampled(self, stage: Stage, found: Iterable[Made]) -> Iterable[Made]:
        if stage.sample is None:
            return found
        rows, picked = list(found), self._picked(stage)
        drawn = [index for index, one in enumerate(rows) if not one.matrix.is_included]
        chosen = {drawn[index] for index in choose([_named_parts(rows[index]) for index in drawn], stage.sample)}
        return [
            one
            for index, one in enumerate(rows)
            if index in chosen or one.matrix.is_included or self._id(stage, one) in picked
        ]

    def _picked(self, stage: Stage) -> set[str]:
        """The cells that other stages need, whatever a sample leaves out."""
        upstreams = (one.upstream for one in self.pipeline.stages)
        files = (one.picks for one in upstreams if one is not None and one.stage == stage.name)
        return {pick.id for picks in files if picks is not None for pick in picks.picks}

    def _sources(self, stage: Stage, resolvers: Sequence[Resolver]) -> Iterator[Cell | None]:
        """The cells that a stage is drawn for: one time without any, for a stage that stands alone."""
        upstream = stage.upstream
        if upstream is None:
            yield None
            return
        cells = self._upcells(upstream.stage)
        if upstream.file is None:
            yield from cells
            return
        known = {cell.id for cell in cells}
        picks = upstream.picks.picks if upstream.picks else ()
        for pick in picks:
            if pick.id not in known and upstream.picks is not None:
                self.wrong.unknown_pick(pick, upstream.picks)
        if upstream.wants[1] is not None and upstream.picks is not None and len(picks) > upstream.wants[1]:
            self.wrong.note(too_many_picks(stage, upstream.picks, upstream.wants[1]))
        chosen = {pick.id for pick in picks}
        found = [cell for cell in cells if cell.id in chosen]
        if len(found) < upstream.wants[0]:
            self._wait(stage, cells, len(found), resolvers)
            return
        yield from found

    def _wait(self, stage: Stage, cells: Sequence[Cell], found: int, resolvers: Sequence[Resolver]) -> None:
        """Note that a stage has too few picks, with what one pick would give and cost."""
        upstream = stage.upstream
        assert upstream is not None
        assert upstream.file is not None
        prices = [self._prices(cell, resolvers) for cell in cells[:MAX_PRICED]] or [[]]
        sums = [sum(one, Decimal(0)) for one in prices]
        text = str(upstream.file.relative_to(self.pipeline.document.file.resolve().parent))
        each = len(prices[0])
        self.waiting.append(
            Waiting(stage.name, upstream.stage, text, found, upstream.wants, each, min(sums), max(sums))
        )

    def _prices(self, source: Cell, resolvers: Sequence[Resolver]) -> list[Decimal]:
        """What each image of one source cell would cost."""
        prices = []
        for resolver in resolvers:
            for made in self._of_matrix(resolver, source, set()):
                try:
                    prices.append(price_of(resolver.request(made.values, made.context, made.source)))
                except CellProblem as error:
                    self.wrong.note(error)
        return prices

    def _cell(self, stage: Stage, made: Made, ids: set[str] | None) -> Cell | None:
        identity = self._id(stage, made)
        try:
            if ids is not None:
                _take(identity, ids, made.matrix, stage)
            request = made.resolver.request(made.values, made.context, made.source)
            out = path_of(stage, identity, made.resolver.renderer, made.context)
            if self.paths is not None:
                self.paths.take(out)
        except CellProblem as error:
            self.wrong.note(error, identity)
            return None
        except Taken as error:
            if stage.name not in self.collided:  # one is enough, and looking for the other takes long
                self.collided.add(stage.name)
                self.wrong.note(self._collision(stage, identity, error.out), identity)
            return None
        names, axes = made.resolver.own_names, tuple([value.scalar for value in made.values])
        if made.inherited:
            names = (*(name for name, _, _ in made.inherited), *names)
            axes = (*(scalar for _, _, scalar in made.inherited), *axes)
        if stage.name in self.sources:
            own = {name: cast("Json", made.context[name]) for name in made.resolver.names}
            self.data[identity] = {**(made.source.axes if made.source else {}), **own}
        source = made.source.id if made.source else None
        return Cell(self.count, identity, stage.name, names, axes, out, request, source, made.template)

    def _collision(self, stage: Stage, identity: str, out: str) -> CellProblem:
        """Which other cell has a path: found by expanding anew up to it."""
        for other in self.pipeline.stages:
            for made in self._sampled(other, self._combined(other, set())):
                try:
                    made.resolver.request(made.values, made.context, made.source)
                    path = path_of(other, self._id(other, made), made.resolver.renderer, made.context)
                except CellProblem:
                    continue
                if folded(path) == folded(out):
                    return collision(self._id(other, made), identity, out, stage)
        raise AssertionError("a path that is taken belongs to a cell")

    def _id(self, stage: Stage, made: Made) -> str:
        parts = [value.part for value in made.values]
        return "/".join([stage.name, *[part for _, part, _ in made.inherited], *parts])

    def _inherited(
        self, source: Cell | None, own: Sequence[str]
    ) -> tuple[Upcell | None, tuple[tuple[str, str, Scalar], ...]]:
        """What templates see of a source cell, and the axes that a cell has from it."""
        if source is None:
            return None, ()
        parts = source.id.split("/")[1:]
        names = [f"source.{name}" if name in own else name for name in source.names]
        upcell = Upcell(source.id, key_of(source.request), source.request, self.data[source.id])
        return upcell, tuple(zip(names, parts, source.axes, strict=True))

    def _check_variables(self, stage: Stage, cells: int) -> None:
        """Each cell has all variables."""
        count = len(self.pipeline.variables)
        if count * cells > MAX_COPIED:
            what = f"{count:,} variables in {cells:,} cells or more are {count * cells:,}"
            self.wrong.too_many(stage, what, MAX_COPIED, 0, code="too_many_variables")

    def _check_count(self) -> None:
        total = sum(cell_count(stage) for stage in self.pipeline.stages if stage.upstream is None)
        self._check_variables(self.pipeline.stages[0], total)
        if total > self.max_cells:
            largest = max(self.pipeline.stages, key=cell_count)
            axes = " x ".join(str(len(axis.values)) for axis in largest.axes)
            self.wrong.too_many(
                largest, f"the matrix has {total:,} cells ({largest.name}: {axes})", self.max_cells, total
            )


def _named_parts(made: Made) -> list[tuple[str, str]]:
    own = zip(made.resolver.names, [value.part for value in made.values], strict=True)
    return [*((name, part) for name, part, _ in made.inherited), *own]


def _may_repeat(stage: Stage) -> bool:
    """Whether two cells of a stage could have one id: axes of one matrix alone cannot make that."""
    dynamic = any(value.is_dynamic for matrix in stage.matrices for axis in matrix.axes for value in axis.values)
    return len(stage.matrices) > 1 or dynamic


def _take(identity: str, ids: set[str], matrix: Matrix, stage: Stage) -> None:
    if identity in ids:
        message = f"two cells of the stage `{stage.name}` are called {identity}"
        raise CellProblem("repeated_cell", message, matrix.trail, hint="remove one of the two")
    ids.add(identity)
