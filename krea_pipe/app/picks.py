"""Picks: decisions about cells are written into picks files, and picked cells are generated with another variant."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from krea_pipe.app import flow
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.matrix.pick_matching import Matched, moved_file
from krea_pipe.matrix.picking import best_of, check_count, decided_cells, match_cells, named_cells, picks_file
from krea_pipe.pipeline.editing.edits import add_stage
from krea_pipe.pipeline.editing.pick_changes import change_picks
from krea_pipe.pipeline.editing.picks import Pick, Picks, parse_picks, read_picks
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.git_attributes import keep_both_sides
from krea_pipe.store.home import open_home
from krea_pipe.store.lock import exclusive, picks_lock


class Decision(TypedDict):
    """A decision about cells, given by ids or expressions.

    `remove` takes back what was said before. `best_of` is an axis: of picks that differ in it alone, those with fewer
    stars are dropped.
    """

    cells: tuple[str, ...]
    stars: int | None
    note: str
    reject: bool
    remove: bool
    best_of: str | None


@dataclass(frozen=True, slots=True)
class Decided:
    """A picks file after a change, and its picks by the ids that cells have now.

    `attributes` is the `.gitattributes` to which a line was added. `renamed` gives the new id for each old one.
    `warnings` say what is probably a mistake.
    """

    file: Path
    picks: tuple[Pick, ...]
    attributes: Path | None = None
    renamed: Mapping[str, str] | None = None
    warnings: tuple[Problem, ...] = ()


def decide(file: Path, stage: str, decision: Decision, target: Path | None, environment: Mapping[str, str]) -> Decided:
    """Write a decision about cells of a stage to its picks file.

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
        message = "--reject and --remove cannot be combined" if both else "nothing was picked"
        raise UsageError(Problem("usage", message, hint=None if both else "specify cells, or use --best-of AXIS"))
    loaded = flow.load_pipeline(file)
    path = target or picks_file(loaded.pipeline, stage)
    change = _Change(loaded, stage, path, flow.stage_cells(loaded, stage))
    with exclusive(picks_lock(open_home(environment, file))):
        warnings = change.warnings() if target is None else ()
        picks = change.decide(decision)
    return Decided(path, picks, keep_both_sides(path, environment), warnings=warnings)


