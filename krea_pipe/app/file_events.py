"""Follows the files of a pipeline with watchfiles, an extra (`pip install 'krea-pipe[watch]'`)."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.pipeline.input_paths import InputPaths
from krea_pipe.store.blobs import Stamp, stamp_of

_STEP_MS = 20
"""Changes within so many milliseconds of each other are one save: editors rename, truncate and write several times."""
_MOST_MS = 200
_LOOK_MS = 100
"""Between two looks at whether other folders are to be followed."""


def check_watchfiles() -> None:
    """Refuse to begin without the library.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import watchfiles  # noqa: F401, PLC0415 (an extra)
    except ImportError as error:
        hint = "install it: pip install 'krea-pipe[watch]'"
        message = "watch needs the package watchfiles, which is not installed"
        raise UsageError(Problem("no_watchfiles", message, hint=hint)) from error


class FileEvents:
    """Calls a function in a separate thread when a file changes that concerns a pipeline."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._paths = InputPaths(frozenset())
        self._folders: frozenset[Path] = frozenset()
        self._read: dict[Path, Stamp | None] = {}
        self._ended = threading.Event()

    def stamps(self) -> dict[Path, Stamp | None]:
        """The state of the files and folders that are followed, to be taken before they are read."""
        return _stamps((*self._paths.files, *self._folders))

    def follow(self, paths: InputPaths, before: dict[Path, Stamp | None]) -> None:
        """Follow these files from now on.

        Args:
            paths: the files that concern the pipeline, as it was read last.
            before: the state of the files before that.
        """
        folders = paths.folders()
        self._read = _stamps((*paths.files, *folders)) | before
        self._paths, self._folders = paths, folders

    def end(self) -> None:
        """Stop following."""
        self._ended.set()

    def run(self) -> None:
        """Follow files until the end, in the thread of the caller."""
        while not self._ended.is_set():
            self._follow(self._folders)

    def _follow(self, folders: frozenset[Path]) -> None:
        """Follow these folders until there are others."""
        from watchfiles import watch  # noqa: PLC0415 (an extra)

        existing = [one for one in folders if one.is_dir()]
        is_first = True
        for changes in watch(
            *existing,
            watch_filter=None,
            debounce=_MOST_MS,
            step=_STEP_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            stop_event=self._ended,
            recursive=False,
            ignore_permission_denied=True,
        ):
            paths, read = self._paths, self._read
            # What changed after it was read and before it was followed has no event.
            is_late = is_first and any(stamp_of(one) != stamp for one, stamp in read.items())
            is_first = False
            if is_late or any(paths.concern(Path(path)) for _, path in changes):
                self._changed()
            if self._folders != folders:
                return


def _stamps(paths: Iterable[Path]) -> dict[Path, Stamp | None]:
    return {path: stamp_of(path) for path in paths}
