"""The handlers for generate calls, jobs and result images."""

import asyncio
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from krea_pipe.local.inputs import read_inputs
from krea_pipe.local.job import STATUSES, Job
from krea_pipe.local.order import Variant
from krea_pipe.local.paging import cut_page, format_time, read_cursor, read_limit
from krea_pipe.local.proof import draw_proof
from krea_pipe.local.reading import read_order
from krea_pipe.local.refusal import refuse
from krea_pipe.local.world import World

FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


class Handler(Protocol):
    """A handler of one route."""

    async def __call__(self, world: World, request: Request, /) -> Response:
        """The answer; raises `RefusalError` for an error answer."""


def generate(variant: Variant) -> Handler:
    """The handler of one variant's generate route."""

    async def submit(world: World, request: Request) -> Response:
        order = read_order(variant, await request.body())
        brief = await read_inputs(world, order, own_host=request.base_url.hostname)
        job = world.submit(brief)
        # Krea declares completed_at and result as null here, whatever the latency.
        accepted = {"job_id": job.id, "status": "queued", "created_at": format_time(job.created_at)}
        return JSONResponse({**accepted, "completed_at": None, "result": None})

    return submit


async def list_jobs(world: World, request: Request) -> Response:
    """GET /jobs: newest first, by `cursor`, `limit`, `status` and `types`."""
    query = request.query_params
    status, types = query.get("status"), query.get("types")
    if status is not None and status not in STATUSES:
        raise refuse(400, "status: Invalid enum value")
    limit, before, now = read_limit(query), read_cursor(query), world.clock()
    matching = (
        job
        for job in world.jobs_before(before)
        if (status is None or job.status(now) == status) and (types is None or _type(job) in types.split(","))
    )
    page = cut_page(matching, limit)
    items = [{**_as_json(world, job, request), "type": _type(job)} for job in page.items]
    return JSONResponse(
        {"items": items, "next_cursor": format_time(page.items[-1].created_at) if page.has_more else None}
    )


async def read_job(world: World, request: Request) -> Response:
    """GET /jobs/{id}."""
    return JSONResponse(_as_json(world, _find_job(world, request), request))


async def delete_job(world: World, request: Request) -> Response:
    """DELETE /jobs/{id}: 200 without a body, whether or not it came in time to cancel the job.

    Krea does not document the effect on a job that is past `scheduled`. Here it runs on and is billed, so a
    client has to read the job again.
    """
    world.cancel(_find_job(world, request))
    return Response(status_code=200)


async def read_image(world: World, request: Request) -> Response:
    """GET /images/{id}.png: the proof, drawn when it is asked for."""
    job = world.job_of_image(request.path_params["id"])
    if job is None:
        raise refuse(404, "Image not found")
    image = await asyncio.to_thread(draw_proof, job.brief)
    return Response(image, media_type="image/png", headers=FOREVER)


def _find_job(world: World, request: Request) -> Job:
    job = world.job(request.path_params["id"])
    if job is None:
        raise refuse(404, "Job not found")
    return job


def _type(job: Job) -> str:
    """Krea does not publish its name for the type; the list call is known to return one."""
    return f"krea-2-{job.brief.order.variant}"


def _as_json(world: World, job: Job, request: Request) -> dict[str, object]:
    now = world.clock()
    status, finished_at = job.status(now), job.finished_at(now)
    answer: dict[str, object] = {
        "job_id": job.id,
        "status": status,
        "created_at": format_time(job.created_at),
        "completed_at": finished_at and format_time(finished_at),
        "result": None,
    }
    if status == "completed":
        urls = [f"{request.base_url}images/{job.image_id}.png"]
        answer["result"] = {"urls": urls} if job.has_image(now) else {}
    if status == "failed":
        answer["result"] = {}
        answer["error"] = {"code": job.fate.code, "message": job.fate.message}
    return answer
