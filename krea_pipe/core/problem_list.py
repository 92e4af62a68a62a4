"""Collects the problems of one file, up to a useful number."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NoReturn

from krea_pipe.core.errors import InvalidInput, Problem
from krea_pipe.core.excerpts import cut

MAX_PROBLEMS = 100
MAX_WORDS = 2_000
"""Characters of one message, and of one hint."""

MORE = Problem(
    "more_problems",
    f"there are more problems; these are the first {MAX_PROBLEMS}",
    hint="fix these, and try again",
)


class ProblemList:
    """Problems, each once. Whoever adds one to a full list is stopped: the file is refused with what was found."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        self.found: list[Problem] = []
        self._known: set[Problem] = set()
        self.extend(problems)

    def __bool__(self) -> bool:
        return bool(self.found)

    def note(self, problem: Problem) -> None:
        """Note a problem.

        Raises:
            InvalidInput: there are as many already, and those are said.
        """
        if problem in self._known:
            return
        if len(self.found) == MAX_PROBLEMS:
            self.stop()
        self._known.add(problem)
        self.found.append(_short(problem))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note several; those of a full list fill this one.

        Raises:
            InvalidInput: there are too many.
        """
        for problem in problems:
            if problem.code == MORE.code:
                self.stop()
            self.note(problem)

    def stop(self) -> NoReturn:
        """Refuse the file though it was not read to its end.

        Raises:
            InvalidInput: with all that was found.
        """
        raise InvalidInput(*self.all(), MORE)

    def check(self) -> None:
        """Refuse the file if anything is wrong.

        Raises:
            InvalidInput: with all that was found.
        """
        if self.found:
            raise InvalidInput(*self.all())

    def all(self) -> list[Problem]:
        """Everything that was found, in the order of the file; used files follow each other."""
        paths = [*dict.fromkeys(one.at and one.at.path for one in self.found)]
        return sorted(self.found, key=lambda one: (paths.index(one.at and one.at.path), *_position(one)))


def _short(problem: Problem) -> Problem:
    hint = problem.hint and cut(problem.hint, MAX_WORDS)
    return replace(problem, message=cut(problem.message, MAX_WORDS), hint=hint)


def _position(problem: Problem) -> tuple[int, int]:
    return (problem.at.line, problem.at.column) if problem.at else (0, 0)
