"""Flags and environment become frozen values; secrets mask themselves."""

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from krea_pipe.core.engine import EngineSpec
from krea_pipe.core.errors import Problem, RefusedByKrea, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.loopback import is_loopback
from krea_pipe.core.masking import is_absent, masked, masked_data

DEFAULT_BASE = "https://api.krea.ai"
KEY_NAMES = ("KREA_API_KEY", "KREA_API_TOKEN")
SHORTEST_SECRET = 6
POLL_NAME = "KREA_PIPE_POLL_SECONDS"
SETTLE_NAME = "KREA_PIPE_SETTLE_SECONDS"
_MAX_SECONDS = 60
DEFAULT_PORTS = {"http": 80, "https": 443}
SAME_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names under which a server on this machine is usually reached; other loopback addresses may be other servers."""


@dataclass(frozen=True, slots=True)
class Token:
    """An API token, which never prints its value; `account` represents it on disk."""

    secret: str

    def __repr__(self) -> str:
        return "Token(***)"

    __str__ = __repr__

    @property
    def can_be_masked(self) -> bool:
        """Whether a text that contains the token reveals it; a shorter token may be any word, and is refused by real
        APIs.
        """
        return len(self.secret) >= SHORTEST_SECRET

    def masked(self, text: str) -> str:
        """A text that someone else sent, without the token, should it echo there, escaped or not."""
        for secret in self._secrets():
            text = masked(text, secret)
        return text

    def masked_data(self, data: Json) -> Json:
        """The same for the data of an answer."""
        for secret in self._secrets():
            data = masked_data(data, secret)
        return data

    def is_absent(self, body: bytes) -> bool:
        """Whether a body of JSON surely does not contain the token, so that no text of it need be searched."""
        return all(is_absent(body, secret) for secret in self._secrets())

    def is_in(self, data: Json) -> bool:
        """Whether data to be sent contains the token, escaped or not."""
        return not self.is_absent(json.dumps(data).encode()) and self.masked_data(data) != data

    def _secrets(self) -> Iterator[str]:
        """The parts that reveal the token: all of it, and the secret in a token of the form `id:secret`."""
        for secret in dict.fromkeys((self.secret, self.secret.rpartition(":")[2])):
            if len(secret) >= SHORTEST_SECRET:
                yield secret

    @property
    def account(self) -> str:
        """A name for the account that does not give the token away."""
        return hashlib.sha256(b"krea-pipe account " + self.secret.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Target:
    """An API to talk to: `space` is the name space of what is kept from it, `lasting` whether its jobs outlive us.

    `engine` is the one that a pipeline draws with, in place of an API of Krea's.
    """

    kind: Literal["live", "local", "engine"]
    base: str
    space: str
    lasting: bool
    engine: EngineSpec | None = None

    @property
    def bills(self) -> bool:
        """Whether its images cost something."""
        return self.kind == "live" or (self.engine is not None and self.engine.usd_per_image > 0)

    @property
    def origin(self) -> str:
        """The name of the API in the journal, the same for every spelling of its address."""
        return origin_of(self.base)


LOCAL_TARGET = Target("local", "http://localhost", "local", lasting=False)
ENGINE_SPACE = "engine"
"""The name space of images that engines have drawn; their keys tell the engines apart."""


def image_kind(kind: str) -> str:
    """What the images of an API are, as delivered files say it.

    Args:
        kind: `live`, `local` or `engine`.

    Returns:
        `local` for proofs, and `live` for images, whatever has drawn them: a final may replace a draft of an engine.
    """
    return "local" if kind == "local" else "live"


def engine_target(engine: EngineSpec) -> Target:
    """An engine as the API of a run; its jobs end with the run, and one name space has the images of all engines."""
    base = engine.urls[0] if engine.urls else engine.kind
    return Target("engine", base, ENGINE_SPACE, lasting=False, engine=engine)


def with_engine(target: Target, engine: EngineSpec | None) -> Target:
    """What draws the images of a pipeline.

    Args:
        target: the API that the command line and the environment name.
        engine: the one that the pipeline file names, if any.

    Returns:
        The engine if there is one and no proofs are drawn, otherwise the API.
    """
    return target if engine is None or target.kind == "local" else engine_target(engine)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often Krea is polled, in seconds: from `first` to `longest` between two polls of the list of jobs.

    `settle` is how long a POST without an answer may take to show its job. Every other wait is a multiple of `first`.
    `job` is how long a job may run without an end, for every variant; when it is None, `JOB_SECONDS` says it for each.
    """

    first: float = 1.0
    longest: float = 2.0
    settle: float = 10.0
    job: float | None = None

    def deadline(self, variant: str) -> float:
        """The maximum time for a job to run, or to wait while no other job ends."""
        return self.job if self.job is not None else JOB_SECONDS.get(variant, max(JOB_SECONDS.values()))


