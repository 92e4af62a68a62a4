"""Implements `krea-pipe gc --remote`: decides which objects of the shared store are kept, and deletes others.

A result goes when it is old and no lock file, kept run or recent claim needs it; its claims go before it, since they
say that the request is paid. An image goes when no result that stays names it. What a shard left for `merge --remote`
keeps its images until it is old. Claims without a result, the names of jobs, and whatever this version does not know
are never deleted.
"""

import json
import secrets
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from krea_pipe.app.maintenance.garbage import read_all_locks
from krea_pipe.app.maintenance.locks import Locks
from krea_pipe.app.maintenance.stored import RunFolder, read_runs, spaces_of
from krea_pipe.app.packed_runs import unpacked_runs
from krea_pipe.app.shared_store import in_parallel
from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.outcome import DIGEST, Result
from krea_pipe.core.settings import Pace, live_pace
from krea_pipe.report.folder import RECORD
from krea_pipe.store.remote.bucket import StoredObject
from krea_pipe.store.remote.claims import CLAIMS, JOBS
from krea_pipe.store.remote.presence import DEAD_AFTER, RUNS, SharedPresence
from krea_pipe.store.remote.record import Seal
from krea_pipe.store.remote.remote import Remote
from krea_pipe.store.remote.results import BLOBS, RESULTS, SharedResults
from krea_pipe.store.remote.shard_runs import SHARDS, ShardRuns

RemoteHolder: TypeAlias = Literal["lock", "run", "shard", "recent", "claim", "unreadable"]
"""Why a result is kept: a lock file, a kept run, a recent run of a shard, its age, a recent claim, or because it cannot
be read."""
REMOTE_HOLDERS: tuple[RemoteHolder, ...] = get_args(RemoteHolder)
RemoteKind: TypeAlias = Literal["claims", "results", "images", "heartbeats", "shards"]
REMOTE_KINDS: tuple[RemoteKind, ...] = get_args(RemoteKind)
"""In the order in which they are deleted: what names an image goes before the image."""
YOUNG = timedelta(hours=1)
"""An image without a result may be that of a home that is about to write the result."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What stays by name: what lock files and kept runs of this home name, and the images of recent runs of shards."""

    locks: Locks
    runs: tuple[RunFolder, ...]
    shards: frozenset[str]

    def holder(self, key: str, digest: str) -> RemoteHolder | None:
        """Why a result is kept.

        Args:
            key: the key of its request; "" for an image without one.
            digest: its image.

        Returns:
            A lock file, a run, a run of a shard, or None.
        """
        if digest in self.locks.digests or key in self.locks.keys:
            return "lock"
        if any(digest in run.digests or key in run.keys for run in self.runs):
            return "run"
        return "shard" if digest in self.shards else None


@dataclass(frozen=True, slots=True)
class RemoteSurvey:
    """The objects to delete by kind, the number of kept results for each reason, and what is never deleted.

    `usd` is what it would cost to generate the images again. `open` counts requests that have claims and no result,
    `jobs` the names of jobs, `unknown` the objects that this version does not know. `alive` are the runs of all homes.
    """

    locks: Locks
    going: Mapping[RemoteKind, tuple[StoredObject, ...]]
    staying: frozenset[str]
    kept: Mapping[RemoteHolder, int]
    usd: Decimal
    open: int
    jobs: int
    unknown: int
    alive: frozenset[str]

    @property
    def size(self) -> int:
        """The bytes of all that goes."""
        return sum(one.size for found in self.going.values() for one in found)

    @property
    def keys(self) -> list[str]:
        """The keys of the results that go."""
        return sorted(_last(one) for one in self.going["results"])


@dataclass(frozen=True, slots=True)
class _Objects:
    """The objects of a store by kind, with results and claims by key, and the time of the store's own clock."""

    results: Mapping[str, StoredObject]
    blobs: Mapping[str, StoredObject]
    claims: Mapping[str, tuple[StoredObject, ...]]
    runs: tuple[StoredObject, ...]
    shards: tuple[StoredObject, ...]
    jobs: int
    unknown: int
    now: datetime


