"""Progress on a terminal: one bar with what is done, running and failed, the spend and the time left."""

import contextlib

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from krea_pipe.cli.progress import ProgressState, Settled


class Bar:
    """A bar on stderr; what fails is printed above it."""

    def __init__(self, progress_state: ProgressState) -> None:
        self.progress_state = progress_state
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[tail]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True, markup=False, highlight=False),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,  # what is left in place of stderr would outlive a closed terminal
        )
        self.task: TaskID = self.progress.add_task("drawing", total=progress_state.total, tail="")

    def __enter__(self) -> "Bar":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.progress.stop()

    def changed(self, settled: Settled | None, *, failed: bool) -> None:
        """Move the bar."""
        tail = f"{self.progress_state.running} running{self.progress_state.tail()}"
        with contextlib.suppress(OSError):  # the terminal was closed, and the run must not end in the middle of it
            if failed and settled:
                self.progress.console.print(Text(str(settled), style="red"))
            self.progress.update(self.task, completed=self.progress_state.done, tail=tail)
