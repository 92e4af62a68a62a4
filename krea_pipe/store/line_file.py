"""A file that JSON lines are appended to: a log, which may fall short without anyone having to stop for it."""

import json
import os
import stat
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.json_data import Json

_BINARY = getattr(os, "O_BINARY", 0)
"""Windows would turn line ends into two bytes without it."""

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _BINARY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Non-blocking, so that a pipe without a reader blocks nothing; it makes no difference for files."""

_HEAD = b'{"t":'
"""The start of every line; the journal's lines start differently, so that it is never mistaken for a log.

The journal's lines begin otherwise, so that it is not taken for a log.
"""


class LineFile:
    """An open log, to which several threads and processes may append; what one batch says stays together."""

    def __init__(self, path: Path) -> None:
        """Open a log, or begin one.

        Raises:
            StateError: it cannot be opened, or holds something else.
        """
        self.path, self.lost, self.reason = path, 0, ""
        """`lost` counts lines that could not be written, and `reason` says why."""
        self._lock, self._torn = threading.Lock(), False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._check()
            self._handle = os.open(path, _FLAGS, 0o666)
        except OSError as error:
            raise _unusable(f"cannot write {path}: {error.strerror}") from error

    def append(self, lines: Sequence[Mapping[str, Json]]) -> None:
        """Write lines, or count them as lost.

        Args:
            lines: Each becomes one JSON object.
        """
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        with self._lock:
            data = (b"\n" if self._torn else b"") + text.encode()
            try:
                self._torn = True
                while data:
                    data = data[os.write(self._handle, data) :]
                self._torn = False
            except OSError as error:
                self.lost += len(lines)
                self.reason = error.strerror or type(error).__name__

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def _check(self) -> None:
        """Refuse a file that is something else, and find out whether its last line was cut off by a crash."""
        if not self.path.exists() or not stat.S_ISREG(self.path.stat().st_mode):
            return
        with self.path.open("rb") as stream:
            start = stream.read(len(_HEAD))
            if not _HEAD.startswith(start):
                raise _unusable(f"{self.path} contains something other than events, so it was left unchanged")
            if start:
                stream.seek(-1, os.SEEK_END)
                self._torn = stream.read(1) != b"\n"


def _unusable(message: str) -> StateError:
    return StateError(Problem("events_unusable", message, hint="use a separate, writable file for --events"))
