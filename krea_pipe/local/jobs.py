"""The handlers for generate calls, jobs and result images.

Input images are own assets, data URIs, and other URLs, which are never fetched.
"""

import asyncio
import re
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from krea_pipe.local.answers import answer_page, format_time, read_cursor, read_limit, refuse
from krea_pipe.local.job import STATUSES, TERMINAL, Job, Webhook, describe_job, name_type
from krea_pipe.local.order import Order, ProofSpec, Reference, Tint
from krea_pipe.local.picture import Picture, imagine_picture, read_data_uri, sniff_media_type
from krea_pipe.local.proof import draw_proof
from krea_pipe.local.reading import LOOPBACK, read_order
from krea_pipe.local.server_state import ServerState

_UPLOAD = re.compile(r"/uploads/([0-9a-fA-F-]{36})\.\w+")
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


class Handler(Protocol):
    """A handler of one route."""

    async def __call__(self, server_state: ServerState, request: Request, /) -> Response:
        """The answer; raises `RefusalError` for an error answer."""


def generate(variant: str) -> Handler:
    """The handler of one variant's generate route."""

    async def submit(server_state: ServerState, request: Request) -> Response:
        webhook = read_webhook(request)
        order = read_order(variant, await request.body(), server_state.undocumented)
        brief = await read_inputs(server_state, order, own_host=request.base_url.hostname)
        return accept(server_state.submit(brief, webhook=webhook))

    return submit


async def read_inputs(server_state: ServerState, order: Order, *, own_host: str | None) -> ProofSpec:
    """The order with its pictures; raises `RefusalError` with 422 for one that cannot be had."""
    tints = [await _read_tint(server_state, reference, own_host) for reference in order.references]
    source = await _read_tint(server_state, order.source, own_host) if order.source else None
    return ProofSpec(order, tuple(tints), source)


async def _read_tint(server_state: ServerState, reference: Reference, own_host: str | None) -> Tint:
    picture = await _read_picture(server_state, reference.url, own_host)
    if picture is None:
        raise refuse(422, "Input file rejected")
    return Tint(picture, reference.strength)


async def _read_picture(server_state: ServerState, url: str, own_host: str | None) -> Picture | None:
    if url.startswith("data:"):
        return await asyncio.to_thread(read_data_uri, url)
    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK | {own_host} or not parts.path.startswith("/uploads/"):
        return imagine_picture(url)
    match = _UPLOAD.fullmatch(parts.path)
    asset = server_state.asset(match[1].lower()) if match else None
    if asset is None:
        raise refuse(422, "Invalid asset URL")
    return asset.picture


def accept(job: Job) -> Response:
    """The answer to the call that started a job."""
    # Krea declares completed_at and result as null here, whatever the latency.
    status = "backlogged" if job.started_at is None else "queued"
    accepted = {"job_id": job.id, "status": status, "created_at": format_time(job.created_at)}
    return JSONResponse({**accepted, "completed_at": None, "result": None})


def read_webhook(request: Request) -> Webhook | None:
    """The address for the notification about the job's end; raises `RefusalError` with 400 if it cannot be called."""
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


async def list_jobs(server_state: ServerState, request: Request) -> Response:
    """GET /jobs: newest first, by `cursor`, `limit`, `status` and `types`."""
    query = request.query_params
    status, types = query.get("status"), query.get("types")
    if status is not None and status not in STATUSES:
        raise refuse(400, "status: Invalid enum value")
    limit, before, now = read_limit(query), read_cursor(query), server_state.now()
    kinds = None if types is None else types.split(",")
    matching = (job for job in server_state.jobs_before(before, status) if kinds is None or name_type(job) in kinds)
    base_url = str(request.base_url)

    def show(job: Job) -> dict[str, object]:
        return {**_show(job, now, base_url), "type": name_type(job)}

    return answer_page(matching, limit, show, lambda job: job.created_at)


async def read_job(server_state: ServerState, request: Request) -> Response:
    """GET /jobs/{id}."""
    return JSONResponse(_show(_find_job(server_state, request), server_state.now(), str(request.base_url)))


async def delete_job(server_state: ServerState, request: Request) -> Response:
    """DELETE /jobs/{id}: 200 without a body, whether or not it came in time to cancel the job.

    Krea does not document the effect on a job that is past `scheduled`. Here it runs on and is billed, unless it is
    stuck, so a client has to read the job again.
    """
    server_state.cancel(_find_job(server_state, request))
    return Response(status_code=200)


async def read_image(server_state: ServerState, request: Request) -> Response:
    """GET /images/{id}.png: the image that the server state has for it, or the proof, drawn when it is asked for."""
    job = server_state.job_of_image(request.path_params["id"])
    if job is None:
        raise refuse(404, "Image not found")
    if server_state.image_of is not None:
        data = await asyncio.to_thread(server_state.image_of, job)
        return Response(data, media_type=sniff_media_type(data) or "application/octet-stream", headers=FOREVER)
    image = await asyncio.to_thread(draw_proof, job.brief)
    return Response(image, media_type="image/png", headers=FOREVER)


def _find_job(server_state: ServerState, request: Request) -> Job:
    job = server_state.job(request.path_params["id"])
    if job is None:
        raise refuse(404, "Job not found")
    return job


def _show(job: Job, now: datetime, base_url: str) -> dict[str, object]:
    answer = describe_job(job, now, base_url)
    if job.first_seen_at is None and answer["status"] in TERMINAL:
        job.first_seen_at = now
    return answer
