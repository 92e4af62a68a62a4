"""A pipeline becomes cells, streamed in the order of the file: the last axis varies fastest."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import TypeAlias, TypeVar

from krea_pipe.core.errors import Problem
from krea_pipe.core.json_data import Json
from krea_pipe.core.problem_list import MAX_PROBLEMS
from krea_pipe.core.request import Key, key_of
from krea_pipe.matrix.blocks import CellBlock, blocks_of, drafts_of, joined_blocks
from krea_pipe.matrix.cell import Cell, RecipeFile, Waiting
from krea_pipe.matrix.cell_problems import CellProblems
from krea_pipe.matrix.dependencies import Combination
from krea_pipe.matrix.matrix_parts import AS_CELLS, AS_TEXTS, CellForm, CellText, MatrixParts
from krea_pipe.matrix.out_paths import (
    OutPaths,
    PathTaken,
    collision,
    first_taken,
    may_collide,
    path_of,
    recipe_files_of,
)
from krea_pipe.matrix.pick_matching import Matched, lost_picks, match_picks, moved_file
from krea_pipe.matrix.rendering import CellProblem
from krea_pipe.matrix.resolve import CellDraft, Resolver, SourceCell
from krea_pipe.pipeline.editing.picks import Picks
from krea_pipe.pipeline.model import Matrix, Pipeline, SourceStage, Stage
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.sampling import choose
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.template import TemplateProblem, reset_budgets

MAX_CELLS = 100_000
MAX_COPIED = 50_000_000
"""Variables times cells."""
CHECKS_PER_CELL = 5
"""The maximum number of conditions of rules to evaluate, for each possible cell of a pipeline."""
MAX_PRICED = 500
"""The number of source cells examined to estimate the cost of a pick."""
_LEAST_CELLS = 4
"""Cells for which it is worth while to find out what their parts depend on."""

_T = TypeVar("_T")
_NumberedSource: TypeAlias = tuple[int, Cell | None]
"""A cell that others are generated for, if they are, with its number."""


def cell_count(stage: Stage) -> int:
    """The number of cells that the axes of a stage span for each source, before rules."""
    return sum(math.prod(len(axis.values) for axis in matrix.axes) for matrix in stage.matrices)


@dataclass(slots=True, eq=False)
class Expansion:
    """One expansion: what was found on the way is complete once all cells were taken."""

    pipeline: Pipeline
    fingerprints: Fingerprints
    max_cells: int = MAX_CELLS
    waiting: list[Waiting] = field(default_factory=list)
    problems: CellProblems = field(init=False)
    count: int = 0
    checks: int = 0
    paths: OutPaths | None = None
    kept: dict[str, list[tuple[Cell, Key]]] = field(default_factory=dict)
    data: dict[str, dict[str, Json]] = field(default_factory=dict)
    sources: frozenset[str] = frozenset()
    collided: set[str] = field(default_factory=set)
    warnings: list[Problem] = field(default_factory=list)
    parts: dict[Resolver, MatrixParts | None] = field(default_factory=dict)
    is_apart: bool = False
    """Whether no stage can have a path of another one."""
    bereft: set[str] = field(default_factory=set)
    """Stages generated for picks, some of which match no cell."""

    def __post_init__(self) -> None:
        stages = self.pipeline.stages
        self.problems = CellProblems(self.pipeline.document)
        self.sources = frozenset(one.upstream.stage for one in stages if one.upstream is not None)
        self.paths = OutPaths() if may_collide(stages) else None
        self.is_apart = len(stages) == 1

    def cells(self) -> Iterator[Cell]:
        """Every cell; errors as for `keyed`."""
        return (cell for cell, _ in self.keyed())

    def keyed(self) -> Iterator[tuple[Cell, Key]]:
        """Every cell with the key of its request.

        Raises:
            InvalidInput: too many cells, two cells on one path, or cells that cannot be made; the first of each kind
                of problem, up to a hundred at once.
        """
        for position, one in enumerate(self._all(AS_CELLS)):
            yield one if one[0].position == position else (one[0]._replace(position=position), one[1])

    def texts(self) -> Iterator[CellText]:
        """Every cell as text, which costs far less; errors as for `keyed`."""
        return self._all(AS_TEXTS)

    def of_stage(self, name: str) -> list[tuple[Cell, Key]]:
        """The cells of one stage, without their places among all.

        Raises:
            InvalidInput: some cannot be made.
        """
        reset_budgets()
        found = self._kept_cells(name)
        self.problems.check()
        return found

    def draft_of(self, cell: Cell, cells: Mapping[str, Cell]) -> CellDraft:
        """The origin of a cell, with all names that its templates read.

        Args:
            cell: a cell that an expansion of the same pipeline gave.
            cells: all that it gave, by their ids.
        """
        reset_budgets()
        stage = next(one for one in self.pipeline.stages if one.name == cell.stage)
        source = cells[cell.source] if cell.source is not None else None
        if source is not None:
            self.data[source.id] = self.draft_of(source, cells).axes
        own = cell.names[len(source.names) if source is not None else 0 :]
        for matrix in (one for one in stage.matrices if tuple(axis.name for axis in one.axes) == own):
            resolver = Resolver(self.pipeline, stage, matrix, self.fingerprints)
            for draft in drafts_of(self._of_matrix(resolver, (0, source), set(), cell.id)):
                if draft.id == cell.id:
                    resolver.request(draft)  # adds its fields to the names
                    return draft
        raise AssertionError(f"{cell.id} is not a combination of its stage")

    def _all(self, form: CellForm[_T]) -> Iterator[_T]:
        return itertools.chain.from_iterable(self._groups(form))

    def _groups(self, form: CellForm[_T]) -> Iterator[Iterable[_T]]:
        """All cells, many at a time."""
        self._check_count()
        reset_budgets()
        for stage in self.pipeline.stages:
            yield from self._counted(stage, form)
        self.problems.check()

    def _counted(self, stage: Stage, form: CellForm[_T]) -> Iterator[Iterable[_T]]:
        """The cells of a stage, which are counted; those that other stages need are kept."""
        is_kept = stage.name in self.sources
        for group in (
            [list(map(form.of_cell, self._kept_cells(stage.name)))] if is_kept else self._cells_of(stage, form)
        ):
            most = min(self.max_cells, MAX_COPIED // max(1, len(self.pipeline.variables)))
            room = max(0, most - self.count)
            self.count += len(group)
            yield group[: room + 1]
            if len(group) > room:
                self._check_variables(stage, most + 1)
                what = f"with the stage `{stage.name}`, the number of cells is"
                self.problems.too_many(stage, what, self.max_cells, 10 * self.max_cells)

    def _kept_cells(self, name: str) -> list[tuple[Cell, Key]]:
        if name not in self.kept:
            stage = next(one for one in self.pipeline.stages if one.name == name)
            self.kept[name] = []  # a circle was refused when the file was loaded
            self.kept[name] = list(itertools.chain.from_iterable(self._cells_of(stage, AS_CELLS)))
        return self.kept[name]

    def _cells_of(self, stage: Stage, form: CellForm[_T]) -> Iterator[Sequence[_T]]:
        used: set[Trail] = set()
        blocks = self._sampled(stage, self._blocks(stage, used))
        ids: set[str] | None = set() if _may_repeat(stage) else None
        count = 0
        for block in blocks:
            count += len(block.combinations)
            yield list(self._made(stage, block, ids, form))
        if not self._is_short(stage):  # without cells no rule can match
            self.problems.check_rules(stage, used, is_empty=count == 0)

    def _made(self, stage: Stage, block: CellBlock, ids: set[str] | None, form: CellForm[_T]) -> Iterable[_T]:
        """The cells of a block, made from parts; if one of them cannot be made, one by one, to say why."""
        parts = self._parts_of(block)
        found = None if parts is None else self._from_parts(stage, block, parts, form)
        if parts is None or found is None:
            cells = (self._cell(stage, block.draft(combination), ids) for combination in block.combinations)
            return (form.of_cell((cell, key_of(cell.request))) for cell in cells if cell is not None)
        if ids is None and not self._needs_paths(stage, parts):
            return found
        paths = zip(parts.ids(block), parts.outs(block), parts.files(block), strict=True)
        return (
            one
            for one, combination, (identity, out, files) in zip(found, block.combinations, paths, strict=True)
            if self._is_new(stage, block, combination, ids) and self._takes(stage, identity, out, files)
        )

    def _from_parts(
        self, stage: Stage, block: CellBlock, parts: MatrixParts, form: CellForm[_T]
    ) -> Iterable[_T] | None:
        try:
            if stage.name in self.sources:
                axes = [block.resolved(combination).axes for combination in block.combinations]
                self.data.update(zip(parts.ids(block), axes, strict=True))
            return form.of_block(parts, block, self.count)
        except CellProblem:
            return None

    def _parts_of(self, block: CellBlock) -> MatrixParts | None:
        """The parts of the matrix of a block; None if its cells are too few, or must be made one by one."""
        resolver = block.resolver
        if len(block.combinations) < _LEAST_CELLS or resolver.is_dynamic:
            return None
        if resolver not in self.parts:
            try:
                self.parts[resolver] = MatrixParts(resolver)
            except TemplateProblem:
                self.parts[resolver] = None
        return self.parts[resolver]

    def _needs_paths(self, stage: Stage, parts: MatrixParts) -> bool:
        """Whether the paths of a stage must be compared with each other and with those of other stages."""
        is_alone = self.is_apart and len(stage.matrices) == 1 and not stage.deliver
        return self.paths is not None and not (is_alone and parts.has_distinct_paths)

    def _blocks(self, stage: Stage, used: set[Trail]) -> Iterator[CellBlock]:
        """Every combination that no rule leaves out."""
        try:
            resolvers = [Resolver(self.pipeline, stage, matrix, self.fingerprints) for matrix in stage.matrices]
        except CellProblem as error:
            self.problems.note(error)
            return
        yield from joined_blocks(self._of_sources(stage, resolvers, used))

    def _of_sources(self, stage: Stage, resolvers: Sequence[Resolver], used: set[Trail]) -> Iterator[CellBlock]:
        spanned, each = 0, cell_count(stage)
        for number, source in enumerate(self._sources(stage, resolvers)):
            spanned += each if source is not None else 0
            if spanned > self.max_cells:  # before rules and samples, which would have to look at each of them
                sources = spanned // each
                what = f"the stage `{stage.name}` has {each:,} cells for each of at least {sources:,} sources"
                self.problems.too_many(stage, what, self.max_cells, 10 * self.max_cells)
            for resolver in resolvers:
                yield from self._of_matrix(resolver, (number, source), used)

    def _of_matrix(
        self, resolver: Resolver, source: _NumberedSource, used: set[Trail], identity: str | None = None
    ) -> Iterator[CellBlock]:
        """Every combination of one matrix that no rule leaves out, or those that may give the cell of an id."""
        if identity is None:
            self._count_checks(resolver)
        number, cell = source
        sources = {number: None if cell is None else self._source_cell(cell, resolver.names)}
        indexes = [[number], *_indexes(resolver.matrix, identity)]
        yield from blocks_of(resolver, indexes, sources, used, self.problems.note)

    def _count_checks(self, resolver: Resolver) -> None:
        """Stop before too many conditions of rules are evaluated."""
        stage, rules = resolver.stage, resolver.precedence
        self.checks += rules.exclude.checks + rules.patch.checks
        most = CHECKS_PER_CELL * self.max_cells
        if self.checks > most:
            what = f"the rules of the stage `{stage.name}` test `if:` for {self.checks:,} cells"
            self.problems.too_many(stage, what, most, -(-self.checks // CHECKS_PER_CELL), code="too_many_rules")

    def _is_short(self, stage: Stage) -> bool:
        """Whether a stage, or one that it is generated for, has too few picks, or has lost some."""
        above = next((one for one in self.pipeline.stages if stage.upstream and one.name == stage.upstream.stage), None)
        own = stage.name in self.bereft or any(one.stage == stage.name for one in self.waiting)
        return own or (above is not None and self._is_short(above))

    def _sampled(self, stage: Stage, found: Iterable[CellBlock]) -> Iterable[CellBlock]:
        if stage.sample is None:
            return found
        blocks = list(found)
        rows = list(drafts_of(blocks))
        picked = self._picked(stage, rows)
        drawn = [index for index, one in enumerate(rows) if not one.resolver.matrix.is_included]
        chosen = {drawn[index] for index in choose([_named_parts(rows[index]) for index in drawn], stage.sample)}
        kept = iter(
            [index in chosen or one.resolver.matrix.is_included or one.id in picked for index, one in enumerate(rows)]
        )
        rest = [block.of_some([one for one in block.combinations if next(kept)]) for block in blocks]
        return [block for block in rest if block.combinations]

    def _picked(self, stage: Stage, rows: Sequence[CellDraft]) -> set[str]:
        """The cells that other stages need, whatever a sample leaves out."""
        drafts = {one.id: one for one in rows}

        def key_of_draft(identity: str) -> str:
            try:
                return key_of(drafts[identity].resolver.request(drafts[identity]))
            except CellProblem:
                return ""

        upstreams = (one.upstream for one in self.pipeline.stages)
        files = (one.picks for one in upstreams if one is not None and one.stage == stage.name)
        found = [self.match(picks, stage.name, drafts, key_of_draft) for picks in files if picks is not None]
        return {cell for matched in found for cell in matched.picks}

    def match(self, picks: Picks, stage: str, cells: Iterable[str], keys: Callable[[str], str]) -> Matched:
        """The cells of the decisions in a picks file; each key is computed once."""
        names = [one.name for one in self.pipeline.stages]
        return match_picks(picks, cells, cache(keys), stage, names)

    def _sources(self, stage: Stage, resolvers: Sequence[Resolver]) -> Iterator[Cell | None]:
        """The cells that a stage is generated for: one time without any, for a stage without `for_each`."""
        upstream = stage.upstream
        if upstream is None:
            yield None
            return
        cells = [cell for cell, _ in self._kept_cells(upstream.stage)]
        if upstream.file is None:
            yield from cells
            return
        found = self._chosen(stage, cells)
        if len(found) >= upstream.wants[0]:
            yield from found
            return
        prices = [self._prices(cell, resolvers) for cell in cells[:MAX_PRICED]] or [[]]
        sums = [sum(one, Decimal(0)) for one in prices]
        file = str(upstream.file.relative_to(self.pipeline.document.file.resolve().parent))
        each, low, high = len(prices[0]), min(sums), max(sums)
        self.waiting.append(Waiting(stage.name, upstream.stage, file, len(found), upstream.wants, each, low, high))

    def _chosen(self, stage: Stage, cells: Sequence[Cell]) -> list[Cell]:
        """The picked cells among those that a stage is generated for."""
        upstream = stage.upstream
        assert upstream is not None
        if upstream.picks is None:
            self._look_for_file(stage, upstream, cells)
            return []
        by_id = {cell.id: cell for cell in cells}
        matched = self.match(upstream.picks, upstream.stage, by_id, lambda one: key_of(by_id[one].request))
        self.problems.check_picks(stage, upstream.picks, matched)
        lost = lost_picks(upstream.picks, matched, upstream.stage, [*by_id], self.pipeline.document.file)
        self.warnings += lost[: MAX_PROBLEMS - len(self.warnings)]
        if lost:
            self.bereft.add(stage.name)
        return [cell for cell in cells if cell.id in matched.picks]

    def _look_for_file(self, stage: Stage, upstream: SourceStage, cells: Sequence[Cell]) -> None:
        """Warn of a missing picks file, if it may have another name."""
        named = [one.upstream.file for one in self.pipeline.stages if one.upstream and one.upstream.file]
        if upstream.file is not None and upstream.file.parent.is_dir():
            document = self.pipeline.document
            found = moved_file(upstream.file, named, {key_of(cell.request) for cell in cells}, document.file)
            at = document.place((*stage.trail, "picks"))
            self.warnings += [replace(found, at=at)] if found else []

    def _prices(self, source: Cell, resolvers: Sequence[Resolver]) -> list[Decimal]:
        """The price of each image of one source cell."""
        prices = []
        for resolver in resolvers:
            for draft in drafts_of(self._of_matrix(resolver, (0, source), set())):
                try:
                    prices.append(self.pipeline.prices.of(resolver.request(draft)).usd)
                except CellProblem as error:
                    self.problems.note(error)
        return prices

    def _cell(self, stage: Stage, draft: CellDraft, ids: set[str] | None) -> Cell | None:
        identity, resolver = draft.id, draft.resolver
        try:
            if ids is not None:
                _refuse_repeated(identity, ids, resolver.matrix, stage)
            request = resolver.request(draft)
            out = path_of(stage, identity, resolver.renderer, draft.context)
            files = recipe_files_of(stage, identity, out, resolver.renderer, draft.context)
        except CellProblem as error:
            self.problems.note(draft.located(error), identity)
            return None
        if not self._takes(stage, identity, out, files):
            return None
        names, axes = resolver.names, tuple([value.scalar for value in draft.values])
        if draft.source is not None:
            names = (*(name for name, _, _ in draft.inherited), *names)
            axes = (*(scalar for _, _, scalar in draft.inherited), *axes)
        if stage.name in self.sources:
            self.data[identity] = draft.axes
        source = draft.source.id if draft.source else None
        template = resolver.template(draft)
        return Cell(self.count, identity, stage.name, names, axes, out, request, source, template, files)

    def _is_new(self, stage: Stage, block: CellBlock, combination: Combination, ids: set[str] | None) -> bool:
        """Whether no other cell of the stage has the id of this one, which is noted otherwise."""
        if ids is None:
            return True
        draft = block.draft(combination)
        try:
            _refuse_repeated(draft.id, ids, draft.resolver.matrix, stage)
        except CellProblem as error:
            self.problems.note(draft.located(error), draft.id)
            return False
        return True

    def _takes(self, stage: Stage, identity: str, out: str, files: Sequence[RecipeFile]) -> bool:
        """Whether no other cell has a path of this one, which is noted otherwise."""
        try:
            if self.paths is not None:
                self.paths.take(out, files)
        except PathTaken as error:
            if stage.name not in self.collided:  # one is enough, and looking for the other takes long
                self.collided.add(stage.name)
                self.problems.note(self._collision(stage, identity, error), identity)
            return False
        return True

    def _collision(self, stage: Stage, identity: str, taken: PathTaken) -> CellProblem:
        """The other cell with the same path, found by expanding again up to it."""
        for other in self.pipeline.stages:
            for draft in drafts_of(self._sampled(other, self._blocks(other, set()))):
                try:
                    draft.resolver.request(draft)
                    renderer, context = draft.resolver.renderer, draft.context
                    path = path_of(other, draft.id, renderer, context)
                    files = recipe_files_of(other, draft.id, path, renderer, context)
                except CellProblem:
                    continue
                if (same := first_taken(taken, path, files)) is not None:
                    return collision((draft.id, same), (identity, taken), stage, self.pipeline.document.templates)
        raise AssertionError("a path that is taken belongs to a cell")

    def _source_cell(self, source: Cell, own: Sequence[str]) -> SourceCell:
        """The values that cells inherit from their source; `own` are the names of their own axes."""
        parts = source.id.split("/")[1:]
        names = [f"source.{name}" if name in own else name for name in source.names]
        inherited = tuple(zip(names, parts, source.axes, strict=True))
        return SourceCell(source.id, key_of(source.request), source.request, self.data[source.id], inherited)

    def _check_variables(self, stage: Stage, cells: int) -> None:
        """Each cell has all variables."""
        count = len(self.pipeline.variables)
        if count * cells > MAX_COPIED:
            what = f"{count:,} variables in at least {cells:,} cells make {count * cells:,}"
            self.problems.too_many(stage, what, MAX_COPIED, 0, code="too_many_variables")

    def _check_count(self) -> None:
        total = sum(cell_count(stage) for stage in self.pipeline.stages if stage.upstream is None)
        self._check_variables(self.pipeline.stages[0], total)
        if total > self.max_cells:
            largest = max(self.pipeline.stages, key=cell_count)
            axes = " x ".join(str(len(axis.values)) for axis in largest.axes)
            self.problems.too_many(
                largest, f"the matrix has {total:,} cells ({largest.name}: {axes})", self.max_cells, total
            )


def _indexes(matrix: Matrix, identity: str | None) -> list[list[int]]:
    """For each axis the indexes of its values, or of those alone that are allowed in an id."""
    axes = matrix.axes
    if identity is None:
        return [list(range(len(axis.values))) for axis in axes]
    parts = identity.split("/")[-len(axes) :] if axes else []
    return [
        [index for index, value in enumerate(axis.values) if value.is_dynamic or value.part == part]
        for axis, part in zip(axes, parts, strict=True)
    ]


def _named_parts(draft: CellDraft) -> list[tuple[str, str]]:
    own = zip(draft.resolver.names, [value.part for value in draft.values], strict=True)
    return [*((name, part) for name, part, _ in draft.inherited), *own]


def _may_repeat(stage: Stage) -> bool:
    """Whether two cells of a stage could have one id: axes of one matrix alone cannot make that."""
    dynamic = any(value.is_dynamic for matrix in stage.matrices for axis in matrix.axes for value in axis.values)
    return len(stage.matrices) > 1 or dynamic


def _refuse_repeated(identity: str, ids: set[str], matrix: Matrix, stage: Stage) -> None:
    if identity in ids:
        message = f"two cells of the stage `{stage.name}` have the id {identity}"
        raise CellProblem("repeated_cell", message, matrix.trail, hint="remove one of the two")
    ids.add(identity)
