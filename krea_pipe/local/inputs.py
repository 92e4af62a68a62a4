"""The input images of an order are read: own assets, data URIs, and other URLs that are never fetched."""

import asyncio
import re
from urllib.parse import urlsplit

from krea_pipe.local.order import Order, ProofSpec, Reference, Tint
from krea_pipe.local.picture import Picture, imagine_picture, read_data_uri
from krea_pipe.local.reading import LOOPBACK
from krea_pipe.local.refusal import refuse
from krea_pipe.local.server_state import ServerState

_UPLOAD = re.compile(r"/uploads/([0-9a-fA-F-]{36})\.\w+")


async def read_inputs(world: ServerState, order: Order, *, own_host: str | None) -> ProofSpec:
    """The order with its pictures; raises `RefusalError` with 422 for one that cannot be had."""
    tints = [await _read_tint(world, reference, own_host) for reference in order.references]
    source = await _read_tint(world, order.source, own_host) if order.source else None
    return ProofSpec(order, tuple(tints), source)


async def _read_tint(world: ServerState, reference: Reference, own_host: str | None) -> Tint:
    picture = await _read_picture(world, reference.url, own_host)
    if picture is None:
        raise refuse(422, "Input file rejected")
    return Tint(picture, reference.strength)


async def _read_picture(world: ServerState, url: str, own_host: str | None) -> Picture | None:
    if url.startswith("data:"):
        return await asyncio.to_thread(read_data_uri, url)
    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK | {own_host} or not parts.path.startswith("/uploads/"):
        return imagine_picture(url)
    match = _UPLOAD.fullmatch(parts.path)
    asset = world.asset(match[1].lower()) if match else None
    if asset is None:
        raise refuse(422, "Invalid asset URL")
    return asset.picture
