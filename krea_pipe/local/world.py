"""Everything the local Krea remembers: jobs, assets, money and the clock."""

import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from krea_pipe.local.asset import Asset
from krea_pipe.local.brief import Brief
from krea_pipe.local.fate import FateOf, fate_by_prompt
from krea_pipe.local.job import CANCELLABLE, Job
from krea_pipe.local.picture import Picture
from krea_pipe.local.refusal import RefusalError

_TICK = timedelta(microseconds=1)


class Bill(NamedTuple):
    """What one completed job cost, in USD."""

    job_id: str
    amount: Decimal


def read_utc_clock() -> datetime:
    """The present in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True, eq=False)
class World:
    """The state behind one local Krea.

    `latency` is the life of a job in seconds. `token` None accepts any bearer token, `balance_usd` None pays
    for everything, `asset_limit` is in bytes. `fate_of` decides how a job ends; the default reads the trigger
    words of `krea_pipe.local.fate`.
    """

    latency: float = 0.15
    token: str | None = None
    balance_usd: Decimal | None = None
    clock: Callable[[], datetime] = read_utc_clock
    fate_of: FateOf = fate_by_prompt
    asset_limit: int = 75 * 1024 * 1024
    _jobs: dict[str, Job] = field(default_factory=dict, init=False, repr=False)
    _stamps: list[tuple[datetime, str]] = field(default_factory=list, init=False, repr=False)
    _job_ids_by_image: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _takes: Counter[Brief] = field(default_factory=Counter, init=False, repr=False)
    _committed: Decimal = field(default=Decimal(0), init=False, repr=False)
    _assets: dict[str, Asset] = field(default_factory=dict, init=False, repr=False)
    _asset_stamp: datetime = field(default=datetime.min.replace(tzinfo=UTC), init=False, repr=False)

    @property
    def submits(self) -> int:
        """How many generate calls were accepted."""
        return len(self._jobs)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Every accepted job, oldest first."""
        return tuple(self._jobs.values())

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Every stored asset, oldest first."""
        return tuple(self._assets.values())

    @property
    def bills(self) -> tuple[Bill, ...]:
        """One bill for each job that has completed by now, oldest first."""
        now = self.clock()
        return tuple(Bill(job.id, job.price) for job in self._jobs.values() if job.is_billed(now))

    def submit(self, brief: Brief) -> Job:
        """Accept a job; raises `RefusalError` with 402 when the balance cannot pay for it."""
        self._check_balance(brief)
        now = self.clock()
        job = Job(
            id=str(uuid.uuid4()),
            image_id=str(uuid.uuid4()),
            brief=self._number_take(brief),
            fate=self.fate_of(brief),
            created_at=max(now, self._stamps[-1][0] + _TICK) if self._stamps else now,
            started_at=now,
            latency=timedelta(seconds=self.latency),
        )
        self._jobs[job.id] = job
        self._job_ids_by_image[job.image_id] = job.id
        self._stamps.append((job.created_at, job.id))
        self._committed += _expected_cost(job)
        return job

    def job(self, job_id: str) -> Job | None:
        """The job of that id."""
        return self._jobs.get(job_id)

    def job_of_image(self, image_id: str) -> Job | None:
        """The job whose result has that id, once the image is there."""
        job = self._jobs.get(self._job_ids_by_image.get(image_id, ""))
        return job if job is not None and job.has_image(self.clock()) else None

    def jobs_before(self, instant: datetime | None) -> Iterator[Job]:
        """Jobs created before an instant, or all, newest first."""
        end = len(self._stamps) if instant is None else bisect_left(self._stamps, (instant, ""))
        for index in range(end - 1, -1, -1):
            yield self._jobs[self._stamps[index][1]]

    def cancel(self, job: Job) -> None:
        """Cancel a job that no machine has taken yet; a later one goes its way and is billed."""
        now = self.clock()
        if job.status(now) in CANCELLABLE:
            self._jobs[job.id] = replace(job, cancelled_at=now)
            self._committed -= _expected_cost(job)

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

    def _check_balance(self, brief: Brief) -> None:
        """Pending jobs count as spent, so that accepted jobs can always be paid for."""
        if self.balance_usd is not None and self._committed + brief.order.price > self.balance_usd:
            raise RefusalError(402, {"message": "The API balance of this workspace is too low for this job."})

    def _number_take(self, brief: Brief) -> Brief:
        """Without a seed Krea draws at random: here each repetition of an order is the next take of it."""
        if brief.order.seed is not None:
            return brief
        self._takes[brief] += 1
        return replace(brief, take=self._takes[brief])


def _expected_cost(job: Job) -> Decimal:
    return Decimal(0) if job.fate.outcome == "failed" else job.price
