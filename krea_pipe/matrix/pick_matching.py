"""Finds the cell of each decision in a picks file: the cell with its request, under any id, or else with its id."""

import os
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from krea_pipe.core.errors import InvalidInput, Problem
from krea_pipe.core.near_names import MAX_NAMES, closest
from krea_pipe.core.problem_list import MAX_PROBLEMS
from krea_pipe.pipeline.editing.picks import KEY_DIGITS, Pick, Picks, read_picks

KeyOf = Callable[[str], str]
"""The key of the request of a cell, by the cell's id; "" when it cannot be created."""


_MOST_FILES = 50
"""The number of files in a folder that are examined."""


@dataclass(frozen=True, slots=True)
class Matched:
    """What the decisions of a picks file are about, and what they come to.

    `cells` gives the id of the cell of each decision, in the order of the file. `picks` and `rejected` are the joint
    decisions by the id of the cell: of several people who agree, with the mean of their stars. `disputed` are a pick
    and a rejection of a cell on which people do not agree. `lost` are about no cell. `twice` are pairs of one person
    about one cell that contradict each other.
    """

    cells: Mapping[Pick, str] = field(default_factory=dict)
    picks: Mapping[str, Pick] = field(default_factory=dict)
    rejected: Mapping[str, Pick] = field(default_factory=dict)
    disputed: Mapping[str, tuple[Pick, Pick]] = field(default_factory=dict)
    lost: tuple[Pick, ...] = ()
    twice: tuple[tuple[Pick, Pick], ...] = ()

    @property
    def decided(self) -> frozenset[str]:
        """The cells that somebody has decided about."""
        return frozenset(self.cells.values())

    @property
    def renamed(self) -> dict[str, str]:
        """The present id of each cell that the file calls by another."""
        return {pick.id: cell for pick, cell in self.cells.items() if pick.id != cell}

    def by(self, name: str) -> dict[str, Pick]:
        """The decisions of one person by the id of the cell; one without a name is anyone's."""
        own = {cell: pick for pick, cell in self.cells.items() if pick.by == name}
        return {cell: pick for pick, cell in self.cells.items() if not pick.by} | own


def match_picks(picks: Picks, cells: Iterable[str], key_of: KeyOf, stage: str, stages: Iterable[str]) -> Matched:
    """Find the cell of each decision.

    The first match counts: the cell with the id and the request; any cell with the request, because axes, stages and
    values may have been renamed; if no cell has it, for example after a change of the prompt, the cell with the id; the
    id with the current name of the stage; and for a decision without a key, the same parts in another order.


    Args:
        picks: the decisions.
        cells: the ids of all cells of the stage.
        key_of: gives their keys, and is asked for few where ids have kept their requests.
        stage: the name of the stage.
        stages: the names of all stages of the pipeline.
    """
    ids, names = list(cells), frozenset(stages)
    people: dict[str, list[Pick]] = {}
    for one in picks.decisions:
        people.setdefault(one.by, []).append(one)
    matchers = [_Matcher(picks, own, ids, key_of, stage, names) for own in people.values()]
    left = {one for matcher in matchers for one in matcher.match()}
    found = {pick: cell for matcher in matchers for cell, pick in matcher.found.items()}
    about = {one: found[one] for one in picks.decisions if one in found}
    lost = tuple(one for one in picks.decisions if one in left)
    return Matched(about, *_joined(picks, about), lost, tuple(pair for one in matchers for pair in one.twice))


_Joint: TypeAlias = tuple[dict[str, Pick], dict[str, Pick], dict[str, tuple[Pick, Pick]]]


def _joined(picks: Picks, about: Mapping[Pick, str]) -> _Joint:
    """What people have picked, what they have rejected, and what they do not agree on, by the id of the cell."""
    chosen, groups = frozenset(picks.picks), dict[str, list[Pick]]()
    for pick, cell in about.items():
        groups.setdefault(cell, []).append(pick)
    joint, disputed = (dict[str, Pick](), dict[str, Pick]()), dict[str, tuple[Pick, Pick]]()
    for cell, decisions in groups.items():
        chosen_by = next((one for one in decisions if one in chosen), None)
        rejected_by = next((one for one in decisions if one not in chosen), None)
        if chosen_by is not None and rejected_by is not None:
            disputed[cell] = (chosen_by, rejected_by)
        else:
            joint[0 if rejected_by is None else 1][cell] = _joint_decision(decisions)
    return *joint, disputed


