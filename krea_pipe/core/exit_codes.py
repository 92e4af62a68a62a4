"""The exit codes of krea-pipe."""

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of every command; `krea-pipe --help` lists them."""

    DONE = 0
    SOME_FAILED = 1
    """Some requests failed, or something could not be read or written."""
    INVALID = 2
    """A file, or the use of a command, is invalid."""
    WORK_PENDING = 3
    """`plan --check`: there is something to do."""
    REFUSED = 4
    """There is no usable key, or Krea or the shared store refuses the account."""
    LIMIT_REACHED = 5
    """The price is over the budget, or a limit of the user's is reached."""
    WAITING = 6
    """Everything is generated except stages that wait for picks."""
    NOTHING_SELECTED = 7
    NOT_AS_LOCKED = 8
    """An image differs from the lock file, or prices differ from a document."""
    CHECK_FAILED = 9
    """All images are there, and one fails a check with `fail: true`."""
    BUG = 70
    INTERRUPTED = 130
    """By a person or the system; the same command continues."""


_WORST_FIRST = (
    ExitCode.BUG,
    ExitCode.INTERRUPTED,
    ExitCode.REFUSED,
    ExitCode.INVALID,
    ExitCode.LIMIT_REACHED,
    ExitCode.SOME_FAILED,
    ExitCode.NOT_AS_LOCKED,
    ExitCode.CHECK_FAILED,
    ExitCode.WORK_PENDING,
    ExitCode.WAITING,
    ExitCode.DONE,
    ExitCode.NOTHING_SELECTED,
)


def worst(codes: Iterable[int]) -> ExitCode:
    """The exit code of several pipelines: the worst one. NOTHING_SELECTED counts only if no cell of any is selected."""
    return min((ExitCode(code) for code in codes), key=_WORST_FIRST.index, default=ExitCode.DONE)
