"""Looks for the jobs of POSTs whose answers were lost, in Krea's list, which shows no prompts.

What the list shows is evidence, and `executor.judge` decides.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, cast

from krea_pipe.api.client import CALL_SECONDS
from krea_pipe.api.failures import CallFailed
from krea_pipe.api.wire import read_time
from krea_pipe.core.outcome import iso
from krea_pipe.core.request import Key
from krea_pipe.executor.account_jobs import REACH, JobListing, NewJobs
from krea_pipe.executor.capacity import delays
from krea_pipe.executor.judge import (
    LONG,
    ROUNDED,
    SLACK,
    Evidence,
    FoundJob,
    LostPost,
    Nothing,
    Unclear,
    Verdict,
    failed_job_of,
    judge,
)
from krea_pipe.executor.session import Session
from krea_pipe.store.ledger import AccountView
from krea_pipe.store.request_state import Post

_CHECK_ATTEMPTS = 4
PATIENCE = 1200
ROUNDS = 10
"""Looks at strangers that other lost answers may explain, in a twentieth of a poll each."""
LATE = 3
"""A job may take so many times as long to show as the latest of those before it."""
ABANDONED = 7
"""Krea may process a POST for up to a minute after its run has died, so its job can appear late."""
GIVEN_UP = 2
"""A POST that someone stopped waiting for may be processed late, and its job be listed late then."""
ALL_HOSTS = 8
"""Jobs whose times show the clocks of all hosts of Krea's, most likely."""
LONGEST = 12
"""Settling lasts no longer than 12 times the `settle` of the pace: two minutes where that is ten seconds."""

_Spread: TypeAlias = tuple[timedelta, timedelta] | None
"""The least and the most by which jobs were made later than the `after` of their POSTs."""


