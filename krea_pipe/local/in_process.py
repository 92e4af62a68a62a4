"""The local Krea as an httpx transport, with no socket in between."""

import httpx

from krea_pipe.local.app import create_app
from krea_pipe.local.server_state import ServerState


def open_transport() -> httpx.ASGITransport:
    """A transport to a Krea of one's own, which lives as long as the transport."""
    return httpx.ASGITransport(app=create_app(ServerState()))