def collect_remote(
    remote: Remote,
    home: Path,
    keep: timedelta,
    folders: Iterable[Path],
    environment: Mapping[str, str],
    *,
    forgets: bool,
    deletes: bool,
) -> RemoteSurvey:
    """Examine a shared store, and delete what is not needed.

    Args:
        remote: the store.
        home: the home folder, whose runs and lock files count.
        keep: for how long, from now backwards, everything is kept; nothing keeps what is needed alone.
        folders: where lock files are, besides the working folder and the home folder's pipelines.
        environment: for git.
        forgets: also remove images of pipelines whose folders are missing.
        deletes: delete it; otherwise only report.

    Returns:
        What went, or would go.

    Raises:
        RemoteFailed: the store does not answer, or refuses.
        InvalidInput: a lock file cannot be read. StateError: something else that names images cannot be, there are no
            lock files at all, or runs are in progress.
    """
    locks = read_all_locks(home, spaces_of(home), (Path.cwd(), *folders), environment, forgets=forgets)
    if deletes and not locks.places:
        hint = "run it in the repository, and specify the folders of all other repositories that share the store"
        raise StateError(Problem("no_locks", "there is no lock file, so it is unknown what is needed", hint=hint))
    presence = remote.presence(f"gc-{secrets.token_hex(6)}", max(live_pace(environment).first, Pace().first))
    if not remote.bucket.is_read_only:
        presence.open()
    try:
        found = _survey(remote, locks, read_runs(home), keep, presence)
        if deletes:
            _delete(remote, found, presence)
    finally:
        presence.close()
    return found


def _survey(
    remote: Remote, locks: Locks, runs: tuple[RunFolder, ...], keep: timedelta, presence: SharedPresence
) -> RemoteSurvey:
    objects, dead_after = _objects(remote, presence.run), timedelta(seconds=DEAD_AFTER * presence.poll)
    since = objects.now - keep if keep else None
    records = _read(remote, objects.results)
    alive = frozenset(_last(one) for one in objects.runs if objects.now - one.modified < dead_after)
    kept = tuple(run for run in runs if run.id in alive or (since is not None and run.at >= since))
    left = [one for one in objects.shards if _is_recent(one, since)]
    needs = Needs(locks, kept, frozenset().union(*in_parallel(partial(_images_of, remote), left)))
    holders = {key: _holder(key, objects, records[key], needs, since) for key in objects.results}
    gone = {key for key, holder in holders.items() if holder is None}
    named = {result.sha256 for key, result in records.items() if result is not None and key not in gone}
    shown = {result.sha256 for key in gone if (result := records[key]) is not None}
    claims = [
        entry
        for key, found in objects.claims.items()
        if holders.get(key, "unreadable") != "unreadable" and not any(_is_recent(one, since) for one in found)
        for entry in found
    ]
    images = [
        one
        for digest, one in objects.blobs.items()
        if digest not in named
        and needs.holder("", digest) is None
        and not _is_recent(one, since)
        and (digest in shown or objects.now - one.modified >= YOUNG)
    ]
    beats = [one for one in objects.runs if _last(one) not in alive and not _is_recent(one, since)]
    costs = (result.cost_usd for key in gone if (result := records[key]) is not None)
    return RemoteSurvey(
        locks=locks,
        going={
            "claims": tuple(claims),
            "results": tuple(objects.results[key] for key in sorted(gone)),
            "images": tuple(images),
            "heartbeats": tuple(beats),
            "shards": tuple(one for one in objects.shards if one not in left),
        },
        staying=frozenset(holders.keys() - gone),
        kept=Counter(holder for holder in holders.values() if holder is not None),
        usd=sum(costs, Decimal(0)),
        open=sum(key not in objects.results for key in objects.claims),
        jobs=objects.jobs,
        unknown=objects.unknown,
        alive=alive - {presence.run},
    )


def _holder(
    key: str, objects: _Objects, result: Result | None, needs: Needs, since: datetime | None
) -> RemoteHolder | None:
    """Why a result is kept; None if it can be deleted."""
    if result is None:
        return "unreadable"
    if (holder := needs.holder(key, result.sha256)) is not None:
        return holder
    if _is_recent(objects.results[key], since):
        return "recent"
    return "claim" if any(_is_recent(one, since) for one in objects.claims.get(key, ())) else None


def _is_recent(entry: StoredObject, since: datetime | None) -> bool:
    return since is not None and entry.modified >= since


