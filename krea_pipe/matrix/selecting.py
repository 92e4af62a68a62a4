"""Which cells of an expansion a selection takes, and what those need."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from krea_pipe.core.errors import NothingSelected, Problem
from krea_pipe.core.request import Key, key_of
from krea_pipe.matrix.cell import Cell, Waiting
from krea_pipe.matrix.matrix import Expansion
from krea_pipe.matrix.selection import Selection, Subject
from krea_pipe.pipeline.cell_ids import Scalar, label_of
from krea_pipe.pipeline.model import Pipeline, Stage
from krea_pipe.pipeline.references import Fingerprints

STATUSES = ("new", "reused", "pending", "uncertain", "failed")

Found = Sequence[tuple[Cell, Key]]


@dataclass(frozen=True, slots=True)
class Drawable:
    """The cells of a pipeline that can be drawn, with their keys; the stages that wait, and all that cannot begin."""

    found: Found
    waiting: tuple[Waiting, ...]
    idle: frozenset[str]


def drawable(pipeline: Pipeline, fingerprints: Fingerprints, max_cells: int) -> Drawable:
    """Make every cell of a pipeline.

    Raises:
        InvalidInput: with every problem.
    """
    expansion = Expansion(pipeline, fingerprints, max_cells)
    found = [(cell, key_of(cell.request)) for cell in expansion.cells()]
    idle = behind_waiting(pipeline.stages, [one.stage for one in expansion.waiting])
    shown = [one for one in found if one[0].stage not in idle]
    return Drawable(shown, tuple(expansion.waiting), frozenset(idle))


def selected(found: Found, selection: Selection, pipeline: Pipeline, statuses: Mapping[Key, str]) -> Found:
    """The cells that a selection takes, in their order, with those whose images they need.

    Raises:
        NothingSelected: it takes none. UsageError: it names what is not there.
    """
    if selection.is_all:
        return found
    names = {name for cell, _ in found for name in cell.names}
    names |= {axis.name for stage in pipeline.stages for axis in stage.axes}
    selection.check_names([stage.name for stage in pipeline.stages], names, STATUSES)
    selection.check_values(_values(pipeline))
    labels = _labels(pipeline)
    chosen = [selection.takes(_subject(cell, labels, statuses.get(key, ""))) for cell, key in found]
    if not any(chosen):
        raise NothingSelected(
            Problem("nothing_selected", "no cell fits what was selected", hint=_hint(found, pipeline))
        )
    taken = {key for (_, key), is_chosen in zip(found, chosen, strict=True) if is_chosen}
    needed = _with_upstream(taken, {key: cell for cell, key in found}) - taken
    return [one for one, is_chosen in zip(found, chosen, strict=True) if is_chosen or one[1] in needed]


def _hint(found: Found, pipeline: Pipeline) -> str:
    drawn = {cell.stage for cell, _ in found}
    waiting = [f"`{one.name}`" for one in pipeline.stages if one.name not in drawn]
    words = "a word means a whole part of an id, *word* also a piece of one"
    if not waiting:
        return f"show all cells with `krea-pipe expand`; {words}"
    verb = "waits" if len(waiting) == 1 else "wait"
    return f"{', '.join(waiting)} {verb} for picks, so nothing of that can be drawn yet; {words}"


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


def _subject(cell: Cell, labels: Mapping[tuple[str, str], str], status: str) -> Subject:
    parts = cell.id.split("/")[1:]
    axes = {
        name: (part, labels.get((name, part), label_of(scalar)), label_of(scalar))
        for name, part, scalar in zip(cell.names, parts, cell.axes, strict=True)
    }
    return Subject(cell.id, cell.stage, axes, status)


def _values(pipeline: Pipeline) -> dict[str, list[tuple[str, ...]]]:
    """The values of the axes that the file alone tells, as they may be named."""
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


def row_subject(identity: str, stage: str, axes: Mapping[str, Scalar], status: str) -> Subject:
    """A row of a report as a selection sees it."""
    parts = identity.split("/")[1:]
    texts = {name: (part, label_of(scalar)) for (name, scalar), part in zip(axes.items(), parts, strict=False)}
    return Subject(identity, stage, texts, status)
