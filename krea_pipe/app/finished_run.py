"""What a run leaves."""

from dataclasses import dataclass, field
from pathlib import Path

from krea_pipe.app.execution import Fetched
from krea_pipe.core.errors import Problem
from krea_pipe.core.outcome import Ending
from krea_pipe.executor.prune import Pruned
from krea_pipe.matrix.cell import Waiting
from krea_pipe.planning.lock_check import LockUpdate
from krea_pipe.report.model import Report
from krea_pipe.report.recipe_delivery import RecipeDelivery


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run: its report, its folder, how it ended, and the new lock file.

    `problems` say why the lock file could not be written, and which files in the output folder were kept because
    someone has changed them; the images are stored nevertheless. `fetched` are copied images, `warnings` are about
    picks, lock files and delivered files; `recipes` is the outcome of the files of recipes, `pruned` of
    stale files. With `is_earlier`, the report is that of an earlier run, which says the same, without its rows.
    """

    report: Report
    folder: Path
    ending: Ending
    waiting: tuple[Waiting, ...] = ()
    kept: LockUpdate | None = None
    problems: tuple[Problem, ...] = ()
    fetched: Fetched | None = None
    warnings: tuple[Problem, ...] = ()
    recipes: RecipeDelivery = field(default_factory=RecipeDelivery)
    pruned: Pruned | None = None
    is_earlier: bool = False