def _objects(remote: Remote, own: str) -> _Objects:
    """List the whole store once: a call for every thousand objects."""
    kinds: dict[str, list[StoredObject]] = {}
    for entry in remote.bucket.list(""):
        kinds.setdefault(entry.name.partition("/")[0], []).append(entry)
    results, blobs = (_by_digest(kinds.get(name, ())) for name in (RESULTS, BLOBS))
    claims = [one for one in kinds.get(CLAIMS, ()) if one.name.count("/") == 2 and DIGEST.fullmatch(_key_of(one))]
    runs, jobs = tuple(kinds.get(RUNS, ())), len(kinds.get(JOBS, ()))
    shards = tuple(one for one in kinds.get(SHARDS, ()) if one.name.count("/") == 2)
    known = sum(map(len, (results, blobs, claims, runs, shards, kinds.get("format", ())))) + jobs
    times = {_last(one): one.modified for one in runs}
    latest = max((one.modified for found in kinds.values() for one in found), default=datetime.now(UTC))
    return _Objects(
        results=results,
        blobs=blobs,
        claims={key: tuple(found) for key, found in groupby(sorted(claims, key=lambda one: one.name), _key_of)},
        runs=runs,
        shards=shards,
        jobs=jobs,
        unknown=sum(map(len, kinds.values())) - known,
        now=times.get(own, latest),
    )


def _by_digest(entries: Iterable[StoredObject]) -> dict[str, StoredObject]:
    return {_last(one): one for one in entries if one.name.count("/") == 1 and DIGEST.fullmatch(_last(one))}


def _read(remote: Remote, entries: Iterable[str]) -> dict[str, Result | None]:
    """Read results, signed or not: what any of them names is not deleted."""
    shared = SharedResults(remote.bucket, Seal(), lambda _: None)
    keys = list(entries)
    return dict(zip(keys, in_parallel(shared.result, keys), strict=True))


def _images_of(remote: Remote, entry: StoredObject) -> frozenset[str]:
    """The images that the run of a shard names, signed or not.

    Raises:
        StateError: it cannot be read, so that it is unknown what it needs.
    """
    packed = ShardRuns(remote.bucket, Seal(), remote.warn).packed(entry.name) or b""
    try:
        reports = [json.loads(files[RECORD]) for _, files in unpacked_runs(packed)]
        return frozenset(str(cell.get("sha256")) for report in reports for cell in report["cells"])
    except (StateError, ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"{entry.name} in the shared store cannot be read, so it is unknown which images it needs"
        raise StateError(
            Problem("unreadable_run", message, hint="delete that object, or use a shorter --keep")
        ) from error


def _delete(remote: Remote, found: RemoteSurvey, presence: SharedPresence) -> None:
    """Delete in an order that leaves a store that is right, wherever it is cut off."""
    alive = presence.alive()
    if alive:
        message = f"nothing is deleted while runs of any home are in progress: {', '.join(sorted(alive)[:3])}"
        hint = "wait for them to end; a killed run counts for a minute"
        raise StateError(Problem("runs_alive", message, hint=hint))
    bucket, going = remote.bucket, found.going

    def delete_claims(entries: tuple[StoredObject, ...]) -> None:
        names = {one.name for one in entries}
        if names == {one.name for one in bucket.list(f"{CLAIMS}/{_key_of(entries[0])}")}:  # else they are in use
            for name in sorted(names):
                bucket.delete(name)

    def delete_all(entries: Iterable[StoredObject]) -> None:
        deque(in_parallel(lambda one: bucket.delete(one.name), entries), maxlen=0)

    by_key = [tuple(entries) for _, entries in groupby(going["claims"], _key_of)]
    deque(in_parallel(delete_claims, by_key), maxlen=0)
    delete_all(going["results"])
    published = _read(remote, remote.results.keys() - found.staying)  # by a home that is not seen, since the look
    named = {result.sha256 for result in published.values() if result is not None}
    delete_all(one for one in going["images"] if _last(one) not in named)
    delete_all(going["heartbeats"])
    delete_all(going["shards"])


def _key_of(claim: StoredObject) -> str:
    return claim.name.split("/")[1]


def _last(entry: StoredObject) -> str:
    return entry.name.rpartition("/")[2]
