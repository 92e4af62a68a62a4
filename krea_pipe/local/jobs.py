"""The handlers for generate calls, jobs and result images."""

import asyncio
from datetime import datetime
from typing import Protocol

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from krea_pipe.local.inputs import read_inputs
from krea_pipe.local.job import STATUSES, TERMINAL, Job, Webhook
from krea_pipe.local.job_json import describe_job, name_type
from krea_pipe.local.paging import cut_page, format_time, read_cursor, read_limit
from krea_pipe.local.picture import sniff_media_type
from krea_pipe.local.proof import draw_proof
from krea_pipe.local.reading import read_order
from krea_pipe.local.refusal import refuse
from krea_pipe.local.server_state import ServerState

FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


class Handler(Protocol):
    """A handler of one route."""

    async def __call__(self, world: ServerState, request: Request, /) -> Response:
        """The answer; raises `RefusalError` for an error answer."""


def generate(variant: str) -> Handler:
    """The handler of one variant's generate route."""

    async def submit(world: ServerState, request: Request) -> Response:
        webhook = read_webhook(request)
        order = read_order(variant, await request.body())
        brief = await read_inputs(world, order, own_host=request.base_url.hostname)
        return accept(world.submit(brief, webhook=webhook))

    return submit


def accept(job: Job) -> Response:
    """The answer to the call that started a job."""
    # Krea declares completed_at and result as null here, whatever the latency.
    status = "backlogged" if job.started_at is None else "queued"
    accepted = {"job_id": job.id, "status": status, "created_at": format_time(job.created_at)}
    return JSONResponse({**accepted, "completed_at": None, "result": None})


def read_webhook(request: Request) -> Webhook | None:
    """Where the end of the job is to be told; raises `RefusalError` with 400 for what cannot be called."""
    text = request.headers.get("x-webhook-url")
    if text is None:
        return None
    if not _can_be_called(text):
        raise refuse(400, "X-Webhook-URL: Expected an http or https URL")
    return Webhook(text, str(request.base_url))


def _can_be_called(text: str) -> bool:
    try:
        url = httpx.URL(text)
        return url.scheme in ("http", "https") and bool(url.host) and 0 < (url.port or 80) < 2**16
    except (httpx.InvalidURL, UnicodeError):
        return False


async def list_jobs(world: ServerState, request: Request) -> Response:
    """GET /jobs: newest first, by `cursor`, `limit`, `status` and `types`."""
    query = request.query_params
    status, types = query.get("status"), query.get("types")
    if status is not None and status not in STATUSES:
        raise refuse(400, "status: Invalid enum value")
    limit, before, now = read_limit(query), read_cursor(query), world.now()
    kinds = None if types is None else types.split(",")
    matching = (job for job in world.jobs_before(before, status) if kinds is None or name_type(job) in kinds)
    page, base_url = cut_page(matching, limit), str(request.base_url)
    items = [{**_show(job, now, base_url), "type": name_type(job)} for job in page.items]
    return JSONResponse(
        {"items": items, "next_cursor": format_time(page.items[-1].created_at) if page.has_more else None}
    )


async def read_job(world: ServerState, request: Request) -> Response:
    """GET /jobs/{id}."""
    return JSONResponse(_show(_find_job(world, request), world.now(), str(request.base_url)))


async def delete_job(world: ServerState, request: Request) -> Response:
    """DELETE /jobs/{id}: 200 without a body, whether or not it came in time to cancel the job.

    Krea does not document the effect on a job that is past `scheduled`. Here it runs on and is billed, unless it is
    stuck, so a client has to read the job again.
    """
    world.cancel(_find_job(world, request))
    return Response(status_code=200)


async def read_image(world: ServerState, request: Request) -> Response:
    """GET /images/{id}.png: what the world gives for it, or the proof, drawn when it is asked for."""
    job = world.job_of_image(request.path_params["id"])
    if job is None:
        raise refuse(404, "Image not found")
    if world.image_of is not None:
        data = world.image_of(job)
        return Response(data, media_type=sniff_media_type(data) or "application/octet-stream", headers=FOREVER)
    image = await asyncio.to_thread(draw_proof, job.brief)
    return Response(image, media_type="image/png", headers=FOREVER)


def _find_job(world: ServerState, request: Request) -> Job:
    job = world.job(request.path_params["id"])
    if job is None:
        raise refuse(404, "Job not found")
    return job


def _show(job: Job, now: datetime, base_url: str) -> dict[str, object]:
    answer = describe_job(job, now, base_url)
    if job.first_seen_at is None and answer["status"] in TERMINAL:
        job.first_seen_at = now
    return answer
