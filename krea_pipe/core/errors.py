"""Every error that a user can meet: what happened, where, what to do, and a stable code.

    KreaPipeError                     exit 1
    ├── InvalidInput                  exit 2   problems of a pipeline file, all at once
    ├── UsageError                    exit 2   options or arguments that cannot be followed
    ├── RefusedByKrea                 exit 4   no key, bad key, no credit, no right
    ├── OverBudget                    exit 5   the cap would be passed; nothing was sent
    ├── NothingSelected               exit 7   no cell matches the selection
    ├── NotLocked                     exit 8   a request is not the one that the lock file has
    └── StateError                    exit 1   what is stored cannot be used

A request that fails is not an error but an outcome: see `krea_pipe.core.outcome`.
"""

from dataclasses import dataclass
from pathlib import Path

from krea_pipe.core.exit_codes import ExitCode


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in a file: line and column count from 1.

    `text` is that line, or a piece of it if it is long; `cut` characters of the line precede the piece. A problem of
    the whole file has no line: `is_whole`.
    """

    path: Path
    line: int
    column: int
    text: str = ""
    cut: int = 0
    is_whole: bool = False

    def __str__(self) -> str:
        return str(self.path) if self.is_whole else f"{self.path}:{self.line}:{self.column}"


def whole_file(path: Path, text: str = "") -> Place:
    """The place of a problem that is about a file as a whole."""
    return Place(path, 1, 1, text, is_whole=True)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: a stable snake_case code, a sentence, its place and what to do."""

    code: str
    message: str
    at: Place | None = None
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.at}: " if self.at else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.message}{hint}"


class KreaPipeError(Exception):
    """The root of everything that krea-pipe raises on purpose."""

    exit_code = ExitCode.SOME_FAILED

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems

    @property
    def code(self) -> str:
        """The code of the first problem, which names the error as a whole."""
        return self.problems[0].code


class InvalidInput(KreaPipeError):
    """A pipeline file, or a file that it names, cannot be used."""

    exit_code = ExitCode.INVALID


class UsageError(KreaPipeError):
    """The options, arguments or environment do not make sense together."""

    exit_code = ExitCode.INVALID


class RefusedByKrea(KreaPipeError):
    """Nothing can be sent for this account: a missing or bad key, no credit, no right."""

    exit_code = ExitCode.REFUSED


class OverBudget(KreaPipeError):
    """The price of the new images is above the cap, so nothing was sent."""

    exit_code = ExitCode.LIMIT_REACHED


class NothingSelected(KreaPipeError):
    """The pipeline has cells, but none that was asked for."""

    exit_code = ExitCode.NOTHING_SELECTED


class NotLocked(KreaPipeError):
    """A request differs from the lock file, and no other image may be generated."""

    exit_code = ExitCode.NOT_AS_LOCKED


class StateError(KreaPipeError):
    """Stored data cannot be read or written."""
