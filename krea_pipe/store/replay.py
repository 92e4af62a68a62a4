"""What the journal says, line by line: which jobs are in flight, which POSTs have no answer, what is done.

A line has an `event`, a `key`, the time `t` and the `run` that wrote it; what else it holds is in `store.journal`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Result
from krea_pipe.core.settings import origin_of


@dataclass(frozen=True, slots=True)
class Post:
    """A POST that Krea may or may not have taken.

    `began` and `after` are times of Krea's clock, not later than the begin of the run and the POST, `before` is one not
    earlier than the loss of its answer, when that was seen; empty when no answer had told the time yet. `is_exact` says
    that jobs of ours had told the time, and not the `Date` of answers, which has whole seconds.
    """

    key: str
    run: str
    origin: str
    account: str = ""
    cell: str = ""
    usd: str = "0"
    began: str = ""
    after: str = ""
    before: str = ""
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class InFlight:
    """A job that Krea has and we have not collected; `run` is the one that waits for it, or did.

    `unfetched` names the run that reported it as drawn and billed, `unseen` says that Krea did not show it when asked,
    `adopted` that no answer named it: it was found in Krea's list.
    """

    job_id: str
    origin: str
    account: str = ""
    run: str = ""
    cell: str = ""
    usd: str = "0"
    created_at: str = ""
    t: str = ""
    unfetched: str = ""
    unseen: bool = False
    adopted: bool = False


@dataclass(slots=True)
class Replay:
    """The state that follows from the lines, by key.

    `open` POSTs have no answer yet, or were cut off by a crash; `lost` ones were not answered. `drawn_by` names the run
    that paid for a result, `reported` holds the runs that lived to tell, `jobs` every job that is known to be ours with
    the key of its request, `disowned` those that were taken for the job of a lost answer, and have drawn something
    else. `completed` has the last finished job of each API and account. `size` is how many bytes were read.
    """

    in_flight: dict[str, InFlight] = field(default_factory=dict)
    open: dict[str, Post] = field(default_factory=dict)
    lost: dict[str, Post] = field(default_factory=dict)
    done: dict[str, dict[str, Json]] = field(default_factory=dict)
    drawn_by: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    jobs: dict[str, str] = field(default_factory=dict)
    adopted: set[str] = field(default_factory=set)
    disowned: set[str] = field(default_factory=set)
    completed: dict[tuple[str, str], InFlight] = field(default_factory=dict)
    size: int = 0

    def result(self, key: str) -> Result | None:
        """The result of a finished request, if the journal has one."""
        try:
            return Result.from_json(self.done[key])
        except (KeyError, ValueError, TypeError, ArithmeticError):
            return None

    def unanswered(self, key: str) -> Post | None:
        """A POST for this key that Krea may or may not have taken, if there is one."""
        return self.open.get(key) or self.lost.get(key)

    def jobs_to_show(self, origin: str, account: str) -> list[InFlight]:
        """Jobs that a list of an account's jobs shows if it can be trusted: those in flight, and the last finished."""
        jobs = [job for job in self.in_flight.values() if not job.unseen]
        jobs += self.completed.values()
        return [job for job in jobs if (job.origin, job.account) == (origin, account)]

    def is_reported(self, key: str) -> bool:
        """Whether the price of a result stands in a report; what only a lost journal knew is no news."""
        return key not in self.drawn_by or self.drawn_by[key] in self.reported

    def take(self, line: Mapping[str, Json]) -> None:
        """Apply one line; events that a later version may add are passed over."""
        key, run = str(line["key"]), str(line.get("run", ""))
        match line["event"]:
            case "submitting" | "submitted" | "declined" | "unanswered" | "adopted" | "cleared" as event:
                self._take_post(event, key, line)
            case "attached" | "unfetched" | "unseen" as event if key in self.in_flight:
                self.in_flight[key] = _changed(self.in_flight[key], event, run)
            case "disowned" if key in self.in_flight:
                self._disown(key)
            case "done" | "failed" as event:
                self._take_end(event, key, line)
            case "reported":
                self.reported.add(key)
            case "counted":
                self.drawn_by.pop(key, None)

    def _take_post(self, event: str, key: str, line: Mapping[str, Json]) -> None:
        if event == "submitting":
            if key in self.open:  # a crash came before its answer, and the same request is sent again
                self.lost[key] = self.open[key]
            self.open[key] = _post(key, line)
            return
        self.open.pop(key, None)
        if event == "unanswered":
            self.lost[key] = _post(key, line)
        elif event == "cleared":
            self.lost.pop(key, None)
        elif event in ("submitted", "adopted"):
            job = _job(line, adopted=event == "adopted")
            if self.jobs.setdefault(job.job_id, key) != key:  # written before jobs were held to one request
                self.lost[key] = _post(key, line)
                return
            self.lost.pop(key, None)
            self.in_flight[key] = job

    def _disown(self, key: str) -> None:
        """What was taken for the job of a lost POST is not: the POST is without an answer again."""
        job = self.in_flight.pop(key)
        self.jobs.pop(job.job_id, None)
        self.disowned.add(job.job_id)
        self.lost[key] = Post(key, job.run, job.origin, job.account, job.cell, job.usd, after=job.created_at)

    def _take_end(self, event: str, key: str, line: Mapping[str, Json]) -> None:
        job = self.in_flight.get(key)
        if event == "failed" and line.get("job_id") == "":  # refused: it ends no job, and an empty one stays held
            if self.failed.get(key) != "empty":
                self.failed[key] = str(line.get("code", "failed"))
            return
        if event == "failed" and job is not None and line.get("job_id") not in (None, job.job_id):
            return  # of a job that another has taken the place of
        self.in_flight.pop(key, None)
        self.failed.pop(key, None)
        if event == "done":
            for waiting in (self.open, self.lost):
                waiting.pop(key, None)
            self.done[key], self.drawn_by[key] = cast("dict[str, Json]", line["result"]), str(line.get("run", ""))
            self.adopted.discard(key)
            if job is not None:
                self.completed[job.origin, job.account] = job
            if job is not None and job.adopted:
                self.adopted.add(key)
        else:
            self.failed[key] = str(line.get("code", "failed"))


def _post(key: str, line: Mapping[str, Json]) -> Post:
    names = ("run", "origin", "account", "cell", "usd", "began", "after", "before")
    known = {"run": "", "origin": "", **{name: str(line[name]) for name in names if name in line}}
    known["origin"] = origin_of(known["origin"])
    return Post(key, **known, is_exact=line.get("exact") is True)


def _job(line: Mapping[str, Json], *, adopted: bool) -> InFlight:
    names = ("origin", "account", "run", "cell", "usd", "created_at", "t")
    known = {name: str(line[name]) for name in names if line.get(name) is not None}
    known["origin"] = origin_of(known.get("origin", ""))
    return InFlight(job_id=str(line["job_id"]), **known, adopted=adopted)  # type: ignore[arg-type]


def _changed(job: InFlight, event: str, run: str) -> InFlight:
    match event:
        case "unfetched":
            return replace(job, unfetched=run)
        case "unseen":
            return replace(job, unseen=True)
        case _:
            return replace(job, run=run)
