"""The append-only record of what was asked of Krea, and its replay.

One JSON object a line, each on disk before the next step is taken:

    submitting   before the POST                    key origin account usd
    submitted    the job exists                     key origin account usd job_id
    declined     Krea did not take the request      key
    unanswered   the answer was lost                key origin account usd
    unfetched    drawn and billed, image not here   key job_id
    done         the image is stored and verified   key job_id result
    failed       the job ended without an image     key job_id code

What is in flight follows from the lines; nothing else remembers it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import cast

from krea_pipe.errors import Problem, StateError
from krea_pipe.nodes import Json
from krea_pipe.outcome import Result
from krea_pipe.store.atomic import sync_folder

EVENTS = frozenset({"submitting", "submitted", "declined", "unanswered", "unfetched", "done", "failed"})


@dataclass(frozen=True, slots=True)
class InFlight:
    """A job that Krea has and we have not collected; `counted` once a run has reported that it is billed."""

    job_id: str
    origin: str
    usd: Decimal
    account: str = ""
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that Krea may or may not have taken."""

    origin: str
    usd: Decimal


@dataclass(slots=True)
class Replay:
    """What the journal says, by key."""

    in_flight: dict[str, InFlight] = field(default_factory=dict)
    unanswered: dict[str, Unanswered] = field(default_factory=dict)
    done: dict[str, dict[str, Json]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def result(self, key: str) -> Result | None:
        """The result of a finished request, if the journal has one."""
        try:
            return Result.from_json(self.done[key])
        except (KeyError, ValueError, TypeError, ArithmeticError):
            return None

    def take(self, line: Mapping[str, Json]) -> None:
        """Apply one line."""
        key = str(line["key"])
        event = line["event"]
        if event not in EVENTS:
            return
        if event in ("submitting", "unanswered", "submitted"):
            origin, usd = str(line.get("origin", "")), _money(line.get("usd"))
            self.unanswered.pop(key, None)
            if event == "submitted":
                self.in_flight[key] = InFlight(str(line["job_id"]), origin, usd, str(line.get("account", "")))
            else:
                self.unanswered[key] = Unanswered(origin, usd)
            return
        self.unanswered.pop(key, None)
        if event == "unfetched" and key in self.in_flight:
            self.in_flight[key] = replace(self.in_flight[key], counted=True)
        if event in ("done", "failed"):
            self.in_flight.pop(key, None)
        if event == "done":
            self.done[key] = cast("dict[str, Json]", line["result"])
            self.failed.pop(key, None)
        elif event == "failed":
            self.failed[key] = str(line.get("code", "failed"))


class Journal:
    """The journal file of one name space."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def replay(self) -> Replay:
        """Read every line. A last line without an end was cut off by a crash before anything followed from it.

        Raises:
            StateError: the file can not be read.
        """
        state = Replay()
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return state
        except OSError as error:
            raise self._failed("read", error) from error
        for line in text.splitlines():
            try:
                state.take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
        return state

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
        line = json.dumps({"event": event, "key": key, **data}, ensure_ascii=False, separators=(",", ":"))
        try:
            with self._opened() as handle:
                _write_all(handle, self._start(handle) + line.encode() + b"\n")
                os.fsync(handle)
        except OSError as error:
            raise self._failed("write", error) from error

    @contextmanager
    def _opened(self) -> Iterator[int]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.exists()
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if is_new:
                sync_folder(self.path.parent)
            yield handle
        finally:
            os.close(handle)

    def _start(self, handle: int) -> bytes:
        """An end for a line that a crash cut off, so that it does not swallow this one."""
        if os.fstat(handle).st_size == 0:
            return b""
        os.lseek(handle, -1, os.SEEK_END)
        return b"" if os.read(handle, 1) == b"\n" else b"\n"

    def _failed(self, verb: str, error: OSError) -> StateError:
        return StateError(Problem("journal_unusable", f"cannot {verb} {self.path}: {error.strerror}"))


def _write_all(handle: int, data: bytes) -> None:
    """Write everything: a disk that fills up takes a part without an error, and names it only at the next try."""
    while data:
        data = data[os.write(handle, data) :]


def _money(data: Json) -> Decimal:
    try:
        return Decimal(str(data))
    except InvalidOperation:
        return Decimal(0)
