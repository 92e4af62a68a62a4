"""Cancelling what is in flight: what Krea cancels it does not bill."""

import asyncio
from collections.abc import Mapping
from typing import Literal

from krea_pipe.api.client import Client
from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.api.wire import Job
from krea_pipe.executor.api_call import ApiCall, with_client
from krea_pipe.executor.journal_writer import now
from krea_pipe.store.events import Failed
from krea_pipe.store.replay import InFlight

CancelEnd = Literal["cancelled", "ended", "goes on", "unknown"]
"""What became of a job that was to be cancelled: `ended` before that, or not to be read."""


def cancel_jobs(api_call: ApiCall, jobs: Mapping[str, InFlight]) -> dict[str, CancelEnd]:
    """Ask Krea to cancel jobs, given by key; what was cancelled is written down, for it is not billed.

    Raises:
        RefusedByKrea: the key is not good. StateError: nothing can be written down.
    """

    async def cancel(client: Client) -> dict[str, CancelEnd]:
        lanes = asyncio.Semaphore(8)

        async def one(key: str, job: InFlight) -> tuple[str, CancelEnd]:
            async with lanes:
                return key, await _cancelled(client, job)

        return dict(await asyncio.gather(*(one(key, job) for key, job in jobs.items())))

    ends = with_client(api_call, cancel)
    for key, end in ends.items():
        if end == "cancelled":
            event = Failed(job_id=jobs[key].job_id, code="cancelled")
            api_call.space.journal.append(event, key, t=now(), run=api_call.run_id)
    return ends


async def _cancelled(client: Client, job: InFlight) -> CancelEnd:
    try:
        before = await _read(client, job.job_id)
        if before is not None and before.is_final:
            return "cancelled" if before.is_unbilled else "ended"
        await _ask(client, job.job_id)
        after = await _read(client, job.job_id)
    except CallFailed as error:
        if isinstance(error, Refused) and error.status == 401:
            raise
        return "unknown"
    if after is None:  # Krea may forget what it cancels; only what was waiting is surely unbilled then
        return "cancelled" if before is not None and before.is_waiting else "unknown"
    if after.is_final:
        return "cancelled" if after.is_unbilled else "ended"
    return "goes on"


async def _ask(client: Client, job_id: str) -> None:
    try:
        await client.cancel(job_id)
    except CallFailed as error:
        if not isinstance(error, Refused) or error.status != 404:
            raise


async def _read(client: Client, job_id: str) -> Job | None:
    """A job, or None when Krea says that it has none."""
    try:
        return await client.job(job_id)
    except Refused as error:
        if error.status == 404:
            return None
        raise
