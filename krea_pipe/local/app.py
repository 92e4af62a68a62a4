"""The documented Krea API as an ASGI app that draws proofs and spends nothing.

Known differences from Krea: nothing is fetched from outside, `X-Webhook-URL` is accepted and ignored, `user`
and `liked` do not filter styles, and training is not offered. The trigger words that make a job fail are in
`krea_pipe.local.fate`.
"""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from krea_pipe.local import assets, jobs, styles
from krea_pipe.local.jobs import Handler
from krea_pipe.local.order import VARIANTS
from krea_pipe.local.refusal import RefusalError
from krea_pipe.local.world import World

_NOT_FOUND = "<!DOCTYPE html><html><head><title>404</title></head><body><h1>Not found</h1></body></html>"

_Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(world: World | None = None) -> Starlette:
    """A Krea with its own world, for `httpx.ASGITransport` or any ASGI server on loopback."""
    world = World() if world is None else world
    return Starlette(
        routes=[*_api_routes(world), *_file_routes(world)],
        exception_handlers={RefusalError: _answer_refusal, 404: _answer_unknown, 405: _answer_unknown},
    )


def _api_routes(world: World) -> list[Route]:
    table: list[tuple[str, str, Handler]] = [
        *(("POST", f"/generate/image/krea/krea-2/{name}", jobs.generate(name)) for name in VARIANTS),
        ("GET", "/jobs", jobs.list_jobs),
        ("GET", "/jobs/{id}", jobs.read_job),
        ("DELETE", "/jobs/{id}", jobs.delete_job),
        ("POST", "/assets", assets.upload_asset),
        ("GET", "/assets", assets.list_assets),
        ("GET", "/assets/{id}", assets.read_asset),
        ("DELETE", "/assets/{id}", assets.delete_asset),
        ("GET", "/styles", styles.list_styles),
        ("GET", "/styles/{id}", styles.read_style),
    ]
    return [Route(path, _bind(world, handler, needs_token=True), methods=[method]) for method, path, handler in table]


def _file_routes(world: World) -> list[Route]:
    """The places that the URLs in answers point to; Krea serves them without a token."""
    return [
        Route("/images/{id}.png", _bind(world, jobs.read_image, needs_token=False)),
        Route("/uploads/{name}", _bind(world, assets.read_upload, needs_token=False)),
    ]


def _bind(world: World, handler: Handler, *, needs_token: bool) -> _Endpoint:
    async def endpoint(request: Request) -> Response:
        # A server that never yields hides races from its clients' tests.
        await asyncio.sleep(0)
        if needs_token:
            _check_token(world, request.headers.get("authorization", ""))
        return await handler(world, request)

    return endpoint


def _check_token(world: World, header: str) -> None:
    scheme, _, token = header.partition(" ")
    known = bool(token.strip()) if world.token is None else token == world.token
    if scheme.lower() != "bearer" or not known:
        raise RefusalError(401, {"message": "Unauthorized"})


async def _answer_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)
    return JSONResponse(error.body, status_code=error.status)


async def _answer_unknown(_: Request, __: Exception) -> Response:
    return HTMLResponse(_NOT_FOUND, status_code=404)
