"""What became of a POST whose answer was lost, as far as Krea's list of jobs can tell.

Krea has no idempotency key, and its list shows no prompts. A job that was created in the time of the POST and is not
ours is a candidate. Without one, nothing was ordered, and the request may be sent again. With one alone, on an account
where nobody else was at work, it is ours. Anything else stays open: a wrong image is worse than a missing one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TypeAlias, cast

from krea_pipe.api.client import CALL_SECONDS
from krea_pipe.api.clock import CLOCK_SLACK
from krea_pipe.api.failures import AnswerLost, CallFailed
from krea_pipe.api.wire import Job, read_time
from krea_pipe.core.outcome import iso
from krea_pipe.core.request import Key
from krea_pipe.executor.capacity import delays
from krea_pipe.executor.session import Session
from krea_pipe.store.replay import InFlight, Post, Replay

SLACK = timedelta(seconds=CLOCK_SLACK)
_FIRST_PAGE_JOBS = 100
_PAGE_JOBS = 1000
_MAX_PAGES = 30
_CHECK_ATTEMPTS = 4
PATIENCE = 1200
ROUNDS = 100
"""Looks at strangers that other lost answers may explain, in a twentieth of a poll each."""
LATEST = timedelta(seconds=CALL_SECONDS) + SLACK
"""A job that was created longer after a POST is not of that POST."""
EXACT_SLACK = timedelta(milliseconds=2)


@dataclass(slots=True)
class AccountJobs:
    """Jobs that are not ours, of the time that was looked at: from `since` to `until` of Krea's clock.

    An answer that names a job is what makes it ours. Anything else in Krea's list was started by someone else, or by a
    POST of ours whose answer was lost.

    `made_by` is a time by which each was made: its own, or, when that cannot be read, that of the job above it in the
    list, which has the newest first.
    """

    session: Session
    strangers: dict[str, Job] = field(default_factory=dict)
    made_by: dict[str, datetime] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    known: dict[str, datetime] = field(default_factory=dict)
    """Jobs that exist, with their times: a list that can be trusted shows those of the time that it is about."""
    undated: set[str] = field(default_factory=set)
    """Jobs of this run without a time, which no list has shown yet."""

    def know(self, job_id: str, created_at: datetime | None) -> None:
        """Note a job that an answer to this run has named."""
        at = self._plausible(created_at)
        if at is None:
            self.undated.add(job_id)
        else:
            self.known[job_id] = at

    async def call(self, since: datetime) -> None:
        """Look at every job since a time of Krea's.

        Raises:
            CallFailed: the list could not be read, or does not show what it should.
        """
        whole = self.since is None or self.until is None or since < self.since
        if whole:
            await self._know_from_journal()
        floor = since - SLACK if whole or self.until is None else self.until - 2 * SLACK
        if whole and self.known:
            floor = min(floor, max(self.known.values()))
        found = await self._read_back_to(floor)
        await self._check(found, floor)
        self.undated -= {job.id for job in found}
        self.made_by |= _made_by(found)
        for job in found:
            self.strangers[job.id] = job
            if job.created_at is not None:
                self.until = job.created_at if self.until is None else max(self.until, job.created_at)
        self.since = since if self.since is None else min(since, self.since)
        self.until = self.until or since

    async def strangers_since(self, since: datetime, *, is_own: bool) -> list[Job]:
        """Those of the jobs that were looked at which no answer has named until now.

        A job without a time is among them when it may have been made since. For a POST of this run (`is_own`), one that
        Krea has shown before this run had sent anything is not.
        """
        await self._drop_ours()
        return [
            job
            for job in self.strangers.values()
            if (made_by := self.made_by.get(job.id)) is None or made_by >= since - SLACK
            if job.created_at is not None or not is_own or job.id not in self.session.shown_before
        ]

    async def _know_from_journal(self) -> None:
        """Take in the jobs that earlier runs have written down."""
        origin, account = self.session.origin, self.session.account
        jobs = await self.session.journal_writer.ask(lambda replay: replay.jobs_to_show(origin, account))
        for job in cast("list[InFlight]", jobs):
            at = self._plausible(read_time(job.created_at))
            if at is not None:
                self.known[job.job_id] = at

    async def _drop_ours(self) -> None:
        known = await self.session.journal_writer.ask(
            lambda replay: [one for one in self.strangers if one in replay.jobs]
        )
        for job_id in cast("Iterable[str]", known):
            del self.strangers[job_id]

    async def _read_back_to(self, floor: datetime) -> list[Job]:
        found: list[Job] = []
        before, limit = None, _FIRST_PAGE_JOBS
        for _ in range(_MAX_PAGES):
            page = await self.session.client.jobs(limit, before)
            found += [replace(job, created_at=self._plausible(job.created_at)) for job in page.jobs]
            # The last one: a time that is far off, anywhere else on the page, dates no other job.
            last = next((job.created_at for job in reversed(page.jobs) if job.created_at is not None), None)
            if page.next is None or (last is not None and last < floor):
                return found
            before, limit = page.next, _PAGE_JOBS
        raise AnswerLost(f"the list of jobs is longer than {_MAX_PAGES * _PAGE_JOBS:,}")

    async def _check(self, found: list[Job], floor: datetime) -> None:
        """A list that does not show a job that we know may hide another as well, and so may one that shows nothing."""
        shown = {job.id for job in found}
        hidden = {job_id for job_id, at in self.known.items() if at >= floor} | self.undated
        if hidden := await self._still_there(hidden - shown):
            raise AnswerLost(f"the list of jobs does not show job {min(hidden)}, which exists")
        if not found:
            raise AnswerLost("the list of jobs is empty, so nothing shows that it is up to date")

    async def _still_there(self, jobs: set[str]) -> set[str]:
        """Those of our jobs that have to be shown: not one that was cancelled, or is known to be hidden."""

        def ask(replay: Replay) -> object:
            return {one for one in jobs if _is_there(one, replay)}

        return cast("set[str]", await self.session.journal_writer.ask(ask)) if jobs else jobs

    def _plausible(self, created_at: datetime | None) -> datetime | None:
        """The time of a job, unless Krea's clock has not reached it yet, by which no other job can be dated."""
        latest = self.session.client.clock.latest()
        return None if created_at is None or (latest is not None and created_at > latest + SLACK) else created_at


