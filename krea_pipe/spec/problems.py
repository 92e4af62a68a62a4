"""Collects located problems, so that all of a file's come at once."""

from dataclasses import dataclass, field

from krea_pipe.errors import InvalidInput, Problem
from krea_pipe.source import Document, Trail


@dataclass(slots=True)
class Problems:
    """What was found so far in one document."""

    document: Document
    found: list[Problem] = field(default_factory=list)

    def add(self, code: str, message: str, trail: Trail, hint: str | None = None) -> None:
        """Note a problem with the value at a trail."""
        self.found.append(Problem(code, message, self.document.place(trail), hint))

    def add_key(self, code: str, message: str, trail: Trail, hint: str | None = None) -> None:
        """Note a problem with the key that ends a trail."""
        self.found.append(Problem(code, message, self.document.key_place(trail), hint))

    def add_word(self, code: str, message: str, trail: Trail, *, word: str | None, hint: str | None) -> None:
        """Note a problem with one word inside the value at a trail."""
        at = self.document.word_place(trail, word) if word else self.document.place(trail)
        self.found.append(Problem(code, message, at, hint))

    def raise_any(self) -> None:
        """Raise everything that was found, in the order of the file.

        Raises:
            InvalidInput: something was found.
        """
        if self.found:
            raise InvalidInput(*sorted(dict.fromkeys(self.found), key=_position))


def _position(problem: Problem) -> tuple[int, int]:
    return (problem.at.line, problem.at.column) if problem.at else (0, 0)
