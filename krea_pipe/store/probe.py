"""The results of `krea-pipe doctor --probe` for an API, stored in the home folder."""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from krea_pipe.core.errors import StateError
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.plain import check_files, read_plain

JobOrder: TypeAlias = Literal["newest_first", "oldest_first", "unordered", "unknown"]
CursorMeaning: TypeAlias = Literal["strict", "inclusive", "ignored", "refused", "unknown"]

PROBE = "probe.json"
_SCHEMA = "krea-pipe/probe@1"
_MAX_BYTES = 100_000
_MAX_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Probe:
    """The properties of an API and an account that a probe has learned.

    Seconds are never negative; None is what could not be learnt.

    Args:
        probed_at: when, in UTC, ISO 8601.
        origin: the name of the API, as in the journal.
        account: the account, as in the journal.
        tolerance_seconds: how far times of Krea may be apart that mean the same moment.
        settle_seconds: how long a POST without an answer may take to show its job in the list.
        order: the order of `GET /jobs`.
        cursor: which jobs a cursor leaves out: those of its own time as well (`strict`), or only later ones.
        lag_seconds: how long the list took at most to show a job after the answer to its POST.
        date_offset_seconds: how far `Date` and `created_at` are apart at least.
        host_spread_seconds: how far the times of two jobs, or of two answers, contradict each other.
        post_seconds: how long the slowest POST took.
        ties: how many listed jobs share their `created_at` with another.
    """

    probed_at: str
    origin: str
    account: str
    tolerance_seconds: float
    settle_seconds: float
    order: JobOrder = "unknown"
    cursor: CursorMeaning = "unknown"
    lag_seconds: float | None = None
    date_offset_seconds: float | None = None
    host_spread_seconds: float | None = None
    post_seconds: float | None = None
    ties: int = 0


def read_probe(home: Path) -> Probe | None:
    """The results of the last probe.

    Args:
        home: the home folder.

    Returns:
        None where there was no probe, or where its file is damaged: a probe can be made again.
    """
    try:
        data = json.loads(read_plain(home / PROBE, _MAX_BYTES))
        return _probe_of(data) if isinstance(data, dict) and data.get("schema") == _SCHEMA else None
    except (OSError, ValueError, TypeError, ArithmeticError, RecursionError, StateError):
        return None


def probe_for(home: Path, origin: str, account: str) -> Probe | None:
    """The results of the last probe, if it was of this API and account.

    Args:
        home: the home folder.
        origin: the name of the API, as in the journal.
        account: the account, as in the journal.

    Returns:
        None where there was no such probe.
    """
    probe = read_probe(home)
    return probe if probe is not None and (probe.origin, probe.account) == (origin, account) else None


def write_probe(home: Path, probe: Probe) -> None:
    """Keep what was learnt, in place of what was before.

    Args:
        home: the home folder.
        probe: what was learnt.

    Raises:
        StateError: the file cannot be written, or something else has its place.
    """
    check_files(home / PROBE)
    data = {"schema": _SCHEMA, **asdict(probe)}
    write_atomically(home / PROBE, (json.dumps(data, indent=1) + "\n").encode())


def _probe_of(data: dict[str, object]) -> Probe:
    """A probe from its JSON data.

    Raises:
        ValueError: it is damaged.
    """
    kept: dict[str, Any] = {field.name: data[field.name] for field in fields(Probe) if field.name in data}
    for name, value in kept.items():
        if not _is_sound(name, value):
            raise ValueError(f"{name} is damaged")
    return Probe(**kept)


def _is_sound(name: str, value: object) -> bool:
    if name == "ties":
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if name.endswith("_seconds"):
        if value is None:
            return name not in ("tolerance_seconds", "settle_seconds")
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and math.isfinite(value) and 0 <= value <= _MAX_SECONDS  # type: ignore[arg-type, operator]
    words = {"order": get_args(JobOrder), "cursor": get_args(CursorMeaning)}
    return isinstance(value, str) and (name not in words or value in words[name])
