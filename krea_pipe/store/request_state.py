"""What is known of a request, according to the journal: its POST, its job, its state."""

from dataclasses import dataclass
from typing import TypeAlias

from krea_pipe.core.json_data import Json
from krea_pipe.core.money import FREE
from krea_pipe.core.outcome import Result


@dataclass(frozen=True, slots=True)
class Post:
    """A POST that Krea may have accepted.

    `began` and `after` are times of Krea's clock, not later than the begin of the run and the POST, `before` is one not
    earlier than the loss of its answer, when that was seen; empty when no answer had told the time yet. `is_exact` says
    that our own jobs had told the time, and not the `Date` of answers, which has whole seconds. `is_given_up` says that
    someone stopped waiting for the answer, so that its job may be made late. `t` is when it was written down, by the
    clock of the machine. `known_since` and `newest` are those of `store.events.Timed`. Of the jobs that no answer has
    named, Krea's list had shown the first `listed` before the POST, and the first `listed_at_start` before the first
    POST of its run.
    """

    key: str
    run: str
    origin: str
    account: str = ""
    cell: str = ""
    usd: str = FREE
    variant: str = ""
    person: str = ""
    began: str = ""
    after: str = ""
    before: str = ""
    is_exact: bool = False
    is_given_up: bool = False
    t: str = ""
    known_since: str = ""
    newest: str = ""
    listed: int = 0
    listed_at_start: int = 0


@dataclass(frozen=True, slots=True)
class InFlight:
    """A job that Krea has and that is not collected; `run` is the run that waits for it, or did.

    `unfetched` names the last run that saw it as billed and without its image, `counted_by` the one in whose report its
    price is or will be, and `lack` says why it has none: the code of a failure. `unseen` says that Krea did not show it
    when asked, `adopted` that no answer named it: it was found in Krea's list. `was_stored` says that its image was
    generated and paid before, and is read again because it is missing; it has the digest `sha256`, unless it is empty.
    """

    job_id: str
    origin: str
    account: str = ""
    run: str = ""
    cell: str = ""
    usd: str = FREE
    variant: str = ""
    person: str = ""
    created_at: str = ""
    t: str = ""
    unfetched: str = ""
    lack: str = ""
    counted_by: str = ""
    unseen: bool = False
    adopted: bool = False
    was_stored: bool = False
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class DrawnJob:
    """The data of the job that generated a result needed to read its image again; there are as many as images."""

    job_id: str
    origin: str
    account: str
    created_at: str
    adopted: bool
    sha256: str


@dataclass(frozen=True, slots=True)
class Trained:
    """A style that was trained: by which job, at which API, with which account, and what it was to cost at most.

    `is_new` says that this command has paid for it.
    """

    style_id: str
    job_id: str
    origin: str
    account: str
    usd: str
    is_new: bool = False

    def to_json(self) -> dict[str, Json]:
        """Give the style as JSON data.

        Returns:
            The `result` of a `done` line.
        """
        return {
            "style_id": self.style_id,
            "job_id": self.job_id,
            "origin": self.origin,
            "account": self.account,
            "cost_usd": self.usd,
        }


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing was asked of Krea, or nothing came of it."""


@dataclass(frozen=True, slots=True)
class Sending:
    """The POST has no answer yet, or its run has died."""

    post: Post


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer to the POST was lost."""

    post: Post


@dataclass(frozen=True, slots=True)
class Without:
    """It ended without an image, and `code` says why."""

    code: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The image is there; `run` has paid for it."""

    result: Result
    run: str


State: TypeAlias = Idle | Sending | Unknown | InFlight | Without | Finished
"""The status of a request according to the journal alone; `store.ledger` also asks which runs are alive."""
