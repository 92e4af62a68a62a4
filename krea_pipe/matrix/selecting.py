"""Which cells of an expansion a selection takes, and what those need."""

import difflib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from krea_pipe.core.errors import NothingSelected, Problem, UsageError
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell, Waiting
from krea_pipe.matrix.matrix import Expansion
from krea_pipe.matrix.selection import Selection, Subject, Wanted, on_id
from krea_pipe.pipeline.cell_ids import Scalar, label_of
from krea_pipe.pipeline.model import Pipeline, Stage
from krea_pipe.pipeline.references import Fingerprints

LISTED = 5
COMPARED = 200
"""Ids that are compared letter by letter with one that is not known."""
_STATUSES = ("new", "reused", "pending", "uncertain", "failed")

_KeyedCells = Sequence[tuple[Cell, Key]]


@dataclass(frozen=True, slots=True)
class Drawable:
    """The cells of a pipeline that can be generated, with their keys; the stages that wait or cannot begin."""

    found: _KeyedCells
    waiting: tuple[Waiting, ...]
    idle: frozenset[str]
    warnings: tuple[Problem, ...] = ()


def drawable(pipeline: Pipeline, fingerprints: Fingerprints, max_cells: int) -> Drawable:
    """Make every cell of a pipeline.

    Args:
        pipeline: what a file says.
        fingerprints: the images that it names.
        max_cells: how many cells it may have.

    Raises:
        InvalidInput: with every problem.
    """
    expansion = Expansion(pipeline, fingerprints, max_cells)
    found = list(expansion.keyed())
    idle = behind_waiting(pipeline.stages, [one.stage for one in expansion.waiting])
    shown = [one for one in found if one[0].stage not in idle]
    return Drawable(shown, tuple(expansion.waiting), frozenset(idle), tuple(expansion.warnings))


def selected(
    found: _KeyedCells,
    selection: Selection,
    pipeline: Pipeline,
    statuses: Mapping[Key, str],
    failed: Mapping[str, tuple[str, ...]] = {},
) -> _KeyedCells:
    """The cells that a selection takes, in their order, with those whose images they need.

    Args:
        found: all cells, with their keys.
        selection: what was asked for.
        pipeline: what the cells are of.
        statuses: the status of each request, for a selection that tests it; a missing key has no status.
        failed: the checks that the image of each cell does not pass, by the cell's id, for a selection that tests it.

    Raises:
        NothingSelected: it takes none. UsageError: it names something that does not exist.
    """
    if selection.is_all:
        return found
    chosen = matching(found, selection, pipeline, statuses, failed)
    taken = {key for _, key in chosen}
    ids, needed = {cell.id for cell, _ in chosen}, _with_upstream(taken, {key: cell for cell, key in found}) - taken
    return [one for one in found if one[0].id in ids or one[1] in needed]


def matching(
    found: _KeyedCells,
    selection: Selection,
    pipeline: Pipeline,
    statuses: Mapping[Key, str],
    failed: Mapping[str, tuple[str, ...]],
) -> _KeyedCells:
    """The cells that a selection takes, in their order; arguments and errors as for `selected`."""
    names = {name for cell, _ in found for name in cell.names}
    names |= {axis.name for stage in pipeline.stages for axis in stage.axes}
    checks = {check.name for stage in pipeline.stages for check in stage.checks}
    selection.check_names([stage.name for stage in pipeline.stages], names, _STATUSES, checks)
    selection.check_values(_values(pipeline))
    labels = _labels(pipeline)
    chosen = [
        selection.takes(_subject(cell, labels, statuses.get(key, ""), failed.get(cell.id, ()))) for cell, key in found
    ]
    if not any(chosen):
        raise NothingSelected(Problem("nothing_selected", "no cell matches the selection", hint=_hint(found, pipeline)))
    return [one for one, is_chosen in zip(found, chosen, strict=True) if is_chosen]


def _hint(found: _KeyedCells, pipeline: Pipeline) -> str:
    drawn = {cell.stage for cell, _ in found}
    waiting = [f"`{one.name}`" for one in pipeline.stages if one.name not in drawn]
    words = "a word matches only whole parts of an id, *word* also matches within a part"
    if not waiting:
        return f"list all cells with `krea-pipe expand`; {words}"
    verb = "waits" if len(waiting) == 1 else "wait"
    return f"{', '.join(waiting)} {verb} for picks, so its cells cannot be generated yet; {words}"


