"""The claims of all homes: `claims/KEY/0001` and so on are lines of a journal, with the same meaning.

`jobs/ACCOUNT/ID` names the request of every job, so that a lost answer is settled although others submit. Methods that
raise `RemoteFailed` call the store and may be used in any thread; the others change the state, and belong to one.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from krea_pipe.store.events import JournalLine, UnknownEvent, decode, encode
from krea_pipe.store.ledger import Blocked, Busy, Free, RequestStatus
from krea_pipe.store.remote.bucket import Bucket
from krea_pipe.store.remote.numbered_log import LoggedEvent, NumberedLog, number_in
from krea_pipe.store.remote.record import Seal
from krea_pipe.store.remote.results import RESULTS
from krea_pipe.store.replay import Replay
from krea_pipe.store.request_state import InFlight, Post

CLAIMS = "claims"
JOBS = "jobs"
_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class AccountScan:
    """The contents of the whole store: the named jobs, and the requests without a result.

    `open` has the last number of the claims of each such request, without those that are too old to matter.
    """

    jobs: frozenset[str]
    open: dict[str, int]


@dataclass(slots=True)
class Claims:
    """The claims as one run sees them.

    `numbers` has the last number that was read or written of each key, `replay` the state that follows from the lines,
    `blocked` why a key cannot be used. `known_jobs` are named, whatever their requests are. With `are_leases`, jobs end
    with their runs, as those of an engine do, so that a claim holds only while its run is alive.
    """

    bucket: Bucket
    seal: Seal
    run: str
    account: str
    are_leases: bool = False
    numbers: dict[str, int] = field(default_factory=dict)
    replay: Replay = field(default_factory=Replay)
    blocked: dict[str, str] = field(default_factory=dict)
    known_jobs: set[str] = field(default_factory=set)

    def append(self, number: int, line: JournalLine) -> bool:
        """Write a line under a number of its request.

        Args:
            number: the number after the last that is known.
            line: the line.

        Returns:
            False when the line of another run has the number.

        Raises:
            RemoteFailed: it is unknown.
        """
        return self._log.append(f"{CLAIMS}/{line.key}", number, {"line": json.loads(encode(line))})

    def read(self, key: str, number: int) -> Sequence[LoggedEvent]:
        """Read the lines of a request after a number.

        Args:
            key: the key of the request.
            number: the last number that is known.

        Returns:
            The lines, to be given to `take`.

        Raises:
            RemoteFailed: they could not be read.
        """
        return self._log.read_after(f"{CLAIMS}/{key}", number)

    def history(self, key: str) -> tuple[list[JournalLine], str]:
        """Read all lines of a request.

        Args:
            key: the key of the request.

        Returns:
            The lines up to the first that is not trusted, and why that is not; "" if all are.

        Raises:
            RemoteFailed: they could not be read.
        """
        lines: list[JournalLine] = []
        for event in self.read(key, 0):
            line = _line(key, event)
            if isinstance(line, str):
                return lines, line
            lines.append(line)
        return lines, ""

    def keys(self) -> frozenset[str]:
        """List the requests that have claims: a call for every thousand claims.

        Returns:
            Their keys.

        Raises:
            RemoteFailed: they could not be listed.
        """
        names = (entry.name.split("/")[-2] for entry in self.bucket.list(CLAIMS))
        return frozenset(name for name in names if _KEY.fullmatch(name))

    def name_job(self, job_id: str, key: str) -> None:
        """Tell every home whose a job is.

        Args:
            job_id: the id of the job.
            key: the key of its request.

        Raises:
            RemoteFailed: it could not be written.
        """
        name = f"{JOBS}/{self.account}/{job_id}"
        self.bucket.keep(name, self.seal.encode(name, {"key": key}))

    def named(self) -> frozenset[str]:
        """List the jobs whose requests are known: a call for every thousand.

        Returns:
            Their ids.

        Raises:
            RemoteFailed: they could not be listed.
        """
        return frozenset(_last(entry.name) for entry in self.bucket.list(f"{JOBS}/{self.account}"))

    def scan(self, since: datetime | None) -> AccountScan:
        """Look at the whole store: a call for every thousand objects.

        Args:
            since: a time of the store's clock; requests whose last claim is older are left out, None leaves out none.
                A rule of the bucket may delete results, and not the claims of their requests.

        Returns:
            What other homes have ordered and not collected.

        Raises:
            RemoteFailed: it could not be listed.
        """
        jobs = self.named()
        numbers: dict[str, int] = {}
        for entry in self.bucket.list(CLAIMS):
            key = entry.name.split("/")[-2]
            if _KEY.fullmatch(key) and (since is None or entry.modified >= since):
                numbers[key] = max(numbers.get(key, 0), number_in(entry.name))
        done = {_last(entry.name) for entry in self.bucket.list(RESULTS)}
        return AccountScan(jobs, {key: number for key, number in numbers.items() if key not in done})

    def note(self, number: int, line: JournalLine) -> None:
        """Take in a line that was written.

        Args:
            number: its number.
            line: the line.
        """
        self.numbers[line.key] = number
        self.replay.take(line)

    def note_jobs(self, jobs: frozenset[str]) -> None:
        """Take in the jobs that are named.

        Args:
            jobs: their ids.
        """
        self.known_jobs |= jobs

    def take(self, key: str, events: Sequence[LoggedEvent]) -> None:
        """Take in lines that were read.

        Args:
            key: the key of their request.
            events: the lines; those that are known already are passed over.
        """
        for event in events:
            if event.number == self.numbers.get(key, 0) + 1:
                self.numbers[key] = event.number
                self._take(key, event)

    def status(self, key: str, alive: frozenset[str]) -> RequestStatus:
        """Tell the state of a request by the lines of other runs.

        Args:
            key: the key of the request.
            alive: the runs of other homes that are alive.

        Returns:
            `Free` when no other run has anything to do with it.
        """
        if key in self.blocked:
            return Blocked(self.blocked[key])
        work = self.work(key)
        if work is not None and work.run in alive:
            return Busy(work.run)
        return Free() if work is None or self.are_leases else work

    def work(self, key: str) -> Post | InFlight | None:
        """Find the POST or the job of another run.

        Args:
            key: the key of the request.

        Returns:
            The last claim; None if there is no claim, or if it is this run's own.
        """
        work = self.replay.unanswered(key) or self.replay.in_flight.get(key)
        return None if work is None or work.run == self.run else work

    @property
    def _log(self) -> NumberedLog:
        return NumberedLog(self.bucket, self.seal)

    def _take(self, key: str, event: LoggedEvent) -> None:
        line = _line(key, event)
        if isinstance(line, str):
            self.blocked[key] = line
        else:
            self.replay.take(line)


def _line(key: str, event: LoggedEvent) -> JournalLine | str:
    """The line that an event holds, or why it cannot be used."""
    if event.data is None:
        hint = "if you know that nothing was paid for it, delete these objects"
        return f"its claims in the shared store are not trusted: {event.reason}; {hint}"
    try:
        line = decode(json.dumps(event.data.get("line")).encode())
    except UnknownEvent as error:
        return f"a newer version of krea-pipe has claimed it ({error}); update krea-pipe"
    if line is None or line.key != key:
        return f"{CLAIMS}/{key}/{event.number:04} in the shared store is not a claim"
    return line


def _last(name: str) -> str:
    return name.rpartition("/")[2]