def _joint_decision(decisions: Sequence[Pick]) -> Pick:
    """What the same decision of several people comes to: the mean of their stars, rounded up from the middle."""
    if len(decisions) == 1:
        return decisions[0]
    stars = [one.stars for one in decisions if one.stars is not None]
    mean = (2 * sum(stars) + len(stars)) // (2 * len(stars)) if stars else None
    notes = [f"{one.by}: {one.note}" if one.by else one.note for one in decisions if one.note]
    return replace(decisions[0], stars=mean, note="; ".join(notes), by="")


@dataclass(slots=True, eq=False)
class _Matcher:
    """Finds the cells of the decisions of one person: one decision about each cell."""

    picks: Picks
    decisions: Sequence[Pick]
    ids: Sequence[str]
    key_of: KeyOf
    stage: str
    stages: frozenset[str]
    found: dict[str, Pick] = field(default_factory=dict)
    twice: list[tuple[Pick, Pick]] = field(default_factory=list)

    def match(self) -> list[Pick]:
        """Fill in what is found; the decisions that are about no cell."""
        known = set(self.ids)
        left = [one for one in self.decisions if not (one.id in known and self._has_key(one))]
        open_ = set(left)
        self.found = {one.id: one for one in self.decisions if one not in open_}
        for take in (self._by_keys, self._by_ids, self._by_parts):
            left = take(left, known) if left else left
        return left

    def _has_key(self, pick: Pick) -> bool:
        return not pick.key or self.key_of(pick.id).startswith(pick.key)

    def _by_keys(self, left: list[Pick], known: set[str]) -> list[Pick]:  # noqa: ARG002 (as of the others)
        wanted = {one.key[:KEY_DIGITS] for one in left if one.key}
        cells: dict[str, list[str]] = {}
        for cell in self.ids if wanted else ():
            key = self.key_of(cell)
            if key[:KEY_DIGITS] in wanted:
                cells.setdefault(key[:KEY_DIGITS], []).append(cell)
        rest = []
        for one in left:
            same = [cell for cell in cells.get(one.key[:KEY_DIGITS], ()) if self.key_of(cell).startswith(one.key)]
            free = next((cell for cell in same if cell not in self.found), None)
            if free is not None:
                self.found[free] = one
            elif not same:
                rest.append(one)
            elif not self._agrees(self.found[same[0]], one):
                self.twice.append((self.found[same[0]], one))
        return rest

    def _agrees(self, one: Pick, other: Pick) -> bool:
        """Whether two decisions about one request say the same."""
        is_pick = [self.picks.is_pick(pick) for pick in (one, other)]
        return is_pick[0] == is_pick[1] and (one.stars, one.note) == (other.stars, other.note)

    def _by_ids(self, left: list[Pick], known: set[str]) -> list[Pick]:
        rest = []
        for one in left:
            name = next((name for name in (one.id, self._in_stage(one.id)) if name in known), None)
            if name is not None and name not in self.found:
                self.found[name] = one
            else:
                rest.append(one)
        return rest

    def _by_parts(self, left: list[Pick], known: set[str]) -> list[Pick]:
        if all(one.key for one in left):
            return left
        cells: dict[tuple[str, ...], list[str]] = {}
        for cell in known - self.found.keys():
            cells.setdefault(_parts(cell), []).append(cell)
        rest = []
        for one in left:
            same = [] if one.key else cells.get(_parts(self._in_stage(one.id)), [])
            if len(same) == 1 and same[0] not in self.found:
                self.found[same[0]] = one
            else:
                rest.append(one)
        return rest

    def _in_stage(self, identity: str) -> str:
        """An id with the current name of the stage, if the pipeline has no stage with the given name."""
        first, slash, parts = identity.partition("/")
        return identity if first in self.stages else f"{self.stage}{slash}{parts}"


def _parts(identity: str) -> tuple[str, ...]:
    first, *parts = identity.split("/")
    return (first, *sorted(parts))


def lost_picks(picks: Picks, matched: Matched, stage: str, ids: Sequence[str], pipeline: Path) -> list[Problem]:
    """A warning for each pick that is about no cell, up to a hundred. A rejection of one needs no look.

    Args:
        picks: the file.
        matched: what its decisions are about.
        stage: the name of the stage.
        ids: the ids of its cells.
        pipeline: the pipeline file.
    """
    decided = matched.decided
    free = [one for one in ids if one not in decided]
    found = []
    for pick in islice((one for one in matched.lost if picks.is_pick(one)), MAX_PROBLEMS):
        message = f"`{pick.id}` is not a cell of the stage `{stage}`"
        message += ", and no cell has its request" if pick.key else ""
        words = shlex.join(["krea-pipe", "picks", "rename", str(pipeline), stage, pick.id, _near(pick.id, free)])
        hint = f"the pick is kept; if the cell has a new name, run: {words}"
        found.append(Problem("unknown_cell", message, picks.document.place(pick.trail), hint))
    return found