def _is_there(job_id: str, replay: Replay) -> bool:
    key = replay.jobs.get(job_id, "")
    job = replay.in_flight.get(key)
    return key not in replay.failed if job is None else not job.unseen


def _made_by(found: Sequence[Job]) -> dict[str, datetime]:
    """For each job of a list a time by which it was made.

    The list has the newest first, so a job without a time was made before the one above it; when one of those below is
    younger than that, by when that one was made.
    """
    times = (job.created_at or datetime.min.replace(tzinfo=UTC) for job in reversed(found))
    youngest = reversed(list(accumulate(times, max)))
    made_by: dict[str, datetime] = {}
    above: datetime | None = None
    for job, below in zip(found, youngest, strict=True):
        above = job.created_at or above
        if above is not None:
            made_by[job.id] = job.created_at or max(above, below)
    return made_by


@dataclass(frozen=True, slots=True)
class Nothing:
    """Krea made no job of it."""


@dataclass(frozen=True, slots=True)
class FoundJob:
    """The job that Krea made of it."""

    job: Job


@dataclass(frozen=True, slots=True)
class Unclear:
    """It cannot be told; these jobs may be it. `is_early` says that other lost answers may yet explain them."""

    reason: str
    candidates: tuple[Job, ...] = ()
    is_early: bool = False


Verdict: TypeAlias = Nothing | FoundJob | Unclear


