"""Which jobs Krea's list has shown, so that after a lost answer a new job is recognized by its id.

The clocks of Krea's hosts and gateways may differ, so times only say how far back to read. Before a POST, every id of
the newest part of the list is in the journal. The polls of a run keep that up to date, so a POST costs no call.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import cast

from krea_pipe.api.engine import Engine
from krea_pipe.api.failures import AnswerLost
from krea_pipe.api.wire import Job, JobPage, read_time
from krea_pipe.core.outcome import iso
from krea_pipe.executor.journal_writer import RequestLedger
from krea_pipe.store.events import Listed
from krea_pipe.store.ledger import AccountView
from krea_pipe.store.replay import Replay
from krea_pipe.store.request_state import InFlight, Post

REACH = timedelta(seconds=30)
"""Seconds to read back in a list beyond the newest known job: the clocks of Krea's hosts may differ by this much."""
OVERLAP = timedelta(seconds=2)
"""The part of a page that the next page repeats: a page may end between two jobs of the same moment."""
NEWEST = 5
"""The number of newest times of which the oldest is used, so that a few wrong future times hide nothing."""
ANSWERS = 32
_FIRST_PAGE_JOBS = 100
_PAGE_JOBS = 1000
_MAX_PAGES = 30
_SHOWN_JOBS = 2000
_SHOWN = timedelta(milliseconds=1)
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class JobListing:
    """The newest jobs of the account, as far back as they were read, each with a time before which it was created."""

    jobs: tuple[Job, ...]
    made_by: dict[str, datetime]


