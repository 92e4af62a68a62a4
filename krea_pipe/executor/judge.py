"""What a lost answer is judged to be, by values alone.

A job that Krea's list did not show before the POST, and that no answer has named, is a candidate, whatever its time.
Without one, nothing was ordered, and the request may be sent again. With one alone, on an account where nobody else was
at work, it is ours. Anything else stays open: a wrong image is worse than a missing one, and a wrong `Nothing` is paid
twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from krea_pipe.api.client import CALL_SECONDS
from krea_pipe.api.wire import Job, read_time
from krea_pipe.executor.account_jobs import REACH, NewJobs
from krea_pipe.store.request_state import Post

SLACK = timedelta(seconds=5)
"""By how much the clocks that date answers and jobs may differ, until our jobs have shown it."""
EXACT_SLACK = timedelta(milliseconds=2)
ROUNDED = timedelta(milliseconds=1)
"""Times are written down to the millisecond."""
LATEST = timedelta(seconds=CALL_SECONDS) + SLACK
"""A job that was created longer after a POST is not of that POST."""
SHORT = timedelta(seconds=1)
"""Hardly another job is made in so short a time."""
LONG = timedelta(seconds=10)
"""A POST that took longer had its job made at any time, and someone may have stopped waiting for it."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Krea made no job of it."""


@dataclass(frozen=True, slots=True)
class FoundJob:
    """The job that Krea made of it."""

    job: Job


@dataclass(frozen=True, slots=True)
class Unclear:
    """The outcome is unclear; these jobs are candidates.

    `awaits` says what may yet tell it: time in which a job may show, or the fate of other lost answers.
    """

    reason: str
    candidates: tuple[Job, ...] = ()
    awaits: Literal["", "time", "others"] = ""


Verdict: TypeAlias = Nothing | FoundJob | Unclear


@dataclass(frozen=True, slots=True)
class LostPost:
    """A POST whose answer was lost, with its times as they are known by now.

    `windows` are the times that its job has if nothing was late, one window for each host of Krea's that may have dated
    it; empty where they are not known well. `not_made` are jobs that came when its own
    would have shown already. `is_dated` says that its times are by the clocks that date jobs.
    """

    post: Post
    windows: tuple[tuple[datetime, datetime], ...] = ()
    not_made: frozenset[str] = frozenset()
    is_dated: bool = True

    @property
    def is_short(self) -> bool:
        """Whether hardly another job is made in its windows."""
        return sum((until - since for since, until in self.windows), timedelta(0)) <= SHORT

    @property
    def may_be_late(self) -> bool:
        """Whether its job may have any other time as well."""
        return self.post.is_given_up or not self.windows

    def has_made(self, job: Job) -> bool:
        """Whether a job has the time of the POST's own."""
        at = job.created_at
        if at is None or not at.microsecond:  # a time of whole seconds
            return False
        return any(since - ROUNDED <= at <= until + ROUNDED for since, until in self.windows)

    def may_have_made(self, job: Job, late: timedelta, slack: timedelta) -> bool:
        """Whether a job may be the POST's own: the answer was given up at `before`, and a job may be `late`."""
        after, before = read_time(self.post.after), read_time(self.post.before)
        if job.id in self.not_made:
            return False
        if after is None or job.created_at is None or not self.is_dated:
            return True
        until = after + LATEST if before is None else before
        rounded = timedelta(0) if job.created_at.microsecond else timedelta(seconds=1)
        return after - slack <= job.created_at + rounded and job.created_at <= until + slack + late


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a POST whose answer was lost.

    `new` is what the list shows that it did not show before. `distrust` is why the list cannot be trusted, if so.
    `rivals` are other POSTs without an answer, `disowned` jobs that were found to have generated something else. A job
    may be made so `late` after an answer was lost, and its time differ by `slack` from that of the answers. `is_shown`
    says that the list shows what was made before that, `is_settled` that no job can come any more, `is_sender_gone`
    that nobody can still send the POST, `is_blind` that no list was read before it, `has_all_hosts` that so many jobs
    were dated that no other host of Krea's is likely, and `takes_any` that the user wants the likeliest job taken.
    """

    own: LostPost
    new: NewJobs = field(default_factory=NewJobs)
    distrust: str = ""
    rivals: tuple[LostPost, ...] = ()
    disowned: frozenset[str] = frozenset()
    late: timedelta = timedelta(0)
    slack: timedelta = SLACK
    is_shown: bool = False
    is_settled: bool = False
    is_sender_gone: bool = True
    is_blind: bool = False
    has_all_hosts: bool = False
    takes_any: bool = False


def judge(evidence: Evidence) -> Verdict:
    """Judge the outcome of a POST, by values alone.

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
    candidates = tuple(job for job in billed if _may_be_own(evidence, job))
    if not candidates:
        return Unclear(
            "the list contains a job that krea-pipe did not start", billed, _awaited_by_a_stranger(evidence, billed)
        )
    fitting = [job for job in candidates if job.id not in evidence.disowned]
    if fitting and evidence.takes_any:
        return FoundJob(min(fitting, key=lambda job: _distance(job, evidence.own.post)))
    if any(job.created_at is None for job in candidates):
        return Unclear("the list contains a job whose creation time cannot be read", candidates)
    if len(fitting) < len(candidates):
        return Unclear("a possible job generated an image of a different size", candidates)
    return _judge_candidates(evidence, candidates)


