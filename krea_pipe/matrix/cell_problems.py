"""Collects the problems of a pipeline's cells: the first problem of each kind at each place."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NoReturn

from krea_pipe.core.errors import InvalidInput, Problem
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.matrix.pick_matching import Matched, decided_twice, disputes
from krea_pipe.matrix.rendering import CellProblem
from krea_pipe.pipeline.editing.picks import Picks
from krea_pipe.pipeline.model import Stage
from krea_pipe.pipeline.source import Document, Trail

MAX_FAILED = 1_000
"""Cells that may fail for reasons that others have had."""


@dataclass(slots=True, eq=False)
class CellProblems:
    """Problems of one expansion."""

    document: Document
    problems: ProblemList = field(default_factory=ProblemList)
    known: set[tuple[str, Trail, str | None]] = field(default_factory=set)
    failed: int = 0

    @property
    def codes(self) -> set[str]:
        """The codes of what was found."""
        return {code for code, _, _ in self.known}

    def check(self) -> None:
        """Stop if anything is wrong.

        Raises:
            InvalidInput: something is.
        """
        self.problems.check()

    def note(self, problem: CellProblem, cell: str = "") -> None:
        """Note a problem and those that came with it; `cell` is an example.

        Raises:
            InvalidInput: there are too many, or so many cells have failed that the others need not be tried.
        """
        self.failed += 1
        if self.failed > MAX_FAILED:
            self.check()
        for error in (problem, *problem.others):
            memo = (error.code, error.trail, error.word)
            if memo not in self.known:
                self.known.add(memo)
                at = self.document.word_place(error.trail, error.word or "\0")
                hint = error.hint or (f"for example in the cell {cell}" if cell else None)
                message = f"{error}{self.document.row_of(error.trail)}"
                self.problems.note(Problem(error.code, message, at, hint))

    def check_picks(self, stage: Stage, picks: Picks, matched: Matched) -> None:
        """Note cells that are decided twice or disputed, and more picks than the most that a stage takes.

        Raises:
            InvalidInput: there are too many problems.
        """
        assert stage.upstream is not None
        most = stage.upstream.wants[1]
        file = self.document.file
        for problem in (*decided_twice(picks, matched), *disputes(picks, matched, stage.upstream.stage, file)):
            self.known.add((problem.code, (), str(problem.at)))
            self.problems.note(problem)
        if most is not None and len(matched.picks) > most:
            message = f"{picks.document.file.name} has {len(matched.picks)} picks; this stage accepts at most {most}"
            self.note(CellProblem("too_many", message, (*stage.trail, "picks"), hint="remove picks, or raise `max`"))

    def check_rules(self, stage: Stage, used: Collection[Trail], *, is_empty: bool) -> None:
        """Note rules that match nothing, or that leave nothing."""
        rules = [rule for matrix in stage.matrices for rule in (*matrix.exclude, *matrix.patch)]
        # A rule may be about the very cells that cannot be made.
        is_sound = self.codes <= {"unused_rule", "empty_matrix"}
        for trail in dict.fromkeys(rule.trail for rule in rules if is_sound):
            if trail not in used and trail not in stage.unused_ok:
                hint = "remove it, or write `allow_unused: true` in it"
                self.note(CellProblem("unused_rule", "this rule matches no cell", trail, hint=hint))
        if is_empty and not self.known:
            message = f"`exclude` leaves no cell of the stage `{stage.name}`"
            at = self.document.key_place((*stage.trail, "exclude"))
            self.known.add(("empty_matrix", stage.trail, None))
            hint = "remove a rule, or the stage"
            self.problems.note(Problem("empty_matrix", message, at, hint))

    def too_many(self, stage: Stage, what: str, limit: int, enough: int, *, code: str = "too_many_cells") -> NoReturn:
        """Stop because a limit is passed.

        Raises:
            InvalidInput: always.
        """
        trails: dict[str, Trail] = {"too_many_rules": (*stage.trail, "exclude"), "too_many_variables": ("vars",)}
        at = self.document.key_place(trails.get(code, (*stage.trail, "matrix")))
        message = f"{what}, above the limit of {limit:,}"
        hint = f"allow it with --max-cells {enough}"
        if code == "too_many_variables":
            hint = "put variables that belong together into one: `brand: {name: Aurelle, colour: amber}`"
        raise InvalidInput(Problem(code, message, at, hint))
