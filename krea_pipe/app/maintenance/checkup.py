"""Whether everything is in place: the installation, the home folder, git, the key, the shared store, and Krea itself.

Nothing is changed. Krea is asked one question, which is free, unless that is not wanted.
"""

import importlib.metadata
import os
import platform
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from krea_pipe._version import __version__
from krea_pipe.api.client import Client
from krea_pipe.api.failures import Refused
from krea_pipe.app.maintenance.check import MAX_CLOCK_SECONDS, Check
from krea_pipe.app.maintenance.remote_checkup import remote_checks
from krea_pipe.core.errors import RefusedByKrea, StateError, UsageError
from krea_pipe.core.git import GitFailed, ask
from krea_pipe.core.loopback import is_loopback
from krea_pipe.core.settings import DEFAULT_BASE, ENGINE_SPACE, KEY_NAMES, Target, Token, api_token, live_target
from krea_pipe.core.worktree import repository
from krea_pipe.executor.account_calls import asked
from krea_pipe.store.home import open_home
from krea_pipe.store.home_place import find_home

MOUNTS = Path("/proc/mounts")
SHARED = re.compile(r"nfs\d?|cifs|smb\w*|9p|afs|ceph|glusterfs|lustre|beegfs|gpfs|virtiofs|fuse\.(?!fuse-overlayfs).+")
"""File systems whose locks depend on another machine, or do not work."""
LEAST_FREE = 1_000_000_000
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_GIT_TIMEOUT = 10
REFUSALS = {
    401: ("does not know this key", "copy it again, or create a new one: krea.ai/app/api/tokens"),
    402: ("accepts the key, but no credit is left", "top up at krea.ai"),
    403: ("knows the key, but the key lacks permission", "check the permissions of the key: krea.ai/app/api/tokens"),
}


def check_up(environment: Mapping[str, str], *, offline: bool) -> tuple[list[Check], bool]:
    """Look at everything.

    Args:
        environment: where the API, the key, the home folder and proxies are named.
        offline: do not ask Krea, or the shared store.

    Returns:
        What was found, and whether Krea refused the key.
    """
    found = [*_installation(), *_home_checks(environment)]
    found += _licence(find_home(environment))
    key, (api, target) = _key_check(environment), _target_check(environment)
    found += [key, api]
    if target is None:
        return found, False
    proxy = _proxy_check(environment, target)
    found += [proxy, *remote_checks(environment, target, offline=offline)]
    if offline or key.state != "ok" or proxy.state != "ok":
        return found, False
    asked_krea, is_refused = _look_at_krea(target, api_token(environment))
    return [*found, *asked_krea], is_refused


def _home_checks(environment: Mapping[str, str]) -> list[Check]:
    """The state of the home folder, and why it would be refused."""
    found = list(home_folder_checks(find_home(environment), environment))
    try:
        open_home(environment)
    except StateError as error:
        problem = error.problems[0]
        if all(one.state != "problem" for one in found):
            found.append(Check("home", "problem", problem.message, problem.hint or ""))
    return found


def _licence(home: Path) -> Iterator[Check]:
    """What Krea's licence asks of those whose engines have drawn images with the open weights."""
    if (home / ENGINE_SPACE).is_dir():
        terms = "commercial use below a yearly revenue of 1 million US dollars, with attribution"
        yield Check("open weights", "ok", f"images of an engine are stored; Krea's licence allows {terms}")


def _installation() -> Iterator[Check]:
    """Versions of everything that takes part."""
    yield Check("krea-pipe", "ok", __version__)
    yield Check("Python", "ok", f"{platform.python_version()} ({platform.python_implementation()})")
    yield Check("SQLite", "ok", sqlite3.sqlite_version)
    yield _packages()
    yield Check("platform", "ok", platform.platform())


def home_folder_checks(home: Path, environment: Mapping[str, str], mounts: str | None = None) -> Iterator[Check]:
    """Whether state can be kept in the home folder, and whether git leaves it alone; `mounts` is as /proc/mounts."""
    there = next(one for one in (home.absolute(), *home.absolute().parents) if os.path.lexists(one))
    if not there.is_dir():
        yield Check("home", "problem", f"{there} is not a folder", "move it away, or set KREA_PIPE_HOME")
        return
    if not os.access(there, os.W_OK | os.X_OK):
        hint = "check the folder's permissions, or set KREA_PIPE_HOME"
        yield Check("home", "problem", f"cannot write into {there}", hint)
    else:
        yield Check("home", "ok", f"{home}{'' if home.is_dir() else ' (made by the first run)'}")
    yield _free_space(there)
    yield _file_system(there, _mounts() if mounts is None else mounts)
    yield _ignored(home.absolute(), environment)


def _key_check(environment: Mapping[str, str]) -> Check:
    """Where the key comes from; never the key itself."""
    names = [name for name in KEY_NAMES if environment.get(name, "").strip()]
    try:
        api_token(environment)
    except RefusedByKrea as error:
        problem = error.problems[0]
        if problem.code == "no_key":
            return Check("key", "warning", problem.message, problem.hint or "")
        return Check("key", "problem", f"{names[0]}: {problem.message}", problem.hint or "")
    also = f"; {names[1]} is also set, but not used" if len(names) > 1 else ""
    return Check("key", "ok", f"from {names[0]}{also}")


def _target_check(environment: Mapping[str, str]) -> tuple[Check, Target | None]:
    """Which API is talked to, and the target, when there can be one."""
    try:
        target = live_target(environment)
    except UsageError as error:
        problem = error.problems[0]
        return Check("API", "problem", problem.message, problem.hint or ""), None
    if target.base == DEFAULT_BASE:
        return Check("API", "ok", f"{target.base}: Krea itself, which bills images"), target
    kind = "a server on this machine" if target.space == "loopback" else "not Krea's own address"
    return Check("API", "ok", f"{target.base}: {kind}, set by KREA_API_BASE"), target


