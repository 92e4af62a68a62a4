"""Takes of a cell: the same request with other seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from krea_pipe.core.errors import NothingSelected, Problem, UsageError
from krea_pipe.core.fields import MAX_SEED
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import Key, key_of
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.selecting import matching
from krea_pipe.matrix.selection import parse_selection
from krea_pipe.pipeline.cell_ids import Scalar
from krea_pipe.pipeline.model import Matrix, Pipeline, Rule, Stage

TAKES_FOLDER = "rerolls"
"""The folder of takes, below the output folder."""
NAMED = "{}-reroll"
"""The name under which the takes of a pipeline are reported, and their requests remembered."""
MAX_TAKES = 100
"""New takes of a cell in one run."""
_AXES = ("seed", "take", "reroll")

_KeyedCells: TypeAlias = Sequence[tuple[Cell, Key]]


@dataclass(frozen=True, slots=True)
class Takes:
    """The takes of one cell.

    Args:
        cell: the cell as the file has it now.
        given: the seed that it has without a patch for it alone; None is no seed.
        new: the other seeds that are proposed, in order.
    """

    cell: Cell
    given: int | None
    new: tuple[int, ...]

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """Every seed, first the one that the cell had at first."""
        return tuple(dict.fromkeys((self.given, self.cell.request.seed, *self.new)))


def named_or_matching(
    found: _KeyedCells,
    words: Sequence[str],
    pipeline: Pipeline,
    statuses: Mapping[Key, str],
    failed: Mapping[str, tuple[str, ...]],
) -> _KeyedCells:
    """The cells that ids, ends of ids or expressions mean, in the order of the file.

    Args:
        found: all cells, with their keys.
        words: what a person wrote; an id, or an end of exactly one id, comes before an expression.
        pipeline: what the cells are of.
        statuses: the status of each request, for expressions that test it.
        failed: the checks that the image of each cell does not pass, by the cell's id, for the same.

    Raises:
        NothingSelected: one of them means none. UsageError: an expression cannot be read.
    """
    ids = [cell.id for cell, _ in found]
    taken = set[str]()
    for word in words:
        wanted = word.strip("/")
        ends = [one for one in ids if one == wanted] or [one for one in ids if one.endswith(f"/{wanted}")]
        if len(ends) == 1:
            taken.update(ends)
            continue
        try:
            chosen = matching(found, parse_selection([word], ()), pipeline, statuses, failed)
            taken.update(cell.id for cell, _ in chosen)
        except NothingSelected as error:
            problem = replace(error.problems[0], message=f"no cell matches `{word}`")
            raise NothingSelected(problem) from error
    return [one for one in found if one[0].id in taken]


def without_own_seed(cells: Iterable[Cell], pipeline: Pipeline) -> list[Problem]:
    """Why some cells cannot be rerolled, in their order: their seed is not their own.

    Args:
        cells: the cells.
        pipeline: what they are of.

    Returns:
        A problem for each cell whose seed comes from the image that it promotes, or that is one of several without.
    """
    stages = {stage.name: stage for stage in pipeline.stages}
    problems = []
    for cell in cells:
        at = pipeline.document.key_place(stages[cell.stage].trail)
        if stages[cell.stage].promotes:
            message = f"{cell.id} has the seed of {cell.source}, which it promotes"
            problems.append(Problem("promoted", message, at, f"reroll {cell.source}"))
        elif cell.request.take is not None:
            message = f"{cell.id} is one of several images without a seed"
            problems.append(Problem("no_seed", message, at, "for more of them, increase `takes:`"))
    return problems


def without_own_seeds(pipeline: Pipeline, cells: Iterable[Cell]) -> Pipeline:
    """A pipeline without the patches that set the seed of one of some cells, and nothing else.

    Args:
        pipeline: the pipeline.
        cells: the cells; patches in other stages stay.
    """
    names = {cell.stage for cell in cells}
    stages = tuple(_without_seeds(stage) if stage.name in names else stage for stage in pipeline.stages)
    return replace(pipeline, stages=stages)


def _without_seeds(stage: Stage) -> Stage:
    matrices = tuple(
        replace(matrix, patch=tuple(rule for rule in matrix.patch if not _is_of_one(rule, matrix, stage)))
        for matrix in stage.matrices
    )
    return replace(stage, matrices=matrices)


def _is_of_one(rule: Rule, matrix: Matrix, stage: Stage) -> bool:
    """Whether a patch sets the seed alone, and is for one cell as `when_of` names it."""
    plain = [axis.name for axis in matrix.axes if not any(value.is_dynamic for value in axis.values)]
    needs_test = stage.upstream is not None or len(plain) < len(matrix.axes) or not plain
    names_all = all(len(rule.matches.get(name, ())) == 1 for name in plain)
    return rule.sets.keys() == {"seed"} and names_all and (rule.condition is not None) == needs_test


def takes_of(chosen: Sequence[Cell], found: Sequence[Cell], given: Mapping[str, int | None], count: int) -> list[Takes]:
    """Propose new seeds: the next ones above all that cells of the stage have without patches of their own.

    The seeds depend on the file alone, so that a second proposal begins with the takes of the first.

    Args:
        chosen: the cells to reroll.
        found: all cells of the pipeline.
        given: the seed of each cell without a patch of its own, by id.
        count: how many new seeds each cell gets.

    Raises:
        UsageError: there are not so many seeds.
    """
    top: dict[str, int] = {}
    for cell in found:
        top[cell.stage] = max(top.get(cell.stage, 0), given[cell.id] or 0)
    takes = []
    for cell in chosen:
        first = top[cell.stage] + 1
        if first + count - 1 > MAX_SEED:
            hint = "use smaller seeds in the file, or write a seed into a patch by hand"
            raise UsageError(Problem("out_of_range", f"there are no {count} seeds above {first - 1}", hint=hint))
        takes.append(Takes(cell, given[cell.id], tuple(range(first, first + count))))
    return takes


def axis_of(cells: Iterable[Cell]) -> str:
    """The name of the axis that tells takes apart, which no cell has."""
    taken = {name for cell in cells for name in cell.names}
    return next(name for name in (*_AXES, f"reroll of {len(taken)} axes") if name not in taken)


def take_cells(takes: Takes, axis: str, position: int) -> list[tuple[Cell, Key]]:
    """The takes as cells, which are beside each other in a folder and differ in one axis.

    Args:
        takes: the takes of a cell.
        axis: the name of that axis.
        position: the place of the first one among all.

    Returns:
        Each with the key of its request; the one that the file has keeps its id.
    """
    cell, found = takes.cell, []
    original: Scalar = takes.given if axis == _AXES[0] else "original"
    for place, seed in enumerate(takes.seeds):
        part = "none" if seed is None else f"s{seed}"
        request = cell.request._replace(seed=seed)
        one = cell._replace(
            position=position + place,
            id=cell.id if seed == cell.request.seed else f"{cell.id}/{part}",
            names=(*cell.names, axis),
            axes=(*cell.axes, original if seed == takes.given else seed),
            out=f"{TAKES_FOLDER}/{cell.id}/{part}",
            request=request,
            files=(),
        )
        found.append((one, key_of(request)))
    return found


def when_of(cell: Cell, source: Cell | None, stage: Stage) -> dict[str, Json]:
    """The conditions of a rule that is about one cell.

    Args:
        cell: the cell.
        source: the cell that it is generated for, if there is one.
        stage: its stage.

    Returns:
        The value of each axis; an expression for the source, and for values that depend on others.
    """
    skipped = 0 if source is None else len(source.names)
    own = dict(zip(cell.names[skipped:], cell.axes[skipped:], strict=True))
    dynamic = {axis.name for axis in stage.axes if any(value.is_dynamic for value in axis.values)}
    tests = [] if source is None else [f"source.id == {_quoted(source.id)}"]
    tests += [f"{name} == {_quoted(value)}" for name, value in own.items() if name in dynamic]
    when: dict[str, Json] = {name: value for name, value in own.items() if name not in dynamic}
    if tests or not when:
        when["if"] = " and ".join(tests) or "true"
    return when


def _quoted(value: Json) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
