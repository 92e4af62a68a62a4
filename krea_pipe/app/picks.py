"""Picks: decisions about cells are written into picks files, and picked cells are generated with another variant."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from krea_pipe.app import flow
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.git import user_name
from krea_pipe.matrix.pick_matching import Matched, disputes, left_out, moved_file
from krea_pipe.matrix.picking import best_of, check_count, decided_cells, match_cells, named_cells, picks_file
from krea_pipe.pipeline.editing.edits import add_stage
from krea_pipe.pipeline.editing.pick_changes import PicksEdit, change_picks
from krea_pipe.pipeline.editing.picks import MAX_NAME, Pick, Picks, is_reviewer_name, parse_picks, read_picks
from krea_pipe.report.model import seen_from
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.git_attributes import keep_both_sides
from krea_pipe.store.home import open_home
from krea_pipe.store.lock import exclusive, picks_lock


class Decision(TypedDict):
    """A decision about cells, given by ids or expressions.

    `remove` takes back what was said before. `best_of` is an axis: of picks that differ in it alone, those with fewer
    stars are dropped. `by` is who decides, None for the name that git has. `settle` replaces everyone's decisions.
    """

    cells: tuple[str, ...]
    stars: int | None
    note: str
    reject: bool
    remove: bool
    best_of: str | None
    by: str | None
    settle: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """How many decisions of a person were new, changed and unchanged; `by` is their name, or ""."""

    by: str
    new: int
    changed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Decided:
    """A picks file after a change, and its picks by the ids that cells have now.

    `attributes` is the `.gitattributes` to which a line was added. `renamed` gives the new id for each old one.
    `warnings` say what is probably a mistake, and on which cells people do not agree.
    """

    file: Path
    picks: tuple[Pick, ...]
    attributes: Path | None = None
    renamed: Mapping[str, str] | None = None
    warnings: tuple[Problem, ...] = ()
    imported: Imported | None = None


def reviewer_name(given: str | None, folder: Path, environment: Mapping[str, str]) -> str:
    """The name that decisions carry.

    Args:
        given: the name that the user has given, None for none.
        folder: where git is asked otherwise.
        environment: the environment for git.

    Returns:
        The name, "" if neither has one.

    Raises:
        UsageError: a picks file cannot contain the given name.
    """
    if given is None:
        name = " ".join(user_name(folder, environment).split())[:MAX_NAME].strip()
        return name if is_reviewer_name(name) else ""
    if given and not is_reviewer_name(given):
        message = f"{given!r} is not a name on one line of up to {MAX_NAME} characters"
        raise UsageError(Problem("bad_name", message, hint="as in --as Ada"))
    return given


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
    by = reviewer_name(decision["by"], file.absolute().parent, environment)
    change = _change_of(file, stage, target, by)
    with exclusive(picks_lock(open_home(environment, file))):
        warnings = change.warnings() if target is None else ()
        picks, disputed = change.decide(decision)
    return Decided(change.path, picks, keep_both_sides(change.path, environment), warnings=(*warnings, *disputed))


def import_picks(
    file: Path, stage: str, source: Path, by: str | None, target: Path | None, environment: Mapping[str, str]
) -> Decided:
    """Write the decisions of a reviewer, as a page has exported them, into the picks file of a stage.

    Decisions about cells that the reviewer's file does not name stay as they are.

    Args:
        file: the pipeline.
        stage: whose cells are meant.
        source: the reviewer's file.
        by: whose decisions are taken where the file has those of several people; others get this name.
        target: another picks file than the pipeline names.
        environment: where the home folder may be named, whose lock is held meanwhile.

    Returns:
        The picks file, the picks that it has then, and how many decisions were new.

    Raises:
        UsageError: the file has decisions of several people, or none. InvalidInput: a file cannot be read.
        StateError: the picks file cannot be written.
    """
    review = read_picks(source)
    given = by if by is None else reviewer_name(by, file.absolute().parent, environment)
    name = _reviewer_of(review, given)
    change = _change_of(file, stage, target, name)
    with exclusive(picks_lock(open_home(environment, file))):
        imported, picks, warnings = change.take(review)
    return Decided(change.path, picks, keep_both_sides(change.path, environment), None, warnings, imported)


def _reviewer_of(review: Picks, given: str | None) -> str:
    """Whose decisions a reviewer's file has.

    Raises:
        UsageError: it has those of several people, or none.
    """
    file, names = review.document.file, sorted({one.by for one in review.decisions if one.by})
    if not review.decisions:
        raise UsageError(Problem("no_picks", f"{file} has no decisions", hint="export it from the page again"))
    if given is None and len(names) > 1:
        message = f"{file} has decisions by {' and '.join(names)}"
        raise UsageError(Problem("several_reviewers", message, hint=f"choose whose to import: --as {names[0]!r}"))
    if given is not None and not any(one.by in ("", given) for one in review.decisions):
        message = f"{file} has no decisions by {given or 'someone without a name'}"
        raise UsageError(
            Problem("no_picks", message, hint=f"it has those of {' and '.join(names)}; choose one with --as")
        )
    return given if given is not None else names[0] if names else ""


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
    change = _change_of(file, stage, target)
    with exclusive(picks_lock(open_home(environment, file))):
        renamed, picks = change.rename(names)
    return Decided(change.path, picks, keep_both_sides(change.path, environment) if renamed else None, renamed)


def _change_of(file: Path, stage: str, target: Path | None, by: str = "") -> "_Change":
    loaded = flow.load_pipeline(file)
    path = target or Path(seen_from(Path.cwd(), picks_file(loaded.pipeline, stage)))
    return _Change(loaded, stage, path, flow.stage_cells(loaded, stage), by)


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of the picks file of a stage; `found` are the cells of the stage, and `by` is who decides."""

    loaded: flow.Loaded
    stage: str
    path: Path
    found: Sequence[flow.KeyedCell]
    by: str = ""

    def decide(self, decision: Decision) -> tuple[tuple[Pick, ...], list[Problem]]:
        """Write a decision down; the picks that the file has then, and the cells that are disputed."""
        before = text = _read(self.path)
        count = 0 if text is None else len(self._matched(text).picks)
        if decision["cells"]:
            text = self._decided(text, decision)
        if decision["best_of"] is not None:
            self._held(text)
            matched = self._matched(text or "")
            dropped, keys = best_of(matched, self.found, decision["best_of"]), self._keys(matched)
            text = (
                change_picks(text, PicksEdit(remove=dropped, keys=keys, settles=True), self.path) if dropped else text
            )
        return self._written(text or "", count if before is not None else -1)

    def take(self, review: Picks) -> tuple[Imported, tuple[Pick, ...], tuple[Problem, ...]]:
        """Write down what a reviewer has decided; also the picks that the file has then, and what is to be said."""
        text = _read(self.path)
        given = match_cells(review, self.found, self.stage, self.loaded.pipeline)
        decided = {cell: one for cell, one in given.by(self.by).items() if one.by in ("", self.by)}
        before, held = self._matched(text or ""), parse_picks(text or "", self.path)
        known = {cell: (_content(held, one), one.by) for cell, one in before.by(self.by).items()}
        said = {cell: (_content(review, one), self.by) for cell, one in decided.items()}
        changed = {cell: decided[cell] for cell, content in said.items() if known.get(cell) != content}
        if changed:
            text = self._with(text, before, review, changed)
        picks, disputed = self._written(text or "", len(before.picks) if held.decisions else -1)
        lost = left_out(review, given, self.stage, self.by)
        new = sum(cell not in known for cell in changed)
        imported = Imported(self.by, new, len(changed) - new, len(said) - len(changed))
        return imported, picks, (*lost, *disputed)

    def _with(self, text: str | None, before: Matched, review: Picks, changed: Mapping[str, Pick]) -> str:
        """The text with decisions of a reviewer's file, by the cells that they are about."""
        keys = self._keys(before) | {cell.id: key for cell, key in self.found if cell.id in changed}
        rename = {old: new for old, new in before.renamed.items() if new in changed}
        clear = {cell: [name for name in ("stars", "note") if not getattr(one, name)] for cell, one in changed.items()}
        add, reject = (
            [Pick(cell, one.stars, one.note) for cell, one in changed.items() if review.is_pick(one) == is_pick]
            for is_pick in (True, False)
        )
        return change_picks(
            text, PicksEdit(add=add, reject=reject, clear=clear, rename=rename, keys=keys, by=self.by), self.path
        )

    def _written(self, text: str, count: int) -> tuple[tuple[Pick, ...], list[Problem]]:
        """Write the file, which had so many picks, -1 for no file; the picks that it has now, and disputed cells."""
        picks = parse_picks(text, self.path)
        matched = self._matched(text)
        if len(matched.picks) > count:  # a file with too many can be thinned
            check_count(self.loaded.pipeline, self.stage, len(matched.picks), self.path)
        write_atomically(self.path.resolve(), text.encode())
        disputed = disputes(picks, matched, self.stage, self.loaded.pipeline.document.file)
        return self._shown(matched, picks), disputed

    def rename(self, names: tuple[str, str] | None) -> tuple[dict[str, str], tuple[Pick, ...]]:
        """Write other ids down; those that are new, and the picks that the file has then."""
        text = _read(self.path)
        picks = self._held(text)
        matched = self._matched(text or "")
        renamed = matched.renamed if names is None else self._renamed(picks, *names)
        if renamed:
            keys = {cell.id: key for cell, key in self.found}
            text = change_picks(text, PicksEdit(rename=renamed, keys=keys), self.path)
            matched = self._matched(text)
            write_atomically(self.path.resolve(), text.encode())
        return renamed, self._shown(matched, parse_picks(text or "", self.path))

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
        matched = self._matched(text or "")
        keys = self._keys(matched)
        if decision["remove"]:
            picks = self._held(text)
            ids = decided_cells(picks, matched, self.found, self.stage, words, pipeline)
            own = {one.id for one in picks.decisions if decision["settle"] or one.by in ("", self.by)}
            remove = [one for one in ids if one in own] or ids
            return change_picks(
                text, PicksEdit(remove=remove, keys=keys, by=self.by, settles=decision["settle"]), self.path
            )
        words = tuple(matched.renamed.get(word, word) for word in words)  # an id that the file has is a cell's
        ids = named_cells(self.found, self.stage, words, pipeline)
        rename = {old: new for old, new in matched.renamed.items() if new in ids}
        chosen = [Pick(one, decision["stars"], decision["note"]) for one in ids]
        keys |= {cell.id: key for cell, key in self.found if cell.id in ids}
        add, reject = ((), chosen) if decision["reject"] else (chosen, ())
        settles = decision["settle"]
        return change_picks(
            text, PicksEdit(add=add, reject=reject, rename=rename, keys=keys, by=self.by, settles=settles), self.path
        )

    def _matched(self, text: str) -> Matched:
        return match_cells(parse_picks(text, self.path), self.found, self.stage, self.loaded.pipeline)

    def _keys(self, matched: Matched) -> dict[str, str]:
        """The key of what each decision is about, by the id that the file has."""
        keys = {cell.id: key for cell, key in self.found}
        return {pick.id: keys[cell] for pick, cell in matched.cells.items()}

    def _held(self, text: str | None) -> Picks:
        """The decisions of the file.

        Raises:
            UsageError: there is no such file.
        """
        if text is None:
            raise UsageError(Problem("no_picks", f"{self.path} does not exist yet", hint="pick cells first"))
        return parse_picks(text, self.path)

    def _shown(self, matched: Matched, picks: Picks) -> tuple[Pick, ...]:
        """All picks in the order of the file, with the ids that cells have now."""
        return tuple(replace(one, id=matched.cells.get(one, one.id)) for one in picks.picks)


def _content(picks: Picks, decision: Pick) -> tuple[bool, int | None, str]:
    """What a decision of a file says."""
    return picks.is_pick(decision), decision.stars, decision.note


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
