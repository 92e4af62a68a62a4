"""The events of the journal: a frozen type for each, and the one place that writes and reads them as JSON.

A line is one JSON object with the name of its `event`, the `key` of a request, the time `t` (UTC, ISO 8601), the `run`
that wrote it, and the fields of the event. A field that is missing has its default, and unknown fields are passed over,
so that a later version may add some. An unknown event is refused, because the money that it speaks of would be lost
from the account; one that is marked `"informational": true` is not, because nothing follows from it.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, TypeAlias

from krea_pipe.core.json_data import Json
from krea_pipe.core.money import FREE
from krea_pipe.core.settings import origin_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request at Krea: where it is sent to (`origin`, `account`), what it may cost (US dollars), and for what.

    `variant` is the variant of an image or the model of a training, and `person` who has sent it; both are "" in lines
    of earlier versions, and `person` also where git does not know a name.
    """

    origin: str = ""
    account: str = ""
    usd: str = FREE
    cell: str = ""
    variant: str = ""
    person: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed(Sent):
    """A POST with times of Krea's clock.

    `began` and `after` are not later than the start of the run and the POST; `exact` says that they are exact to the
    millisecond. Every job that was made since `known_since` and was in Krea's list before the POST is identified by its
    id, and the POST's own job is not older than `newest` by more than the clocks of Krea's hosts differ: both are times
    of jobs, and empty when the list could not be read.
    """

    began: str = ""
    after: str = ""
    exact: bool = False
    known_since: str = ""
    newest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made(Sent):
    """A POST that has become a job, which Krea has made at `created_at`, if it says so."""

    job_id: str
    created_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitting(Timed):
    """The POST follows, and only the writer of this line may make it: see `store.ledger`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted(Made):
    """The job exists, by the answer to the POST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """Krea did not take the request: a `code`, and the HTTP `status` if there was one."""

    code: str = ""
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered(Timed):
    """The answer to the POST was lost; `before` is a time of Krea's clock not earlier than that.

    `given_up` says that someone stopped waiting for it, so that the job may be made late.
    """

    before: str = ""
    given_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Krea's list has shown `jobs` that no answer to this home has named: of someone else, or of a lost answer."""

    jobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Krea's list shows that no job was made of the POST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted(Made):
    """A job in Krea's list must be that of the POST whose answer was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disowned:
    """The adopted job was not that of the request."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached(Sent):
    """This run waits for the job of an earlier one, and no other run does: see `store.ledger`.

    After `Done` it says that the image is missing, and is read again. With a `sha256` it is a job that the journal may
    not know, whose image is paid and has that digest.
    """

    job_id: str
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfetched:
    """The job has ended or was given up, and may be billed; its image is not here, and later runs read the job again.

    `code` says why, "" in lines of earlier versions: it could not be fetched.
    """

    job_id: str
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Krea does not show the job."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The image is stored and verified, or the style is known: `result` says which."""

    job_id: str
    result: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """There is no image.

    `job_id` is "" for a request that became no job, and None in lines of early versions.
    """

    code: str = "failed"
    job_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A run has written its report; the key is the run's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The report of a later run has the price of the request, or will have it once that run has ended.

    Early versions wrote it without the run, once the report was there.
    """


Event: TypeAlias = (
    Submitting
    | Submitted
    | Declined
    | Unanswered
    | Listed
    | Cleared
    | Adopted
    | Disowned
    | Attached
    | Unfetched
    | Unseen
    | Done
    | Failed
    | Reported
    | Counted
)
EVENTS: Mapping[str, type[Event]] = {
    "submitting": Submitting,
    "submitted": Submitted,
    "declined": Declined,
    "unanswered": Unanswered,
    "listed": Listed,
    "cleared": Cleared,
    "adopted": Adopted,
    "disowned": Disowned,
    "attached": Attached,
    "unfetched": Unfetched,
    "unseen": Unseen,
    "done": Done,
    "failed": Failed,
    "reported": Reported,
    "counted": Counted,
}
"""The events by the names that are in the file."""
_INFORMATIONAL = frozenset({Listed})
"""Events that versions before them may pass over."""
_NAMES = {kind: name for name, kind in EVENTS.items()}
_FIELDS = {kind: {field.name: field.default for field in fields(kind)} for kind in _NAMES}
"""The fields of each event with their defaults."""


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line of the journal: an event of the request `key`, written at `t` by `run`."""

    event: Event
    key: str
    t: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A note from a run to its observers that is not in the journal, and has no effect on the state."""

    name: Literal["uploaded", "upload_failed", "waiting", "download_failed"]
    key: str
    t: str
    run: str
    facts: Mapping[str, Json]


class UnknownEvent(ValueError):
    """A line has an event that only a later version of krea-pipe knows."""


def name_of(event: Event) -> str:
    """The name of an event in the file.

    Args:
        event: the event.

    Returns:
        Its name.
    """
    return _NAMES[type(event)]


def encode(line: JournalLine) -> str:
    """A line as in the file, with its end."""
    facts = {name: getattr(line.event, name) for name in _FIELDS[type(line.event)]}
    head = {"event": name_of(line.event), "key": line.key, "t": line.t, "run": line.run}
    marks = {"informational": True} if type(line.event) in _INFORMATIONAL else {}
    return json.dumps({**head, **marks, **facts}, separators=(",", ":")) + "\n"


def decode(text: bytes) -> JournalLine | None:
    """A line of the file; None when it is damaged, or says of itself that nothing follows from it.

    Raises:
        UnknownEvent: a later version has written it.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("event"), str):
        return None
    kind = EVENTS.get(data["event"])
    if kind is None:
        if data.get("informational") is True:
            return None
        raise UnknownEvent(data["event"])
    try:
        return JournalLine(_event(kind, data), str(data["key"]), str(data.get("t", "")), str(data.get("run", "")))
    except (KeyError, TypeError, ValueError):
        return None


def _event(kind: type[Event], data: Mapping[str, Any]) -> Event:
    """The event that data says. What has another type than it should is read as text, as versions before types did."""
    facts: dict[str, Any] = {}
    for name, default in _FIELDS[kind].items():
        value = data.get(name)
        if value is None:
            if default is MISSING:
                raise KeyError(name)
            continue
        if name == "result":
            facts[name] = dict(value)
        elif name == "jobs":
            facts[name] = tuple(map(str, value))
        elif isinstance(default, bool):
            facts[name] = value is True
        elif name == "status":
            facts[name] = value if isinstance(value, int) else None
        else:
            facts[name] = origin_of(str(value)) if name == "origin" else str(value)
    return kind(**facts)
