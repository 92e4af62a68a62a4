"""Picks: decisions about cells are written into picks files, and picked cells are drawn on another variant."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from krea_pipe.app import flow
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.matrix.picking import best_of, check_count, decided_cells, named_cells, picks_file
from krea_pipe.pipeline.editing.edits import add_stage
from krea_pipe.pipeline.editing.pick_changes import change_picks
from krea_pipe.pipeline.editing.picks import Pick, Picks, parse_picks, read_picks
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.home import open_home
from krea_pipe.store.lock import exclusive, picks_lock


class Decision(TypedDict):
    """What is said about cells, given by ids or expressions.

    `remove` takes back what was said before. `best_of` is an axis: of picks that differ in it alone, those with fewer
    stars are dropped.
    """

    cells: tuple[str, ...]
    stars: int | None
    note: str
    reject: bool
    remove: bool
    best_of: str | None


def decide(
    file: Path, stage: str, decision: Decision, target: Path | None, environment: Mapping[str, str]
) -> tuple[Path, tuple[Pick, ...]]:
    """Write a decision about cells of a stage into its picks file.

    Args:
        file: the pipeline.
        stage: whose cells are meant.
        decision: what is said about which of them.
        target: another picks file than the pipeline names.
        environment: where the home folder may be named, whose lock is held meanwhile.

    Returns:
        The picks file, and the picks that it has then.

    Raises:
        UsageError: the decision contradicts itself, or names nothing. InvalidInput: a file cannot be read.
        StateError: the picks file cannot be written.
    """
    if (decision["reject"] and decision["remove"]) or not (decision["cells"] or decision["best_of"]):
        both = decision["reject"] and decision["remove"]
        message = "--reject and --remove contradict each other" if both else "nothing was picked"
        raise UsageError(Problem("usage", message, hint=None if both else "name cells, or use --best-of AXIS"))
    loaded = flow.load_pipeline(file)
    path = target or picks_file(loaded.pipeline, stage)
    found = flow.stage_cells(loaded, stage)
    with exclusive(picks_lock(open_home(environment, file))):
        return path, _rewrite(path, stage, decision, loaded, found).picks


def _rewrite(path: Path, stage: str, decision: Decision, loaded: flow.Loaded, found: Sequence[flow.KeyedCell]) -> Picks:
    """Write the decision down; what the file holds then."""
    text = before = _read(path)
    if decision["cells"]:
        text = _changed(text, path, stage, decision, loaded, found)
    if decision["best_of"] is not None:
        dropped = best_of(_held(text, path), found, decision["best_of"])
        text = change_picks(text, stage, remove=dropped, file=path) if dropped else text
    picks = parse_picks(text or "", path)
    if before is None or len(picks.picks) > len(parse_picks(before, path).picks):  # a file with too many can be thinned
        check_count(loaded.pipeline, stage, picks, path)
    write_atomically(path.resolve(), (text or "").encode())
    return picks


def _changed(
    text: str | None, path: Path, stage: str, decision: Decision, loaded: flow.Loaded, found: Sequence[flow.KeyedCell]
) -> str:
    if decision["remove"]:
        ids = decided_cells(_held(text, path), found, stage, decision["cells"], loaded.pipeline)
        return change_picks(text, stage, remove=ids, file=path)
    ids = named_cells(found, stage, decision["cells"], loaded.pipeline)
    chosen = [Pick(one, decision["stars"], decision["note"]) for one in ids]
    if decision["reject"]:
        return change_picks(text, stage, reject=chosen, file=path)
    return change_picks(text, stage, add=chosen, file=path)


def _read(path: Path) -> str | None:
    """The text of a picks file, line ends and all; None when it is not there.

    Raises:
        InvalidInput: it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return read_picks(path).document.text  # which says what is wrong with it


def _held(text: str | None, path: Path) -> Picks:
    """The decisions of a picks file.

    Raises:
        UsageError: there is no such file.
    """
    if text is None:
        raise UsageError(Problem("no_picks", f"{path} is not there yet", hint="pick cells first"))
    return parse_picks(text, path)


@dataclass(frozen=True, slots=True)
class PromotionEdit:
    """An edit of a pipeline file: its text before and after, and the name of the new stage."""

    before: str
    after: str
    stage: str


def promote_picks(file: Path, stage: str, variant: str, name: str | None, *, writes: bool) -> PromotionEdit:
    """Add a stage to a pipeline file that draws the picked cells of another on another variant.

    Args:
        file: the pipeline.
        stage: the stage with the picks.
        variant: what to draw on.
        name: the name of the new stage, by default `STAGE-VARIANT`.
        writes: write the file.

    Returns:
        The text of the file before and after, and the name of the new stage.

    Raises:
        InvalidInput: the file cannot be read, or edited. StateError: it cannot be written.
    """
    loaded = flow.load_pipeline(file)
    picks = Path(os.path.relpath(picks_file(loaded.pipeline, stage), file.resolve().parent)).as_posix()
    text = file.read_bytes().decode()  # as it is, with its line ends and any mark of its encoding
    promotion = add_stage(text, stage, variant, picks_file=picks, name=name, file=file)
    if writes:
        write_atomically(file.resolve(), promotion.text.encode())
    return PromotionEdit(text, promotion.text, promotion.stage)
