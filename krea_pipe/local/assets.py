"""The handlers for assets and the uploaded files themselves."""

import asyncio
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from krea_pipe.local.answers import answer_page, format_time, read_cursor, read_limit, refuse
from krea_pipe.local.picture import SUFFIXES, read_picture, sniff_media_type
from krea_pipe.local.server_state import Asset, ServerState


@dataclass(frozen=True, slots=True)
class _Part:
    """One field of a form: its declared media type, if any, and its bytes."""

    media_type: str | None
    data: bytes


async def upload_asset(server_state: ServerState, request: Request) -> Response:
    """POST /assets."""
    form = _read_form(request.headers.get("content-type", ""), await request.body())
    if form is None:
        raise refuse(400, "Expected multipart/form-data")
    if "file" not in form:
        raise refuse(400, "file: Required")
    media_type = _check_file(form["file"], server_state.asset_limit)
    data = form["file"].data
    picture = await asyncio.to_thread(read_picture, data)
    note = form["description"].data.decode("utf-8", "replace") if "description" in form else None
    asset = server_state.add_asset(data, media_type=media_type, picture=picture, description=note)
    return JSONResponse(_as_json(asset, request))


async def list_assets(server_state: ServerState, request: Request) -> Response:
    """GET /assets: newest first."""
    query = request.query_params
    limit, before = read_limit(query), read_cursor(query)
    found = server_state.assets_before(before)
    return answer_page(found, limit, lambda asset: _as_json(asset, request), lambda asset: asset.uploaded_at)


async def read_asset(server_state: ServerState, request: Request) -> Response:
    """GET /assets/{id}."""
    return JSONResponse(_as_json(_find_asset(server_state, request), request))


async def delete_asset(server_state: ServerState, request: Request) -> Response:
    """DELETE /assets/{id}."""
    server_state.remove_asset(_find_asset(server_state, request))
    return JSONResponse({"success": True, "message": "Asset deleted"})


async def read_upload(server_state: ServerState, request: Request) -> Response:
    """GET /uploads/{id}.{suffix}: the bytes as uploaded."""
    name = request.path_params["name"]
    asset = server_state.asset(name.partition(".")[0])
    if asset is None or asset.file_name != name:
        raise refuse(404, "File not found")
    return Response(asset.data, media_type=asset.media_type)


def _check_file(file: _Part, limit: int) -> str:
    # Krea declares 400; an integrator met 413.
    if len(file.data) > limit:
        raise refuse(413, "File too large")
    # Krea's notes say that the media type has to be exact: image/jpg is refused.
    if file.media_type is not None and file.media_type not in SUFFIXES:
        raise refuse(400, f"Unsupported file type: {file.media_type}")
    media_type = sniff_media_type(file.data)
    if media_type is None:
        raise refuse(400, "Unsupported file type")
    return media_type


def _find_asset(server_state: ServerState, request: Request) -> Asset:
    asset = server_state.asset(request.path_params["id"])
    if asset is None:
        raise refuse(404, "Asset not found")
    return asset


def _as_json(asset: Asset, request: Request) -> dict[str, object]:
    size = asset.picture.size if asset.picture else None
    answer: dict[str, object] = {
        "id": asset.id,
        "image_url": f"{request.base_url}uploads/{asset.file_name}",
        "uploaded_at": format_time(asset.uploaded_at),
        "width": size and size[0],
        "height": size and size[1],
        "size_bytes": len(asset.data),
        "mime_type": asset.media_type,
    }
    return answer if asset.description is None else {**answer, "description": asset.description}


def _read_form(content_type: str, body: bytes) -> dict[str, _Part] | None:
    """The fields of a form by name, or None when the body is not a well-formed one."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        return None
    delimiter = b"\r\n--" + boundary.encode("utf-8", "replace")
    _, *chunks = (b"\r\n" + body).split(delimiter)
    if not chunks or not chunks[-1].startswith(b"--"):
        return None
    return dict(named for chunk in chunks[:-1] if (named := _read_part(chunk)))


def _read_part(chunk: bytes) -> tuple[str, _Part] | None:
    head, gap, data = chunk.partition(b"\r\n\r\n")
    headers = BytesHeaderParser().parsebytes(head.lstrip(b"\r\n"))
    name = headers.get_param("name", header="Content-Disposition")
    if not gap or not isinstance(name, str):
        return None
    declared = headers.get_content_type() if "Content-Type" in headers else None
    return name, _Part(declared, data)
