"""The append-only record of what was asked of Krea, shared by every run of a name space.

One line each for the events of `store.events`, on disk before the next step is taken. What is in flight follows from
the lines; nothing else remembers it. `Submitting` and `Attached` are claims as well: see `store.ledger`.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.excerpts import shown
from krea_pipe.store.atomic import sync_folder
from krea_pipe.store.events import Event, JournalLine, Note, UnknownEvent, decode, encode
from krea_pipe.store.lock import FileLock, exclusive
from krea_pipe.store.plain import open_plain
from krea_pipe.store.replay import Replay

Observe: TypeAlias = Callable[[Sequence[JournalLine | Note]], None]
"""Told of lines that are on disk, from whichever thread wrote them; it raises nothing and returns soon."""


def unobserved(_: Sequence[JournalLine | Note]) -> None:
    """Ignores all lines."""


class Journal:
    """The journal file of one name space."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def replay(self) -> Replay:
        """Read every line.

        Raises:
            StateError: the file cannot be read.
        """
        state = Replay()
        for line in self.follow(state):
            state.take(line)
        return state

    def follow(self, state: Replay) -> Iterator[JournalLine]:
        """Every whole line after what a state has read, which must not be a part; its `size` moves on.

        A last line without an end was cut off by a crash before anything followed from it.

        Raises:
            StateError: the file cannot be read, or a later version has written an event that is not known.
        """
        if state.is_partial:  # no `assert`, which Python may leave out: a run would pay without knowing what is paid
            raise AssertionError("lines can only follow all lines before them")
        try:
            if os.stat(self.path).st_size == state.size:  # noqa: PTH116 (asked before every line)
                return
            with os.fdopen(open_plain(self.path), "rb") as stream:
                stream.seek(state.size)
                data = stream.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._failed("read", error) from error
        whole = data[: data.rfind(b"\n") + 1]
        if state.size == 0:
            state.read_at_once = len(whole), hashlib.sha256(whole).hexdigest()
        state.size += len(whole)
        for text in whole.splitlines():
            try:
                line = decode(text)
            except UnknownEvent as error:
                raise self._unknown(str(error)) from error
            if line is not None:
                yield line

    def lock(self) -> FileLock:
        """The lock that is held while lines are written, for the calling thread.

        Raises:
            StateError: there can be none.
        """
        return FileLock(self.path.with_name("journal.lock"))

    def prepare(self) -> None:
        """Find out whether lines can be written.

        Raises:
            StateError: they cannot.
        """
        try:
            with self._opened():
                pass
        except OSError as error:
            raise self._failed("write", error) from error

    def append(self, event: Event, key: str, *, t: str = "", run: str = "") -> None:
        """Write one line and wait until it is on disk.

        Raises:
            StateError: the line cannot be written, so what it announces must not be done.
        """
        with exclusive(self.path.with_name("journal.lock")):
            self.write([JournalLine(event, key, t, run)])

    def write(self, lines: Sequence[JournalLine]) -> int:
        """Write lines, under the lock, and wait until they are on disk; how long the journal is then.

        Raises:
            StateError: a line cannot be written, so what it announces must not be done.
        """
        text = "".join(map(encode, lines))
        try:
            with self._opened() as handle:
                _write_all(handle, self._start(handle) + text.encode())
                os.fsync(handle)
                return os.fstat(handle).st_size
        except OSError as error:
            raise self._failed("write", error) from error

    @contextmanager
    def _opened(self) -> Iterator[int]:
        handle = self._handle()
        try:
            yield handle
        finally:
            os.close(handle)

    def _handle(self) -> int:
        flags = os.O_RDWR | os.O_APPEND
        try:
            return open_plain(self.path, flags)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = open_plain(self.path, flags | os.O_CREAT)
            sync_folder(self.path.parent)
            return handle

    def _start(self, handle: int) -> bytes:
        """An end for a line that a crash cut off, so that it does not swallow this one."""
        if os.fstat(handle).st_size == 0:
            return b""
        os.lseek(handle, -1, os.SEEK_END)
        return b"" if os.read(handle, 1) == b"\n" else b"\n"

    def _unknown(self, event: str) -> StateError:
        message = f"{self.path} was written by a newer krea-pipe: this version does not know its event {shown(event)}"
        return StateError(Problem("journal_newer", message, hint="use that version, or a newer one"))

    def _failed(self, verb: str, error: OSError) -> StateError:
        return StateError(Problem("journal_unusable", f"cannot {verb} {self.path}: {error.strerror}"))


def _write_all(handle: int, data: bytes) -> None:
    """Write everything: a disk that fills up takes a part without an error, and names it only at the next try."""
    while data:
        data = data[os.write(handle, data) :]