@dataclass(slots=True)
class Search:
    """Looks for the jobs of lost answers, one at a time and while no POST of this run is under way."""

    session: Session
    account_jobs: AccountJobs
    taken: set[str] = field(default_factory=set)
    known_since: dict[Post, float] = field(default_factory=dict)
    """When this run got to know that an answer was lost, by the steady clock."""

    async def look(self, post: Post) -> Verdict:
        """What became of a POST. The gate has to be shut."""
        if post.account not in ("", self.session.account):
            return Unclear("it was sent with another key, whose jobs this one cannot see")
        after = read_time(self._dated(post).after)
        if after is None:
            return Unclear("Krea had not told the time, so its jobs cannot be compared with it")
        latest = self.session.client.clock.latest()
        if latest is not None and after > latest + SLACK:
            return Unclear("it was sent at a time that Krea's clock has not reached, so one of its times was wrong")
        self.known_since.setdefault(post, self.session.client.clock.steady())
        for number in range(ROUNDS):
            verdict = await self._looked(post, after)
            if not isinstance(verdict, Unclear) or not verdict.is_early or number == ROUNDS - 1:
                break
            await self.session.stop.sleep_unless_leaving(self.session.pace.first / 20)
        return verdict

    def _dated(self, post: Post) -> Post:
        """A POST of this run with its times as they are known now: later answers may have corrected an earlier one."""
        sent = self.session.sent.get(Key(post.key))
        if post.run != self.session.run_id or sent is None:
            return post
        after = _earlier(post.after, self.session.client.clock.earliest(sent))
        return replace(post, after=after, began=_earlier(post.began, self.session.began))

    async def _looked(self, post: Post, after: datetime) -> Verdict:
        async with self.session.submit_gate.exclusive():
            if await self.session.stop.sleep_unless_leaving(self._time_to_settle(post)):
                return Unclear("the run was left before Krea's list could be looked at")
            try:
                await self._list_jobs(_began(self._dated(post), after))
                dated = self._dated(post)  # the list's own answer may have told the time better
                return await self._judged(dated, read_time(dated.after) or after)
            except CallFailed as error:
                return Unclear(f"Krea's list of jobs could not be read: {error}")

    def _time_to_settle(self, post: Post) -> float:
        """Seconds until the job of a POST is surely made, if there is one; for one of a dead run it mostly is."""
        least = self.session.pace.first / 10 if post.run == self.session.run_id else 0.0
        return max(self._settling() - self._lost_for(post), least)

    def _settling(self) -> float:
        """Seconds after which a POST without an answer has made its job, if it makes one at all.

        Five times the slowest of the last answers; before the first one, the time of five looks.
        """
        first = self.session.pace.first
        slowest = max(self.session.answers, default=first)
        return min(max(5 * slowest, first / 10), 10 * first)

    def unsettled(self, post: Post) -> float:
        """Seconds until a list without its job means that there is none; more for a dead run, whose POST may go on."""
        factor = 1 if post.run == self.session.run_id else 3
        return factor * self.session.pace.settle - self._lost_for(post)

    def _lost_for(self, post: Post) -> float:
        """Seconds for which the answer to a POST has surely been lost, which is when its job may still be made.

        An earlier run has noted when it was lost, by Krea's clock, or has not waited longer than a call may take.
        """
        clock = self.session.client.clock
        known = clock.steady() - self.known_since[post]
        now, after = clock.earliest(), read_time(post.after)
        if post.run == self.session.run_id or now is None or after is None:
            return known
        lost = read_time(post.before) or after + timedelta(seconds=CALL_SECONDS)
        return max(known, (now - lost).total_seconds())

    async def _judged(self, post: Post, after: datetime) -> Verdict:
        strangers = await self._strangers(_began(post, after), is_own=post.run == self.session.run_id)
        later = [job for job in strangers if not job.is_unbilled and _is_since(job, after)]
        open_ones = [job for job in later if _may_have_made(post, job)]
        if not later:
            return Nothing()
        if not open_ones:
            of_others = all([await self._rivals(post, job) for job in later])
            reason = "a job was made after the answer was lost that krea-pipe did not start"
            return Unclear(reason, tuple(later), is_early=of_others)
        fitting = await self._fitting(open_ones)
        if fitting and self.session.uncertain == "adopt":
            return self._take(min(fitting, key=lambda job: _distance(job, after)))
        if any(job.created_at is None for job in open_ones):
            return Unclear("the list has a job whose time of creation cannot be read", tuple(open_ones))
        if len(fitting) < len(open_ones):
            return Unclear("a job that may be its own has drawn another size than was asked for", tuple(open_ones))
        others = [job for job in strangers if job.id != open_ones[0].id]
        if len(open_ones) > 1 or others:
            jobs = "another job is" if len(others) == 1 else f"{len(others)} other jobs are"
            return Unclear(f"{jobs} on the account that krea-pipe did not start", tuple(open_ones))
        if read_time(post.began) is None:
            return Unclear("Krea had not told the time when the run began", tuple(open_ones))
        rivals = await self._rivals(post, open_ones[0])
        if rivals:
            return Unclear("more than one answer was lost at that time", tuple(open_ones))
        return self._take(open_ones[0])

    def _take(self, job: Job) -> FoundJob:
        self.taken.add(job.id)
        return FoundJob(job)

    async def _list_jobs(self, began: datetime) -> None:
        for wait in (*delays(_CHECK_ATTEMPTS, self.session.pace), None):
            try:
                await self.account_jobs.call(began)
                break
            except CallFailed:
                if wait is None or await self.session.stop.sleep_unless_closing(wait):
                    raise

    async def _strangers(self, began: datetime, *, is_own: bool) -> list[Job]:
        """Jobs that are nobody's of this home, once the POSTs that other runs have under way have their answers."""
        if await self.account_jobs.strangers_since(began, is_own=is_own):
            await self._answered(await self._others_under_way())
        return [
            job for job in await self.account_jobs.strangers_since(began, is_own=is_own) if job.id not in self.taken
        ]

    async def _fitting(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that have not been looked at before, and found to show something else."""
        found = await self.session.journal_writer.ask(
            lambda replay: [job for job in jobs if job.id not in replay.disowned]
        )
        return cast("list[Job]", found)

    async def _answered(self, posts: frozenset[Post]) -> None:
        """Wait until POSTs of other runs have their answers, for their jobs are in the list before we know them."""
        for _ in range(PATIENCE):
            if not posts & await self._others_under_way():
                return
            if await self.session.stop.sleep_unless_leaving(self.session.pace.first / 20):
                break
        raise CallFailed("another run was waiting for an answer all the time")

    async def _others_under_way(self) -> frozenset[Post]:
        """The POSTs of other runs that have no answer yet."""
        alive, run = self.session.space.presence.alive(), self.session.run_id

        def ask(replay: Replay) -> object:
            return frozenset(post for post in replay.open.values() if post.run in alive and post.run != run)

        return cast("frozenset[Post]", await self.session.journal_writer.ask(ask))

    async def _rivals(self, post: Post, job: Job) -> Sequence[Post]:
        """Other POSTs without an answer that may have made the same job."""

        def ask(replay: Replay) -> object:
            posts = (*replay.open.values(), *replay.lost.values())
            return [one for one in posts if one.key != post.key and one.origin == post.origin]

        rivals = cast("list[Post]", await self.session.journal_writer.ask(ask))
        return [one for one in rivals if _may_have_made(one, job)]


def _began(post: Post, after: datetime) -> datetime:
    return min(read_time(post.began) or after, after)


def _earlier(noted: str, known: datetime | None) -> str:
    times = [one for one in (read_time(noted), known) if one is not None]
    return iso(min(times)) if times else ""


def _distance(job: Job, after: datetime) -> timedelta:
    return timedelta.max if job.created_at is None else abs(job.created_at - after)


def _is_since(job: Job, after: datetime) -> bool:
    """Whether a job may have been made since; one without a time may."""
    return job.created_at is None or after - SLACK <= job.created_at


def _may_have_made(post: Post, job: Job) -> bool:
    """Whether a job was made while a POST had no answer yet; `before` is when that was given up, by Krea's clock."""
    after, before = read_time(post.after), read_time(post.before)
    if after is None or job.created_at is None:
        return True
    slack = EXACT_SLACK if post.is_exact else SLACK
    until = after + LATEST if before is None else before
    return after - slack <= job.created_at <= until + slack
