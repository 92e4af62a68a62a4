"""The result of a request, and its image."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, cast

from krea_pipe.core.errors import Problem
from krea_pipe.core.json_data import Json
from krea_pipe.core.money import exact

Status = Literal["succeeded", "reused", "failed", "uncertain", "pending"]


def iso(moment: datetime) -> str:
    """A UTC time as ISO 8601, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


DIGEST = re.compile(r"[0-9a-f]{64}")
_COST = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10})?")
MIMES = ("image/png", "image/jpeg", "image/webp", "image/avif")

FailureClass = Literal[
    "transient", "rejected", "empty", "wrong_size", "refused", "gone", "stuck", "failed", "uncertain", "local"
]
"""The class of a failure: after a `transient` one, another run is likely to succeed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a cell has no image: a stable snake_case code, one line for people, and the class of the failure.

    `candidates` are jobs at Krea that may be the one of a lost answer.
    """

    code: str
    message: str
    kind: FailureClass = "failed"
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a request, with its UTC time in ISO 8601."""

    at: str
    event: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Timings:
    """When a request was accepted and settled (UTC, ISO 8601), and the seconds in between."""

    submitted_at: str | None = None
    finished_at: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A verified image and how it was paid: what the cache and the journal keep for a key.

    `likeness` is its perceptual signature, empty in what earlier versions kept.
    """

    sha256: str
    mime: str
    width: int
    height: int
    job_id: str
    cost_usd: Decimal
    finished_at: str
    likeness: str = ""

    @property
    def extension(self) -> str:
        """The file suffix that the bytes call for."""
        return {"image/jpeg": "jpg"}.get(self.mime, self.mime.partition("/")[2])

    def to_json(self) -> dict[str, Json]:
        """The result as JSON data, money as text."""
        return {
            "sha256": self.sha256,
            "mime": self.mime,
            "width": self.width,
            "height": self.height,
            "job_id": self.job_id,
            "cost_usd": exact(self.cost_usd),
            "finished_at": self.finished_at,
            "likeness": self.likeness,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> "Result":
        """Read back what `to_json` gave.

        Raises:
            KeyError, ValueError, TypeError, ArithmeticError: the data is not a result.
        """
        if not DIGEST.fullmatch(str(data["sha256"])) or data["mime"] not in MIMES:  # parts of paths come of them
            raise ValueError("not the digest and the type of an image")
        if not _COST.fullmatch(str(data["cost_usd"])):
            raise ValueError("not a price")
        return cls(
            sha256=str(data["sha256"]),
            mime=str(data["mime"]),
            width=int(cast("int", data["width"])),
            height=int(cast("int", data["height"])),
            job_id=str(data["job_id"]),
            cost_usd=Decimal(str(data["cost_usd"])),
            finished_at=str(data["finished_at"]),
            likeness=str(data.get("likeness", "")),
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """How the work of a run ended: as planned, refused by Krea, at a limit, interrupted, or by an error.

    `warnings` are what Krea has said that its users should know.
    """

    refusal: Problem | None = None
    limit: Problem | None = None
    interrupted: bool = False
    error: BaseException | None = None
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one distinct request ended.

    `cost_usd` is what this run paid for it, or may have paid when uncertain.

    `unfit` is an image that is not what was asked for: it is stored and shown, and counts as none. `adopted` says that
    no answer named the job: it was found in Krea's list. `attempts` are empty when all went as it should, so that a
    long run stays small: `history` has them anyway.
    """

    status: Status
    result: Result | None = None
    failure: Failure | None = None
    job_id: str | None = None
    cost_usd: Decimal = Decimal(0)
    attempts: tuple[Attempt, ...] = ()
    submitted_at: str | None = None
    finished_at: str | None = None
    adopted: bool = False
    unfit: Result | None = None

    @property
    def history(self) -> tuple[Attempt, ...]:
        """Everything that was tried."""
        if self.attempts or self.result is None or self.submitted_at is None or self.finished_at is None:
            return self.attempts
        return (
            Attempt(self.submitted_at, "submitted", self.result.job_id),
            Attempt(self.finished_at, "done", self.result.sha256),
        )

    @property
    def timings(self) -> Timings:
        """When it was accepted and settled, and the seconds in between."""
        if self.submitted_at is None or self.finished_at is None:
            return Timings(self.submitted_at, self.finished_at)
        took = datetime.fromisoformat(self.finished_at) - datetime.fromisoformat(self.submitted_at)
        return Timings(self.submitted_at, self.finished_at, round(took.total_seconds(), 3))