@dataclass(slots=True)
class Search:
    """Looks for the jobs of lost answers, one at a time and while no POST of this run is under way."""

    session: Session
    taken: set[str] = field(default_factory=set)
    noticed: dict[Post, float] = field(default_factory=dict)
    """When this run got to know that an answer was lost, by the steady clock."""
    open: set[Post] = field(default_factory=set)
    """The POSTs whose jobs are being searched for."""
    missing: set[Post] = field(default_factory=set)
    """Those of which a list has not shown any job yet."""

    async def resolve(self, post: Post) -> Verdict:
        """Determine the outcome of a POST. The gate must be closed once for it, and is open at the end.

        Other requests continue while time must pass, because a list may be late. When someone has given up waiting for
        the answer, nothing else is sent: the job may be created late, and would be taken for that of another lost
        answer.
        """
        gate, is_given_up = self.session.submit_gate, post.is_given_up and post.run == self.session.run_id
        self.open.add(post)
        try:
            verdict, is_settled = await self._look(post)
            while (
                isinstance(verdict, Unclear) and (wait := self._wait(post, verdict, is_settled=is_settled)) is not None
            ):
                if not is_given_up:
                    gate.open()
                try:
                    is_ended = await self.session.stop.sleep_unless_closing(wait)
                finally:
                    if not is_given_up:
                        gate.shut()
                if is_ended:
                    return Unclear("the run ended before its job could have appeared")
                verdict, is_settled = await self._look(post)
        finally:
            self.open.discard(post)
            gate.open()
        return verdict

    def _wait(self, post: Post, verdict: Unclear, *, is_settled: bool) -> float | None:
        """Seconds until another look may tell more: when its own job would show, or other lost answers are settled."""
        if not verdict.awaits:
            return None
        if not is_settled:
            return self._unshown(post) if self._unshown(post) > 0 else max(self._unsettled(post), 0.0)
        if verdict.awaits != "others" or self._lost_for(post) > LONGEST * self._settling():
            return None
        others = self._others_unsettled(post)
        return others + self.session.pace.first / 4 if others > 0 else None

    def _others_unsettled(self, post: Post) -> float:
        """Seconds until every other lost answer with an open search is settled."""
        return max((self._unsettled(one) for one in self.open & self.noticed.keys() if one != post), default=0.0)

    async def _look(self, post: Post) -> tuple[Verdict, bool]:
        """Read the list and judge, again while other lost answers that may explain what it shows are being judged.

        Returns:
            The verdict, and whether the job would have shown by then.
        """
        if post.account not in ("", self.session.account):
            return Unclear("it was sent with another key, whose jobs this key cannot see"), True
        self.noticed.setdefault(post, self.session.client.clock.steady())
        for number in range(ROUNDS):
            verdict, is_settled = await self._looked(post)
            if not isinstance(verdict, Unclear) or verdict.awaits != "others" or number == ROUNDS - 1:
                break
            if not is_settled or self._others_unsettled(post) > 0:  # the wait for those comes first, with the gate open
                break
            await self.session.stop.sleep_unless_leaving(self.session.pace.first / 20)
        return verdict, is_settled

    async def _looked(self, post: Post) -> tuple[Verdict, bool]:
        """Judge once; also whether the job would have shown by then."""
        async with self.session.submit_gate.exclusive():
            if await self.session.stop.sleep_unless_leaving(self._first_wait(post)):
                return Unclear("the run ended before Krea's list could be read"), True
            evidence = await self._evidence(post)
            verdict = judge(evidence)
            match verdict:
                case FoundJob(job=job):
                    self.taken.add(job.id)
                    if post in self.missing:  # how late a list may be
                        self.session.account_jobs.late.append(self._lost_for(post))
                case Nothing():
                    self.taken.update(job.id for job in failed_job_of(evidence))
                case Unclear() if not evidence.distrust and not evidence.new.strangers:
                    self.missing.add(post)
        return verdict, evidence.is_settled

    async def _evidence(self, post: Post) -> Evidence:
        floor = self._floor(post)
        if floor is None:
            distrust = "Krea had not sent its time, so its jobs cannot be compared with it"
            return Evidence(LostPost(post), distrust=distrust, is_settled=True)
        dated = self._dated(post)
        is_blind = not post.known_since and not dated.is_exact
        is_shown, is_settled = self._unshown(post) <= 0, self._unsettled(post) <= 0  # before the list is read
        try:
            listing = await self._listing(post, floor, _CHECK_ATTEMPTS if is_settled else 0)
            await self.session.journal_writer.read_account()  # what has made the jobs of the list was written before
            new = await self._new_jobs(dated, listing)
        except CallFailed as error:
            distrust = f"Krea's list of jobs could not be read: {error}"
            return Evidence(LostPost(post), distrust=distrust, is_settled=is_settled)
        rivals, disowned = await self._others(post, new)
        lags = await self._lags()
        spread = (min(lags), max(lags)) if lags else None
        return Evidence(
            # Dated once more: the list's own answer may have told the time better.
            own=LostPost(dated, is_dated=False) if is_blind else self._timed(post, spread),
            new=new,
            rivals=tuple(self._rival(one, new, before, spread) for one, before in rivals),
            disowned=disowned,
            late=timedelta(seconds=self._settling()),
            slack=max(SLACK, timedelta(seconds=self.session.probe.tolerance_seconds if self.session.probe else 0)),
            is_shown=is_shown,
            is_settled=is_settled,
            is_blind=is_blind,
            has_all_hosts=len(lags) >= ALL_HOSTS,
            is_sender_gone=await self._is_sender_gone(post),
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

    def _timed(self, post: Post, spread: _Spread) -> LostPost:
        """A POST with what is known of its times by now; of one of an earlier run, by the `spread` of others."""
        dated = self._dated(post)
        key, clock = Key(post.key), self.session.client.clock
        sent, lost = self.session.sent.get(key), self.session.lost.get(key)
        if post.run == self.session.run_id and sent is not None and lost is not None:
            return LostPost(dated, _if_known(clock.windows(sent, lost)))
        after, before = read_time(post.after), read_time(post.before)
        if not post.is_exact or after is None or (before is None and spread is None):
            return LostPost(dated)
        least, most = spread or (timedelta(0), timedelta(0))
        return LostPost(dated, _if_known(((after + min(least, timedelta(0)), before or after + most),)))

    async def _lags(self) -> list[timedelta]:
        """By how much the last jobs of this account were made later than the `after` of their POSTs."""
        account = (self.session.origin, self.session.account)
        pairs = await self.session.journal_writer.ask(lambda replay: [*replay.made_after.get(account, ())])
        times = [(read_time(after), read_time(made)) for after, made in cast("list[tuple[str, str]]", pairs)]
        return [made - after for after, made in times if after is not None and made is not None]

    def _rival(self, post: Post, new: NewJobs, before: frozenset[str], spread: _Spread) -> LostPost:
        """Another POST without an answer, and which of the jobs it has not made: some were listed `before` it."""
        timed, later = self._timed(post, spread), frozenset[str]()
        if post in self.noticed:
            settled, missed = (
                self.session.client.clock.steady() + self._unsettled(post),
                self.session.account_jobs.missed,
            )
            later = frozenset(job.id for job in (*new.strangers, *new.others) if missed.get(job.id, settled) > settled)
        return replace(timed, not_made=later | before, is_dated=timed.post.is_exact)

    def _dated(self, post: Post) -> Post:
        """A POST of this run with its times as they are known now: later answers may have corrected an earlier one."""
        sent, clock = self.session.sent.get(Key(post.key)), self.session.client.clock
        if post.run != self.session.run_id or sent is None:
            return post
        before = post.before and _later(post.before, clock.latest(self.session.lost.get(Key(post.key))))
        after, began = _earlier(post.after, clock.earliest(sent)), _earlier(post.began, self.session.began)
        return replace(post, after=after, before=before, began=began, is_exact=clock.is_exact)

    def _first_wait(self, post: Post) -> float:
        """Seconds until the job of a POST is likely to show, if there is one; for one of a dead run it mostly does."""
        first = self.session.pace.first
        least = first / 10 if post.run == self.session.run_id and self._unsettled(post) > 0 else 0.0
        slowest = max(self.session.account_jobs.answers, default=first / 5)
        return max(min(max(5 * slowest, first / 10), first) - self._lost_for(post), least)

    def _unshown(self, post: Post) -> float:
        """Seconds until the list shows what was made while the POST had no answer."""
        return self._settling() - max(self._lost_for(post), self._ago(post))

    def _unsettled(self, post: Post) -> float:
        """Seconds until a list without its job proves that no job exists; more if Krea may still process the POST."""
        factor = 1 if post.before or post.run == self.session.run_id else ABANDONED
        if post.is_given_up:
            factor = GIVEN_UP
        return factor * self._settling() - self._lost_for(post)

    def _settling(self) -> float:
        """Seconds after the loss of an answer in which a job of this account's shows, by how late others have been."""
        settle = self.session.pace.settle
        late = LATE * max(self.session.account_jobs.late, default=0.0)
        probed = self.session.probe.settle_seconds if self.session.probe else 0.0
        return min(max(late, probed, settle), LONGEST * settle)

    def _lost_for(self, post: Post) -> float:
        """Seconds for which the answer to a POST has surely been lost.

        For one of an earlier run, Krea's clock and this machine's have to agree that it was longer ago.
        """
        known = self.session.client.clock.steady() - self.noticed[post]
        return max(known, self._ago(post) - (0 if post.before else CALL_SECONDS))

    def _ago(self, post: Post) -> float:
        """Seconds since a POST of an earlier run, or the loss of its answer, by two clocks; 0 for one of this run."""
        at, noted, now = read_time(post.before or post.after), read_time(post.t), self.session.client.clock.earliest()
        if post.run == self.session.run_id or at is None or noted is None or now is None:
            return 0.0
        return min(now - at, datetime.now(UTC) - noted).total_seconds()

    async def _listing(self, post: Post, floor: datetime, more_tries: int) -> JobListing:
        lost_at = self.session.client.clock.steady() - self._lost_for(post)
        for wait in delays(more_tries, self.session.pace):
            try:
                return await self.session.account_jobs.list_since(floor, lost_at)
            except CallFailed:
                if await self.session.stop.sleep_unless_closing(wait):
                    raise
        return await self.session.account_jobs.list_since(floor, lost_at)

    async def _new_jobs(self, post: Post, listing: JobListing) -> NewJobs:
        """Jobs that belong to no run of this home, once the pending POSTs of other runs have their answers."""
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
            await self.session.journal_writer.read_account()
        raise CallFailed("another run was waiting for an answer the whole time")

    async def _others_under_way(self) -> frozenset[Post]:
        """The POSTs of other runs that have no answer yet."""
        run = self.session.run_id

        def ask(view: AccountView) -> frozenset[Post]:
            posts = (*view.journal.open.values(), *view.others.open.values())
            return frozenset(post for post in posts if post.run in view.alive and post.run != run)

        return await self.session.journal_writer.ask_account(ask)

    async def _others(self, post: Post, new: NewJobs) -> tuple[tuple[tuple[Post, frozenset[str]], ...], frozenset[str]]:
        """Other POSTs without an answer, each with the new jobs that were listed before it, and the disowned jobs."""

        def ask(view: AccountView) -> tuple[tuple[tuple[Post, frozenset[str]], ...], frozenset[str]]:
            replay = view.journal
            rivals = [one for one in view.posts if one.key != post.key and one.origin == post.origin]
            listed = {job.id: replay.listed[job.id] for job in new.strangers if job.id in replay.listed}
            before = [  # the numbers of another home's list are not ours
                frozenset(job for job, number in listed.items() if view.is_own(one) and number < one.listed)
                for one in rivals
            ]
            return tuple(zip(rivals, before, strict=True)), frozenset(replay.disowned)

        return await self.session.journal_writer.ask_account(ask)

    async def _is_sender_gone(self, post: Post) -> bool:
        """Whether no run can still send a POST: a run of another home may be paused."""
        return await self.session.journal_writer.ask_account(lambda view: view.is_own(post))


def _if_known(windows: tuple[tuple[datetime, datetime], ...]) -> tuple[tuple[datetime, datetime], ...]:
    """Windows, if none of them is so long that it tells nothing."""
    return windows if all(until - since <= LONG for since, until in windows) else ()


def _later(noted: str, known: datetime | None) -> str:
    times = [one for one in (read_time(noted), known) if one is not None]
    return iso(max(times) + ROUNDED) if times else ""


def _earlier(noted: str, known: datetime | None) -> str:
    times = [one for one in (read_time(noted), known) if one is not None]
    return iso(min(times)) if times else ""
