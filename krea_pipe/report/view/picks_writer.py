"""Writes decisions from the page into the picks files, one after the other."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, Problem, StateError, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.matrix.pick_matching import Matched
from krea_pipe.matrix.picking import check_count, picks_file
from krea_pipe.pipeline.editing.pick_changes import PicksEdit, change_picks
from krea_pipe.pipeline.editing.picks import MAX_STARS, Pick, parse_picks, read_picks
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.report.decisions import RunStage, StageDecisions, add_merge_rule, draft_of, read_stage, stage_of
from krea_pipe.report.model import Report
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.lock import exclusive

_MAX_REQUEST_CELLS = 10_000
_LISTS = ("add", "reject", "remove")
FIELDS = ("id", "stars", "note")


@dataclass(frozen=True, slots=True)
class _CellDecision:
    """A decision about one cell.

    Of `stars` and `note` those named by `said` are set, also to nothing.
    """

    id: str
    stars: int | None = None
    note: str = ""
    said: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _PicksChange:
    """Decisions that are made at once."""

    add: tuple[_CellDecision, ...] = ()
    reject: tuple[_CellDecision, ...] = ()
    remove: tuple[str, ...] = ()

    @property
    def ids(self) -> list[str]:
        """Every cell that is decided about."""
        return [*(one.id for one in (*self.add, *self.reject)), *self.remove]


def parse_change(data: Json) -> _PicksChange:
    """A change as a page sends it.

    Raises:
        UsageError: it is not a change.
    """
    if not isinstance(data, dict) or not data or data.keys() - set(_LISTS):
        raise _bad_change("a change must be an object with `add`, `reject` or `remove`")
    lists: dict[str, list[Json]] = {}
    for name in _LISTS:
        found = data.get(name, [])
        if not isinstance(found, list) or len(found) > _MAX_REQUEST_CELLS:
            raise _bad_change(f"`{name}` must be a list of at most {_MAX_REQUEST_CELLS:,} entries")
        lists[name] = found
    add, reject = (tuple(map(_decision, lists[name])) for name in ("add", "reject"))
    return _PicksChange(add, reject, tuple(map(_id, lists["remove"])))


def _decision(data: Json) -> _CellDecision:
    if not isinstance(data, dict) or data.keys() - set(FIELDS):
        raise _bad_change("a decision must be an object with `id`, `stars` and `note`")
    stars, note = data.get("stars"), data.get("note")
    if stars is not None and (not isinstance(stars, int) or isinstance(stars, bool) or not 1 <= stars <= MAX_STARS):
        raise _bad_change(f"`stars` must be a number from 1 to {MAX_STARS}, or null")
    if note is not None and not isinstance(note, str):
        raise _bad_change("`note` must be text or null")
    return _CellDecision(_id(data.get("id")), stars, note or "", frozenset(data) - {"id"})


def _id(data: Json) -> str:
    if not isinstance(data, str) or not data:
        raise _bad_change("cells must be named by id")
    return data


def _bad_change(message: str) -> UsageError:
    return UsageError(Problem("bad_change", message))


def write_change(
    report: Report, folder: Path, stage: str, change: _PicksChange, *, by: str, lock: Path
) -> StageDecisions:
    """Write decisions of one person about cells of one stage into its picks file; what that holds then.

    `by` is the name of the person, "" if it is unknown. Every writer of picks files holds the lock file `lock`.

    Raises:
        UsageError: the stage or a cell is unknown, or the file cannot be edited safely.
        InvalidInput: the pipeline or the picks file makes no sense. StateError: the file cannot be written.
    """
    _check_cells(report, stage, change)
    draft = draft_of(report, folder)
    if problems := draft.problems.all():
        raise InvalidInput(*problems)
    path, of_run = picks_file(draft.pipeline, stage), stage_of(report, stage)
    with exclusive(lock):
        _rewrite(path, of_run, draft.pipeline, change, by)
        add_merge_rule(path)
    return read_stage(path, of_run, Path(folder, report.base).resolve())


def _rewrite(path: Path, stage: RunStage, pipeline: Pipeline, change: _PicksChange, by: str) -> None:
    text = _text(path)
    before = stage.matched(parse_picks(text or "", path))
    new = _changed(text, before, stage, change, by, path)
    if new is not None and new != text:
        after = stage.matched(parse_picks(new, path))
        if text is None or len(after.picks) > len(before.picks):
            check_count(pipeline, stage.name, len(after.picks), path)
        write_atomically(path.resolve(), new.encode())


def _check_cells(report: Report, stage: str, change: _PicksChange) -> None:
    if stage not in [one.name for one in report.stages]:
        raise UsageError(Problem("unknown_stage", f"there is no stage `{stage}` in this run"))
    known = {row.id for row in report.rows if row.stage == stage}
    strange = next((one for one in change.ids if one not in known), None)
    if strange is not None:
        raise UsageError(Problem("unknown_cell", f"{strange} is not a cell of the stage `{stage}` in this run"))
    twice = next((one for one, count in Counter(change.ids).items() if count > 1), None)
    if twice is not None:
        raise UsageError(Problem("contradiction", f"{twice} is named twice, but a cell can have only one decision"))


def _text(path: Path) -> str | None:
    """The text of a picks file, line ends and all; None if it is missing."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return read_picks(path).document.text  # which says what is wrong with it
    except OSError as error:
        raise StateError(Problem("file_unreadable", f"cannot read {path}: {error.strerror}")) from error


def _changed(
    text: str | None, before: Matched, stage: RunStage, change: _PicksChange, by: str, path: Path
) -> str | None:
    """The text with a change, in which decisions about cells that had another id get the one of this run."""
    held = before.by(by)
    remove = [held[one].id for one in change.remove if one in held]
    if not (change.add or change.reject or remove):
        return text
    decided = (*change.add, *change.reject)
    clear = {
        one.id: [name for name in ("stars", "note") if name in one.said and not getattr(one, name)] for one in decided
    }
    ids = {one.id for one in decided}
    keys = {pick.id: stage.keys[cell] for pick, cell in before.cells.items()} | {one: stage.keys[one] for one in ids}
    rename = {old: new for old, new in before.renamed.items() if new in ids}
    add, reject = ([Pick(one.id, one.stars, one.note) for one in some] for some in (change.add, change.reject))
    return change_picks(
        text, PicksEdit(add=add, reject=reject, remove=remove, clear=clear, rename=rename, keys=keys, by=by), path
    )
