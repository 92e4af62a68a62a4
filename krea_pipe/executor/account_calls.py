"""Calls to Krea outside of a run: the styles of an account, cancelling jobs, and finding what a lost journal knew.

What Krea cancels it does not bill. Its list of jobs shows no prompts, so little of what is found there is sure.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

import httpx

from krea_pipe.api.client import Client, open_client
from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.api.wire import Job, StylePage
from krea_pipe.core import images
from krea_pipe.core.contract import requested_size
from krea_pipe.core.errors import Problem, RefusedByKrea, StateError
from krea_pipe.core.money import exact
from krea_pipe.core.request import Key
from krea_pipe.core.settings import Target, Token
from krea_pipe.executor.journal_writer import utc_now
from krea_pipe.executor.paid_request import created_at
from krea_pipe.executor.watch import cancelled, read_if_there
from krea_pipe.planning.plan import Step
from krea_pipe.store.events import Adopted, Failed, JournalLine
from krea_pipe.store.ledger import JournalEntry, Ledger
from krea_pipe.store.request_state import InFlight
from krea_pipe.store.space import Space

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ApiCall:
    """The target and the account of a call, and the run id for its journal lines."""

    space: Space
    target: Target
    token: Token
    run_id: str


def asked(
    target: Target,
    token: Token,
    work: Callable[[Client], Awaitable[_T]],
    transport: httpx.AsyncBaseTransport | None = None,
) -> _T:
    """Do something at Krea outside of a run.

    Args:
        target: the API.
        token: the key of the account.
        work: what to do with a client.
        transport: takes the place of the network, as the local Krea does.

    Returns:
        What `work` gives.

    Raises:
        RefusedByKrea: the key is not valid.
        StateError: Krea could not be asked.
    """

    async def go() -> _T:
        async with open_client(target, token, transport) as client:
            return await work(client)

    try:
        return asyncio.run(go())
    except Refused as error:
        if error.status not in (401, 402, 403):
            raise StateError(Problem("krea_unreadable", f"Krea answered {error}")) from error
        raise RefusedByKrea(
            Problem("key_refused", f"Krea refused this account: {error}", hint="check KREA_API_KEY")
        ) from error
    except CallFailed as error:
        raise StateError(Problem("krea_unreadable", str(error), hint="try again when Krea can be reached")) from error


STYLES_PAGE = 1000


def list_styles(
    target: Target, token: Token, *, which: str, most: int, transport: httpx.AsyncBaseTransport | None = None
) -> StylePage:
    """List the first styles that one of Krea's filters shows.

    Args:
        target: the API.
        token: the key of the account.
        which: the name of the filter.
        most: how many styles to list at most.
        transport: takes the place of the network, as the local Krea does.

    Returns:
        The styles; `next` says that there are more.

    Raises:
        RefusedByKrea: the key is not valid.
        StateError: Krea could not be asked.
    """
    return asked(target, token, lambda client: _styles(client, which, most), transport)


async def _styles(client: Client, which: str, most: int) -> StylePage:
    page = await client.styles(which, min(most, STYLES_PAGE))
    found, seen = list(page.styles), {page.next}
    while page.next is not None and len(found) < most:
        page = await client.styles(which, min(most - len(found), STYLES_PAGE), page.next)
        found += page.styles
        if page.next in seen:  # a cursor that does not move on would be followed for ever
            break
        seen.add(page.next)
    return StylePage(tuple(found), page.next)


CancelEnd = Literal["cancelled", "ended", "goes on", "unknown"]
"""The outcome of a cancellation: the job may have `ended` before it, or may be unreadable."""


def cancel_jobs(api_call: ApiCall, jobs: Mapping[str, InFlight]) -> dict[str, CancelEnd]:
    """Ask Krea to cancel jobs, and record which of them it has cancelled, because those are not billed.

    Args:
        api_call: the target and the account.
        jobs: the jobs by the keys of their requests.

    Returns:
        The outcome of each job, by key.

    Raises:
        RefusedByKrea: the key is not valid.
        StateError: nothing can be written down.
    """

    async def cancel(client: Client) -> dict[str, CancelEnd]:
        slots = asyncio.Semaphore(8)

        async def one(key: str, job: InFlight) -> tuple[str, CancelEnd]:
            async with slots:
                return key, await _cancelled(client, job)

        return dict(await asyncio.gather(*(one(key, job) for key, job in jobs.items())))

    ends = asked(api_call.target, api_call.token, cancel)
    for key, end in ends.items():
        if end == "cancelled":
            event = Failed(job_id=jobs[key].job_id, code="cancelled")
            api_call.space.journal.append(event, key, t=utc_now(), run=api_call.run_id)
    return ends


async def _cancelled(client: Client, job: InFlight) -> CancelEnd:
    try:
        before = await read_if_there(client, job.job_id)
        if before is not None and before.is_final:
            return "cancelled" if before.is_unbilled else "ended"
        after = await cancelled(client, job.job_id)
    except CallFailed as error:
        if isinstance(error, Refused) and error.status == 401:
            raise
        return "unknown"
    if after is None:  # Krea may forget what it cancels; only what was waiting is surely unbilled then
        return "cancelled" if before is not None and before.is_waiting else "unknown"
    if after.is_final:
        return "cancelled" if after.is_unbilled else "ended"
    return "goes on"


_MAX_PAGES = 30
_PAGE_JOBS = 1000


@dataclass(frozen=True, slots=True)
class Orphan:
    """A job of the account that nothing here knows; the size of its image in pixels, once it has one."""

    job: Job
    size: tuple[int, int] | None


def find_orphans(api_call: ApiCall, known: frozenset[str], age: timedelta) -> list[Orphan]:
    """Find the jobs of the account that nothing here knows, whatever became of them.

    Args:
        api_call: the target and the account.
        known: the ids of the jobs that are known.
        age: how old a job may be.

    Returns:
        The jobs, the oldest first.

    Raises:
        RefusedByKrea: the key is not valid.
        StateError: Krea's list cannot be read.
    """

    async def find(client: Client) -> list[Orphan]:
        jobs = [job for job in await _jobs_of_age(client, age) if job.id not in known and job.style_id is None]
        slots = asyncio.Semaphore(8)

        async def measured(job: Job) -> Orphan:
            async with slots:
                return Orphan(job, await _size(client, job))

        return await asyncio.gather(*map(measured, sorted(jobs, key=_creation)))

    return asked(api_call.target, api_call.token, find)


def pair(orphans: Sequence[Orphan], steps: Sequence[Step], *, in_order: bool) -> dict[Key, Job]:
    """Pair jobs with the requests that have no image, as far as that can be told without the prompts.

    Args:
        orphans: the jobs, the oldest first.
        steps: the steps of the plan that have no image, in its order.
        in_order: take the first job for the first request, and so on, because krea-pipe sends in the order of the plan;
            jobs that failed take their place, and are left out. Without it, pair by size, when just one request and
            one job have it.

    Returns:
        The job of each request that has one, by key.

    Raises:
        StateError: the order does not fit.
    """
    return dict(_in_order(orphans, steps) if in_order else _by_size(orphans, steps))


def _in_order(orphans: Sequence[Orphan], steps: Sequence[Step]) -> Iterator[tuple[Key, Job]]:
    undated = next((orphan.job.id for orphan in orphans if orphan.job.created_at is None), None)
    if undated is not None:
        message = f"the time of job {undated} cannot be read, so its place in the order is unknown"
        raise StateError(Problem("no_order", message, hint="pair by size alone, without --in-order"))
    if len(orphans) > len(steps):
        message = f"there are {len(orphans)} unknown jobs and only {len(steps)} requests without an image"
        raise StateError(Problem("no_order", message, hint="search fewer hours with --since"))
    for orphan, step in zip(orphans, steps, strict=False):
        expected = requested_size(step.request)
        if orphan.size is not None and expected is not None and orphan.size != expected:
            words = f"{_words(orphan.size)} pixels, but {step.cells[0].id} asks for {_words(expected)}"
            message = f"job {orphan.job.id} generated {words}: the order is different"
            raise StateError(Problem("no_order", message, hint="pair by size alone, without --in-order"))
        if not orphan.job.is_unbilled:
            yield step.key, orphan.job


def _by_size(orphans: Sequence[Orphan], steps: Sequence[Step]) -> Iterator[tuple[Key, Job]]:
    billed = [orphan for orphan in orphans if not orphan.job.is_unbilled]
    if any(orphan.size is None and orphan.job.created_at is not None for orphan in billed):
        return  # it may yet turn out to have any size
    for orphan in billed:
        fitting = [step for step in steps if requested_size(step.request) == orphan.size]
        if len(fitting) == 1 and sum(other.size == orphan.size for other in billed) == 1:
            yield fitting[0].key, orphan.job


def record_recovered(api_call: ApiCall, pairs: Mapping[Key, Job], steps: Sequence[Step], pipeline: str) -> None:
    """Write down that jobs are those of requests, so that the next run brings them in.

    Args:
        api_call: the target, the account, and the run id to write under.
        pairs: the jobs by the keys of their requests.
        steps: the steps of the plan; those without a job are passed over.
        pipeline: the name of the pipeline.

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
                usd=exact(step.price),
                cell=f"{pipeline}/{step.cells[0].id}",
                created_at=created_at(job),
            )
            line = JournalLine(event, step.key, utc_now(), api_call.run_id)
            entries.append(JournalEntry(line, job_id=job.id))
    try:
        ledger.commit(entries)
    finally:
        ledger.close()


async def _jobs_of_age(client: Client, age: timedelta) -> list[Job]:
    found: list[Job] = []
    before, floor = None, None
    for _ in range(_MAX_PAGES):
        page = await client.jobs(_PAGE_JOBS, before)
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
