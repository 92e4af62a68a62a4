"""Images that lie elsewhere on this machine are copied into the store, each only if it is the image that was promised.

Nothing is asked of Krea and nothing is paid, so the journal has no line of it.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from krea_pipe.core.contract import is_of_documented_size
from krea_pipe.core.errors import Problem
from krea_pipe.core.outcome import Result, iso
from krea_pipe.core.provenance import bare_bytes
from krea_pipe.core.request import Key
from krea_pipe.planning.free_sources import FreeSource, FromFile, FromHome, FromRemote, Offer
from krea_pipe.planning.plan import Fetch, Plan, Reuse, Step
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.blobs import MOST_BLOB_BYTES, Blobs
from krea_pipe.store.known import remember_results
from krea_pipe.store.remote.bucket import RemoteFailed
from krea_pipe.store.remote.remote import Remote
from krea_pipe.store.space import Space

_THREADS = min(4, os.cpu_count() or 2)
"""They verify images; more than there are cores would only take Python's lock from each other."""
_CALLS = 16
"""Threads that wait for a shared store."""
_MOST_FILE_BYTES = MOST_BLOB_BYTES + (1 << 24)


@dataclass(frozen=True, slots=True)
class Copied:
    """An image that is in the store now, by the source that it was copied from."""

    source: FreeSource
    result: Result


@dataclass(frozen=True, slots=True)
class Discarded:
    """A source that did not give the image, and why."""

    key: Key
    source: FreeSource
    problem: Problem


@dataclass(frozen=True, slots=True)
class FetchedImages:
    """The result of copying the images of a plan."""

    copied: dict[Key, Copied]
    discarded: tuple[Discarded, ...] = ()


def fetch_images(space: Space, plan: Plan, remote: Remote | None = None) -> FetchedImages:
    """Copy the images that a plan fetches from sources other than Krea.

    Args:
        space: The store.
        plan: What a run would do.
        remote: The shared store, if there is one.

    Returns:
        The images that are stored now, and the sources that gave another one, or none.

    Raises:
        StateError: The store cannot be written.
    """
    steps = [(step, step.action) for step in plan.steps if isinstance(step.action, Fetch)]
    if not steps:
        return FetchedImages({})
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 (threads, for a run that copies images)

    with ThreadPoolExecutor(_THREADS if remote is None else _CALLS, "fetch") as threads:
        found = list(threads.map(lambda one: _fetched(space, one[0], one[1].offer, remote), steps))
    copied = {step.key: one for (step, _), one in zip(steps, found, strict=True) if isinstance(one, Copied)}
    requests = {step.key: step.request.fields() for step, _ in steps}
    remember_results(space, {key: (one.result, requests[key]) for key, one in copied.items()})
    return FetchedImages(copied, tuple(one for one in found if isinstance(one, Discarded)))


def with_fetched(plan: Plan, copied: dict[Key, Copied], reasons: dict[Key, str]) -> Plan:
    """A plan whose fetched images are reused.

    Args:
        plan: What a run does.
        copied: The images that it has copied.
        reasons: Why each of them was copied, by the keys of their requests.

    Returns:
        The plan, in which each of these requests is a reuse with that reason.
    """
    return replace(plan, steps=tuple(_reused(step, copied.get(step.key), reasons) for step in plan.steps))


def _reused(step: Step, copied: Copied | None, reasons: dict[Key, str]) -> Step:
    match step.action:
        case Fetch(counted=counted) if copied is not None:
            action = Reuse({step.key: copied.result}, step.key, counted=counted)
            return step._replace(action=action, reason=reasons[step.key])
        case Reuse() if copied is not None:
            return step._replace(reason=reasons[step.key])
    return step


def _fetched(space: Space, step: Step, offer: Offer, remote: Remote | None) -> Copied | Discarded:
    """Copy one image, if it is the right one."""
    from krea_pipe.core import images  # noqa: PLC0415 (Pillow, which a run without such images does without)

    discarded = partial(_discarded, step, offer)
    try:
        offer, data = _read(offer, remote)
    except RemoteFailed as error:
        return discarded(f"cannot be read: {error}")
    if data is None:
        return discarded("can no longer be read")
    if offer.sha256 and hashlib.sha256(data).hexdigest() != offer.sha256:
        return discarded("now contains a different image")
    try:
        facts, thumbnail = images.examine(data)
    except images.NotAnImage as error:
        return discarded(f"does not contain a complete image: {error}")
    if not is_of_documented_size(step.request, facts.width, facts.height):
        return discarded(f"contains an image of {facts.width} x {facts.height} pixels, which was not requested")
    digest = space.blobs.put(data)
    write_atomically(space.thumbnail(digest), thumbnail, durable=False)
    at = offer.finished_at or iso(datetime.now(UTC))
    size = (facts.width, facts.height)
    return Copied(offer.source, Result(digest, facts.mime, *size, offer.job_id, offer.cost_usd, at, facts.likeness))


def _discarded(step: Step, offer: Offer, reason: str) -> Discarded:
    message = f"{offer.source.place} {reason}: the image of {step.cells[0].id} is fetched from another source"
    return Discarded(step.key, offer.source, Problem("fetched_image_wrong", message))


def _read(offer: Offer, remote: Remote | None) -> tuple[Offer, bytes | None]:
    """The bytes of an image as Krea sent them, and what is known about it."""
    match offer.source:
        case FromFile(path=path):
            try:
                with path.open("rb") as stream:
                    data = stream.read(_MOST_FILE_BYTES + 1)
            except OSError:
                return offer, None
            return offer, bare_bytes(data) if len(data) <= _MOST_FILE_BYTES else None
        case FromHome(space=folder):
            return offer, Blobs(folder / "blobs").read(offer.sha256)
        case FromRemote(key=key):
            image = None if remote is None else remote.results.image(key)
            if image is None:
                return offer, None
            made, sha256 = image.result, offer.sha256 or image.result.sha256
            job_id, cost, at = made.job_id, made.cost_usd, made.finished_at
            return replace(offer, sha256=sha256, job_id=job_id, cost_usd=cost, finished_at=at), image.data