def behind_waiting(stages: Sequence[Stage], waiting: Sequence[str]) -> set[str]:
    """The stages that cannot begin because one that they need waits for picks."""
    idle, grows = set(waiting), True
    while grows:
        more = {one.name for one in stages if idle & {*one.needs, one.upstream.stage if one.upstream else ""}} - idle
        grows = bool(more)
        idle |= more
    return idle


def _with_upstream(keys: Iterable[Key], cells: Mapping[Key, Cell]) -> set[Key]:
    needed, waiting = set[Key](), list(keys)
    while waiting:
        key = waiting.pop()
        if key not in needed:
            needed.add(key)
            waiting += [one for one in cells[key].request.upstream if one in cells]
    return needed


def _subject(cell: Cell, labels: Mapping[tuple[str, str], str], status: str, failed: tuple[str, ...]) -> Subject:
    parts = cell.id.split("/")[1:]
    axes = {
        name: (part, labels.get((name, part), label_of(scalar)), label_of(scalar))
        for name, part, scalar in zip(cell.names, parts, cell.axes, strict=True)
    }
    return Subject(cell.id, cell.stage, axes, status, failed)


def _values(pipeline: Pipeline) -> dict[str, list[tuple[str, ...]]]:
    """The values of the axes that are known from the file alone, in the forms that expressions can name."""
    found: dict[str, list[tuple[str, ...]]] = {}
    dynamic = set()
    for axis in (axis for stage in pipeline.stages for axis in stage.axes):
        found.setdefault(axis.name, []).extend((one.part, one.label, label_of(one.scalar)) for one in axis.values)
        if any(one.is_dynamic for one in axis.values):
            dynamic.add(axis.name)
    return {name: values for name, values in found.items() if name not in dynamic}


def _labels(pipeline: Pipeline) -> dict[tuple[str, str], str]:
    axes = (axis for stage in pipeline.stages for axis in stage.axes)
    return {(axis.name, value.part): value.label for axis in axes for value in axis.values}


def row_subject(
    identity: str, stage: str, axes: Mapping[str, Scalar], status: str, failed: tuple[str, ...] = ()
) -> Subject:
    """A row of a report as a selection sees it."""
    parts = identity.split("/")[1:]
    texts = {name: (part, label_of(scalar)) for (name, scalar), part in zip(axes.items(), parts, strict=False)}
    return Subject(identity, stage, texts, status, failed)


def find_cell(cells: Iterable[Cell], text: str, waiting: Sequence[Waiting] = ()) -> Cell:
    """The one cell of an id, of an end of an id, or of parts or a glob that match it, whichever fits first.

    Args:
        cells: all that there are.
        text: what a person wrote.
        waiting: the stages without cells, for the hint.

    Raises:
        UsageError: no cell fits, or several do.
    """
    by_id = {cell.id: cell for cell in cells}
    wanted = text.strip("/")
    fits = on_id(Wanted(wanted))
    for found in (
        [wanted] if wanted in by_id else [],
        [one for one in by_id if one.endswith(f"/{wanted}")],
        [one for one in by_id if fits(Subject(one, "", {}))],
    ):
        if len(found) == 1:
            return by_id[found[0]]
        if found and wanted:
            raise _several(wanted, found)
    raise _unknown(wanted, list(by_id), waiting)


def _several(text: str, found: Sequence[str]) -> UsageError:
    more = f", and {len(found) - LISTED:,} more" if len(found) > LISTED else ""
    hint = f"specify one of them: {', '.join(found[:LISTED])}{more}"
    return UsageError(Problem("several_cells", f"{len(found):,} cells match `{text}`", hint=hint))


def _unknown(text: str, known: Sequence[str], waiting: Sequence[Waiting]) -> UsageError:
    near = _nearest(text, known)
    hint = f"similar ids: {', '.join(near)}" if near else "list all cells with `krea-pipe expand`"
    stage = text.partition("/")[0]
    for one in waiting:
        if one.stage == stage:
            hint = f"`{stage}` has no cells yet: it waits for picks of `{one.upstream}` in {one.file}"
    return UsageError(Problem("unknown_cell", f"there is no cell `{text}`", hint=hint))


def _nearest(text: str, known: Sequence[str]) -> list[str]:
    """The ids that are most like a text; the slow look is for those alone that share the most parts with it."""
    parts = set(text.lower().split("/"))
    closest = heapq.nlargest(COMPARED, known, key=lambda one: len(parts & set(one.lower().split("/"))))
    return difflib.get_close_matches(text, closest, n=3, cutoff=0.5)
