"""The account book of a local Krea: what was asked of it, what it did when, and what it billed.

The book is not part of Krea's API. It is for tests and benchmarks that have the local Krea in another process.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from heapq import heapreplace
from statistics import median

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from krea_pipe.local.answers import format_time, make_encodable
from krea_pipe.local.job import Job
from krea_pipe.local.server_state import ServerState

KINDS = ("POST /generate", "GET /jobs", "GET /jobs/{id}", "DELETE /jobs/{id}", "GET /images", "POST /assets")


class BillingLog:
    """The requests that reached one app, by method and route, and how many it served at the same time."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        self.open = 0
        self.open_peak = 0

    @contextmanager
    def serve(self) -> Iterator[None]:
        """Count a request as open for as long as the block lasts."""
        self.open += 1
        self.open_peak = max(self.open_peak, self.open)
        try:
            yield
        finally:
            self.open -= 1

    async def read(self, server_state: ServerState, request: Request) -> Response:
        """GET /_local/book: all jobs, or with `summary=1` their figures; open to anyone, and not a part of Krea's API.

        `first_seen_at` is when an answer to GET /jobs or GET /jobs/{id} first showed the job in a terminal state.
        """
        now = server_state.now()
        jobs = server_state.jobs
        page: dict[str, object] = {
            "submits": len(jobs),
            "bills": [_describe_bill(job) for job in jobs if job.is_billed(now)],
            "requests": dict(self.requests),
            "open_connections_peak": self.open_peak,
        }
        if request.query_params.get("summary") == "1":
            return JSONResponse(page | _summarise(jobs, now, server_state.concurrency))
        return JSONResponse(page | {"jobs": [_describe_job(job, now) for job in jobs]})


def _describe_bill(job: Job) -> dict[str, str]:
    return {"job_id": job.id, "prompt": make_encodable(job.brief.order.prompt), "amount": str(job.price)}


def _describe_job(job: Job, now: datetime) -> dict[str, str | None]:
    return {
        "job_id": job.id,
        "prompt": make_encodable(job.brief.order.prompt),
        "status": job.status(now),
        "created_at": format_time(job.created_at),
        "started_at": _format_if_known(job.started_at),
        "finished_at": _format_if_known(job.finished_at(now)),
        "first_seen_at": _format_if_known(job.first_seen_at),
    }


def _format_if_known(instant: datetime | None) -> str | None:
    return None if instant is None else format_time(instant)


def _summarise(jobs: Sequence[Job], now: datetime, concurrency: int | None) -> dict[str, object]:
    """Figures in seconds, None where no job has ended yet."""
    ended = [(job, end) for job in jobs if (end := job.finished_at(now)) is not None]
    durations = [max(end - job.started_at, timedelta()) for job, end in ended if job.started_at is not None]
    unseen = [(job.first_seen_at - end).total_seconds() for job, end in ended if job.first_seen_at is not None]
    last = max((end for _, end in ended), default=None)
    return {
        "makespan_s": None if last is None else (last - jobs[0].created_at).total_seconds(),
        "ideal_s": None if last is None else find_ideal(durations, concurrency).total_seconds(),
        "unseen_s": {"median": median(unseen), "max": max(unseen)} if unseen else {"median": None, "max": None},
    }


def find_ideal(durations: Sequence[timedelta], places: int | None) -> timedelta:
    """The time from first to last if all of these ran from the start, in their order on that many places."""
    if places is None or not durations:
        return max(durations, default=timedelta())
    ends = [timedelta()] * places
    for duration in durations:
        heapreplace(ends, ends[0] + duration)
    return max(ends)
