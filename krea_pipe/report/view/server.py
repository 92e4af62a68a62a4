"""The server behind a run's page, which only this machine can reach: what it serves, and from where."""

import asyncio
import contextlib
import errno
import json
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from krea_pipe.core.errors import KreaPipeError, Problem, StateError, UsageError
from krea_pipe.core.image_file import sniff
from krea_pipe.core.images import small_picture
from krea_pipe.core.listening import BACKLOG, MAX_HEAD_BYTES, Connection, Listener
from krea_pipe.report import html
from krea_pipe.report.decisions import decisions_json
from krea_pipe.report.progress import LaterReports, RunProgress, open_progress
from krea_pipe.report.record import to_lines
from krea_pipe.report.view.access_guard import AccessGuard
from krea_pipe.report.view.feed import RunFeed
from krea_pipe.report.view.picks_writer import parse_change, write_change
from krea_pipe.report.view.watched_report import WatchedReport
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.lock import picks_lock
from krea_pipe.store.plain import read_plain
from krea_pipe.store.space import MOST_THUMBNAIL_BYTES

HOST = "127.0.0.1"
MAX_CONNECTIONS = 64
MAX_BODY = 1024 * 1024
_IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/avif"})
FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}
"""Content named by a digest never changes."""


def create_app(
    feed: RunFeed, *, token: str, port: int, allowed: frozenset[str] = frozenset(), by: str = ""
) -> AccessGuard:
    """Everything that is served of one run.

    Args:
        feed: the run.
        token: the first part of every path.
        port: the port of this machine that it listens on.
        allowed: other hosts that requests may name, as NAME or NAME:PORT in lower case.
        by: who decides on the page, "" if that is unknown.
    """
    served = _Endpoints(feed, by)
    app = Starlette(
        routes=[
            Route("/", served.page),
            Route("/report.json", served.report),
            Route("/events", served.events),
            Route("/picks", served.picks),
            Route("/picks/{stage}", served.decide, methods=["POST"]),
            Route("/thumbnails/{digest}.webp", served.thumbnail),
            Route("/originals/{digest}", served.original),
        ]
    )
    app.router.redirect_slashes = False
    return AccessGuard(app, token, port, f"{html.policy('view')}; frame-ancestors 'none'", allowed)


@dataclass(frozen=True, slots=True)
class _Endpoints:
    """Answers requests. Of images only those are served that the run names; files are read in threads."""

    feed: RunFeed
    by: str

    async def page(self, _: Request) -> Response:
        await self.feed.read_picks()
        report, is_live = self.feed.report, self.feed.state in ("running", "watching")
        decisions = decisions_json(self.feed.decisions)
        is_watched = self.feed.state == "watching"
        page = html.HtmlOptions("view", is_live=is_live, is_watched=is_watched, decisions=decisions, reviewer=self.by)
        data = await asyncio.to_thread(lambda: b"".join(html.render_html(report, page)))
        return Response(data, media_type="text/html")

    async def report(self, _: Request) -> Response:
        report = self.feed.report
        text = await asyncio.to_thread(lambda: "".join(to_lines(report)))
        return Response(text.encode("utf-8", "replace"), media_type="application/json")

    async def events(self, request: Request) -> Response:
        await self.feed.read_picks()
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")
        run = request.query_params.get("run", "")
        return StreamingResponse(self.feed.events(since, run), media_type="text/event-stream")

    async def thumbnail(self, request: Request) -> Response:
        data = await asyncio.to_thread(_thumbnail, self.feed.progress, request.path_params["digest"])
        return _not_found() if data is None else Response(data, media_type="image/webp", headers=FOR_EVER)

    async def original(self, request: Request) -> Response:
        """An image as Krea sent it; its bytes are known to be those of the digest."""
        progress, digest = self.feed.progress, request.path_params["digest"]
        data = await asyncio.to_thread(progress.space.blobs.read, digest) if digest in progress.digests else None
        mime = None if data is None else sniff(data)
        return Response(data, media_type=mime, headers=FOR_EVER) if mime in _IMAGE_TYPES else _not_found()

    async def picks(self, _: Request) -> Response:
        await self.feed.read_picks()
        return JSONResponse(decisions_json(self.feed.decisions))

    async def decide(self, request: Request) -> Response:
        feed, stage = self.feed, request.path_params["stage"]
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                return _refused("too_large", f"a change can have at most {MAX_BODY:,} bytes", status=413)
        try:
            change = parse_change(json.loads(bytes(body)))
            lock = picks_lock(feed.progress.space.folder.parent)
            write = partial(write_change, feed.report, feed.progress.folder, stage, change, by=self.by, lock=lock)
            async with feed.lock:
                written = await asyncio.to_thread(write)
        except (ValueError, RecursionError):
            return _refused("bad_json", "the change is not JSON", status=400)
        except KreaPipeError as error:
            problem = error.problems[0]
            where = f"{problem.at}: " if problem.at else ""
            status = 404 if problem.code == "unknown_stage" else 409 if isinstance(error, StateError) else 422
            return _refused(problem.code, f"{where}{problem.message}", problem.hint, status=status)
        await feed.read_picks()
        return JSONResponse(written.to_json())


