"""The ledger of a home that shares a store with others: what is claimed has to be free here and there.

A line is written to this home's journal first, and to the store after that. Where a claim of another home was faster,
the journal takes its own claim back. A run that dies between the two leaves a POST that was never made, as any crash
before a POST does.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast

from krea_pipe.api.failures import CallFailed
from krea_pipe.api.wire import read_time
from krea_pipe.core.outcome import Result
from krea_pipe.executor.journal_writer import JournalWriter
from krea_pipe.store.blobs import Blobs
from krea_pipe.store.events import (
    Adopted,
    Attached,
    Cleared,
    Declined,
    Disowned,
    Done,
    Event,
    Failed,
    JournalLine,
    Submitted,
    Submitting,
    Unanswered,
    Unfetched,
    Unseen,
)
from krea_pipe.store.ledger import AccountView, Blocked, Busy, DrawnElsewhere, Free, RequestStatus
from krea_pipe.store.remote.bucket import RemoteFailed
from krea_pipe.store.remote.claims import Claims
from krea_pipe.store.remote.presence import SharedPresence
from krea_pipe.store.remote.results import SharedImage, SharedResults
from krea_pipe.store.replay import Replay
from krea_pipe.store.request_state import InFlight, Post

_T = TypeVar("_T")
SHARED_EVENTS = (
    Submitting,
    Submitted,
    Declined,
    Unanswered,
    Cleared,
    Adopted,
    Disowned,
    Attached,
    Unfetched,
    Unseen,
    Failed,
)
"""The events that other homes need to know about a request; results and reports are stored separately.