def _proxy_check(environment: Mapping[str, str], target: Target) -> Check:
    """The proxies in between, without what they ask for as a password."""
    if is_loopback(urlsplit(target.base).hostname or ""):
        return Check("proxy", "ok", "none for this machine")
    names = [name for one in PROXIES for name in (one, one.lower()) if environment.get(name)]
    found = {name: environment[name].rpartition("@")[2].partition("://") for name in names}
    for name in names:
        scheme = environment[name].partition("://")[0] if "://" in environment[name] else "http"
        if scheme not in ("http", "https"):
            hint = f"set {name} to an http:// proxy, or leave it unset"
            return Check("proxy", "problem", f"{name} names a {scheme} proxy, which is not supported", hint)
    words = [f"{name} ({parts[2] or parts[0]})" for name, parts in found.items()]
    return Check("proxy", "ok", ", ".join(words) or "none")


def _packages() -> Check:
    try:
        wanted = importlib.metadata.requires("krea-pipe") or []
    except importlib.metadata.PackageNotFoundError:
        return Check("packages", "warning", "krea-pipe is importable but not installed", "pip install krea-pipe")
    names = [re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in wanted if "extra ==" not in one]
    versions = {name: _version(name) for name in sorted(names)}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        return Check("packages", "problem", f"missing: {', '.join(missing)}", "install krea-pipe again")
    return Check("packages", "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _free_space(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    message = f"{free / 1e9:,.1f} GB free"
    if free < LEAST_FREE:
        return Check("disk", "warning", message, "free disk space: `krea-pipe gc` lists what can be deleted")
    return Check("disk", "ok", message)


def _mounts() -> str:
    try:
        return MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _file_system(folder: Path, mounts: str) -> Check:
    """The type of the file system of a folder; SQLite's locks need a local one."""
    kind, deepest = "", -1
    for line in mounts.splitlines():
        parts = line.split()
        if len(parts) > 2:
            point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), parts[1]))
            if folder.resolve().is_relative_to(point) and len(point.parts) >= deepest:
                kind, deepest = parts[2], len(point.parts)
    if not kind:
        return Check("file system", "ok", "not known on this platform")
    if SHARED.fullmatch(kind):
        hint = "two machines at once may corrupt it: set KREA_PIPE_HOME to a folder on this machine"
        return Check("file system", "warning", f"{kind}, where SQLite's locks may be unreliable", hint)
    return Check("file system", "ok", kind)


def _ignored(home: Path, environment: Mapping[str, str]) -> Check:
    """Whether git would commit the home folder."""
    top = repository(home.parent)
    if top is None:
        return Check("git", "ok", "no repository around the home folder")
    try:
        ask(top, environment, "check-ignore", "-q", "--", str(home / "journal"), seconds=_GIT_TIMEOUT)
    except GitFailed as error:
        if getattr(error.__cause__, "returncode", None) != 1:  # 1 says that it is not ignored
            return Check("git", "warning", f"cannot run git in {top}: {error}", "reports will not name a commit")
        hint = f"add {home.name}/ to {top / '.gitignore'}"
        return Check("git", "warning", f"the repository {top} does not ignore the home folder", hint)
    return Check("git", "ok", f"{top} ignores the home folder")


@dataclass(frozen=True, slots=True)
class _Answer:
    """The status of Krea's answer, its error message, and the offset of our clock in seconds."""

    status: int
    complaint: str
    ahead: float | None


def _look_at_krea(target: Target, token: Token) -> tuple[list[Check], bool]:
    """Ask for one job of the account, which is free; what was found, and whether the key was refused."""
    try:
        answer = asked(target, token, _look)
    except StateError as error:
        problem = error.problems[0]
        hint = "check the network, the proxy and KREA_API_BASE"
        return [Check("Krea", "problem", f"{target.base} cannot be reached: {problem.message}", hint)], False
    return list(_checks(target, answer)), answer.status in REFUSALS


async def _look(client: Client) -> _Answer:
    status, complaint = 200, ""
    try:
        await client.jobs(1)
    except Refused as error:
        status, complaint = error.status, str(error)
    now, first, last = datetime.now(UTC), client.clock.earliest(), client.clock.latest()
    if first is None or last is None:
        return _Answer(status, complaint, None)
    ahead = max((now - last).total_seconds(), 0.0) or min((now - first).total_seconds(), 0.0)
    return _Answer(status, complaint, ahead)


def _checks(target: Target, answer: _Answer) -> Iterator[Check]:
    if answer.status in REFUSALS:
        said, hint = REFUSALS[answer.status]
        yield Check("Krea", "problem", f"{target.base} {said}: {answer.complaint} ({answer.status})", hint)
    elif answer.status == 429:
        yield Check(
            "Krea", "warning", f"{target.base} is limiting requests at the moment (429)", "try again in a minute"
        )
    elif answer.status != 200:
        hint = "try again later; if this persists, check KREA_API_BASE"
        yield Check("Krea", "problem", f"{target.base} answered {answer.complaint} ({answer.status})", hint)
    else:
        yield Check("Krea", "ok", f"{target.base} is reachable and accepts the key")
    yield _clock(answer.ahead)


def _clock(ahead: float | None) -> Check:
    if ahead is None:
        return Check("clock", "ok", "Krea did not send its time")
    if not ahead:
        return Check("clock", "ok", "agrees with Krea's to the second")
    message = f"{abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} Krea's"
    if abs(ahead) <= MAX_CLOCK_SECONDS:
        return Check("clock", "ok", message)
    return Check("clock", "warning", message, "set this machine's clock: reports use its time")
