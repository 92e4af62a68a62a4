"""Finding in Krea's list what a lost journal knew. The list shows no prompts, so little of it is sure."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from krea_pipe.api.client import Client
from krea_pipe.api.failures import CallFailed
from krea_pipe.api.wire import Job
from krea_pipe.core import images
from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.pixels import size_of
from krea_pipe.core.request import Key
from krea_pipe.executor.api_call import ApiCall, with_client
from krea_pipe.executor.journal_writer import now
from krea_pipe.executor.submit import created_at
from krea_pipe.planning.plan import Step
from krea_pipe.store.events import Adopted, Line
from krea_pipe.store.ledger import Entry, Ledger

PAGES = 30
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Orphan:
    """A job of the account that nothing here knows; the size of its image in pixels, once it has one."""

    job: Job
    size: tuple[int, int] | None


def find_orphans(api_call: ApiCall, known: frozenset[str], age: timedelta) -> list[Orphan]:
    """The jobs of the account that are younger than `age` and not known, the oldest first, whatever became of them.

    Raises:
        RefusedByKrea: the key is not good. StateError: Krea's list cannot be read.
    """

    async def find(client: Client) -> list[Orphan]:
        jobs = [job for job in await _listed(client, age) if job.id not in known and job.style_id is None]
        lanes = asyncio.Semaphore(8)

        async def measured(job: Job) -> Orphan:
            async with lanes:
                return Orphan(job, await _size(client, job))

        return await asyncio.gather(*map(measured, sorted(jobs, key=_creation)))

    return with_client(api_call, find)


def pair(orphans: Sequence[Orphan], steps: Sequence[Step], *, in_order: bool) -> dict[Key, Job]:
    """Which job belongs to which missing request, as far as that can be told without the prompts.

    By size alone, when just one request and one job have it; or, `in_order`, the first job for the first request, and
    so on, for krea-pipe sends in the order of the plan. Jobs that failed take their place, and are left out.

    Raises:
        StateError: the order does not fit.
    """
    return dict(_in_order(orphans, steps) if in_order else _by_size(orphans, steps))


def _in_order(orphans: Sequence[Orphan], steps: Sequence[Step]) -> Iterator[tuple[Key, Job]]:
    undated = next((orphan.job.id for orphan in orphans if orphan.job.created_at is None), None)
    if undated is not None:
        message = f"the time of job {undated} cannot be read, so its place in the order is not known"
        raise StateError(Problem("no_order", message, hint="pair by size alone, without --in-order"))
    if len(orphans) > len(steps):
        message = f"there are {len(orphans)} unknown jobs and only {len(steps)} requests without an image"
        raise StateError(Problem("no_order", message, hint="look at fewer hours with --since"))
    for orphan, step in zip(orphans, steps, strict=False):
        expected = size_of(step.request)
        if orphan.size is not None and expected is not None and orphan.size != expected:
            words = f"{_words(orphan.size)} pixels, and {step.cells[0].id} asks for {_words(expected)}"
            message = f"job {orphan.job.id} has drawn {words}: the order is another"
            raise StateError(Problem("no_order", message, hint="pair by size alone, without --in-order"))
        if not orphan.job.is_unbilled:
            yield step.key, orphan.job


def _by_size(orphans: Sequence[Orphan], steps: Sequence[Step]) -> Iterator[tuple[Key, Job]]:
    billed = [orphan for orphan in orphans if not orphan.job.is_unbilled]
    if any(orphan.size is None and orphan.job.created_at is not None for orphan in billed):
        return  # it may yet turn out to have any size
    for orphan in billed:
        fitting = [step for step in steps if size_of(step.request) == orphan.size]
        if len(fitting) == 1 and sum(other.size == orphan.size for other in billed) == 1:
            yield fitting[0].key, orphan.job


def record_recovered(api_call: ApiCall, pairs: Mapping[Key, Job], steps: Sequence[Step], pipeline: str) -> None:
    """Write down that jobs are those of requests, so that the next run brings them in.

    Raises:
        StateError: it cannot be written.
    """
    space, origin = api_call.space, api_call.target.origin
    space.prepare()
    ledger = Ledger(space.journal, space.presence, api_call.run_id, origin, space.journal.replay())
    entries = []
    for step in steps:
        job = pairs.get(step.key)
        if job is not None:
            event = Adopted(
                job_id=job.id,
                origin=origin,
                account=api_call.token.account,
                usd=str(step.price),
                cell=f"{pipeline}/{step.cells[0].id}",
                created_at=created_at(job),
            )
            line = Line(event, step.key, now(), api_call.run_id)
            entries.append(Entry(line, job_id=job.id))
    try:
        ledger.commit(entries)
    finally:
        ledger.close()


async def _listed(client: Client, age: timedelta) -> list[Job]:
    found: list[Job] = []
    before, floor = None, None
    for _ in range(PAGES):
        page = await client.jobs(PAGE, before)
        latest = client.clock.latest()
        floor = floor or (None if latest is None else latest - age)
        found += [job for job in page.jobs if floor is None or job.created_at is None or job.created_at >= floor]
        last = next((job.created_at for job in reversed(page.jobs) if job.created_at is not None), None)
        if page.next is None or (floor and last is not None and last < floor):
            break
        before = page.next
    return found


async def _size(client: Client, job: Job) -> tuple[int, int] | None:
    if not job.is_drawn:
        return None
    try:
        facts, _ = images.examine(await client.download(job.urls[0]))
    except (CallFailed, images.NotAnImage):
        return None
    return facts.width, facts.height


def _creation(job: Job) -> datetime:
    return job.created_at or datetime.min.replace(tzinfo=UTC)


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
