"""The event log of a run: one JSON object a line, for programs that follow what is done and what is paid.

Every line has the time `t` (UTC, ISO 8601 to the millisecond), the `event` and the `run`. What concerns one request has
its `key` and its `cell`, the first of those that it is generated for. Money is text, in US dollars.

    run_started      the plan is made, nothing is sent yet   pipeline file target shard cells plan uploads usd cap_usd
    uploaded         Krea has a reference image              source bytes
    upload_failed    it did not take one; it may be retried  source code
    waiting          another run works on the request        key cell
    submitting       the price is reserved; the POST follows key cell usd
    submitted        the job exists, and will be billed      key cell job_id usd
    declined         Krea did not take the POST; it may be   key cell code status
                     repeated (a 429 is `too_many_requests`)
    unanswered       the answer to the POST was lost         key cell usd
    cleared          Krea's list shows no job for it          key cell
    adopted          a job in Krea's list must be its own    key cell job_id usd
    disowned         it was not its own after all            key cell job_id
    attached         this run waits for an earlier run's job key cell job_id
    download_failed  an image did not come; it may be        key cell job_id code
                     retried
    unfetched        it may be billed, the image is not here key cell job_id code
    unseen           Krea does not show the job              key cell job_id
    stored           the image is verified and on disk       key cell job_id sha256 usd seconds
    failed           no image; without a job, it is null     key cell job_id code
    cancelled        the job was cancelled, and is not billed key cell job_id
    settled          this run is done with the request       key cell job_id status code usd
    run_ended        the report is written                   exit_code code cells spent_usd saved_usd uncertain_usd
                                                             in_flight_usd lost
    run_refused      the run was not begun; `run` is null    file exit_code code

A request ends with `settled`, unless the run was killed or left at once; `status` is a word of the report, `usd` what
the run has paid or may have paid for it. A request that was reused or never begun has no lines. `seconds` is the time
from `submitted` to `stored`, null for the job of an earlier run. Lines are in the order in which they became true. A
run that was left at once has a `run_ended` with the exit code alone, one that was killed has none; `lost` counts the
lines that could not be written. `schemas/event.schema.json` says the same to programs. No line holds an API key, an
address of an image or a prompt.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias

from krea_pipe.core.json_data import Json
from krea_pipe.core.money import FREE, exact
from krea_pipe.core.outcome import Outcome, iso
from krea_pipe.planning.plan import Attach, Fetch, Hold, Plan, Rejected, Reuse, Step, Submit
from krea_pipe.report.model import Report
from krea_pipe.store.events import (
    Adopted,
    Attached,
    Cleared,
    Declined,
    Disowned,
    Done,
    Failed,
    JournalLine,
    Note,
    Submitted,
    Submitting,
    Unanswered,
    Unfetched,
    Unseen,
    name_of,
)
from krea_pipe.store.events import Event as JournalEvent

_EventData: TypeAlias = dict[str, Json]
Write: TypeAlias = Callable[[Sequence[_EventData]], None]

_KEPT: Mapping[type[JournalEvent], tuple[str, ...]] = {
    Submitting: ("usd",),
    Submitted: ("job_id", "usd"),
    Declined: ("code", "status"),
    Unanswered: ("usd",),
    Cleared: (),
    Adopted: ("job_id", "usd"),
    Disowned: ("job_id",),
    Attached: ("job_id",),
    Unfetched: ("job_id", "code"),
    Unseen: ("job_id",),
    Failed: ("job_id", "code"),
}
"""The fields of a journal event that the event log includes; other events are omitted."""


@dataclass(slots=True)
class EventLog:
    """Turns the steps of one run into events.

    `names` has the first cell of each request.
    """

    run: str
    names: Mapping[str, str]
    write: Write
    _sent: dict[str, datetime] = field(default_factory=dict)

    def observe(self, lines: Sequence[JournalLine | Note]) -> None:
        """Take lines of the journal, and notes of the run itself.

        Args:
            lines: lines that are in the journal, or notes of the run itself.
        """
        events = [event for line in lines if (event := self._event(line)) is not None]
        if events:
            self.write(events)

    def settled(self, step: Step, outcome: Outcome) -> None:
        """Take the end of a request.

        Args:
            step: the request.
            outcome: how it ended.
        """
        code = outcome.failure.code if outcome.failure else None
        ended: _EventData = {"status": outcome.status, "code": code, "usd": exact(outcome.cost_usd)}
        self.write([{**self._head(_now(), "settled", step.key), "job_id": outcome.job_id, **ended}])

    def _event(self, line: JournalLine | Note) -> _EventData | None:
        if isinstance(line, Note):
            return {**self._head(line.t, line.name, line.key), **line.facts}
        event, kind = line.event, type(line.event)
        if isinstance(event, Done):
            return {**self._head(line.t, "stored", line.key), **self._stored(line.t, event)}
        if kind not in _KEPT:
            return None
        if isinstance(event, Submitted):
            self._sent[event.job_id] = datetime.fromisoformat(line.t)
        facts: _EventData = {name: getattr(event, name) for name in _KEPT[kind]}
        if not isinstance(event, Failed):
            return {**self._head(line.t, name_of(event), line.key), **facts}
        job: _EventData = {"job_id": event.job_id or None}
        if event.code == "cancelled":
            return {**self._head(line.t, "cancelled", line.key), **job}
        return {**self._head(line.t, name_of(event), line.key), **facts, **job}

    def _stored(self, t: str, event: Done) -> _EventData:
        sent = self._sent.pop(event.job_id, None)
        took = None if sent is None else round((datetime.fromisoformat(t) - sent).total_seconds(), 3)
        result = event.result
        return {"job_id": event.job_id, "sha256": result["sha256"], "usd": result["cost_usd"], "seconds": took}

    def _head(self, at: str, name: str, key: str) -> _EventData:
        head: _EventData = {"t": at, "event": name, "run": self.run}
        return {**head, "key": key, "cell": self.names.get(key)} if key else head


def started(run: str, plan: Plan, *, file: str, target: str, cap: Decimal | None) -> _EventData:
    """The begin of a run that has something to do.

    Args:
        run: its id.
        plan: what it is about to do.
        file: the pipeline file, as people know it.
        target: the kind of API.
        cap: what it may spend, in US dollars; None is no limit.

    Returns:
        The event `run_started`.
    """
    counts = {kind.name: plan.total(kind).count for kind in (Reuse, Fetch, Attach, Submit, Hold, Rejected)}
    facts: _EventData = {"cells": sum(len(step.cells) for step in plan.steps), "plan": dict(counts)}
    price: _EventData = {"usd": exact(plan.total(Submit).usd), "cap_usd": None if cap is None else exact(cap)}
    shard = None if plan.shard is None else str(plan.shard)
    where: _EventData = {"pipeline": plan.pipeline, "file": file, "target": target, "shard": shard}
    return {"t": _now(), "event": "run_started", "run": run, **where, **facts, "uploads": len(plan.uploads), **price}


def started_idle(report: Report) -> _EventData:
    """The begin of a run that had nothing to ask of Krea.

    Args:
        report: the report of the run.

    Returns:
        The event `run_started`.
    """
    # Of the report of an earlier run only the totals are read.
    reused = len({row.key for row in report.rows if row.status == "reused"}) if report.rows else report.cells.reused
    plan: dict[str, Json] = {"reuse": reused, "fetch": 0, "attach": 0, "submit": 0}
    rejected = len({row.key for row in report.rows if row.error is not None and row.error.kind == "rejected"})
    keys = len({row.key for row in report.rows}) or reused
    plan |= {"hold": keys - reused - rejected, "rejected": rejected}
    cap = report.cost.cap_usd
    facts: _EventData = {"pipeline": report.pipeline.name, "file": report.pipeline.file, "target": report.target.kind}
    price: _EventData = {"uploads": 0, "usd": FREE, "cap_usd": None if cap is None else exact(cap)}
    facts["shard"] = report.shard
    head: _EventData = {"t": report.started_at, "event": "run_started", "run": report.run_id}
    return {**head, **facts, "cells": report.cells.total, "plan": plan, **price}


def ended(report: Report, code: str | None, *, lost: int) -> _EventData:
    """The end of a run.

    Args:
        report: its report.
        code: the problem that ended it early.
        lost: how many lines could not be written.

    Returns:
        The event `run_ended`, with counts of cells and sums in US dollars.
    """
    cells, cost = report.cells, report.cost
    counts = ("total", "succeeded", "reused", "failed", "uncertain", "pending")
    sums = ("spent_usd", "saved_usd", "uncertain_usd", "in_flight_usd")
    head = left(report.run_id, report.exit_code, code, lost=lost)
    return {
        **head,
        "cells": {name: getattr(cells, name) for name in counts},
        **{name: exact(getattr(cost, name)) for name in sums},
    }


def left(run: str, exit_code: int, code: str | None, *, lost: int) -> _EventData:
    """The end of a run that wrote no report.

    Args:
        run: its id.
        exit_code: what the command exits with.
        code: the problem that ended it early.
        lost: how many lines could not be written.

    Returns:
        The event `run_ended`, without counts and sums.
    """
    return {"t": _now(), "event": "run_ended", "run": run, "exit_code": exit_code, "code": code, "lost": lost}


def refused(file: str, exit_code: int, code: str) -> _EventData:
    """A run that was not begun.

    Args:
        file: the pipeline file, as people know it.
        exit_code: what the command exits with.
        code: the problem that prevents the run.

    Returns:
        The event `run_refused`.
    """
    return {"t": _now(), "event": "run_refused", "run": None, "file": file, "exit_code": exit_code, "code": code}


def _now() -> str:
    """The time in UTC, as ISO 8601 to the millisecond."""
    return iso(datetime.now(UTC))
