"""Which cells a decision is about, and the best of those that differ in one axis alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from krea_pipe.core.errors import InvalidInput, NothingSelected, Problem, UsageError
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.pick_matching import Matched, decided_twice, match_picks
from krea_pipe.matrix.selecting import selected
from krea_pipe.matrix.selection import Selection, Subject, Wanted, on_id, parse_selection
from krea_pipe.pipeline.editing.picks import Pick, Picks
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.pipeline.spec.hints import suggestion

_KeyedCell: TypeAlias = tuple[Cell, Key]


def picks_file(pipeline: Pipeline, stage: str) -> Path:
    """The picks file of a stage: the one that a chained stage names, or `picks/STAGE.yaml`.

    Raises:
        UsageError: there is no such stage.
    """
    known = [one.name for one in pipeline.stages]
    if stage not in known:
        raise UsageError(Problem("unknown_stage", f"there is no stage `{stage}`", hint=suggestion(stage, known)))
    upstreams = (one.upstream for one in pipeline.stages if one.upstream is not None)
    named = [one.file for one in upstreams if one.stage == stage and one.file is not None]
    return named[0] if named else pipeline.document.file.resolve().parent / "picks" / f"{stage}.yaml"


def match_cells(picks: Picks, found: Sequence[_KeyedCell], stage: str, pipeline: Pipeline) -> Matched:
    """The cells of the decisions in a picks file.

    Args:
        picks: the file.
        found: the cells of the stage, with their keys.
        stage: the name of the stage.
        pipeline: what the cells are of.

    Raises:
        UsageError: the file is about other stages. InvalidInput: a cell is decided twice.
    """
    names = [one.name for one in pipeline.stages]
    file = picks.document.file
    if picks.is_of_others(stage, names):
        message = f"{file.name} contains picks of {picks.stages_said}, not of `{stage}`"
        at = picks.document.place(picks.decisions[0].trail if picks.decisions else ())
        raise UsageError(Problem("other_stage", message, at, "use the picks file of that stage"))
    keys = {cell.id: key for cell, key in found if cell.stage == stage}
    matched = match_picks(picks, keys, keys.__getitem__, stage, names)
    if problems := decided_twice(picks, matched):
        raise InvalidInput(*problems)
    return matched


def check_count(pipeline: Pipeline, stage: str, count: int, file: Path) -> None:
    """Refuse more picks in a file than a stage takes that is generated for them.

    Raises:
        UsageError: they are too many.
    """
    upstreams = ((one.name, one.upstream) for one in pipeline.stages if one.upstream is not None)
    mosts = [(one.wants[1], name) for name, one in upstreams if one.stage == stage and one.file == file.resolve()]
    for most, name in mosts:
        if most is not None and count > most:
            message = f"{file.name} would contain {count} picks; the stage `{name}` accepts at most {most}"
            hint = "pick fewer, add --best-of AXIS, or raise `max`; nothing was written"
            raise UsageError(Problem("too_many", message, hint=hint))


def named_cells(found: Sequence[_KeyedCell], stage: str, words: Sequence[str], pipeline: Pipeline) -> list[str]:
    """The ids of the cells of a stage that match ids or expressions, each of which must match at least one.

    Args:
        found: all cells of the pipeline, with their keys.
        stage: the name of the stage.
        words: ids, or expressions of `--select`.
        pipeline: what the cells are of.

    Raises:
        NothingSelected: one of them means none. UsageError: an expression cannot be read, or asks for a status.
    """
    own = [one for one in found if one[0].stage == stage]
    ids: dict[str, None] = {}
    for word in words:
        try:
            chosen = selected(own, _expression(word), pipeline, {})
        except NothingSelected as error:
            hint = suggestion(word, [cell.id for cell, _ in own]) or "list the cells with `krea-pipe expand`"
            raise NothingSelected(_fits_none(stage, word, hint)) from error
        ids.update(dict.fromkeys(cell.id for cell, _ in chosen))
    return list(ids)


def decided_cells(
    picks: Picks, matched: Matched, found: Sequence[_KeyedCell], stage: str, words: Sequence[str], pipeline: Pipeline
) -> list[str]:
    """The ids in a picks file that ids or expressions mean, as the file has them, also of cells that no longer exist.

    Raises:
        NothingSelected: one of them means none. UsageError: as of `named_cells`.
    """
    decided = [one.id for one in picks.decisions]
    now: dict[str, list[str]] = {}
    for pick, cell in matched.cells.items():
        now.setdefault(cell, []).append(pick.id)
    ids: dict[str, None] = {}
    for word in words:
        meant = [word] if word in decided else [one for one in decided if one not in now and _is_named(word, one)]
        if word not in decided:
            try:
                cells = named_cells(found, stage, [word], pipeline)
                meant += [one for cell in cells for one in now.get(cell, ())]
            except (NothingSelected, UsageError):
                if not meant:
                    raise
        if not meant:
            hint = f"{picks.document.file.name} has no decision about it"
            raise NothingSelected(_fits_none(stage, word, hint))
        ids.update(dict.fromkeys(meant))
    return list(ids)


def _is_named(word: str, identity: str) -> bool:
    """Whether a word is the end of an id, some of its parts or a glob of them."""
    return identity.endswith(f"/{word}") or on_id(Wanted(word.strip("/")))(Subject(identity, "", {}))


def _expression(word: str) -> Selection:
    selection = parse_selection([word], ())
    if selection.needs_results:
        hint = "pick by id, stage or axis"
        raise UsageError(Problem("bad_selection", f"cells cannot be picked by {selection.needs_results}", hint=hint))
    return selection


def _fits_none(stage: str, word: str, hint: str) -> Problem:
    return Problem("nothing_selected", f"no cell of the stage `{stage}` matches {word}", hint=hint)


def best_of(matched: Matched, found: Sequence[_KeyedCell], axis: str) -> list[str]:
    """The picks to drop so that of those that differ in one axis alone the one with the most stars is left.

    Args:
        matched: the decisions of a picks file; the first in it wins a tie.
        found: all cells of the pipeline, with their keys.
        axis: the name of the axis.

    Returns:
        The ids to drop, as the file has them.

    Raises:
        UsageError: no cell has such an axis, or picks that compete have no stars.
    """
    cells = {cell.id: cell for cell, _ in found}
    names = {name for cell, _ in found for name in cell.names}
    if axis not in names:
        raise UsageError(Problem("unknown_axis", f"there is no axis `{axis}`", hint=suggestion(axis, names)))
    groups: dict[tuple[object, ...], list[Pick]] = {}
    for identity, pick in matched.picks.items():
        cell = cells[identity]
        values = zip(cell.names, cell.axes, strict=True)
        groups.setdefault(tuple((name, value) for name, value in values if name != axis), []).append(pick)
    dropped = []
    for group in groups.values():
        best = max(group, key=lambda one: one.stars or 0)
        if len(group) > 1 and best.stars is None:
            rivals = ", ".join(one.id for one in group)
            hint = "add stars first: krea-pipe pick FILE STAGE CELL --stars 5"
            raise UsageError(Problem("no_stars", f"none of these has stars: {rivals}", hint=hint))
        dropped += [one.id for one in group if one is not best]
    return dropped