def failed_job_of(evidence: Evidence) -> tuple[Job, ...]:
    """The only job that a POST has made, if that job failed unbilled: it does not prove another program."""
    failed = tuple(job for job in evidence.new.strangers if job.is_unbilled and _may_be_own(evidence, job))
    return failed if len(failed) == 1 else ()


def _awaited_by_a_stranger(evidence: Evidence, billed: Sequence[Job]) -> Literal["", "time", "others"]:
    """What can still identify the owner of jobs with other times: later jobs, unless a `Date` is the only time."""
    if all(_rivals(evidence, job) for job in billed):
        return "others"
    return "" if evidence.own.post.is_exact else "time"


def _judge_without_job(evidence: Evidence) -> Verdict:
    if evidence.is_blind:
        return Unclear("Krea's list of jobs could not be read before it was sent", awaits="time")
    if not evidence.is_sender_gone:
        return Unclear("the run that sent it may be paused, and may still send it")
    return Nothing() if evidence.is_settled else Unclear("its job may appear later", awaits="time")


def _judge_candidates(evidence: Evidence, candidates: tuple[Job, ...]) -> Verdict:
    in_time = [job for job in candidates if _is_in_time(evidence, job)]
    if len(in_time) != 1 and len(candidates) > 1:  # those that no other POST can have made
        punctual = [job for job in candidates if evidence.own.may_have_made(job, timedelta(0), EXACT_SLACK)]
        in_time = [job for job in punctual or candidates if not _late_rivals(evidence, job)]
    own = in_time[0] if len(in_time) == 1 else candidates[0]
    others = [job for job in (*evidence.new.strangers, *evidence.new.others) if job.id != own.id]
    others += [job for job in evidence.new.earlier if _is_lately(job, own)]
    foreign = evidence.new.hidden + _unexplained(evidence, others)
    if foreign:
        jobs = "another job" if foreign == 1 else f"{foreign} other jobs"
        return Unclear(f"the account has {jobs} that krea-pipe did not start", candidates)
    if len(candidates) > 1 and len(in_time) != 1:
        return Unclear("more than one job is possible", candidates, "others")
    if not evidence.own.post.known_since and read_time(evidence.own.post.began) is None:
        return Unclear("Krea had not sent its time when the run began", candidates)
    if _rivals(evidence, own):
        return Unclear("more than one answer was lost at that time", candidates, "others")
    if not (evidence.own.is_short and evidence.own.has_made(own)) and not evidence.is_shown:
        return Unclear("other jobs may appear later", candidates, "time")
    return FoundJob(own)


def _may_be_own(evidence: Evidence, job: Job) -> bool:
    slack = EXACT_SLACK if evidence.own.post.is_exact else evidence.slack
    return evidence.own.has_made(job) or evidence.own.may_have_made(job, evidence.late, slack)


def _is_in_time(evidence: Evidence, job: Job) -> bool:
    """Whether a job has the time of the POST's own, and hardly another job can have it."""
    return evidence.own.has_made(job) and (evidence.own.is_short or evidence.has_all_hosts)


def _rivals(evidence: Evidence, job: Job) -> list[LostPost]:
    """Other POSTs without an answer that may have made the same job; where times tell, only those that have in time."""
    late = _late_rivals(evidence, job)
    if _is_in_time(evidence, job):
        return [one for one in evidence.rivals if one.has_made(job) or (one.may_be_late and one in late)]
    return late


def _late_rivals(evidence: Evidence, job: Job) -> list[LostPost]:
    """Other POSTs without an answer that may have made the same job, late ones included."""
    return [one for one in evidence.rivals if one.may_have_made(job, evidence.late, REACH)]


def _unexplained(evidence: Evidence, jobs: Sequence[Job]) -> int:
    """How many of some jobs cannot be those of other lost answers; without exact times, their number alone tells."""
    if not evidence.own.post.is_exact:
        return max(0, len(jobs) - len(evidence.rivals))
    return max(sum(not _rivals(evidence, job) for job in jobs), len(jobs) - len(evidence.rivals))


def _is_lately(job: Job, own: Job) -> bool:
    """Whether a job is so young that the program that started it may still be running."""
    return job.created_at is not None and own.created_at is not None and job.created_at >= own.created_at - REACH


def _distance(job: Job, post: Post) -> timedelta:
    after = read_time(post.after)
    return timedelta.max if job.created_at is None or after is None else abs(job.created_at - after)