@dataclass(frozen=True, slots=True)
class NewJobs:
    """The jobs in a listing that did not exist before a POST.

    `strangers` are the jobs that Krea's list had not shown before the POST and that no answer has named, newest first.
    `others` are further jobs that no answer has named and that came since the run of the POST began; `hidden` counts
    those of them that the listing does not have, and `earlier` are those of before the run.
    """

    strangers: tuple[Job, ...] = ()
    others: tuple[Job, ...] = ()
    hidden: int = 0
    earlier: tuple[Job, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job that exists: when it was made, by Krea's word, and when an answer named it, by our steady clock."""

    created_at: datetime | None
    named: float = -math.inf


@dataclass(slots=True)
class AccountJobs:
    """The jobs that a run knows of the account.

    `seen` numbers every job in the order in which the run came to know it. `missed` says when the last list was asked
    for that went back so far and did not have it, by our steady clock, as `read_at` does for jobs to come; that list
    had every job since `read_to`. `shown` has the times of the last jobs that lists have shown, `known` the jobs that
    exist by the word of an answer: a list that can be trusted shows both. `undated` are those of them without a time
    which no list has shown yet. What was made since `known_since` and was listed before the first POST is seen.
    `newest` has the newest times of jobs, the oldest of them first. `late` has the seconds that the last answers to
    POSTs took, and that jobs took to show in the list.
    """

    client: Engine
    journal_writer: RequestLedger
    run_id: str
    origin: str
    account: str
    seen: dict[str, int] = field(default_factory=dict)
    missed: dict[str, float] = field(default_factory=dict)
    read_at: float = -math.inf
    read_to: datetime | None = None
    known: dict[str, KnownJob] = field(default_factory=dict)
    undated: dict[str, KnownJob] = field(default_factory=dict)
    known_since: datetime | None = None
    newest: list[datetime] = field(default_factory=list)
    shown: dict[str, datetime] = field(default_factory=dict)
    late: "deque[float]" = field(default_factory=lambda: deque(maxlen=ANSWERS))
    answers: "deque[float]" = field(default_factory=lambda: deque(maxlen=ANSWERS))
    """The seconds that the last answers to POSTs took."""

    async def open(self) -> None:
        """Read the newest part of the list before anything is sent, and record the jobs in it.

        Raises:
            CallFailed: it could not be read.
            StateError: nothing can be written down.
        """
        began = self.client.clock.steady()
        found, is_whole = await self._read_back_to(None)
        await asyncio.shield(self._note_seen(found))
        self.read_at = began
        self.known_since = self.read_to = _reached(found, is_whole=is_whole)

    def show(self, jobs: Sequence[Job]) -> None:
        """Take in what a poll has shown."""
        if any(job.id not in self.seen for job in jobs):
            self._note_seen(jobs)

    def know(self, job_id: str, created_at: datetime | None) -> None:
        """Note a job that an answer to this run has named."""
        self.seen.setdefault(job_id, len(self.seen))
        known = KnownJob(created_at, self.client.clock.steady())
        if created_at is None:
            self.undated[job_id] = known
        else:
            self.known[job_id] = known
            self._note_time(created_at)

    def has_ended_before(self, job: Job) -> bool:
        """Whether a job of an answer has ended, and is too old for any that is made from now on.

        It may be older than the part of the list that was read, so that nothing has shown it.
        """
        at = job.created_at
        return job.is_final and at is not None and bool(self.newest) and at < self.newest[0] - REACH

    def window(self) -> tuple[str, str]:
        """The `known_since` and `newest` of a POST that follows."""
        if self.known_since is None:
            return "", ""
        return iso(self.known_since), iso(self.newest[0] if self.newest else _BEGINNING)

    async def list_since(self, floor: datetime, named_before: float) -> JobListing:
        """Read every job that may have been made since a time of a job's.

        Jobs that were named before a time of the monotonic clock have to be shown; later ones may be late.

        Raises:
            CallFailed: the list could not be read, or does not show what it should.
        """
        await self._know_from_journal()
        began = self.client.clock.steady()
        found, is_whole = await self._read_back_to(floor)
        await self._check(found, floor, named_before)
        for job in found:
            self.undated.pop(job.id, None)
        self._note_seen(found)
        self.read_at, self.read_to = began, _reached(found, is_whole=is_whole)
        return JobListing(tuple(found), made_by(found))

    async def new_since(self, post: Post, listing: JobListing, taken: set[str]) -> NewJobs:
        """The jobs in a listing that did not exist before a POST; `taken` are jobs of other lost answers.

        For a POST before which no list was written down, its times decide.
        """
        since = read_time(post.known_since)
        began = min(filter(None, (read_time(post.began), read_time(post.after))), default=None)

        def ask(view: AccountView) -> NewJobs:
            replay = view.journal
            unnamed = [job for job in listing.jobs if not view.is_named(job.id) and job.id not in taken]
            if since is None:
                return NewJobs(tuple(job for job in unnamed if _is_since(listing.made_by.get(job.id), began, REACH)))
            if not view.is_own(post):
                return _since_newest(post, listing, unnamed)
            new = [
                job
                for job in unnamed
                if replay.listed.get(job.id, post.listed) >= post.listed
                if _is_since(listing.made_by.get(job.id), since, -_SHOWN)  # an older one was beyond the list's part
            ]
            before = range(post.listed_at_start, post.listed)
            others = {one for one, number in replay.listed.items() if number in before and not view.is_named(one)}
            others -= taken
            shown = tuple(job for job in unnamed if job.id in others)
            earlier = tuple(job for job in unnamed if replay.listed.get(job.id, post.listed) < post.listed_at_start)
            return NewJobs(tuple(new), shown, len(others) - len(shown), earlier)

        return await self.journal_writer.ask_account(ask)

    async def _know_from_journal(self) -> None:
        """Take in the jobs that earlier runs have written down."""
        jobs = await self.journal_writer.ask(lambda replay: replay.jobs_to_show(self.origin, self.account))
        for job in cast("list[InFlight]", jobs):
            at = read_time(job.created_at)
            if at is not None:
                self.known.setdefault(job.job_id, KnownJob(at))

    def _note_seen(self, jobs: Sequence[Job]) -> "asyncio.Future[object]":
        """Write down the jobs that this run had not seen; the journal leaves out those that it knows."""
        new = tuple(job.id for job in jobs if job.id not in self.seen)
        for job in jobs:
            if job.id not in self.seen:
                self.seen[job.id] = len(self.seen)
                if self.read_to is not None and job.created_at is not None and job.created_at > self.read_to:
                    self.missed[job.id] = self.read_at
            if job.created_at is not None:
                self._note_time(job.created_at)
                self.shown[job.id] = job.created_at
        while len(self.shown) > _SHOWN_JOBS:
            del self.shown[next(iter(self.shown))]
        return self.journal_writer.put(Listed(jobs=new), self.run_id)

    def _note_time(self, at: datetime) -> None:
        if len(self.newest) < NEWEST or at > self.newest[0]:
            self.newest = sorted({*self.newest, at})[-NEWEST:]

    async def _read_back_to(self, floor: datetime | None) -> tuple[list[Job], bool]:
        """The newest jobs, down to a time or somewhat beyond the newest, and whether these are all that there are."""
        found: dict[str, Job] = {}
        before, limit = None, _FIRST_PAGE_JOBS
        first: datetime | None = None
        for _ in range(_MAX_PAGES):
            page = await self._page(limit, before)
            jobs = page.jobs
            is_new = any(job.id not in found for job in jobs)
            for job in jobs:
                found.setdefault(job.id, job)
            times = [job.created_at for job in jobs if job.created_at is not None]
            first = first or (times[0] if times else None)
            is_newest_first = first is not None and bool(times) and first > times[-1]  # of one moment, it may be either
            is_reached = is_newest_first and times[-1] < (floor or _reach(found.values()))
            if page.next is None or is_reached:
                return list(found.values()), page.next is None
            can_overlap = is_new and is_newest_first and read_time(page.next) is not None
            before, limit = iso(times[-1] + OVERLAP) if can_overlap else page.next, _PAGE_JOBS
        raise AnswerLost(f"the list of jobs is longer than {_MAX_PAGES * _PAGE_JOBS:,}")

    async def _page(self, limit: int, before: str | None) -> JobPage:
        """A page of the list. One that is empty, though another has named it, is asked for once more."""
        page = await self.client.jobs(limit, before)
        return page if page.jobs or before is None else await self.client.jobs(limit, before)

    async def _check(self, found: list[Job], floor: datetime, named_before: float) -> None:
        """A list that does not show a job that we know may hide another as well, and so may one that shows nothing."""
        shown = {job.id for job in found}
        hidden = {
            job_id
            for job_id, known in (*self.known.items(), *self.undated.items())
            if known.named <= named_before and (known.created_at is None or known.created_at >= floor)
        }
        hidden |= {job_id for job_id, created_at in self.shown.items() if created_at >= floor}
        if hidden := await self._still_there(hidden - shown):
            raise AnswerLost(f"the list of jobs does not contain job {min(hidden)}, which exists")
        if not found:
            raise AnswerLost("the list of jobs is empty, so it is unknown whether it is up to date")

    async def _still_there(self, jobs: set[str]) -> set[str]:
        """Those of our jobs that have to be shown: not one that was cancelled, or is known to be hidden."""

        def ask(replay: Replay) -> object:
            return {one for one in jobs if _is_there(one, replay)}

        return cast("set[str]", await self.journal_writer.ask(ask)) if jobs else jobs


def _since_newest(post: Post, listing: JobListing, unnamed: Sequence[Job]) -> NewJobs:
    """The jobs that came since a POST of another home, of whose earlier list only the newest time is known.

    A host whose clock is behind may have dated its job to before that: then it is not found, and the POST stays open.
    """
    newest = read_time(post.newest)
    is_new = {job.id: _is_since(listing.made_by.get(job.id), newest, -_SHOWN) for job in unnamed}
    earlier = tuple(job for job in unnamed if not is_new[job.id])
    return NewJobs(tuple(job for job in unnamed if is_new[job.id]), earlier=earlier)


def made_by(jobs: Sequence[Job]) -> dict[str, datetime]:
    """For each job of a list a time by which it was made.

    The list has the newest first, so a job without a time was made before the one above it; when one of those below is
    younger than that, by when that one was made.
    """
    times = (job.created_at or datetime.min.replace(tzinfo=UTC) for job in reversed(jobs))
    youngest = reversed(list(accumulate(times, max)))
    found: dict[str, datetime] = {}
    above: datetime | None = None
    for job, below in zip(jobs, youngest, strict=True):
        above = job.created_at or above
        if above is not None:
            found[job.id] = job.created_at or max(above, below)
    return found


def _reached(jobs: Sequence[Job], *, is_whole: bool) -> datetime:
    """The time since which a list has every job."""
    times = [job.created_at for job in jobs if job.created_at is not None]
    return _BEGINNING if is_whole or not times else min(times)


def _reach(jobs: Iterable[Job]) -> datetime:
    """How far back to read a list that begins with some jobs: slightly further than the newest."""
    times = sorted(job.created_at for job in jobs if job.created_at is not None)
    return times[-NEWEST:][0] - REACH


def _is_since(at: datetime | None, since: datetime | None, slack: timedelta) -> bool:
    """Whether a job may have been made since; one without a time may."""
    return at is None or since is None or at >= since - slack


def _is_there(job_id: str, replay: Replay) -> bool:
    key = replay.jobs.get(job_id, "")
    job = replay.in_flight.get(key)
    return key not in replay.failed if job is None else not job.unseen
