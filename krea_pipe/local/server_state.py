"""Everything the local Krea remembers: jobs, assets, money and the clock."""

import threading
import uuid
from bisect import bisect_left, insort
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from hashlib import blake2b
from math import inf
from typing import NamedTuple, TypeAlias

from krea_pipe.local.answers import RefusalError
from krea_pipe.local.job import TERMINAL, FateOf, Job, JobOutcome, Webhook, fate_by_prompt
from krea_pipe.local.order import ProofSpec, Training
from krea_pipe.local.picture import SUFFIXES, Picture
from krea_pipe.local.queue import Queue

_TICK = timedelta(microseconds=1)
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_OPEN = JobOutcome("open")
_TOO_MANY = {"error": "Maximum number of concurrent jobs reached", "code": "CONCURRENCY_LIMIT_REACHED"}


@dataclass(frozen=True, slots=True)
class Asset:
    """The bytes of an upload and what was read from them; `picture` is None when they cannot be decoded."""

    id: str
    data: bytes
    media_type: str
    uploaded_at: datetime
    picture: Picture | None
    description: str | None = None

    @property
    def file_name(self) -> str:
        """The last segment of the asset's URL."""
        return f"{self.id}.{SUFFIXES[self.media_type]}"


DrawJob: TypeAlias = Callable[[Job, Callable[[JobOutcome], None]], None]
"""Begins to draw the image of a job, and returns at once; later, in any thread, it calls back with the job's end."""


class Bill(NamedTuple):
    """The price of one completed job in USD."""

    job_id: str
    amount: Decimal


def read_utc_clock() -> datetime:
    """The present in UTC."""
    return datetime.now(UTC)


def deliver_once(_: Job) -> int:
    """One copy of each webhook, as Krea documents."""
    return 1


