"""Which addresses an engine may have, and where a key may be sent."""

import re
from urllib.parse import urlsplit

from krea_pipe.core.errors import Problem
from krea_pipe.core.loopback import is_loopback

_HOST = r"[A-Za-z0-9._:-]+"
_EXAMPLE = "write it like http://gpu-1:8000/v1"


def address_problem(url: str, *, has_key: bool) -> Problem | None:
    """Why an engine cannot be reached under an address, as far as the address itself shows it.

    Args:
        url: the address of the engine's API, such as `http://gpu-1:8000/v1`.
        has_key: whether a key is sent there.

    Returns:
        A problem without a place; None if the address can be used.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return Problem("engine_address", f"{url!r} is not a URL", hint=_EXAMPLE)
    if parts.username or parts.password:
        message = "the address of an engine has a user's name or a password in it"
        return Problem("engine_address", message, hint="name the variable with the key in `key_env`")
    if parts.scheme not in ("http", "https") or not re.fullmatch(_HOST, host) or port == 0:
        return Problem("engine_address", f"{url!r} is not the address of an engine", hint=_EXAMPLE)
    if parts.query or parts.fragment or not url.isprintable() or " " in url:
        return Problem("engine_address", f"{url!r} is more than the address of an engine", hint=_EXAMPLE)
    if has_key and parts.scheme == "http" and not is_loopback(host):
        message = f"plain http to {host} would expose the engine's key on the network"
        return Problem("engine_key_exposed", message, hint="use https, or an engine without a key")
    return None
