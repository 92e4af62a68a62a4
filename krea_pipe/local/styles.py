"""The handlers for styles: a small built-in catalogue, and what was trained here."""

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from krea_pipe.local.answers import format_time, read_limit, refuse
from krea_pipe.local.job import name_style
from krea_pipe.local.jobs import accept, read_inputs, read_webhook
from krea_pipe.local.order import Training
from krea_pipe.local.reading import read_training
from krea_pipe.local.server_state import ServerState

_OWN = frozenset({"all", "user"})
_BUILT_IN = frozenset({"all", "krea", "gallery", "public"})
_FILTERS = _OWN | _BUILT_IN | {"community", "shared", "unapproved", "editor"}
_OWNER = {"id": "00000000-0000-4000-8000-000000000001", "name": "Local API user", "avatar_url": None}
_CATALOGUE = (
    ("st_linework", "Linework", "k2", "fine contour lines, open shapes"),
    ("st_riso", "Riso print", "k2", "two-colour print, visible halftone"),
    ("st_studio", "Studio light", "k2-large", "soft key light, long shadows"),
)

_Style = dict[str, object]


async def list_styles(server_state: ServerState, request: Request) -> Response:
    """GET /styles: by `ids`, `model` and `filter`, the last trained first; the cursor is the id of the last seen."""
    query = request.query_params
    which = query.get("filter", "all")
    if which not in _FILTERS:
        raise refuse(400, "filter: Invalid enum value")
    limit, wanted, model = read_limit(query), query.get("ids"), query.get("model")
    known = [*(_trained(server_state) if which in _OWN else ()), *(_built_in() if which in _BUILT_IN else ())]
    ids = [style["id"] for style in known]
    start = ids.index(query["cursor"]) + 1 if query.get("cursor") in ids else 0
    found = [
        style
        for style in known[start:]
        if (wanted is None or style["id"] in wanted.split(",")) and (model is None or model in str(style["models"]))
    ]
    return JSONResponse({"items": found[:limit], "next_cursor": found[limit - 1]["id"] if len(found) > limit else None})


async def read_style(server_state: ServerState, request: Request) -> Response:
    """GET /styles/{id}."""
    for style in (*_trained(server_state), *_built_in()):
        if style["id"] == request.path_params["id"]:
            return JSONResponse(style)
    raise refuse(404, "Style not found")


async def train_style(server_state: ServerState, request: Request) -> Response:
    """POST /styles/train: a job like any other, with `result.style_id` at its end; the style is in the list from then.

    It costs nothing here, for no document says what Krea bills.
    """
    webhook = read_webhook(request)
    training = read_training(await request.body())
    brief = await read_inputs(server_state, training, own_host=request.base_url.hostname)
    return accept(server_state.submit(brief, webhook=webhook))


def _trained(server_state: ServerState) -> Iterator[_Style]:
    now = server_state.now()
    for job in reversed(server_state.jobs):
        training = job.brief.order
        if isinstance(training, Training) and job.has_image(now):
            style = _show(name_style(job.image_id), training.name, training.model, training.trigger_word)
            yield {**style, "public": False, "owner": _OWNER, "created_at": format_time(job.finished_at(now) or now)}


def _built_in() -> Iterator[_Style]:
    return (_show(*entry) for entry in _CATALOGUE)


def _show(style_id: str, title: str, model: str, prompt: str) -> _Style:
    return {
        "id": style_id,
        "title": title,
        "urls": [],
        "public": True,
        "cover_url": None,
        "prompt": prompt,
        "models": [model],
        "owner": None,
        "like_count": 0,
        "created_at": "2026-06-01T00:00:00.000000Z",
    }
