"""A list of short lines in the home folder, appended to by any number of processes, and lost without harm."""

import os
import re
from contextlib import suppress
from pathlib import Path

from krea_pipe.core.errors import StateError
from krea_pipe.store.plain import check_files, check_folders, open_plain, read_plain

_MOST_BYTES = 16 * 1024 * 1024


class HomeList:
    """The lines of one kind in a file, in the order in which they were added; other lines are passed over."""

    def __init__(self, file: Path, line: re.Pattern[str]) -> None:
        """Name the file, which need not be there.

        Args:
            file: a file in the home folder.
            line: what a whole line looks like.
        """
        self._file, self._line = file, line

    def read(self) -> list[str]:
        """Read every line.

        Returns:
            The lines; none of a file that is missing, unreadable, or not a regular file.
        """
        with suppress(OSError, StateError):
            check_folders(self._file.parent)
            lines = read_plain(self._file, _MOST_BYTES).decode("utf-8", "replace").splitlines()
            return [line for line in lines if self._line.fullmatch(line)]
        return []

    def append(self, line: str) -> None:
        """Add a line, unless there is no home folder or the file cannot be written.

        Args:
            line: the line, without its end.
        """
        with suppress(OSError, StateError):
            check_folders(self._file.parent)
            check_files(self._file)
            handle = open_plain(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                os.write(handle, f"{line}\n".encode())  # one call, so that lines of several processes stay whole
            finally:
                os.close(handle)
