"""What must stay: everything that a lock file or a kept run names, and what nobody has been told of yet."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from krea_pipe.app.maintenance.stored import Drawn, Listing, RunFolder

Holder: TypeAlias = Literal["lock", "run", "open", "recent"]
"""Who needs an image: a lock file, a kept run, a result that no report has yet, or its own youth."""


@dataclass(frozen=True, slots=True)
class Locks:
    """What lock files name: digests of images and keys of requests, and where the files are.

    `away` are pipelines and lock files whose folders are not there; what was drawn for them counts as locked.
    """

    digests: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    places: tuple[str, ...] = ()
    away: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Reach:
    """Images that stay by digest, each with its first holder, and the ids of runs that stay.

    `since` is the time from which on runs are kept; None keeps none but those that are alive.
    """

    holders: Mapping[str, Holder]
    runs: frozenset[str]
    since: datetime | None


def reach_of(listing: Listing, locks: Locks, since: datetime | None) -> Reach:
    """Find out what must stay."""
    runs = [run for run in listing.runs if run.id in listing.alive or is_since(run.at, since)]
    drawn = [one for holding in listing.holdings for one in holding.drawn]
    holders: dict[str, Holder] = {}
    for holder, digests in _claims(locks, runs, drawn, since):
        for digest in digests:
            holders.setdefault(digest, holder)
    return Reach(holders, frozenset(run.id for run in runs), since)


def is_since(moment: datetime, since: datetime | None) -> bool:
    """Whether a time is within what is kept."""
    return since is not None and moment >= since


def moment_of(text: str) -> datetime | None:
    """A time of ISO 8601, in UTC where it names no zone, or None when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _claims(
    locks: Locks, runs: list[RunFolder], drawn: list[Drawn], since: datetime | None
) -> Iterator[tuple[Holder, Iterable[str]]]:
    keys = frozenset[str]().union(*(run.keys for run in runs))
    yield "lock", locks.digests
    yield "lock", (one.sha256 for one in drawn if one.key in locks.keys)
    yield "run", (digest for run in runs for digest in run.digests)
    yield "run", (one.sha256 for one in drawn if one.key in keys)
    yield "open", (one.sha256 for one in drawn if one.is_open)
    yield "recent", (one.sha256 for one in drawn if _is_recent(one, since))


def _is_recent(one: Drawn, since: datetime | None) -> bool:
    """Whether an image is too young to go, though its run may have been deleted by hand; in doubt, it is."""
    moment = moment_of(one.at)
    return since is not None and (moment is None or moment >= since)
