"""Which runs are alive: each holds the lock of a file that is named like it, and no crash leaves a lock behind."""

import contextlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from krea_pipe.store.lock import exclusive, is_held
from krea_pipe.store.plain import check_folders, is_plain

RUN_ID = re.compile(r"\d{8}-\d{6}-\d{3}-[A-Za-z0-9._-]+-[0-9a-f]{4}")


def moment_in(run: str) -> str:
    """The part of a run's id that a batch and its runs have in common.

    Args:
        run: The id of the run.

    Returns:
        The time in it, to the millisecond.
    """
    return run[: len("20261012-091405-123")]


class Presence:
    """The folder of a name space where runs show that they are alive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def shown(self, run: str) -> Iterator[None]:
        """Be seen as alive.

        Raises:
            StateError: nothing can be kept in the folder.
        """
        check_folders(self.folder)
        with ExitStack() as held:
            with exclusive(self.folder.with_name("running.lock")):  # a run that is being born is not dead
                self._tidy()
                held.enter_context(exclusive(self.folder / run))
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    (self.folder / run).unlink(missing_ok=True)

    def is_alive(self, run: str) -> bool:
        """Whether the process of a run lives."""
        return bool(run) and Path(run).name == run and is_held(self.folder / run)

    def is_in_progress(self, run: str) -> bool:
        """Whether the process of a run lives, or that of its batch.

        Args:
            run: The id of the run.

        Returns:
            True if it does. The ids of a batch and of its runs have the same time in milliseconds.
        """
        return self.is_alive(run) or (
            RUN_ID.fullmatch(run) is not None and any(moment_in(one) == moment_in(run) for one in self.alive())
        )

    def alive(self) -> frozenset[str]:
        """Every run that lives."""
        return frozenset(name for name in self._names() if self.is_alive(name))

    def _names(self) -> list[str]:
        try:
            # SQLite keeps a file of its own beside each lock.
            return [path.name for path in self.folder.iterdir() if not path.name.endswith("-journal")]
        except OSError:
            return []

    def _tidy(self) -> None:
        """Remove what dead runs left, and nothing that is not called like a run."""
        for name in self._names():
            if RUN_ID.fullmatch(name) and is_plain(self.folder / name) and not self.is_alive(name):
                with contextlib.suppress(OSError):
                    (self.folder / name).unlink(missing_ok=True)
