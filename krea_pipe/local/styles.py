"""The handlers for styles: a small built-in catalogue."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from krea_pipe.local.paging import read_limit
from krea_pipe.local.refusal import refuse
from krea_pipe.local.world import World

_FILTERS = frozenset({"all", "user", "community", "krea", "shared", "unapproved", "editor", "gallery", "public"})
_CATALOGUE = (
    ("st_linework", "Linework", "k2", "fine contour lines, open shapes"),
    ("st_riso", "Riso print", "k2", "two-colour print, visible halftone"),
    ("st_studio", "Studio light", "k2-large", "soft key light, long shadows"),
)


def _as_style(entry: tuple[str, str, str, str]) -> dict[str, object]:
    style_id, title, model, prompt = entry
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


_STYLES = {entry[0]: _as_style(entry) for entry in _CATALOGUE}


async def list_styles(_: World, request: Request) -> Response:
    """GET /styles: by `ids`, `model` and `filter`; the cursor is the id of the last style seen."""
    query = request.query_params
    if query.get("filter", "all") not in _FILTERS:
        raise refuse(400, "filter: Invalid enum value")
    limit, wanted, model = read_limit(query), query.get("ids"), query.get("model")
    known = list(_STYLES)
    start = known.index(query["cursor"]) + 1 if query.get("cursor") in known else 0
    found = [
        style
        for key, style in list(_STYLES.items())[start:]
        if (wanted is None or key in wanted.split(",")) and (model is None or model in str(style["models"]))
    ]
    return JSONResponse({"items": found[:limit], "next_cursor": found[limit - 1]["id"] if len(found) > limit else None})


async def read_style(_: World, request: Request) -> Response:
    """GET /styles/{id}."""
    style = _STYLES.get(request.path_params["id"])
    if style is None:
        raise refuse(404, "Style not found")
    return JSONResponse(style)
