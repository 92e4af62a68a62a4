"""Interprets the journal line by line: which jobs are in flight, which POSTs have no answer, and what is done.

The only place that interprets events: the status of a request always comes from a `Replay`.
"""

import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from krea_pipe.core.json_data import Json
from krea_pipe.core.money import FREE
from krea_pipe.core.outcome import Result
from krea_pipe.core.settings import origin_of
from krea_pipe.store.events import (
    Adopted,
    Attached,
    Cleared,
    Counted,
    Declined,
    Disowned,
    Done,
    Failed,
    JournalLine,
    Listed,
    Reported,
    Sent,
    Submitted,
    Submitting,
    Unanswered,
    Unfetched,
    Unseen,
)
from krea_pipe.store.request_state import (
    DrawnJob,
    Finished,
    Idle,
    InFlight,
    Post,
    Sending,
    State,
    Trained,
    Unknown,
    Without,
)

_MOST_TIMES = 64


@dataclass(slots=True)
class Replay:
    """The state that results from the lines, by key.

    `open` POSTs have no answer yet, or were cut off by a crash; `lost` ones were not answered. `drawn_by` names the run
    that counts the price of a result, `drawn` has the job that generated it, `reported` holds the runs that lived to
    tell, `jobs` every job that is known to be ours with the key of its request, `disowned` those that were taken for
    the job of a lost answer, and have generated something else. `listed` numbers the jobs that Krea's list has shown
    and no answer had named, in the order of the lines, and `listed_at_start` says how many there were before the first
    POST of a run. `completed` has the last finished job of each API and account, and `made_after` for its last POSTs
    with exact times `after` and the `created_at` of the job. `size` is how many bytes were read, and `read_at_once` how
    many the first time, with their SHA-256. `with_report` are runs whose report is there although no line says so.
    `is_partial` says that only `drawn_by` of results that no report has, and `adopted`, are known.
    """

    in_flight: dict[str, InFlight] = field(default_factory=dict)
    open: dict[str, Post] = field(default_factory=dict)
    lost: dict[str, Post] = field(default_factory=dict)
    done: dict[str, dict[str, Json]] = field(default_factory=dict)
    drawn_by: dict[str, str] = field(default_factory=dict)
    drawn: dict[str, DrawnJob] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    jobs: dict[str, str] = field(default_factory=dict)
    adopted: set[str] = field(default_factory=set)
    disowned: set[str] = field(default_factory=set)
    listed: dict[str, int] = field(default_factory=dict)
    listed_at_start: dict[str, int] = field(default_factory=dict)
    completed: dict[tuple[str, str], InFlight] = field(default_factory=dict)
    made_after: dict[tuple[str, str], deque[tuple[str, str]]] = field(default_factory=dict)
    size: int = 0
    read_at_once: tuple[int, str] = field(default=(0, ""), repr=False, compare=False)
    with_report: set[str] = field(default_factory=set)
    is_partial: bool = False

    def has_reported(self, run: str) -> bool:
        """Whether a run has written its report.

        Args:
            run: The id of the run.

        Returns:
            False also for a run that the journal does not mention.
        """
        return run in self.reported or run in self.with_report

    def result(self, key: str) -> Result | None:
        """The result of a finished request.

        Args:
            key: The key of the request.

        Returns:
            None when the journal has no result that can be read.
        """
        try:
            return Result.from_json(self.done[key])
        except (KeyError, ValueError, TypeError, ArithmeticError):
            return None

    def drawn_job(self, key: str) -> InFlight | None:
        """The job that drew the result of a request, to be waited for once more.

        Args:
            key: The key of the request.

        Returns:
            None when it is not known.
        """
        drawn = self.drawn.get(key)
        if drawn is None:
            return None
        return InFlight(
            job_id=drawn.job_id,
            origin=drawn.origin,
            account=drawn.account,
            usd=str(self.done.get(key, {}).get("cost_usd", FREE)),
            created_at=drawn.created_at,
            adopted=drawn.adopted,
            was_stored=True,
            sha256=drawn.sha256,
        )

    def style(self, key: str) -> Trained | None:
        """Read the style that a training gave.

        Args:
            key: the key of the training.

        Returns:
            The style, or None when the journal has none.
        """
        done = self.done.get(key, {})
        if not isinstance(done.get("style_id"), str):
            return None
        style_id, job_id, origin, account, cost = (
            str(done.get(name, "")) for name in ("style_id", "job_id", "origin", "account", "cost_usd")
        )
        return Trained(style_id, job_id, origin_of(origin), account, cost)

    def unanswered(self, key: str) -> Post | None:
        """Find the POST of a request that Krea may have accepted.

        Args:
            key: the key of the request.

        Returns:
            The POST, or None when each one has its answer.
        """
        return self.open.get(key) or self.lost.get(key)

    def jobs_to_show(self, origin: str, account: str) -> list[InFlight]:
        """List the jobs that Krea's list shows if it can be trusted: those in flight, and the last finished.

        Args:
            origin: the mark of the API.
            account: the mark of the account.

        Returns:
            The jobs, in no order.
        """
        jobs = [job for job in self.in_flight.values() if not (job.unseen or job.was_stored)]
        jobs += self.completed.values()
        return [job for job in jobs if (job.origin, job.account) == (origin, account)]

    def is_reported(self, key: str) -> bool:
        """Tell whether a report has the price of a result; what only a lost journal knew counts as reported.

        Args:
            key: the key of the request.

        Returns:
            Whether it is counted.
        """
        return key not in self.drawn_by or self.has_reported(self.drawn_by[key])

    def is_counted(self, key: str) -> bool:
        """Tell whether a report has the price of the job in flight.

        Args:
            key: the key of the request.

        Returns:
            Whether it is counted; False when there is no job.
        """
        job = self.in_flight.get(key)
        if job is None:
            return False
        return self.is_reported(key) if job.was_stored else self.has_reported(job.counted_by)

    def state(self, key: str) -> State:
        """Tell the state of a request by the lines; what was written last about it counts.

        Args:
            key: the key of the request.

        Returns:
            The state, without asking which runs are alive.
        """
        if (post := self.open.get(key)) is not None:
            return Sending(post)
        if (post := self.lost.get(key)) is not None:
            return Unknown(post)
        if key in self.in_flight:
            return self.in_flight[key]
        if key in self.failed:
            return Without(self.failed[key])
        if (result := self.result(key)) is not None:
            return Finished(result, self.drawn_by.get(key, ""))
        return Idle()

    def take(self, line: JournalLine) -> None:
        """Apply one line.

        Args:
            line: the line that comes after those that were applied.
        """
        match line.event:
            case Submitting() | Unanswered() | Declined() | Cleared():
                self._take_post(line)
            case Submitted() | Adopted() as event:
                self._take_job(line, event)
            case Attached() as event:
                self._take_attached(line, event)
            case Unfetched() | Unseen() | Disowned() if line.key in self.in_flight:
                self._take_news(line, self.in_flight[line.key])
            case Done(result=result):
                self._take_result(line, result)
            case Failed() as event:
                self._take_failure(line, event)
            case Listed(jobs=jobs):
                for job_id in jobs:
                    self.listed.setdefault(job_id, len(self.listed))
            case Reported() | Counted():
                self._take_report(line)

    def _take_report(self, line: JournalLine) -> None:
        if isinstance(line.event, Reported):
            self.reported.add(line.key)
        elif line.run and line.key in self.drawn_by:
            self.drawn_by[line.key] = line.run
        else:
            self.drawn_by.pop(line.key, None)

    def _take_attached(self, line: JournalLine, event: Attached) -> None:
        """A run waits for a job in flight, or again for one that is done, or for one that was not known."""
        key = line.key
        job = self.in_flight.get(key)
        drawn = self.drawn_job(key) if job is None else None
        if drawn is not None and drawn.job_id == event.job_id:
            job = replace(drawn, cell=event.cell, t=line.t)
        if job is None and event.sha256 and self.jobs.setdefault(event.job_id, key) == key:
            job = InFlight(
                job_id=event.job_id,
                origin=event.origin,
                cell=event.cell,
                t=line.t,
                was_stored=True,
                sha256=event.sha256,
            )
        if job is not None:
            self.in_flight[key] = replace(job, run=line.run)

    def _take_post(self, line: JournalLine) -> None:
        key, sent = line.key, self.open.pop(line.key, None)
        match line.event:
            case Submitting() as event:
                if sent is not None:  # a crash came before its answer, and the same request is sent again
                    self.lost[key] = sent
                self.open[key] = self._post(line, event)
            case Unanswered() as event:
                self.lost[key] = self._post(line, event, sent)
            case Cleared():
                self.lost.pop(key, None)

    def _post(self, line: JournalLine, event: Submitting | Unanswered, sent: Post | None = None) -> Post:
        """The POST of a line; its list of jobs is that of when it was `sent`, and unknown without that."""
        is_known = sent is not None or isinstance(event, Submitting)
        return Post(
            line.key,
            line.run,
            *_sent(event),
            began=event.began,
            after=event.after,
            before=event.before if isinstance(event, Unanswered) else "",
            is_exact=event.exact,
            is_given_up=isinstance(event, Unanswered) and event.given_up,
            t=line.t,
            known_since=event.known_since if is_known else "",
            newest=event.newest if is_known else "",
            listed=len(self.listed) if sent is None else sent.listed,
            listed_at_start=self.listed_at_start.setdefault(line.run, len(self.listed)),
        )

    def _take_news(self, line: JournalLine, job: InFlight) -> None:
        match line.event:
            case Unfetched(code=code):
                self._take_lack(line, job, code or "image_unfetched")
            case Unseen():
                self.in_flight[line.key] = replace(job, unseen=True)
            case Disowned():
                self._disown(line.key)

    def _take_lack(self, line: JournalLine, job: InFlight, code: str) -> None:
        counted_by = job.counted_by if self.has_reported(job.counted_by) else line.run
        self.in_flight[line.key] = replace(job, unfetched=line.run, lack=code, counted_by=counted_by)

    def _take_job(self, line: JournalLine, event: Submitted | Adopted) -> None:
        post = self.open.pop(line.key, None)
        if self.jobs.setdefault(event.job_id, line.key) != line.key:  # written before jobs were held to one request
            self.lost[line.key] = Post(line.key, line.run, *_sent(event))
            return
        self.lost.pop(line.key, None)
        if isinstance(event, Submitted) and post is not None and post.is_exact:
            times = self.made_after.setdefault((event.origin, event.account), deque(maxlen=_MOST_TIMES))
            times.append((post.after, event.created_at))
        self.in_flight[line.key] = InFlight(
            job_id=event.job_id,
            origin=event.origin,
            account=event.account,
            run=line.run,
            cell=event.cell,
            usd=event.usd,
            variant=event.variant,
            person=event.person,
            created_at=event.created_at,
            t=line.t,
            adopted=isinstance(event, Adopted),
        )

    def _disown(self, key: str) -> None:
        """The job used for a lost POST turned out not to be its own: the POST has no answer again."""
        job = self.in_flight.pop(key)
        self.jobs.pop(job.job_id, None)
        self.disowned.add(job.job_id)
        self.lost[key] = Post(key, job.run, *_sent(job), after=job.created_at)

    def _take_failure(self, line: JournalLine, event: Failed) -> None:
        key, job = line.key, self.in_flight.get(line.key)
        if job is not None and event.code == "empty" and event.job_id in (None, job.job_id):
            # As earlier versions wrote it: the job may yet show an image, and can be read again.
            self._take_lack(line, job, "empty")
        elif event.job_id == "":  # refused: it ends no job, and an empty one stays held
            if self.failed.get(key) != "empty":
                self.failed[key] = event.code
        elif job is None or event.job_id in (None, job.job_id):  # else of a job that another has taken the place of
            self.in_flight.pop(key, None)
            self.failed[key] = event.code

    def _take_result(self, line: JournalLine, result: Mapping[str, Json]) -> None:
        key, job = line.key, self.in_flight.pop(line.key, None)
        self.open.pop(key, None)
        self.lost.pop(key, None)
        self.failed.pop(key, None)
        self.done[key] = dict(result)
        if job is not None and job.was_stored:  # it is neither younger than it was, nor paid again
            self.drawn[key] = _drawn(job)
            return
        counted_by = job.counted_by if job is not None else ""
        self.drawn_by[key] = counted_by if self.has_reported(counted_by) else line.run
        self.adopted.discard(key)
        self.drawn.pop(key, None)
        if job is not None:
            self.completed[job.origin, job.account] = job
            self.drawn[key] = _drawn(job)
            if job.adopted:
                self.adopted.add(key)


def _sent(job: InFlight | Sent) -> tuple[str, str, str, str, str, str]:
    return job.origin, job.account, job.cell, job.usd, job.variant, job.person


def _drawn(job: InFlight) -> DrawnJob:
    return DrawnJob(job.job_id, job.origin, sys.intern(job.account), job.created_at, job.adopted, job.sha256)