`Done` becomes a result, and reports are of one home.
"""
LOOK = 2
"""The number of polls after which the store is asked about a request of another run."""
RETRY = 3
"""The number of polls after which a line that the store has not accepted is written again."""
CLOCK_MARGIN = timedelta(days=1)
"""How far the clocks of a machine and of the store may differ when claims from before a lost answer are omitted."""
_PATIENCE = 30
"""The number of polls for which a claim waits for earlier lines of its request."""
LAST_TRIES = 2
"""The number of attempts for a line that is left at the end of a run."""
_WIDTH = 16
"""Calls to the store at once."""


@dataclass(slots=True)
class SharedLedger:
    """The journal of this home and the claims of all homes, for tasks on an event loop; see `JournalWriter`.

    `is_fit` says whether an image is one of its request. Without claims, only results go to the store. `distrust` says
    why the store cannot keep claims. `locked_jobs` has the requests of the jobs that the lock file names. `looked` has
    the times of the last looks at requests of other runs, `done` the results that they have published, and `queues` the
    lines that are on their way to the store. `lost` says why something could not be written there. All waits are
    multiples of `poll`, the seconds between two polls.
    """

    journal: JournalWriter
    claims: Claims
    presence: SharedPresence
    results: SharedResults
    blobs: Blobs
    is_fit: Callable[[str, SharedImage], bool]
    poll: float = 1.0
    has_claims: bool = True
    distrust: str = ""
    locked_jobs: Mapping[str, str] = field(default_factory=dict)
    looked: dict[str, float] = field(default_factory=dict)
    done: dict[str, Result] = field(default_factory=dict)
    alive: frozenset[str] = frozenset()
    queues: dict[str, "deque[tuple[asyncio.Future[object], JournalLine]]"] = field(default_factory=dict)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    is_closing: bool = False
    lost: list[str] = field(default_factory=list)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_WIDTH, "shared store"))

    def put(self, event: Event, key: str) -> "asyncio.Future[object]":
        """Hand over a line; the future is done when it is on this home's disk. Other homes get it a little later."""
        written = self.journal.put(event, key)
        if isinstance(event, SHARED_EVENTS) and self.has_claims:
            self._queue(written, self.journal.line(event, key))
        elif isinstance(event, Done):
            self._start(self._publish(written, event, key))
        return written

    async def record(self, event: Event, key: str) -> RequestStatus:
        """Write a line and wait until it is on this home's disk."""
        status = await asyncio.shield(self.put(event, key))
        assert isinstance(status, RequestStatus)
        return status

    async def claim(
        self,
        event: Event,
        key: str,
        expected: tuple[type[RequestStatus], ...] = (Free,),
        *,
        only: RequestStatus | None = None,
    ) -> RequestStatus:
        """Write a line here and in the store if its request has the expected state; the state that it had."""
        if not self.has_claims:
            return await self.journal.claim(event, key, expected, only=only)
        if reason := await self._refusal(event, key):
            return Blocked(reason, is_down=True)
        while True:
            shared = await self._status(key)
            if isinstance(shared, Free):
                status = await self.journal.claim(event, key, expected, only=only)
                is_written = _fits(status, expected, only)
            else:
                status = _combined((await self.journal.statuses([key]))[0], shared)
                is_written = _fits(status, expected, only)
                if is_written:
                    await self.journal.record(_local(event, status), key)
            if not is_written:
                return status
            refused = await asyncio.shield(self._take(self.journal.line(event, key)))
            if refused is None:
                return status
            if isinstance(event, Submitting):  # it is not sent
                await self.journal.record(Declined(code="claimed"), key)
            if not isinstance(refused, Busy):
                return refused

    async def statuses(self, keys: Sequence[str]) -> list[RequestStatus]:
        """Read the state of requests, by this home's journal and the store."""
        local = await self.journal.statuses(keys)
        posts = [key for key, one in zip(keys, local, strict=True) if isinstance(one, Post)]
        shared = await asyncio.gather(*(self._status(key, is_asked=key in posts) for key in keys))
        return [_combined(one, other) for one, other in zip(local, shared, strict=True)]

    async def ask(self, question: Callable[[Replay], object]) -> object:
        """Ask about the state of this home's journal."""
        return await self.journal.ask(question)

    async def read_account(self) -> None:
        """Read what all homes have ordered until now.

        Raises:
            CallFailed: the store could not be read.
        """
        if not self.has_claims:
            return
        try:
            oldest = await self.ask_account(lambda view: min((post.t for post in view.posts), default=""))
            at = read_time(oldest)
            scan = await self._call(partial(self.claims.scan, None if at is None else at - CLOCK_MARGIN))
            self.claims.note_jobs(scan.jobs)
            numbers = self.claims.numbers
            await asyncio.gather(*(self._read(key) for key, last in scan.open.items() if last > numbers.get(key, 0)))
            self.alive = await self._call(self.presence.alive)
        except RemoteFailed as error:
            raise CallFailed(f"the shared store could not be read: {error}") from error

    async def ask_account(self, question: Callable[[AccountView], _T]) -> _T:
        """The account's jobs and POSTs, including those of other homes according to the last read."""
        known, alive = self.claims.replay, self.alive
        jobs = dict.fromkeys(self.claims.known_jobs, "") | known.jobs
        others = Replay(open=dict(known.open), lost=dict(known.lost), jobs=jobs)
        return await self.journal.ask_account(
            lambda view: question(replace(view, others=others, alive=view.alive | alive))
        )

    async def open(self) -> None:
        """Show that this run is alive. Where the store is down, the first claim will say so."""
        self.distrust = await self._call(self.presence.open)
        if self.has_claims and not self.results.bucket.is_read_only:
            with contextlib.suppress(RemoteFailed):
                await self._tell_earlier()

    async def close(self) -> None:
        """Write the remaining lines to the store."""
        self.is_closing = True
        while self.tasks:
            await asyncio.wait(self.tasks)
        await self._call(self.presence.close)
        self._threads.shutdown(wait=False)

    # --- claims

    async def _refusal(self, event: Event, key: str) -> str:
        """Why a claim cannot be made now; "" when it can."""
        if self.distrust and isinstance(event, Submitting):
            return self.distrust
        is_sent = await self._sent(key)
        return "" if is_sent else "the shared store did not accept the last entry of this request"

    async def _status(self, key: str, *, is_asked: bool = False) -> RequestStatus:
        """The state of a request by the store, which is asked only about what another run works on.

        With `is_asked` it is asked once in any case: what an earlier run may have sent, another home may have paid.
        """
        if key in self.done:  # also when no claim is left, or there never was one
            work = self.claims.work(key)
            return DrawnElsewhere(self.done[key], work.run if work else "")
        is_news = is_asked and self.has_claims and key not in self.looked
        if (self.claims.work(key) is None and not is_news) or key in self.claims.blocked:
            return self.claims.status(key, self.alive)
        now = asyncio.get_running_loop().time()
        if now - self.looked.get(key, -math.inf) >= LOOK * self.poll:
            self.looked[key] = now
            try:
                await self._look(key)
            except RemoteFailed as error:
                return Blocked(str(error), is_down=True)
        if key in self.done:
            return await self._status(key)
        status = self.claims.status(key, self.alive)
        if isinstance(status, InFlight) and await self._key_of(status.job_id) not in (None, key):
            reason = f"the shared store names job {status.job_id}, which is known here as the job of another request"
            return Blocked(reason)
        return status

    async def _look(self, key: str) -> None:
        """Read what the store has of a request, and whether the run that works on it is alive.

        Without the second reading, a run that ends between the first one and the list of runs would seem to have left
        its job without an image.
        """
        ended = ""
        while True:
            await asyncio.gather(self._read(key), self._fetch(key))
            read_at, work = time.monotonic(), self.claims.work(key)
            if work is None or key in self.done or work.run == ended:
                return
            self.alive = await self._call(self.presence.alive)
            if work.run not in self.alive:  # it may have begun since that list, or have ended since its last line
                self.alive = await self._call(partial(self.presence.alive, read_at))
            if work.run in self.alive:
                return
            ended = work.run

    async def _key_of(self, job_id: str) -> object:
        """The request of a job by this home's journal or the lock file; None if they do not know it."""
        return self.locked_jobs.get(job_id) or await self.journal.ask(lambda replay: replay.jobs.get(job_id))

    async def _take(self, line: JournalLine) -> RequestStatus | None:
        """Write a claim to the store. None when it is there; `Busy` when another was faster, whose line is read then.

        What costs nothing continues without the store, and is written later.
        """
        key = line.key
        is_first = key not in self.claims.numbers and isinstance(line.event, Submitting)
        try:
            if not await self._write(line):
                self.looked.pop(key, None)
                return Busy("")
            if is_first and await self._fetch(key):  # published without a claim
                self._queue(_done(), self.journal.line(Declined(code="claimed"), key))
                return DrawnElsewhere(self.done[key], "")
        except RemoteFailed as error:
            if isinstance(line.event, Submitting):
                return Blocked(str(error), is_down=True)
            self._queue(_done(), line)
        return None

    async def _write(self, line: JournalLine) -> bool:
        """Write a line as the next of its request, and name its job; False when another was faster, which is then read.

        A job is named only once its line is there: a name hides it from the lost answers of other homes.
        """
        number = self.claims.numbers.get(line.key, 0) + 1
        if not await self._call(partial(self.claims.append, number, line)):
            await self._read(line.key)
            return False
        self.claims.note(number, line)
        if isinstance(line.event, Submitted | Adopted):
            await self._call(partial(self.claims.name_job, line.event.job_id, line.key))
        return True

    async def _read(self, key: str) -> None:
        number = self.claims.numbers.get(key, 0)
        self.claims.take(key, await self._call(partial(self.claims.read, key, number)))

    async def _fetch(self, key: str) -> bool:
        """Bring in the image that another home has published; whether there is one."""
        if key in self.done:
            return True
        image = await self._call(partial(self.results.image, key))
        if image is None or not await self._call(partial(self.is_fit, key, image)):
            return False
        await self._call(partial(self.blobs.put, image.data))
        self.done[key] = image.result
        return True

    # --- what goes to the store later

    async def _tell_earlier(self) -> None:
        """Bring to the store the jobs that an earlier run of this home was killed before it could tell.

        To other homes they are strangers until then, which leaves their lost answers uncertain.
        """
        jobs = cast("dict[str, InFlight]", await self.journal.ask(lambda replay: dict(replay.in_flight)))
        own = {key: job for key, job in jobs.items() if job.account == self.claims.account and not job.was_stored}
        named = await self._call(self.claims.named) if own else frozenset()
        for key, job in own.items():
            if job.job_id not in named:
                self._queue(_done(), JournalLine(_submitted(job), key, job.t, job.run))

    def _queue(self, written: "asyncio.Future[object]", line: JournalLine) -> None:
        """Write a line to the store once it is on this home's disk, after the earlier lines of its request."""
        if self.results.bucket.is_read_only:
            return
        queue = self.queues.setdefault(line.key, deque())
        queue.append((written, line))
        if len(queue) == 1:
            self._start(self._send(line.key))

    async def _sent(self, key: str) -> bool:
        """Wait until the earlier lines of a request are in the store; False when that takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE * self.poll):
                while key in self.queues:
                    await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        return key not in self.queues

    async def _send(self, key: str) -> None:
        queue = self.queues[key]
        while queue:
            written, line = queue[0]
            if not isinstance(await _result_of(written), (Busy, BaseException)):
                await self._append(line)
            queue.popleft()
        del self.queues[key]

    async def _append(self, line: JournalLine) -> None:
        """Write a line to the store, after whatever others have written."""
        tries = 0
        while True:
            try:
                if await self._write(line):
                    return
            except RemoteFailed as error:
                tries += 1
                if self.is_closing and tries >= LAST_TRIES:
                    self.lost.append(str(error))
                    return
                await asyncio.sleep(RETRY * self.poll)

    async def _publish(self, written: "asyncio.Future[object]", event: Done, key: str) -> None:
        """Give the image to all; a style is read from Krea."""
        if isinstance(await _result_of(written), BaseException) or "sha256" not in event.result:
            return
        if self.results.bucket.is_read_only:
            return
        result = Result.from_json(event.result)
        data = await self._call(partial(self.blobs.read, result.sha256))
        if data is None:
            return
        for tries in range(LAST_TRIES):
            try:
                await self._call(partial(self.results.publish, key, result, data))
            except RemoteFailed as error:
                if tries == LAST_TRIES - 1:
                    self.lost.append(str(error))
                else:
                    await asyncio.sleep(RETRY * self.poll)
            else:
                return

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _call(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _fits(status: RequestStatus, expected: tuple[type[RequestStatus], ...], only: RequestStatus | None) -> bool:
    return isinstance(status, expected) and (only is None or status == only)


def _combined(local: RequestStatus, shared: RequestStatus) -> RequestStatus:
    """The state of a request according to this home's journal and the store: the more advanced one counts."""
    match local, shared:
        case DrawnElsewhere(), _:
            return local
        case _, (DrawnElsewhere() | Busy()):
            return shared
        case InFlight(), _:
            return local
        case Post(), InFlight():
            return shared
        case Free(), _:
            return local if isinstance(shared, Free) else shared
        case _:
            return local


def _local(event: Event, status: RequestStatus) -> Event:
    """The line that this home's journal needs for a claim that only the store contained."""
    if isinstance(event, Attached) and isinstance(status, InFlight):
        return replace(_submitted(status), cell=event.cell)
    return event


def _submitted(job: InFlight) -> Submitted:
    """The line that a job was begun with."""
    return Submitted(
        job_id=job.job_id,
        origin=job.origin,
        account=job.account,
        usd=job.usd,
        cell=job.cell,
        variant=job.variant,
        person=job.person,
        created_at=job.created_at,
    )


def _done() -> "asyncio.Future[object]":
    future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


async def _result_of(future: "asyncio.Future[object]") -> object:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait([future])
    return future.exception() or future.result() if future.done() and not future.cancelled() else RuntimeError()
