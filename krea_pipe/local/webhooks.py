"""Delivers webhooks: one notification for the end of each job, without retries, as Krea documents it."""

import asyncio
from contextlib import suppress

import httpx

from krea_pipe.local.job import Job, Webhook, describe_job
from krea_pipe.local.server_state import ServerState

DELIVERIES = 8
TIMEOUT = 10.0
# A test's clock may jump, so that the end of a job comes sooner than it looked.
_LONGEST_SLEEP = 0.25


async def deliver_due(server_state: ServerState) -> None:
    """Deliver all notifications that are due and not yet in progress, and return when they are delivered."""
    if server_state.seconds_to_webhook() == 0:
        async with _open_client() as client, asyncio.TaskGroup() as group:
            for _ in range(min(DELIVERIES, len(server_state.outbox))):
                group.create_task(_empty_outbox(server_state, client))


class Courier:
    """Delivers the webhooks of a server state in the background, until the event loop or the app ends."""

    def __init__(self, server_state: ServerState) -> None:
        self._server_state = server_state
        self._task: asyncio.Task[None] | None = None
        self._nudge = asyncio.Event()

    def wake(self) -> None:
        """Check again which webhooks are due, because something has changed; needs a running event loop."""
        if self._is_working():
            self._nudge.set()
        elif self._server_state.seconds_to_webhook() is not None:
            # An event belongs to the loop that waits for it, and an app may be used by one loop after another.
            self._nudge = asyncio.Event()
            self._task = asyncio.create_task(self._work(self._nudge))

    async def stop(self) -> None:
        """End the work in the background, and deliveries under way with it."""
        if self._task is not None and self._is_working():
            self._task.cancel()
            await asyncio.wait([self._task])

    def _is_working(self) -> bool:
        return self._task is not None and not self._task.done()

    async def _work(self, nudge: asyncio.Event) -> None:
        deliveries: set[asyncio.Task[None]] = set()
        async with _open_client() as client, asyncio.TaskGroup() as group:
            while True:
                nudge.clear()
                pause = self._server_state.seconds_to_webhook()
                for _ in range(min(DELIVERIES - len(deliveries), len(self._server_state.outbox))):
                    delivery = group.create_task(_empty_outbox(self._server_state, client))
                    deliveries.add(delivery)
                    delivery.add_done_callback(deliveries.discard)
                with suppress(TimeoutError):
                    await asyncio.wait_for(nudge.wait(), _limit_sleep(pause))


def _limit_sleep(pause: float | None) -> float | None:
    """The time of the next end; notifications that are already due are being delivered."""
    return None if pause is None else min(pause or _LONGEST_SLEEP, _LONGEST_SLEEP)


def _open_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, trust_env=False)


async def _empty_outbox(server_state: ServerState, client: httpx.AsyncClient) -> None:
    while server_state.outbox:
        job = server_state.outbox.popleft()
        assert job.webhook is not None
        for _ in range(server_state.webhook_copies(job)):
            await _tell(client, job, job.webhook, server_state)


async def _tell(client: httpx.AsyncClient, job: Job, webhook: Webhook, server_state: ServerState) -> None:
    # Whoever does not listen is not told: there is no second try.
    with suppress(httpx.HTTPError):
        await client.post(webhook.url, json=describe_job(job, server_state.now(), webhook.base_url))