def _not_found() -> Response:
    return PlainTextResponse("Not Found", 404)


def _refused(code: str, message: str, hint: str | None = None, *, status: int) -> Response:
    return JSONResponse({"code": code, "message": message, "hint": hint}, status)


def _thumbnail(progress: RunProgress | WatchedReport, digest: str) -> bytes | None:
    """The small picture of an image as WebP, made when it is missing."""
    if digest not in progress.digests:
        return None
    kept = progress.space.thumbnail(digest)
    for path in (kept, progress.folder / "thumbnails" / f"{digest}.webp"):
        with contextlib.suppress(OSError):
            data = read_plain(path, MOST_THUMBNAIL_BYTES)
            if sniff(data) == "image/webp":
                return data
    original = progress.space.blobs.read(digest)
    small = None if original is None else small_picture(original)
    if small is not None:
        with contextlib.suppress(StateError):  # a store that can only be read is good enough to look at
            write_atomically(kept, small, durable=False)
    return small


def listen(port: int) -> socket.socket:
    """A socket on a port of this machine only; port 0 picks a free one.

    Raises:
        UsageError: the port is in use or forbidden.
    """
    try:
        return Listener(socket.create_server((HOST, port), backlog=BACKLOG), MAX_CONNECTIONS)
    except OSError as error:
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
        hint = "choose another --port; 0 picks a free one"
        raise UsageError(Problem("cannot_listen", f"cannot listen on {HOST}:{port}: {reason}", hint=hint)) from error


def serve_run(
    home: Path,
    folder: Path,
    listener: socket.socket,
    announce: Callable[[str, str], None],
    *,
    seconds: float | None = None,
    allowed: frozenset[str] = frozenset(),
    by: str = "",
    later: LaterReports | None = None,
) -> None:
    """Serve the run in a folder until SIGINT, SIGTERM or the end of `seconds`.

    Args:
        home: the home folder.
        folder: the folder of the run.
        listener: the socket of `listen`.
        announce: called with the page's URL and the run's id, once connections are accepted.
        seconds: how long to serve; None serves until a signal.
        allowed: other hosts that requests may name, as NAME or NAME:PORT in lower case.
        by: who decides on the page, "" if that is unknown.
        later: finds the report that is shown next; None stays with this one.

    Raises:
        StateError: the run cannot be read.
    """
    feed = RunFeed(open_progress(home, folder), later)
    serve_feed(feed, listener, announce, seconds=seconds, allowed=allowed, by=by)


def serve_feed(
    feed: RunFeed,
    listener: socket.socket,
    announce: Callable[[str, str], None],
    *,
    seconds: float | None = None,
    allowed: frozenset[str] = frozenset(),
    by: str = "",
) -> None:
    """Serve a run or a watched file until SIGINT, SIGTERM or the end of `seconds`.

    Args:
        feed: what is served.
        listener: the socket of `listen`.
        announce: called with the page's URL and the run's id, once connections are accepted.
        seconds: how long to serve; None serves until a signal.
        allowed: other hosts that requests may name, as NAME or NAME:PORT in lower case.
        by: who decides on the page, "" if that is unknown.
    """
    port, token = listener.getsockname()[1], secrets.token_urlsafe(32)
    config = uvicorn.Config(
        create_app(feed, token=token, port=port, allowed=allowed, by=by),
        http=Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=1,
    )
    url = f"http://{HOST}:{port}/{token}/"
    _Server(config, feed, lambda: announce(url, feed.report.run_id), seconds).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's server, which follows the run while it serves, and takes signals for a wish and not for an error."""

    def __init__(
        self, config: uvicorn.Config, feed: RunFeed, announce: Callable[[], None], seconds: float | None
    ) -> None:
        super().__init__(config)
        self._feed, self._announce, self._seconds = feed, announce, seconds
        self._following: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Let callers in, and say so."""
        await super().startup(sockets=sockets)
        self._announce()
        self._following = asyncio.create_task(self._feed.follow())
        self._following.add_done_callback(lambda _: self._end())
        if self._seconds is not None:
            asyncio.get_running_loop().call_later(self._seconds, self._end)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams first: the server waits for connections that still send."""
        self._feed.close()
        await super().shutdown(sockets=sockets)
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        """End on a signal, which uvicorn would raise again once it has ended."""
        self.force_exit = self.should_exit
        self._end()

    def _end(self) -> None:
        self.should_exit = True
