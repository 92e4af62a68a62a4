"""The contents of a shared store, and copies between it and this home."""

from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from krea_pipe.app.shared_store import in_parallel
from krea_pipe.core.outcome import Result
from krea_pipe.core.request import Key
from krea_pipe.planning.plan import Attach, Hold, Plan, Reuse, Step
from krea_pipe.store.known import cell_name, look_up, remember_cells, remember_results, result_name
from krea_pipe.store.remote.bucket import StoredObject
from krea_pipe.store.remote.remote import Remote
from krea_pipe.store.remote.results import BLOBS, RESULTS
from krea_pipe.store.space import Space

PushState: TypeAlias = Literal["sent", "present", "other", "ignored", "damaged"]
"""The result for an image."""
PullState: TypeAlias = Literal["fetched", "present", "absent", "ignored", "in_flight"]
"""The result for a request."""


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """A result in the store, and the cells for which this home last used it.

    `written_at` is UTC, by the store's clock. `result` is None when the record cannot be trusted, `size` is None when
    there is no image.
    """

    key: str
    written_at: datetime
    cells: tuple[str, ...]
    result: Result | None
    size: int | None


@dataclass(frozen=True, slots=True)
class RemoteListing:
    """The newest results of a store, how many there are, and how many images with how many bytes."""

    images: tuple[RemoteImage, ...]
    results: int
    blobs: int
    size: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """The number of requests in each state, the number of copied bytes, and the cost of the copied images."""

    counts: Mapping[str, int]
    size: int
    usd: Decimal


def remote_images(remote: Remote, space: Space, most: int | None) -> RemoteListing:
    """List what the store has, the newest first.

    Args:
        remote: the store.
        space: the name space of this home, which knows cells.
        most: how many results are read; None reads all.

    Returns:
        The results, and the totals of the whole store.

    Raises:
        RemoteFailed: the store could not be read. StateError: the facts of this home cannot be read.
    """
    sizes = {_last(one): one.size for one in remote.bucket.list(BLOBS)}
    found = sorted(remote.bucket.list(RESULTS), key=lambda one: (one.modified, one.name), reverse=True)
    cells: dict[str, list[str]] = {}
    for name, fact in space.facts.beginning_with(cell_name("")).items():
        cells.setdefault(str(fact.get("key")), []).append(name.removeprefix(cell_name("")))
    shown = found[:most]
    results = in_parallel(lambda one: remote.results.result(_last(one)), shown)
    images = tuple(
        RemoteImage(
            key=_last(one),
            written_at=one.modified,
            cells=tuple(sorted(cells.get(_last(one), ()))),
            result=result,
            size=sizes.get(result.sha256) if result is not None else None,
        )
        for one, result in zip(shown, results, strict=True)
    )
    return RemoteListing(images, len(found), len(sizes), sum(sizes.values()))


def push(remote: Remote, space: Space, plan: Plan | None) -> Transfer:
    """Bring what this home has to the store, unless it is already in the store.

    Args:
        remote: the store.
        space: the name space of this home.
        plan: whose images are meant; None is for all that are stored.

    Returns:
        The outcome of each image.

    Raises:
        RemoteFailed: the store does not answer. StateError: this home cannot be read.
    """
    found = _stored(space) if plan is None else _reused(plan)
    _name_jobs(remote, space, found.keys())
    keys, digests = remote.results.keys(), {_last(one) for one in remote.bucket.list(BLOBS)}

    def send(item: tuple[str, Result]) -> tuple[PushState, int, Decimal]:
        key, result = item
        if key in keys and result.sha256 in digests:
            return "present", 0, Decimal(0)
        if key in keys:
            shared = remote.results.result(key)
            if shared is None or shared.sha256 != result.sha256:
                return ("ignored" if shared is None else "other"), 0, Decimal(0)
        data = space.blobs.read(result.sha256)
        if data is None:
            return "damaged", 0, Decimal(0)
        remote.results.publish(key, result, data)
        return "sent", len(data), result.cost_usd

    return _transfer(list(in_parallel(send, found.items())))


def _name_jobs(remote: Remote, space: Space, keys: Collection[str]) -> None:
    """Tell all homes which jobs have drawn images of this one: a run that was killed might not have told it."""
    drawn = space.read_journal().drawn
    jobs: dict[str, dict[str, str]] = {}
    for key in keys:
        if key in drawn and drawn[key].account:
            jobs.setdefault(drawn[key].account, {})[drawn[key].job_id] = key
    for account, own in jobs.items():
        claims = remote.claims("", account)
        missing = sorted(own.keys() - claims.named())
        deque(in_parallel(lambda job: claims.name_job(job, own[job]), missing), maxlen=0)  # noqa: B023 (at once)


def pull(remote: Remote, space: Space, plan: Plan) -> Transfer:
    """Bring images that a plan needs from the store to this home.

    Args:
        remote: the store.
        space: the name space of this home.
        plan: what is needed, and what is here.

    Returns:
        The outcome of each request.

    Raises:
        RemoteFailed: the store does not answer; what has come until then is kept.
        StateError: this home cannot be read or written.
    """
    keys, fetched = remote.results.keys(), dict[Key, Result]()

    def fetch(step: Step) -> tuple[PullState, int, Decimal]:
        if isinstance(step.action, Reuse):
            return "present", 0, Decimal(0)
        if _is_in_flight(step):
            return "in_flight", 0, Decimal(0)
        if step.key not in keys:
            return "absent", 0, Decimal(0)
        image = remote.results.image(step.key)
        if image is None:
            return "ignored", 0, Decimal(0)
        space.blobs.put(image.data)
        fetched[step.key] = image.result
        return "fetched", len(image.data), image.result.cost_usd

    if plan.has_work:
        space.prepare()
    try:
        return _transfer(list(in_parallel(fetch, plan.steps)))
    finally:
        done = [step for step in plan.steps if step.key in fetched]
        remember_results(space, {step.key: (fetched[step.key], step.request.fields()) for step in done})
        remember_cells(space, {f"{plan.pipeline}/{cell.id}": step.key for step in done for cell in step.cells})


def _is_in_flight(step: Step) -> bool:
    """Whether this home has paid for it, or may have, and has not brought it in."""
    match step.action:
        case Attach(was_stored=is_stored):
            return not is_stored
        case Hold(can_be_settled=can_be_settled):
            return can_be_settled
    return False


def _stored(space: Space) -> dict[str, Result]:
    """Every intact image of this home by the key of its request."""
    facts, replay = space.facts.beginning_with(result_name("")), space.read_journal()
    keys = sorted({name.removeprefix(result_name("")) for name in facts} | replay.done.keys())
    results = look_up(space, keys, keys).results
    return {key: results[key] for key in keys if key in results}


def _reused(plan: Plan) -> dict[str, Result]:
    return {step.key: step.action.result for step in plan.steps if isinstance(step.action, Reuse)}


def _transfer(moved: list[tuple[str, int, Decimal]]) -> Transfer:
    counts = Counter(state for state, _, _ in moved)
    return Transfer(counts, sum(size for _, size, _ in moved), sum((usd for _, _, usd in moved), Decimal(0)))


def _last(entry: StoredObject) -> str:
    return entry.name.rpartition("/")[2]
