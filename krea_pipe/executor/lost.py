"""What became of a POST whose answer was lost, as far as Krea's list of jobs can tell.

Krea has no idempotency key, and its list shows no prompts. A job that the list did not show before the POST, and that
no answer has named, is a candidate, whatever its time. Without one, nothing was ordered, and the request may be sent
again. With one alone, on an account where nobody else was at work, it is ours. Anything else stays open: a wrong image
is worse than a missing one, and a wrong `Nothing` is paid twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, cast

from krea_pipe.api.client import CALL_SECONDS
from krea_pipe.api.clock import CLOCK_SLACK
from krea_pipe.api.failures import CallFailed
from krea_pipe.api.wire import Job, read_time
from krea_pipe.core.outcome import iso
from krea_pipe.core.request import Key
from krea_pipe.executor.account_jobs import REACH, Listing, NewJobs
from krea_pipe.executor.capacity import delays
from krea_pipe.executor.session import Session
from krea_pipe.store.replay import Post, Replay

SLACK = timedelta(seconds=CLOCK_SLACK)
EXACT_SLACK = timedelta(milliseconds=2)
LATEST = timedelta(seconds=CALL_SECONDS) + SLACK
"""A job that was created longer after a POST is not of that POST."""
_CHECK_ATTEMPTS = 4
PATIENCE = 1200
ROUNDS = 100
"""Looks at strangers that other lost answers may explain, in a twentieth of a poll each."""
LATE = 3
"""A job may take so many times as long to show as the latest of those before it."""
LONGEST = 12
"""Settling lasts at most so many times the `settle` of the pace: two minutes where that is ten seconds."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Krea made no job of it."""


@dataclass(frozen=True, slots=True)
class FoundJob:
    """The job that Krea made of it."""

    job: Job


@dataclass(frozen=True, slots=True)
class Unclear:
    """It cannot be told; these jobs may be it.

    `awaits` says what may yet tell it: time in which a job may show, or the fate of other lost answers.
    """

    reason: str
    candidates: tuple[Job, ...] = ()
    awaits: Literal["", "time", "others"] = ""


Verdict: TypeAlias = Nothing | FoundJob | Unclear


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a POST whose answer was lost.

    `post` has its times as they are known by now, and `new` what the list shows that it did not show before. `distrust`
    is why the list cannot be trusted, if so. `rivals` are other POSTs without an answer, `disowned` jobs that were
    found to have drawn something else. `tolerance` is by how much the clocks of Krea's hosts were seen to differ.
    `is_settled` says that a job would show by now, `is_sender_gone` that nobody can still send the POST. `takes_any`
    says that the user wants the likeliest job taken.
    """

    post: Post
    new: NewJobs = field(default_factory=NewJobs)
    distrust: str = ""
    rivals: tuple[Post, ...] = ()
    disowned: frozenset[str] = frozenset()
    tolerance: timedelta = timedelta(0)
    is_settled: bool = False
    is_sender_gone: bool = True
    takes_any: bool = False


def judge(evidence: Evidence) -> Verdict:
    """Judge what became of a POST, by values alone.

    Args:
        evidence: what is known about it.

    Returns:
        `Nothing` only when a job would have shown, and none did; `FoundJob` only when no other can be meant.
    """
    if evidence.distrust:
        return Unclear(evidence.distrust, awaits="time")
    billed = tuple(job for job in evidence.new.strangers if not job.is_unbilled)
    if not billed:
        return _judge_without_job(evidence)
    candidates = tuple(job for job in billed if _may_have_made(evidence.post, job, evidence.tolerance))
    if not candidates:
        reason = "the list shows a job that krea-pipe did not start"
        is_explained = all(_rivals(evidence, job) for job in billed)
        return Unclear(reason, billed, "others" if is_explained else "")
    fitting = [job for job in candidates if job.id not in evidence.disowned]
    if fitting and evidence.takes_any:
        return FoundJob(min(fitting, key=lambda job: _distance(job, evidence.post)))
    if any(job.created_at is None for job in candidates):
        return Unclear("the list has a job whose time of creation cannot be read", candidates)
    if len(fitting) < len(candidates):
        return Unclear("a job that may be its own has drawn another size than was asked for", candidates)
    return _judge_candidates(evidence, candidates)


def _judge_without_job(evidence: Evidence) -> Verdict:
    if not evidence.is_sender_gone:
        return Unclear("the run that sent it may be paused, and may still send it")
    return Nothing() if evidence.is_settled else Unclear("its job may not show yet", awaits="time")


def _judge_candidates(evidence: Evidence, candidates: tuple[Job, ...]) -> Verdict:
    rivals = _rivals(evidence, candidates[0])
    others = len(evidence.new.strangers) - 1 + evidence.new.others
    if others:
        jobs = "another job is" if others == 1 else f"{others} other jobs are"
        return Unclear(f"{jobs} on the account that krea-pipe did not start", candidates, "others" if rivals else "")
    if not evidence.post.known_since and read_time(evidence.post.began) is None:
        return Unclear("Krea had not told the time when the run began", candidates)
    if rivals:
        return Unclear("more than one answer was lost at that time", candidates, "others")
    return FoundJob(candidates[0])


def _rivals(evidence: Evidence, job: Job) -> list[Post]:
    """Other POSTs without an answer that may have made the same job."""
    return [one for one in evidence.rivals if _may_have_made(one, job, evidence.tolerance)]


def _may_have_made(post: Post, job: Job, tolerance: timedelta) -> bool:
    """Whether a job was made while a POST had no answer yet; `before` is when that was given up, by Krea's clock."""
    after, before = read_time(post.after), read_time(post.before)
    if after is None or job.created_at is None:
        return True
    slack = (EXACT_SLACK if post.is_exact else SLACK) + tolerance
    until = after + LATEST if before is None else before
    return after - slack <= job.created_at <= until + slack