def left_out(review: Picks, matched: Matched, stage: str, by: str) -> list[Problem]:
    """A warning for each decision of a reviewer that is about no cell, so that it is not imported, up to a hundred.

    Args:
        review: the reviewer's file.
        matched: what its decisions are about.
        stage: the name of the stage.
        by: the reviewer, whose decisions may be without a name.
    """
    hint = f"it is not imported; if the cell has a new name, change it in {review.document.file}"
    return [
        Problem(
            "unknown_cell", f"`{one.id}` is not a cell of the stage `{stage}`", review.document.place(one.trail), hint
        )
        for one in islice((one for one in matched.lost if one.by in ("", by)), MAX_PROBLEMS)
    ]


def _near(identity: str, free: Sequence[str]) -> str:
    """The cell that may be meant: one part of its id is another word, which is similar to the current one."""
    parts, found = identity.split("/"), list[str]()
    for cell in free[:MAX_NAMES]:
        others = cell.split("/")
        changed = [(one, other) for one, other in zip(parts, others, strict=False) if one != other]
        if len(others) == len(parts) and len(changed) == 1:
            before, after = changed[0]
            if closest(before, [after], most=len(before) * 3 // 5 if len(before) > 2 else 0):
                found.append(cell)
    return found[0] if len(found) == 1 else "CELL"


def moved_file(missing: Path, named: Collection[Path], keys: Collection[str], pipeline: Path) -> Problem | None:
    """A warning where a picks file does not exist, and another in its folder has decisions about the same requests.

    Args:
        missing: the file that does not exist.
        named: the files that the pipeline names.
        keys: the keys of the requests.
        pipeline: the pipeline file, by whose path the others are named.
    """
    wanted = {key[:KEY_DIGITS] for key in keys}
    used = {missing, *named}
    for file in sorted(missing.parent.glob("*.yaml"))[:_MOST_FILES]:
        if file in used or (file.parent.parent / file.name).exists():  # the picks of a pipeline of that name
            continue
        try:
            found = sum(one.key[:KEY_DIGITS] in wanted for one in read_picks(file).decisions)
        except InvalidInput:
            continue
        if found:
            folder = pipeline.resolve().parent
            old, new = ((pipeline.parent / os.path.relpath(one, folder)).as_posix() for one in (file, missing))
            said = "1 decision" if found == 1 else f"{found} decisions"
            message = f"{new} does not exist, but {old} contains {said} about these requests"
            return Problem("file_renamed", message, hint=f"rename the file: git mv {old} {new}")
    return None


def decided_twice(picks: Picks, matched: Matched) -> list[Problem]:
    """A problem for each pair of decisions of one person about one cell that contradict each other."""
    found = []
    for first, second in matched.twice:
        lines = [picks.document.place(one.trail).line for one in (first, second)]
        said = [picks.said(one) for one in (first, second)]
        message = f"one request is decided twice: {said[0]} on line {lines[0]}, {said[1]} on line {lines[1]}"
        at = picks.document.place(second.trail)
        found.append(Problem("decided_twice", message, at, "keep one of the two lines"))
    return found


def disputes(picks: Picks, matched: Matched, stage: str, pipeline: Path) -> list[Problem]:
    """A problem for each cell that somebody has picked and somebody else has rejected, up to a hundred.

    Args:
        picks: the file.
        matched: what its decisions are about.
        stage: the name of the stage.
        pipeline: the pipeline file.
    """
    found = []
    for cell, pair in islice(matched.disputed.items(), MAX_PROBLEMS):
        lines = [picks.document.place(one.trail) for one in pair]
        names = [f" by {one.by}" if one.by else "" for one in pair]
        message = f"`{cell}` is picked{names[0]} on line {lines[0].line} and rejected{names[1]} on line {lines[1].line}"
        words = shlex.join(["krea-pipe", "pick", str(pipeline), stage, cell, "--settle"])
        hint = f"settle it: {words}; add --reject to reject it"
        found.append(Problem("disputed", message, max(lines, key=lambda one: one.line), hint))
    return found