def rename_picks(
    file: Path, stage: str, names: tuple[str, str] | None, target: Path | None, environment: Mapping[str, str]
) -> Decided:
    """Write the ids that cells have now into a picks file.

    Args:
        file: the pipeline.
        stage: whose cells are meant.
        names: an id, or parts of ids, and what they are now; None takes every cell that is found by its request.
        target: another picks file than the pipeline names.
        environment: where the home folder may be named, whose lock is held meanwhile.

    Returns:
        The picks file, the picks that it has then, and which ids are new.

    Raises:
        UsageError: there is no such decision, or no such cell. InvalidInput: a file cannot be read.
        StateError: the picks file cannot be written.
    """
    loaded = flow.load_pipeline(file)
    path = target or picks_file(loaded.pipeline, stage)
    change = _Change(loaded, stage, path, flow.stage_cells(loaded, stage))
    with exclusive(picks_lock(open_home(environment, file))):
        renamed, picks = change.rename(names)
    return Decided(path, picks, keep_both_sides(path, environment) if renamed else None, renamed)


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of the picks file of a stage; `found` are the cells of the stage."""

    loaded: flow.Loaded
    stage: str
    path: Path
    found: Sequence[flow.KeyedCell]

    def decide(self, decision: Decision) -> tuple[Pick, ...]:
        """Write a decision down; the picks that the file has then."""
        before = text = _read(self.path)
        count = 0 if text is None else len(self._matched(text).picks)
        if decision["cells"]:
            text = self._decided(text, decision)
        if decision["best_of"] is not None:
            self._held(text)
            dropped = best_of(self._matched(text or ""), self.found, decision["best_of"])
            text = change_picks(text, remove=dropped, keys=self._keys(text), file=self.path) if dropped else text
        matched = self._matched(text or "")
        if before is None or len(matched.picks) > count:  # a file with too many can be thinned
            check_count(self.loaded.pipeline, self.stage, len(matched.picks), self.path)
        write_atomically(self.path.resolve(), (text or "").encode())
        return self._shown(matched, text or "")

    def rename(self, names: tuple[str, str] | None) -> tuple[dict[str, str], tuple[Pick, ...]]:
        """Write other ids down; those that are new, and the picks that the file has then."""
        text = _read(self.path)
        picks = self._held(text)
        matched = self._matched(text or "")
        renamed = matched.renamed if names is None else self._renamed(picks, *names)
        if renamed:
            keys = {cell.id: key for cell, key in self.found}
            text = change_picks(text, rename=renamed, keys=keys, file=self.path)
            matched = self._matched(text)
            write_atomically(self.path.resolve(), text.encode())
        return renamed, self._shown(matched, text or "")

    def warnings(self) -> tuple[Problem, ...]:
        """The warning about a missing picks file that may have another name."""
        if self.path.exists() or not self.path.parent.is_dir():
            return ()
        pipeline = self.loaded.pipeline
        named = [one.upstream.file for one in pipeline.stages if one.upstream and one.upstream.file]
        keys = {key for _, key in self.found}
        moved = moved_file(self.path, named, keys, pipeline.document.file)
        return (moved,) if moved else ()

    def _renamed(self, picks: Picks, old: str, new: str) -> dict[str, str]:
        """The ids of decisions that one id, or parts of ids, become.

        Raises:
            UsageError: no decision has the old one, or one would get an id that is not free, or of no cell.
        """
        cells = {cell.id for cell, _ in self.found}
        ids = [one.id for one in picks.decisions]
        others = {one: _with_parts(one, old, new) for one in ids}
        renamed = {old: new} if old in ids else {one: name for one, name in others.items() if name != one}
        if not renamed:
            message = f"{self.path.name} contains no decision about `{old}`"
            raise UsageError(Problem("unknown_pick", message, hint="specify an id from the file, or parts of ids"))
        kept = set(ids) - renamed.keys()
        for name in renamed.values():
            if name not in cells:
                message = f"`{name}` is not a cell of the stage `{self.stage}`"
                raise UsageError(Problem("unknown_cell", message, hint="list the cells with `krea-pipe expand`"))
            if name in kept:
                message = f"{self.path.name} already contains a decision about `{name}`"
                hint = f"remove one of them: krea-pipe pick FILE {self.stage} {name} --remove"
                raise UsageError(Problem("decided_twice", message, hint=hint))
        return renamed

    def _decided(self, text: str | None, decision: Decision) -> str:
        """The text with a decision about cells."""
        pipeline, words = self.loaded.pipeline, decision["cells"]
        keys = self._keys(text)
        if decision["remove"]:
            picks = self._held(text)
            ids = decided_cells(picks, self._matched(text or ""), self.found, self.stage, words, pipeline)
            return change_picks(text, remove=ids, keys=keys, file=self.path)
        matched = self._matched(text or "")
        words = tuple(matched.renamed.get(word, word) for word in words)  # an id that the file has is a cell's
        ids = named_cells(self.found, self.stage, words, pipeline)
        rename = {old: new for old, new in matched.renamed.items() if new in ids}
        chosen = [Pick(one, decision["stars"], decision["note"]) for one in ids]
        keys |= {cell.id: key for cell, key in self.found if cell.id in ids}
        if decision["reject"]:
            return change_picks(text, reject=chosen, rename=rename, keys=keys, file=self.path)
        return change_picks(text, add=chosen, rename=rename, keys=keys, file=self.path)

    def _matched(self, text: str) -> Matched:
        return match_cells(parse_picks(text, self.path), self.found, self.stage, self.loaded.pipeline)

    def _keys(self, text: str | None) -> dict[str, str]:
        """The key of what each decision is about, by the id that the file has."""
        keys = {cell.id: key for cell, key in self.found}
        decisions = self._matched(text or "").decisions
        return {pick.id: keys[cell] for cell, pick in decisions.items()}

    def _held(self, text: str | None) -> Picks:
        """The decisions of the file.

        Raises:
            UsageError: there is no such file.
        """
        if text is None:
            raise UsageError(Problem("no_picks", f"{self.path} does not exist yet", hint="pick cells first"))
        return parse_picks(text, self.path)

    def _shown(self, matched: Matched, text: str) -> tuple[Pick, ...]:
        """All picks in the order of the file, with the ids that cells have now."""
        renamed = matched.renamed
        return tuple(replace(one, id=renamed.get(one.id, one.id)) for one in parse_picks(text, self.path).picks)


def _with_parts(identity: str, old: str, new: str) -> str:
    """An id with other parts in place of some that follow each other."""
    return f"/{identity}/".replace(f"/{old}/", f"/{new}/", 1).strip("/")


def _read(path: Path) -> str | None:
    """The text of a picks file, line ends and all; None if it is missing.

    Raises:
        InvalidInput: it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return read_picks(path).document.text  # which says what is wrong with it


@dataclass(frozen=True, slots=True)
class PromotionEdit:
    """An edit of a pipeline file: its text before and after, and the name of the new stage."""

    before: str
    after: str
    stage: str


def promote_picks(file: Path, stage: str, variant: str, name: str | None, *, writes: bool) -> PromotionEdit:
    """Add a stage to a pipeline file that generates the picked cells of another on another variant.

    Args:
        file: the pipeline.
        stage: the stage with the picks.
        variant: the new variant.
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