JOB_SECONDS = {"medium-turbo": 300.0, "medium": 600.0, "large": 900.0}
"""Krea ends jobs of its own models after three minutes, and Large takes up to one."""

LOCAL_PACE = Pace(first=0.05, longest=0.2)


def live_target(environment: Mapping[str, str]) -> Target:
    """The API that KREA_API_BASE names, or Krea's own.

    Raises:
        UsageError: the address is not an https URL, or is plain http to another machine.
    """
    base = (environment.get("KREA_API_BASE") or DEFAULT_BASE).strip().rstrip("/")
    parts, host = _parts_of(base)
    if is_loopback(host):
        return Target("live", base, "loopback", lasting=True)
    if parts.scheme != "https":
        raise _bad_base("plain http would expose your key on the network; use https for other machines")
    if origin_of(base) == DEFAULT_BASE:
        return Target("live", DEFAULT_BASE, "live", lasting=True)
    return Target("live", base, f"host-{host.replace(':', '.')}", lasting=True)


def space_name(kind: str, base: str) -> str:
    """The name space of the images of an API, as a report names that API.

    Args:
        kind: `live`, `local` or `engine`.
        base: its address.

    Raises:
        UsageError: no API can have that address.
    """
    names = {"local": LOCAL_TARGET.space, "engine": ENGINE_SPACE}
    return names.get(kind) or live_target({"KREA_API_BASE": base}).space


def live_pace(environment: Mapping[str, str], job_seconds: float | None = None) -> Pace:
    """The pace against a real API.

    Args:
        environment: KREA_PIPE_POLL_SECONDS sets the first wait, KREA_PIPE_SETTLE_SECONDS `settle`.
        job_seconds: how long a job may run; None leaves it to the variant.

    Raises:
        UsageError: one of them is not a number of seconds.
    """
    first = _seconds(environment, POLL_NAME, Pace().first, least=0.01)
    return Pace(first, 2 * first, _seconds(environment, SETTLE_NAME, Pace().settle, least=0), job_seconds)


def _seconds(environment: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,2}(\.[0-9]+)?", text) or not least <= float(text) <= _MAX_SECONDS:
        message = f"{name} must be a number from {least:g} to {_MAX_SECONDS}, not {text!r}"
        raise UsageError(Problem("bad_seconds", message, hint=f"leave it unset for {default:g} s"))
    return float(text)


def api_token(environment: Mapping[str, str]) -> Token:
    """The key that the environment holds; KREA_API_KEY comes first, as in Krea's own tools.

    Raises:
        RefusedByKrea: there is no key, or it is invalid.
    """
    secret = next((environment[name].strip() for name in KEY_NAMES if environment.get(name, "").strip()), None)
    if secret is None:
        hint = "set KREA_API_KEY (krea.ai/app/api/tokens), or add --local to draw proofs without a key"
        raise RefusedByKrea(Problem("no_key", "there is no API key", hint=hint))
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise RefusedByKrea(Problem("bad_key", "the API key contains invalid characters", hint="copy it again"))
    if len(secret) < SHORTEST_SECRET and live_target(environment).space != "loopback":
        raise RefusedByKrea(Problem("bad_key", "the API key is too short", hint="copy it again"))
    return Token(secret)


@lru_cache(maxsize=256)
def origin_of(base: str) -> str:
    """One name for an API, however its address is spelled: case, default port, final dot, and this machine's names.

    What is not an http address, such as `local:RUN-ID`, is its own name.
    """
    try:
        parts = urlsplit(base)
        host, port = _host_of(parts), parts.port
    except ValueError:
        return base
    if parts.scheme not in DEFAULT_PORTS or not host:
        return base
    name = "localhost" if host in SAME_MACHINE else f"[{host}]" if ":" in host else host
    place = name if port in (None, DEFAULT_PORTS[parts.scheme]) else f"{name}:{port}"
    return f"{parts.scheme}://{place}{parts.path.rstrip('/')}"


def _host_of(parts: SplitResult) -> str:
    """The host in lower case, an address in its shortest form."""
    host = (parts.hostname or "").removesuffix(".")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _parts_of(base: str) -> tuple[SplitResult, str]:
    try:
        parts = urlsplit(base)
        host, port = _host_of(parts), parts.port
    except ValueError as error:
        raise _bad_base("it is not a URL") from error
    plain = parts.scheme in ("http", "https") and re.fullmatch(r"[A-Za-z0-9._:-]+", host) and port != 0
    if not plain or parts.username or parts.password or parts.query or parts.fragment:
        raise _bad_base("it is not the address of an API")
    return parts, host


def _bad_base(reason: str) -> UsageError:
    hint = f"leave it unset for {DEFAULT_BASE}"
    return UsageError(Problem("bad_api_base", f"KREA_API_BASE cannot be used: {reason}", hint=hint))
