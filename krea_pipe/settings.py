"""Flags and environment become frozen values; secrets mask themselves."""

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from krea_pipe.errors import Problem, RefusedByKrea, UsageError

DEFAULT_BASE = "https://api.krea.ai"
DEFAULT_HOME = ".krea-pipe"
KEY_NAMES = ("KREA_API_KEY", "KREA_API_TOKEN")


@dataclass(frozen=True, slots=True)
class Token:
    """An API token. It never shows itself; `account` stands for it on disk."""

    secret: str

    def __repr__(self) -> str:
        return "Token(***)"

    __str__ = __repr__

    @property
    def account(self) -> str:
        """A name for the account that does not give the token away."""
        return hashlib.sha256(b"krea-pipe account " + self.secret.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Target:
    """An API to talk to: `space` is the name space of what is kept from it, `lasting` whether its jobs outlive us."""

    kind: Literal["live", "local"]
    base: str
    space: str
    lasting: bool


LOCAL = Target("local", "http://localhost", "local", lasting=False)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a job is looked at, in seconds: at first, growing by a factor, up to a longest wait."""

    first: float = 1.0
    factor: float = 1.3
    longest: float = 5.0
    deadline: float = 900.0


LOCAL_PACE = Pace(first=0.03, factor=1.2, longest=0.2)


def home_folder(environment: Mapping[str, str]) -> Path:
    """Where state lives: KREA_PIPE_HOME, or `.krea-pipe` in the working folder."""
    return Path(environment.get("KREA_PIPE_HOME") or DEFAULT_HOME)


def live_target(environment: Mapping[str, str]) -> Target:
    """The API that KREA_API_BASE names, or Krea's own.

    Raises:
        UsageError: the address is not an https URL, or is plain http to another machine.
    """
    base = (environment.get("KREA_API_BASE") or DEFAULT_BASE).rstrip("/")
    parts = urlsplit(base)
    host = parts.hostname or ""
    if parts.username or parts.password or parts.query or parts.fragment or not host:
        raise _bad_base("it is not the address of an API")
    if is_loopback(host):
        return Target("live", base, "loopback", lasting=True)
    if parts.scheme != "https":
        raise _bad_base("plain http would show your key to the network; only https leaves this machine")
    return Target("live", base, "live" if base == DEFAULT_BASE else f"host-{host}", lasting=True)


def api_token(environment: Mapping[str, str]) -> Token:
    """The key that the environment holds; KREA_API_KEY comes first, as in Krea's own tools.

    Raises:
        RefusedByKrea: there is none, or it can not be one.
    """
    secret = next((environment[name].strip() for name in KEY_NAMES if environment.get(name, "").strip()), None)
    if secret is None:
        hint = "set KREA_API_KEY (krea.ai/app/api/tokens), or add --local to draw proofs without a key"
        raise RefusedByKrea(Problem("no_key", "there is no API key", hint=hint))
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise RefusedByKrea(Problem("bad_key", "the API key has characters that no key has", hint="copy it again"))
    return Token(secret)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _bad_base(reason: str) -> UsageError:
    hint = f"leave it unset for {DEFAULT_BASE}"
    return UsageError(Problem("bad_api_base", f"KREA_API_BASE can not be used: {reason}", hint=hint))
