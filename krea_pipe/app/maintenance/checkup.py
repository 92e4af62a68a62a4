"""Whether everything is in place on this machine: the installation, the home folder, git, the key, the network's way.

Nothing is changed and nobody is asked; for Krea itself see `upkeep.reachable`.
"""

import importlib.metadata
import os
import platform
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from krea_pipe._version import __version__
from krea_pipe.core.errors import RefusedByKrea, UsageError
from krea_pipe.core.git import GitFailed, ask, repository
from krea_pipe.core.settings import DEFAULT_BASE, KEY_NAMES, Target, api_token, is_loopback, live_target

State: TypeAlias = Literal["ok", "warning", "problem"]

MOUNTS = Path("/proc/mounts")
SHARED = re.compile(r"nfs\d?|cifs|smb\w*|9p|afs|ceph|glusterfs|lustre|beegfs|gpfs|virtiofs|fuse\.(?!fuse-overlayfs).+")
"""File systems whose locks depend on another machine, or do not work at all."""
LEAST_FREE = 1_000_000_000
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
SECONDS = 10


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: how it is, and what to do when it is not well."""

    name: str
    state: State
    message: str
    hint: str = ""


def installation() -> Iterator[Check]:
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
        hint = "check the folder's rights, or set KREA_PIPE_HOME"
        yield Check("home", "problem", f"cannot write into {there}", hint)
    else:
        yield Check("home", "ok", f"{home}{'' if home.is_dir() else ' (made by the first run)'}")
    yield _free_space(there)
    yield _file_system(there, _mounts() if mounts is None else mounts)
    yield _ignored(home.absolute(), environment)


def key_check(environment: Mapping[str, str]) -> Check:
    """Where the key comes from; never what it is."""
    names = [name for name in KEY_NAMES if environment.get(name, "").strip()]
    try:
        api_token(environment)
    except RefusedByKrea as error:
        problem = error.problems[0]
        if problem.code == "no_key":
            return Check("key", "warning", problem.message, problem.hint or "")
        return Check("key", "problem", f"{names[0]}: {problem.message}", problem.hint or "")
    also = f"; {names[1]} is set as well, and not used" if len(names) > 1 else ""
    return Check("key", "ok", f"from {names[0]}{also}")


def target_check(environment: Mapping[str, str]) -> tuple[Check, Target | None]:
    """Which API is talked to, and the target, when there can be one."""
    try:
        target = live_target(environment)
    except UsageError as error:
        problem = error.problems[0]
        return Check("API", "problem", problem.message, problem.hint or ""), None
    if target.base == DEFAULT_BASE:
        return Check("API", "ok", f"{target.base}: Krea itself, which bills"), target
    kind = "a server on this machine" if target.space == "loopback" else "another address than Krea's own"
    return Check("API", "ok", f"{target.base}: {kind}, by KREA_API_BASE"), target


def proxy_check(environment: Mapping[str, str], target: Target) -> Check:
    """Which proxies stand between, without what they ask for as a password."""
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
        return Check("packages", "warning", "krea-pipe is not installed, only found", "pip install krea-pipe")
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
        return Check("disk", "warning", message, "free some: `krea-pipe gc` shows what can go")
    return Check("disk", "ok", message)


def _mounts() -> str:
    try:
        return MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _file_system(folder: Path, mounts: str) -> Check:
    """What kind of file system a folder is on: SQLite's locks need one of this machine."""
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
        hint = "two machines at once may break it: set KREA_PIPE_HOME to a folder on this machine"
        return Check("file system", "warning", f"{kind}, over which SQLite's locks may not hold", hint)
    return Check("file system", "ok", kind)


def _ignored(home: Path, environment: Mapping[str, str]) -> Check:
    """Whether git would commit the home folder."""
    top = repository(home.parent)
    if top is None:
        return Check("git", "ok", "no repository around the home folder")
    try:
        ask(top, environment, "check-ignore", "-q", "--", str(home / "journal"), seconds=SECONDS)
    except GitFailed as error:
        if getattr(error.__cause__, "returncode", None) != 1:  # 1 says that it is not ignored
            return Check("git", "warning", f"git cannot be asked about {top}: {error}", "reports name no commit then")
        hint = f"add {home.name}/ to {top / '.gitignore'}"
        return Check("git", "warning", f"the repository {top} does not ignore the home folder", hint)
    return Check("git", "ok", f"{top} ignores the home folder")
