"""The append-only record of what was asked of Krea, and its replay.

One JSON object a line, each on disk before the next step is taken:

    submitting   before the POST                    key origin account usd
    submitted    the job exists                     key origin account usd job_id
    declined     Krea did not take the request      key
    unanswered   the answer was lost                key origin account usd
    unfetched    drawn and billed, image not here   key job_id
    unseen       Krea does not show the job         key job_id
    done         the image is stored and verified   key job_id result
    failed       the job ended without an image     key job_id code
    reported     a run has written its report       key (the run's id)
    counted      a later report has the price       key

Each line has the time `t` and the `run`. What is in flight follows from the lines; nothing else remembers it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from krea_pipe.errors import Problem, StateError
from krea_pipe.nodes import Json
from krea_pipe.outcome import Result
from krea_pipe.store.atomic import sync_folder

BINARY = getattr(os, "O_BINARY", 0)
"""Windows would turn line ends into two bytes without it."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """A job that Krea has and we have not collected.

    `unfetched` names the run that reported it as drawn and billed; `unseen` says that Krea did not show it when asked.
    """

    job_id: str
    origin: str
    account: str = ""
    unfetched: str = ""
    unseen: bool = False


@dataclass(slots=True)
class Replay:
    """What the journal says, by key: `open` and `lost` give the origin of POSTs without an answer.

    `open` POSTs were cut off by a crash, `lost` ones were not answered. `drawn_by` names the run that paid for a
    result, and `reported` holds the runs that lived to tell.
    """

    in_flight: dict[str, InFlight] = field(default_factory=dict)
    open: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    done: dict[str, dict[str, Json]] = field(default_factory=dict)
    drawn_by: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)

    def result(self, key: str) -> Result | None:
        """The result of a finished request, if the journal has one."""
        try:
            return Result.from_json(self.done[key])
        except (KeyError, ValueError, TypeError, ArithmeticError):
            return None

    def unanswered(self, key: str) -> str | None:
        """The origin of a POST that Krea may or may not have taken, if there is one."""
        return self.open.get(key) or self.lost.get(key)

    def is_reported(self, key: str) -> bool:
        """Whether the price of a result stands in a report; what only a lost journal knew is no news."""
        return key not in self.drawn_by or self.drawn_by[key] in self.reported

    def take(self, line: Mapping[str, Json]) -> None:
        """Apply one line; events that a later version may add are passed over."""
        key, run = str(line["key"]), str(line.get("run", ""))
        match line["event"]:
            case "submitting" | "submitted" | "declined" | "unanswered" as event:
                self._take_post(event, key, line)
            case "unfetched" if key in self.in_flight:
                self.in_flight[key] = replace(self.in_flight[key], unfetched=run)
            case "unseen" if key in self.in_flight:
                self.in_flight[key] = replace(self.in_flight[key], unseen=True)
            case "done" | "failed" as event:
                self._take_end(event, key, line)
            case "reported":
                self.reported.add(key)
            case "counted":
                self.drawn_by.pop(key, None)

    def _take_post(self, event: str, key: str, line: Mapping[str, Json]) -> None:
        origin = str(line.get("origin", ""))
        if event == "submitting":
            if key in self.open:  # a crash came before its answer, and the same request is sent again
                self.lost[key] = self.open[key]
            self.open[key] = origin
            return
        self.open.pop(key, None)
        if event == "unanswered":
            self.lost[key] = origin
        elif event == "submitted":
            self.lost.pop(key, None)
            self.in_flight[key] = InFlight(str(line["job_id"]), origin, str(line.get("account", "")))

    def _take_end(self, event: str, key: str, line: Mapping[str, Json]) -> None:
        for waiting in (self.open, self.lost, self.in_flight):
            waiting.pop(key, None)
        self.failed.pop(key, None)
        if event == "done":
            self.done[key], self.drawn_by[key] = cast("dict[str, Json]", line["result"]), str(line.get("run", ""))
        else:
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
        line = json.dumps({"event": event, "key": key, **data}, separators=(",", ":"))
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
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY, 0o600)
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
