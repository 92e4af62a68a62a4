"""The append-only record of what was asked of Krea, shared by every run of a name space.

One JSON object a line, each on disk before the next step is taken:

    submitting   before the POST                    key origin account usd cell began after before
    submitted    the job exists                     key origin account usd cell job_id created_at
    declined     Krea did not take the request      key code status
    unanswered   the answer was lost                key origin account usd cell began after before
    cleared      Krea's list shows no job of it     key
    adopted      a job in Krea's list must be ours  key origin account usd cell job_id created_at
    disowned     it was not ours after all          key job_id
    attached     another run waits for the job now  key job_id
    unfetched    drawn and billed, image not here   key job_id
    unseen       Krea does not show the job         key job_id
    done         the image is stored and verified   key job_id result
    failed       no image; without a job, it is ""  key job_id code
    reported     a run has written its report       key (the run's id)
    counted      a later report has the price       key

Each line has the time `t` and the `run`. What is in flight follows from the lines; nothing else remembers it.
`submitting` and `attached` are claims as well: see `store.ledger`.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.store.atomic import sync_folder
from krea_pipe.store.lock import Lock, exclusive
from krea_pipe.store.plain import open_plain
from krea_pipe.store.replay import Replay

Line: TypeAlias = Mapping[str, Json]
Observe: TypeAlias = Callable[[Sequence[Line]], None]
"""Told of lines that are on disk, from whichever thread wrote them; it raises nothing and returns soon."""


def unobserved(_: Sequence[Line]) -> None:
    """Nobody is told."""


class Journal:
    """The journal file of one name space."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def replay(self) -> Replay:
        """Read every line.

        Raises:
            StateError: the file can not be read.
        """
        state = Replay()
        for line in self.follow(state):
            take(state, line)
        return state

    def follow(self, state: Replay) -> Iterator[Line]:
        """Every whole line after what a state has read; its `size` moves on.

        A last line without an end was cut off by a crash before anything followed from it.

        Raises:
            StateError: the file can not be read.
        """
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
        whole = data.rfind(b"\n") + 1
        state.size += whole
        for text in data[:whole].splitlines():
            line = _parsed(text)
            if line is not None:
                yield line

    def lock(self) -> Lock:
        """The lock that is held while lines are written, for the calling thread.

        Raises:
            StateError: there can be none.
        """
        return Lock(self.path.with_name("journal.lock"))

    def prepare(self) -> None:
        """Find out whether lines can be written.

        Raises:
            StateError: they can not.
        """
        try:
            with self._opened():
                pass
        except OSError as error:
            raise self._failed("write", error) from error

    def append(self, event: str, key: str, **data: Json) -> None:
        """Write one line and wait until it is on disk.

        Raises:
            StateError: the line can not be written, so what it announces must not be done.
        """
        with exclusive(self.path.with_name("journal.lock")):
            self.write([{"event": event, "key": key, **data}])

    def write(self, lines: Sequence[Line]) -> int:
        """Write lines, under the lock, and wait until they are on disk; how long the journal is then.

        Raises:
            StateError: a line can not be written, so what it announces must not be done.
        """
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
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

    def _failed(self, verb: str, error: OSError) -> StateError:
        return StateError(Problem("journal_unusable", f"cannot {verb} {self.path}: {error.strerror}"))


def take(state: Replay, line: Line) -> None:
    """Apply a line to a state, unless a later version or a damage made it something else."""
    try:
        state.take(line)
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def _parsed(text: bytes) -> Line | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _write_all(handle: int, data: bytes) -> None:
    """Write everything: a disk that fills up takes a part without an error, and names it only at the next try."""
    while data:
        data = data[os.write(handle, data) :]
