"""The routes of a run's page."""

import asyncio
import json
from dataclasses import dataclass, field
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from krea_pipe.core.errors import KreaPipeError, StateError
from krea_pipe.report import html
from krea_pipe.report.decisions import decisions_json
from krea_pipe.report.record import to_lines
from krea_pipe.report.view.feed import Feed
from krea_pipe.report.view.guard import Guard
from krea_pipe.report.view.picks_writer import parse_change, write_change
from krea_pipe.report.view.pictures import Pictures
from krea_pipe.store.lock import picks_lock

POLICY = "; frame-ancestors 'none'"
MAX_BODY = 1024 * 1024
FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}
"""What a digest names never changes."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a run is served: a port of this machine, and the token that is the first part of every path."""

    port: int
    token: str = field(repr=False)

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"


def create_app(feed: Feed, address: Address) -> Guard:
    """Everything that is served of one run, behind its guard."""
    desk = _Desk(feed, Pictures(feed.progress))
    app = Starlette(
        routes=[
            Route("/", desk.page),
            Route("/report.json", desk.report),
            Route("/events", desk.events),
            Route("/picks", desk.picks),
            Route("/picks/{stage}", desk.decide, methods=["POST"]),
            Route("/thumbnails/{digest}.webp", desk.thumbnail),
            Route("/originals/{digest}", desk.original),
        ]
    )
    app.router.redirect_slashes = False
    return Guard(app, address.token, address.port, html.policy() + POLICY)


@dataclass(frozen=True, slots=True)
class _Desk:
    feed: Feed
    pictures: Pictures

    async def page(self, _: Request) -> Response:
        await self.feed.read_picks()
        report, is_live = self.feed.report, self.feed.state == "running"
        how = html.Page("view", is_live=is_live, decisions=decisions_json(self.feed.decisions))
        data = await asyncio.to_thread(lambda: b"".join(html.render(report, how)))
        return Response(data, media_type="text/html")

    async def report(self, _: Request) -> Response:
        report = self.feed.report
        text = await asyncio.to_thread(lambda: "".join(to_lines(report)))
        return Response(text.encode("utf-8", "replace"), media_type="application/json")

    async def events(self, request: Request) -> Response:
        await self.feed.read_picks()
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")
        return StreamingResponse(self.feed.events(since), media_type="text/event-stream")

    async def thumbnail(self, request: Request) -> Response:
        data = await asyncio.to_thread(self.pictures.thumbnail, request.path_params["digest"])
        return _nothing() if data is None else Response(data, media_type="image/webp", headers=FOR_EVER)

    async def original(self, request: Request) -> Response:
        found = await asyncio.to_thread(self.pictures.original, request.path_params["digest"])
        return _nothing() if found is None else Response(found[0], media_type=found[1], headers=FOR_EVER)

    async def picks(self, _: Request) -> Response:
        await self.feed.read_picks()
        return JSONResponse(decisions_json(self.feed.decisions))

    async def decide(self, request: Request) -> Response:
        feed, stage = self.feed, request.path_params["stage"]
        try:
            change = parse_change(json.loads(await _body(request)))
            lock = picks_lock(feed.progress.space.folder.parent)
            write = partial(write_change, feed.report, feed.progress.folder, stage, change, lock=lock)
            async with feed.lock:
                written = await asyncio.to_thread(write)
        except _TooLarge:
            return _refused("too_large", f"a change has at most {MAX_BODY:,} bytes", status=413)
        except (ValueError, RecursionError):
            return _refused("bad_json", "the change is not JSON", status=400)
        except KreaPipeError as error:
            problem = error.problems[0]
            where = f"{problem.at}: " if problem.at else ""
            status = 404 if problem.code == "unknown_stage" else 409 if isinstance(error, StateError) else 422
            return _refused(problem.code, f"{where}{problem.message}", problem.hint, status=status)
        await feed.read_picks()
        return JSONResponse(written.to_json())


class _TooLarge(Exception):
    """The body is longer than any change."""


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise _TooLarge
    return bytes(body)


def _nothing() -> Response:
    return PlainTextResponse("Not Found", 404)


def _refused(code: str, message: str, hint: str | None = None, *, status: int) -> Response:
    return JSONResponse({"code": code, "message": message, "hint": hint}, status)
