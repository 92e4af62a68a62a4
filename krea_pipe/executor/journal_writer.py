"""Writes the journal in a separate thread, many lines at a time; every line that it accepts will be written."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, TypeAlias, TypeVar, cast

from krea_pipe.core.outcome import iso
from krea_pipe.store.events import Adopted, Event, JournalLine, Submitted
from krea_pipe.store.ledger import AccountView, Free, JournalEntry, Ledger, RequestStatus
from krea_pipe.store.replay import Replay

_T = TypeVar("_T")

_MAX_BATCH = 256
"""Lines that are written in one go."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A question about the state, which is answered in the thread that writes."""

    ask: Callable[[Ledger], object]

    def answer(self, ledger: Ledger) -> object:
        return self.ask(ledger)


_Task: TypeAlias = tuple[JournalEntry | _Question, "asyncio.Future[object]"]


class RequestLedger(Protocol):
    """Decides who may send a request: the journal of this home, or also a store that several homes share."""

    def put(self, event: Event, key: str) -> "asyncio.Future[object]":
        """Hand over a line."""

    async def record(self, event: Event, key: str) -> RequestStatus:
        """Write a line and wait until it is on disk."""

    async def claim(
        self,
        event: Event,
        key: str,
        expected: tuple[type[RequestStatus], ...] = (Free,),
        *,
        only: RequestStatus | None = None,
    ) -> RequestStatus:
        """Write a line if its request has the expected state; the state that it had."""

    async def statuses(self, keys: Sequence[str]) -> list[RequestStatus]:
        """Read the state of requests."""

    async def ask(self, question: Callable[[Replay], object]) -> object:
        """Ask about the state of this home's journal."""

    async def read_account(self) -> None:
        """Read what all homes have ordered until now.

        Raises:
            CallFailed: a shared store could not be read.
        """

    async def ask_account(self, question: Callable[[AccountView], _T]) -> _T:
        """The account's jobs and POSTs, including those of other homes according to the last read."""


@dataclass(slots=True)
class JournalWriter:
    """The ledger, as tasks on an event loop use it.

    What was handed over is written even if the run is cancelled a moment later: the thread outlives the loop's tasks.
    """

    ledger: Ledger
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _handed_over: list[_Task] = field(default_factory=list)
    _batches: "queue.SimpleQueue[list[_Task] | None]" = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._work, name="journal")
        self._thread.start()

    def close(self) -> None:
        """Write what was handed over, and end."""
        self._send()
        self._batches.put(None)
        if self._thread is not None:
            self._thread.join()

    def put(self, event: Event, key: str) -> "asyncio.Future[object]":
        """Hand over a line; the future is done when it is on disk, or is `Busy` when its job is another request's."""
        return self._hand_over(JournalEntry(self.line(event, key), job_id=_new_job(event)))

    async def record(self, event: Event, key: str) -> RequestStatus:
        """Write a line and wait until it is on disk; `Busy` when its job is another request's, and it was not written.

        Raises:
            StateError: it cannot be written, so what it announces must not be done.
        """
        return cast("RequestStatus", await asyncio.shield(self.put(event, key)))

    async def claim(
        self,
        event: Event,
        key: str,
        expected: tuple[type[RequestStatus], ...] = (Free,),
        *,
        only: RequestStatus | None = None,
    ) -> RequestStatus:
        """Write a line if its request has an expected status; return the status before, which shows whether it was
        written.

        Raises:
            StateError: it cannot be written, so what it announces must not be done.
        """
        entry = JournalEntry(self.line(event, key), expected, only, _new_job(event))
        return cast("RequestStatus", await asyncio.shield(self._hand_over(entry)))

    async def statuses(self, keys: Sequence[str]) -> list[RequestStatus]:
        """The current status of requests.

        Raises:
            StateError: the journal cannot be read.
        """
        answer = _Question(lambda ledger: ledger.statuses(keys))
        return cast("list[RequestStatus]", await asyncio.shield(self._hand_over(answer)))

    async def ask(self, question: Callable[[Replay], object]) -> object:
        """Ask about the state, after reading what other runs have written; in the thread that writes."""

        def answer(ledger: Ledger) -> object:
            ledger.refresh()
            return question(ledger.replay)

        return await asyncio.shield(self._hand_over(_Question(answer)))

    async def read_account(self) -> None:
        """Read nothing: each question reads the journal first, and there are no other homes."""

    async def ask_account(self, question: Callable[[AccountView], _T]) -> _T:
        """Ask about the account's jobs and POSTs, after reading what other runs have written."""
        answer = _Question(lambda ledger: question(ledger.account()))
        return cast("_T", await asyncio.shield(self._hand_over(answer)))

    def line(self, event: Event, key: str) -> JournalLine:
        """The line of an event of this run, written now."""
        return JournalLine(event, key, utc_now(), self.ledger.run)

    def _hand_over(self, task: JournalEntry | _Question) -> "asyncio.Future[object]":
        """Give a task to the thread, two rounds of the loop later.

        The line after a POST and the one before the next POST, which another task hands over, are then written as one.
        """
        future: asyncio.Future[object] = self.loop.create_future()
        if not self._handed_over:
            self.loop.call_soon(self.loop.call_soon, self._send)
        self._handed_over.append((task, future))
        return future

    def _send(self) -> None:
        if self._handed_over:
            self._batches.put(self._handed_over)
            self._handed_over = []

    def _work(self) -> None:
        is_open = True
        while is_open:
            tasks, batch = self._batches.get(), []
            while tasks is not None:
                batch += tasks
                if self._batches.empty() or len(batch) >= _MAX_BATCH:
                    break
                tasks = self._batches.get()
            is_open = tasks is not None
            self._do(batch)
        self.ledger.close()

    def _do(self, batch: list[_Task]) -> None:
        entries = [(task, future) for task, future in batch if isinstance(task, JournalEntry)]
        if entries:
            found = _done(partial(self.ledger.commit, [entry for entry, _ in entries]))
            answers = [found] * len(entries) if isinstance(found, BaseException) else found
            self._tell([(future, one) for (_, future), one in zip(entries, answers, strict=True)])
        for task, future in batch:
            if isinstance(task, _Question):
                self._tell([(future, _done(partial(task.answer, self.ledger)))])

    def _tell(self, answers: Sequence[tuple["asyncio.Future[object]", object]]) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(_resolve, answers)


@contextmanager
def open_journal(ledger: Ledger) -> Iterator[JournalWriter]:
    """A writer that works until the end of the block, which is when all that was handed over is written."""
    journal_writer = JournalWriter(ledger)
    journal_writer.start()
    try:
        yield journal_writer
    finally:
        journal_writer.close()


def _new_job(event: Event) -> str | None:
    """The job that a line makes ours, if it makes one so."""
    return event.job_id if isinstance(event, Submitted | Adopted) else None


def _done(work: Callable[[], _T]) -> _T | BaseException:
    """Pass the result of some work, or its error, to the waiting task."""
    try:
        return work()
    except BaseException as error:  # noqa: BLE001 (the boundary of the thread)
        return error


def _resolve(answers: Sequence[tuple["asyncio.Future[object]", object]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
            future.exception()  # a line without a waiting task fails silently
        else:
            future.set_result(answer)


def utc_now() -> str:
    """The time in UTC, as ISO 8601 to the millisecond."""
    return iso(datetime.now(UTC))