@dataclass(slots=True, eq=False)
class ServerState:
    """The state of one local Krea, which any thread may read.

    `latency` is how long a job runs in seconds, give or take the share `spread` of it, drawn from the job's number. At
    most `concurrency` jobs run at once and `backlog` more wait for them, None for any number. `token` None accepts any
    bearer token, `balance_usd` None pays for everything, `asset_limit` is in bytes. `fate_of` decides how a job ends;
    the default reads the trigger words of `krea_pipe.local.job`. `image_of` gives the bytes of a job's image, in any
    thread; None draws a proof. `draw` is what draws images before `image_of` gives them: a job is then processed until
    its image is there, whatever its `latency`. `webhook_copies` is how often the end of a job is told to its webhook;
    the jobs whose end is still to be told are in the `outbox`. `undocumented` are values of `variant`, `aspect_ratio`
    and `resolution` that are taken although no document has them.
    """

    latency: float = 0.15
    token: str | None = None
    balance_usd: Decimal | None = None
    clock: Callable[[], datetime] = read_utc_clock
    fate_of: FateOf = fate_by_prompt
    asset_limit: int = 75 * 1024 * 1024
    concurrency: int | None = None
    backlog: int | None = None
    spread: float = 0.0
    image_of: Callable[[Job], bytes] | None = None
    draw: DrawJob | None = None
    webhook_copies: Callable[[Job], int] = deliver_once
    undocumented: Mapping[str, Sequence[str]] = field(default_factory=dict)
    outbox: deque[Job] = field(default_factory=deque, init=False, repr=False)
    _now: datetime = field(default=_BEGINNING, init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    _queue: Queue = field(default_factory=Queue, init=False, repr=False)
    _jobs: dict[str, Job] = field(default_factory=dict, init=False, repr=False)
    _pending: dict[str, Job] = field(default_factory=dict, init=False, repr=False)
    _ended: defaultdict[str, list[Job]] = field(default_factory=lambda: defaultdict(list), init=False, repr=False)
    _line: list[Job] = field(default_factory=list, init=False, repr=False)
    _jobs_by_image: dict[str, Job] = field(default_factory=dict, init=False, repr=False)
    _webhooks_to_come: int = field(default=0, init=False, repr=False)
    _takes: Counter[ProofSpec] = field(default_factory=Counter, init=False, repr=False)
    _committed: Decimal = field(default=Decimal(0), init=False, repr=False)
    _assets: dict[str, Asset] = field(default_factory=dict, init=False, repr=False)
    _asset_stamp: datetime = field(default=_BEGINNING, init=False, repr=False)

    @property
    def submits(self) -> int:
        """The number of accepted generate calls."""
        return len(self._jobs)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Every accepted job, oldest first."""
        self.now()
        return tuple(self._line)

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Every stored asset, oldest first."""
        return tuple(self._assets.values())

    @property
    def bills(self) -> tuple[Bill, ...]:
        """One bill for each job that has completed by now, oldest first."""
        now = self.now()
        return tuple(Bill(job.id, job.price) for job in tuple(self._line) if job.is_billed(now))

    def now(self) -> datetime:
        """The time by the clock, once every job that was to start or end by then has done so."""
        with self._lock:
            self._now = max(self._now, self.clock())
            self._queue.places = self.concurrency
            for job in self._queue.advance(self._now):
                self._settle(job)
            self._begin_drawings()
            return self._now

    def submit(self, brief: ProofSpec, *, webhook: Webhook | None = None) -> Job:
        """Accept a job; raises `RefusalError`, 402 when the balance cannot pay for it and 429 without a place left."""
        with self._lock:
            now = self.now()
            self._check_balance(brief)
            self._check_places()
            job = self._make_job(brief, webhook, now)
            self._jobs[job.id] = self._pending[job.id] = self._jobs_by_image[job.image_id] = job
            self._line.append(job)
            self._committed += job.reserve
            self._webhooks_to_come += webhook is not None
            self._queue.add(job, now)
            self._begin_drawings()
            return job

    def job(self, job_id: str) -> Job | None:
        """The current state of the job with that id."""
        self.now()
        return self._jobs.get(job_id)

    def job_of_image(self, image_id: str) -> Job | None:
        """The job whose result has that id, once the image is there."""
        now, job = self.now(), self._jobs_by_image.get(image_id)
        return job if job is not None and job.has_image(now) else None

    def jobs_before(self, instant: datetime | None, status: str | None = None) -> Iterator[Job]:
        """Jobs created before an instant, or all, newest first; `status` picks those that have it now."""
        now = self.now()
        line = self._jobs_with(status, now)
        end = len(line) if instant is None else bisect_left(line, instant, key=_read_creation)
        return (line[index] for index in range(end - 1, -1, -1))

    def cancel(self, job: Job) -> None:
        """Cancel a job that no machine has taken yet or that is stuck; another goes its way and is billed."""
        with self._lock:
            now = self.now()
            if job.can_be_cancelled(now):
                self._queue.cancel(job, now)
                self._committed -= job.reserve
                self._settle(job)

    def seconds_to_webhook(self) -> float | None:
        """The least time until a webhook can fall due, or None if no webhook is pending."""
        with self._lock:
            now = self.now()
            if self.outbox:
                return 0.0
            end = self._queue.next_end()
            if not self._webhooks_to_come:
                return None
            return inf if end is None else (end - now).total_seconds()

    def add_asset(self, data: bytes, *, media_type: str, picture: Picture | None, description: str | None) -> Asset:
        """Store an upload; the same bytes twice are two assets, since Krea documents no deduplication."""
        self._asset_stamp = max(self.clock(), self._asset_stamp + _TICK)
        asset = Asset(str(uuid.uuid4()), data, media_type, self._asset_stamp, picture, description)
        self._assets[asset.id] = asset
        return asset

    def asset(self, asset_id: str) -> Asset | None:
        """The asset of that id."""
        return self._assets.get(asset_id)

    def remove_asset(self, asset: Asset) -> None:
        """Forget an asset; jobs that were accepted with it keep what they read."""
        self._assets.pop(asset.id, None)

    def assets_before(self, instant: datetime | None) -> Iterator[Asset]:
        """Assets uploaded before an instant, or all, newest first."""
        for asset in reversed(self.assets):
            if instant is None or asset.uploaded_at < instant:
                yield asset

    def _check_balance(self, brief: ProofSpec) -> None:
        """Pending jobs count as spent, so that accepted jobs can always be paid for."""
        if self.balance_usd is not None and self._committed + brief.order.price > self.balance_usd:
            raise RefusalError(402, {"message": "The API balance of this workspace is too low for this job."})

    def _check_places(self) -> None:
        if self.concurrency is None or self.backlog is None:
            return
        if self._queue.running + self._queue.waiting >= self.concurrency + self.backlog:
            raise RefusalError(429, _TOO_MANY)

    def _begin_drawings(self) -> None:
        while self.draw is not None and self._queue.undrawn:
            job = self._queue.undrawn.popleft()
            self.draw(job, partial(self._end, job))

    def _end(self, job: Job, fate: JobOutcome) -> None:
        """End a job whose image was drawn, or was not."""
        with self._lock:
            reserved = job.reserve
            job.end(self.now(), fate)
            self._committed += job.reserve - reserved
            self._queue.end(job)
            self.now()

    def _decide_fate(self, brief: ProofSpec) -> JobOutcome:
        fate = self.fate_of(brief)
        is_drawn = self.draw is not None and fate.outcome == "image" and not isinstance(brief.order, Training)
        return _OPEN if is_drawn else fate

    def _make_job(self, brief: ProofSpec, webhook: Webhook | None, now: datetime) -> Job:
        return Job(
            id=str(uuid.uuid4()),
            image_id=str(uuid.uuid4()),
            brief=self._number_take(brief),
            fate=self._decide_fate(brief),
            created_at=max(now, self._line[-1].created_at + _TICK) if self._line else now,
            latency=timedelta(seconds=max(self.latency * (1 + self.spread * _draw_swing(len(self._line))), 0.0)),
            webhook=webhook,
        )

    def _number_take(self, brief: ProofSpec) -> ProofSpec:
        """Without a seed Krea draws at random: here each repetition of an order is the next take of it."""
        if brief.order.seed is not None:
            return brief
        self._takes[brief] += 1
        return replace(brief, take=self._takes[brief])

    def _jobs_with(self, status: str | None, now: datetime) -> Sequence[Job]:
        """Oldest first; what comes is never changed but at its end."""
        if status is None:
            return self._line
        with self._lock:
            if status in TERMINAL:
                return tuple(self._ended[status])
            return [job for job in self._pending.values() if job.status(now) == status]

    def _settle(self, job: Job) -> None:
        """Note that a job has ended."""
        del self._pending[job.id]
        insort(self._ended[job.status(self._now)], job, key=_read_creation)
        if job.webhook is not None:
            self._webhooks_to_come -= 1
            self.outbox.append(job)


def _read_creation(job: Job) -> datetime:
    return job.created_at


def _draw_swing(number: int) -> float:
    """From -1 to 1, always the same for one number."""
    digest = blake2b(str(number).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**63 - 1