def _distance(job: Job, post: Post) -> timedelta:
    after = read_time(post.after)
    return timedelta.max if job.created_at is None or after is None else abs(job.created_at - after)


@dataclass(slots=True)
class Search:
    """Looks for the jobs of lost answers, one at a time and while no POST of this run is under way."""

    session: Session
    taken: set[str] = field(default_factory=set)
    known_since: dict[Post, float] = field(default_factory=dict)
    """When this run got to know that an answer was lost, by the steady clock."""

    async def resolve(self, post: Post) -> Verdict:
        """Find out what became of a POST. The gate has to be shut once for it, and is open at the end.

        Others go on while time has to pass: a list may be late, and a gateway may have given up on what goes on behind
        it.
        """
        try:
            verdict = await self._look(post)
        finally:
            self.session.submit_gate.open()
        wait = self._unsettled(post) if isinstance(verdict, Unclear) and verdict.awaits else 0.0
        if wait <= 0:
            return verdict
        if await self.session.stop.sleep_unless_closing(wait):
            return Unclear("the run ended before its job could have shown")
        self.session.submit_gate.shut()
        try:
            return await self._look(post)
        finally:
            self.session.submit_gate.open()

    async def _look(self, post: Post) -> Verdict:
        """Read the list and judge, again as long as other lost answers may explain what it shows."""
        if post.account not in ("", self.session.account):
            return Unclear("it was sent with another key, whose jobs this one cannot see")
        self.known_since.setdefault(post, self.session.client.clock.steady())
        for number in range(ROUNDS):
            verdict = await self._looked(post)
            if not isinstance(verdict, Unclear) or verdict.awaits != "others" or number == ROUNDS - 1:
                break
            await self.session.stop.sleep_unless_leaving(self.session.pace.first / 20)
        return verdict

    async def _looked(self, post: Post) -> Verdict:
        async with self.session.submit_gate.exclusive():
            if await self.session.stop.sleep_unless_leaving(self._first_wait(post)):
                return Unclear("the run was left before Krea's list could be looked at")
            verdict = judge(await self._evidence(post))
        if isinstance(verdict, FoundJob):
            self.taken.add(verdict.job.id)
        return verdict

    async def _evidence(self, post: Post) -> Evidence:
        floor = self._floor(post)
        if floor is None:
            return Evidence(post, distrust="Krea had not told the time, so its jobs cannot be compared with it")
        is_settled = self._unsettled(post) <= 0  # before the list: what it shows has to be as late
        try:
            listing = await self._listing(floor, _CHECK_ATTEMPTS if is_settled else 0)
            new = await self._new_jobs(post, listing)
        except CallFailed as error:
            return Evidence(post, distrust=f"Krea's list of jobs could not be read: {error}")
        rivals, disowned = await self._others(post)
        return Evidence(
            post=self._dated(post),  # the list's own answer may have told the time better
            new=new,
            rivals=rivals,
            disowned=disowned,
            tolerance=timedelta(seconds=self.session.client.clock.spread),
            is_settled=is_settled,
            takes_any=self.session.uncertain == "adopt",
        )

    def _floor(self, post: Post) -> datetime | None:
        """A time of jobs that the POST's own cannot be older than; by the POST's times where its list is unknown."""
        newest = read_time(post.newest)
        if newest is not None:
            return newest - REACH
        dated = self._dated(post)
        times = [at for at in (read_time(dated.began), read_time(dated.after)) if at is not None]
        return min(times) - REACH if times else None

    def _dated(self, post: Post) -> Post:
        """A POST of this run with its times as they are known now: later answers may have corrected an earlier one."""
        sent = self.session.sent.get(Key(post.key))
        if post.run != self.session.run_id or sent is None:
            return post
        after = _earlier(post.after, self.session.client.clock.earliest(sent))
        return replace(post, after=after, began=_earlier(post.began, self.session.began))

    def _first_wait(self, post: Post) -> float:
        """Seconds until the job of a POST is likely to show, if there is one; for one of a dead run it mostly does."""
        first = self.session.pace.first
        least = first / 10 if post.run == self.session.run_id else 0.0
        slowest = max(self.session.account_jobs.late, default=first / 5)
        return max(min(max(5 * slowest, first / 10), first) - self._lost_for(post), least)

    def _unsettled(self, post: Post) -> float:
        """Seconds until a list without its job means that there is none; more for a dead run, whose POST may go on."""
        settle = self.session.pace.settle
        late = LATE * max(self.session.account_jobs.late, default=0.0)
        own = min(max(late, settle), LONGEST * settle)
        return (own if post.run == self.session.run_id else LATE * own) - self._lost_for(post)

    def _lost_for(self, post: Post) -> float:
        """Seconds for which the answer to a POST has surely been lost, by no clock but our own steady one."""
        return self.session.client.clock.steady() - self.known_since[post]

    async def _listing(self, floor: datetime, more_tries: int) -> Listing:
        for wait in delays(more_tries, self.session.pace):
            try:
                return await self.session.account_jobs.list_since(floor)
            except CallFailed:
                if await self.session.stop.sleep_unless_closing(wait):
                    raise
        return await self.session.account_jobs.list_since(floor)

    async def _new_jobs(self, post: Post, listing: Listing) -> NewJobs:
        """Jobs that are nobody's of this home, once the POSTs that other runs have under way have their answers."""
        account_jobs = self.session.account_jobs
        new = await account_jobs.new_since(post, listing, self.taken)
        if new.strangers or new.others:
            await self._answered(await self._others_under_way())
        return await account_jobs.new_since(post, listing, self.taken)

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

    async def _others(self, post: Post) -> tuple[tuple[Post, ...], frozenset[str]]:
        """Other POSTs without an answer, and the jobs that were found to have drawn something else."""

        def ask(replay: Replay) -> object:
            posts: Sequence[Post] = (*replay.open.values(), *replay.lost.values())
            rivals = tuple(one for one in posts if one.key != post.key and one.origin == post.origin)
            return rivals, frozenset(replay.disowned)

        return cast("tuple[tuple[Post, ...], frozenset[str]]", await self.session.journal_writer.ask(ask))


def _earlier(noted: str, known: datetime | None) -> str:
    times = [one for one in (read_time(noted), known) if one is not None]
    return iso(min(times)) if times else ""
