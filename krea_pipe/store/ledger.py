"""Access of one run to the journal: the lines of other runs, and claims of requests.

Runs of one name space share the journal. A `submitting` line claims its key, an `attached` line the job of another run
that died; both are written under the lock, after the lines of others were read, so that no two runs can claim the same.
A claim ends with the request, or with the process of the run that made it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from krea_pipe.core.outcome import Result
from krea_pipe.store.events import Done, Failed, JournalLine, Listed
from krea_pipe.store.journal import Journal, Observe, unobserved
from krea_pipe.store.lock import FileLock
from krea_pipe.store.presence import Presence
from krea_pipe.store.replay import Replay
from krea_pipe.store.request_state import InFlight, Post, Trained


@dataclass(frozen=True, slots=True)
class Free:
    """Nobody works on the request: it may be sent.

    `is_empty` says that an earlier job was completed without what was asked for, and may be billed each time.
    """

    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class Busy:
    """A run that lives works on the request."""

    run: str


@dataclass(frozen=True, slots=True)
class DrawnElsewhere:
    """Another run has brought the image in, or trained the style, since this one was planned."""

    result: Result | Trained
    run: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """The status of the request is unknown: the shared store is down, or its record cannot be trusted."""

    reason: str
    is_down: bool = False


RequestStatus: TypeAlias = Free | Busy | DrawnElsewhere | InFlight | Post | Blocked
"""The state of a request: also a job without a waiting run, or an unanswered POST whose run is dead."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A line to write; a claim is written only if the status of its request is one of the `expected` kinds.

    With `only`, the status must be exactly this one. A line that makes the job `job_id` ours is not written when that
    job is known as ours already: no job counts for two requests.
    """

    line: JournalLine
    expected: tuple[type[RequestStatus], ...] | None = None
    only: RequestStatus | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class AccountView:
    """The known jobs and POSTs of the account.

    `journal` is the state of this home, `others` that of homes which share a store with it, and `alive` are the runs of
    both that are alive.
    """

    journal: Replay
    others: Replay
    alive: frozenset[str]

    @property
    def posts(self) -> tuple[Post, ...]:
        """The POSTs without an answer; those that this home knows are its own."""
        shared = (*self.others.open.values(), *self.others.lost.values())
        foreign = (post for post in shared if not self.is_own(post))
        return (*self.journal.open.values(), *self.journal.lost.values(), *foreign)

    def is_own(self, post: Post) -> bool:
        """Whether a run of this home has sent a POST.

        Args:
            post: the POST.

        Returns:
            False for one of another home, of which only the shared store knows.
        """
        is_shared = post.key in self.others.open or post.key in self.others.lost
        return not is_shared or post.run in self.journal.listed_at_start

    def is_named(self, job_id: str) -> bool:
        """Tell whether an answer has named a job, to this home or to another.

        Args:
            job_id: the id of the job.

        Returns:
            Whether it is known whose job it is.
        """
        return job_id in self.journal.jobs or job_id in self.others.jobs


@dataclass(slots=True)
class Ledger:
    """The journal as one run, which talks to the API of `origin`, sees it.

    `missing` has the jobs, by the keys of their requests, whose images were paid and are not here: they are waited for
    again. It is used by one thread at a time.
    """

    journal: Journal
    presence: Presence
    run: str
    origin: str
    replay: Replay
    observe: Observe = unobserved
    missing: dict[str, InFlight] = field(default_factory=dict)
    _news: set[str] = field(default_factory=set)
    """Keys that other runs have collected since this run was planned."""
    _lock: FileLock | None = None

    def commit(self, entries: Sequence[JournalEntry]) -> list[RequestStatus]:
        """Write lines together, except claims that do not hold.

        Args:
            entries: The lines, with what has to be true of their requests.

        Returns:
            For each the status of its request just before, which tells whether a claim was written.

        Raises:
            StateError: Not everything could be written.
        """
        self._lock = self._lock or self.journal.lock()
        with self._lock.held():
            self.refresh()
            lines, found = [], []
            for entry in entries:
                status = self._status_for(entry)
                found.append(status)
                line = self._unknown_part(entry.line)
                if line is not None and isinstance(status, entry.expected or (Free,)):
                    lines.append(line)
                    self._take(line)
            if lines:
                self.replay.size = self.journal.write(lines)
        self.observe(lines)
        return found

    def statuses(self, keys: Sequence[str]) -> list[RequestStatus]:
        """Read the state of requests.

        Args:
            keys: the keys of the requests.

        Returns:
            The state of each, by what other runs have written until now.
        """
        self.refresh()
        return [self.status(key) for key in keys]

    def account(self) -> AccountView:
        """Read the state of the account.

        Returns:
            What other runs of this home have written until now.
        """
        self.refresh()
        return AccountView(self.replay, Replay(), self.presence.alive())

    def refresh(self) -> None:
        """Read what other runs have written."""
        for line in self.journal.follow(self.replay):
            self.replay.take(line)
            self._forget_missing(line)
            if isinstance(line.event, Done) and line.run != self.run:
                self._news.add(line.key)

    def _status_for(self, entry: JournalEntry) -> RequestStatus:
        """The status of the request of a claim; `Busy` also when someone else was faster with the same."""
        status = Free() if entry.expected is None else self.status(entry.line.key)
        if not isinstance(status, entry.expected or (Free,)):
            return status
        is_late = entry.job_id in self.replay.jobs or (entry.only is not None and status != entry.only)
        return Busy("") if is_late else status

    def status(self, key: str) -> RequestStatus:
        """The status of a request according to the last read.

        Args:
            key: The key of the request.

        Returns:
            What another run or Krea has of it; `Free` when it may be sent.
        """
        replay = self.replay
        if key in self._news:
            style = replay.style(key)
            result = replay.result(key) or (style if style and style.origin == self.origin else None)
            if result is not None:
                return DrawnElsewhere(result, replay.drawn_by.get(key, ""))
        post = replay.unanswered(key)  # it may have been sent again in place of a job that was given up
        if post is not None and not isinstance(found := self._unless_busy(post), Free):
            return found
        job = replay.in_flight.get(key) or self.missing.get(key)
        found = Free() if job is None else self._unless_busy(job)
        return Free(replay.failed.get(key) == "empty") if isinstance(found, Free) else found

    def close(self) -> None:
        """Let go of the lock file."""
        if self._lock is not None:
            self._lock.close()

    def _unknown_part(self, line: JournalLine) -> JournalLine | None:
        """The line, reduced to listed jobs that the journal does not know; None if there are no such jobs."""
        if not isinstance(line.event, Listed):
            return line
        known = self.replay
        new = tuple(job for job in line.event.jobs if job not in known.jobs and job not in known.listed)
        return replace(line, event=Listed(jobs=new)) if new else None

    def _unless_busy(self, work: InFlight | Post) -> RequestStatus:
        if work.run != self.run and self.presence.is_alive(work.run):
            return Busy(work.run)
        return work if work.origin == self.origin else Free()

    def _forget_missing(self, line: JournalLine) -> None:
        """A job that Krea has no longer is not read again."""
        if isinstance(line.event, Failed) and line.event.job_id and line.key in self.missing:
            del self.missing[line.key]

    def _take(self, line: JournalLine) -> None:
        self.replay.take(line)
        self._forget_missing(line)
        if isinstance(line.event, Done):  # it is not needed again, and a long run would accumulate them
            self.replay.done.pop(line.key, None)
            self.replay.drawn_by.pop(line.key, None)
            self.replay.drawn.pop(line.key, None)
            self.missing.pop(line.key, None)
