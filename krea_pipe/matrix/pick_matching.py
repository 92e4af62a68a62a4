"""Finds the cell of each decision in a picks file: the cell with its request, under any id, or else with its id."""

import os
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

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
    """The decisions of a picks file by the id of the cell that each is about.

    `picks` and `rejected` are in the order of the file. `lost` are about no cell. `twice` are pairs about one cell that
    contradict each other.
    """

    picks: Mapping[str, Pick] = field(default_factory=dict)
    rejected: Mapping[str, Pick] = field(default_factory=dict)
    lost: tuple[Pick, ...] = ()
    twice: tuple[tuple[Pick, Pick], ...] = ()

    @property
    def decisions(self) -> dict[str, Pick]:
        """Picks and rejections by the id of the cell."""
        return {**self.picks, **self.rejected}

    @property
    def renamed(self) -> dict[str, str]:
        """The present id of each cell that the file calls by another."""
        return {pick.id: cell for cell, pick in self.decisions.items() if pick.id != cell}


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
    matcher = _Matcher(picks, list(cells), key_of, stage, frozenset(stages))
    return matcher.matched()


@dataclass(slots=True)
class _Matcher:
    picks: Picks
    ids: Sequence[str]
    key_of: KeyOf
    stage: str
    stages: frozenset[str]
    found: dict[str, Pick] = field(default_factory=dict)
    twice: list[tuple[Pick, Pick]] = field(default_factory=list)

    def matched(self) -> Matched:
        known = set(self.ids)
        left = [one for one in self.picks.decisions if not (one.id in known and self._has_key(one))]
        open_ = set(left)
        self.found = {one.id: one for one in self.picks.decisions if one not in open_}
        for take in (self._by_keys, self._by_ids, self._by_parts):
            left = take(left, known) if left else left
        chosen = {one: cell for cell, one in self.found.items()}
        picks, rejected = (
            {chosen[one]: one for one in some if one in chosen} for some in (self.picks.picks, self.picks.rejected)
        )
        return Matched(picks, rejected, tuple(left), tuple(self.twice))

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
    free = [one for one in ids if one not in matched.decisions]
    found = []
    for pick in islice((one for one in matched.lost if picks.is_pick(one)), MAX_PROBLEMS):
        message = f"`{pick.id}` is not a cell of the stage `{stage}`"
        message += ", and no cell has its request" if pick.key else ""
        words = shlex.join(["krea-pipe", "picks", "rename", str(pipeline), stage, pick.id, _near(pick.id, free)])
        hint = f"the pick is kept; if the cell has a new name, run: {words}"
        found.append(Problem("unknown_cell", message, picks.document.place(pick.trail), hint))
    return found


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
    """A problem for each pair of decisions about one cell that contradict each other."""
    found = []
    for first, second in matched.twice:
        lines = [picks.document.place(one.trail).line for one in (first, second)]
        said = [picks.said(one) for one in (first, second)]
        message = f"one request is decided twice: {said[0]} on line {lines[0]}, {said[1]} on line {lines[1]}"
        at = picks.document.place(second.trail)
        found.append(Problem("decided_twice", message, at, "keep one of the two lines"))
    return found
