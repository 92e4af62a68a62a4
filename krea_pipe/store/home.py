"""Checks a home folder before anything in it is trusted: its owner, whether git tracks it, and that it is not a link.

Anyone who can write there decides what is cached and what is paid for. A clone or an archive may contain a home folder.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.git import GitFailed, ask
from krea_pipe.core.worktree import repository
from krea_pipe.store.atomic import make_folder, write_atomically
from krea_pipe.store.home_place import HOME_VARIABLE, find_home, other_homes
from krea_pipe.store.lock import lockfiles_lock, picks_lock
from krea_pipe.store.plain import check_files, check_folders

_GIT_SECONDS = 10
_INDEX_WITH_CUT_NAMES = b"\0\0\0\4"
"""The version of an index in which a name holds only what the one before has not."""


def open_home(environment: Mapping[str, str], file: Path | None = None) -> Path:
    """The home folder of the working folder, or of a pipeline file, after a check of its owner; nothing is created.

    A link that KREA_PIPE_HOME names is followed, because the user says so. No other is.

    Args:
        environment: The environment variables; see `home_place.find_home`.
        file: The pipeline file, if there is one.

    Returns:
        The path of the folder, which need not be there yet.

    Raises:
        StateError: It is a link, git tracks it, it belongs to someone else, or something else is in the place of
            what is kept there.
        UsageError: KREA_PIPE_HOME begins with the name of a user who does not exist.
    """
    return check_home(find_home(environment, file), environment)


@dataclass(frozen=True, slots=True)
class OtherHomes:
    """Further home folders that may hold images of a pipeline, and why others are not read."""

    homes: tuple[Path, ...] = ()
    problems: tuple[Problem, ...] = ()


def open_other_homes(environment: Mapping[str, str], file: Path) -> OtherHomes:
    """The home folders that earlier versions would have used for a pipeline file, after a check of their owners.

    Args:
        environment: The environment variables; see `home_place.other_homes`.
        file: The pipeline file.

    Returns:
        Those that can be read. They are only read.
    """
    homes, problems = list[Path](), list[Problem]()
    for home in other_homes(environment, file):
        try:
            homes.append(check_home(home, environment))
        except StateError as error:
            problems += error.problems
    return OtherHomes(tuple(homes), tuple(problems))


def check_home(home: Path, environment: Mapping[str, str]) -> Path:
    """Look at whose a home folder is before anything in it is read.

    Args:
        home: The path of the folder, which need not be there.
        environment: The environment variables, for git.

    Returns:
        The path of the folder itself, where KREA_PIPE_HOME names a link.

    Raises:
        StateError: As for `open_home`.
    """
    _check_untracked(home, environment)
    if os.path.islink(home):  # noqa: PTH114 (no name is too long for it)
        if not environment.get(HOME_VARIABLE):
            hint = "set KREA_PIPE_HOME to the folder itself"
            raise StateError(Problem("home_linked", f"{home} is a link, which is not followed", hint=hint))
        home = Path(os.path.realpath(home))
        _check_untracked(home, environment)
    own = [home / name for name in ("runs", "diffs", "assembled", "logs")]
    check_folders(home, *own)
    check_files(picks_lock(home), lockfiles_lock(home))
    check_owner(home, home, *own)
    return home


def make_home(home: Path) -> None:
    """Create a home folder that git ignores.

    Args:
        home: Its path; an existing one is left unchanged.

    Raises:
        StateError: It cannot be created.
    """
    if not home.is_dir():
        make_folder(home)
        write_atomically(home / ".gitignore", b"*\n", durable=False)


def check_owner(home: Path, *places: Path) -> None:
    """Refuse files that belong neither to the user nor to the owner of the checkout around a home folder.

    In a container, the user is often not the one to whom the mounted checkout belongs.

    Raises:
        StateError: something belongs to someone else.
    """
    if not hasattr(os, "geteuid"):
        return
    user = os.geteuid()
    strange = [(place, owner) for place in places if (owner := _owner_of(place)) not in (user, None)]
    if not strange:
        return
    top = repository(home.absolute().parent) or repository(Path.cwd()) or Path.cwd()
    for place, owner in strange:
        if owner != _owner_of(top):
            message = f"{place} belongs to {_owner_name(place, owner)}, not to you (uid {user}) or the owner of {top}"
            hint = (
                "if you trust its contents, take ownership with `chown -R`; otherwise, set KREA_PIPE_HOME to "
                "another folder"
            )
            raise StateError(Problem("home_of_another", message, hint=hint))


def _owner_of(place: Path) -> int | None:
    try:
        return os.lstat(place).st_uid
    except OSError:
        return None


def _owner_name(place: Path, owner: int | None) -> str:
    try:
        return f"{place.owner()} (uid {owner})"
    except (KeyError, OSError, NotImplementedError):  # KeyError: no user has that number here
        return f"uid {owner}"


def _check_untracked(home: Path, environment: Mapping[str, str]) -> None:
    """Refuse a home folder that git tracks, or that is reached by a link which git tracks.

    Raises:
        StateError: it does.
    """
    named = Path(os.path.normpath(home.absolute()))
    top = repository(named.parent)
    if top is None:
        return
    real = Path(os.path.realpath(named.parent), named.name)
    links = [one for one in named.parents if one.is_relative_to(top) and one != top and os.path.islink(one)]  # noqa: PTH114
    for link in links:
        _check_place(link, top, home, environment)
    if (real_top := repository(real.parent)) is not None:
        _check_place(real, real_top, home, environment)


def _check_place(place: Path, top: Path, home: Path, environment: Mapping[str, str]) -> None:
    name = place.relative_to(top).as_posix()
    try:
        found = _tracked(top, name, environment)
    except GitFailed as error:
        if _may_be_tracked(top, place.name):
            message = f"cannot ask git whether it tracks {home}: {error}"
            hint = f"fix git, or set KREA_PIPE_HOME to a folder outside {top}"
            raise StateError(Problem("home_tracked", message, hint=hint)) from error
        return
    if found:
        message = (
            f"git tracks {found[0]}: a home folder from a clone may have been written by anyone, so it is not used"
        )
        hint = (
            f"if you do not know who created it, delete it; then run `git rm -r --cached {name}` and add it to "
            ".gitignore"
        )
        raise StateError(Problem("home_tracked", message, hint=hint))


def _tracked(top: Path, name: str, environment: Mapping[str, str]) -> Sequence[str]:
    """The paths that git tracks at or below a path, in git's spelling if the disk accepts several.

    Nothing that a repository's settings name is run for this question, so that it may be another user's, as it is in a
    container.
    """
    asked = ("-c", "safe.directory=*", "ls-files", "-z", "--", f":(top,literal,icase){name}")
    listed = os.fsdecode(ask(top, environment, *asked, seconds=_GIT_SECONDS)).split("\0")
    depth = name.count("/") + 1
    return [one for one in listed if one and _is_same(top, "/".join(one.split("/")[:depth]), name)]


def _is_same(top: Path, one: str, other: str) -> bool:
    try:
        return one == other or (top / one).samefile(top / other)
    except OSError:
        return False


def _may_be_tracked(top: Path, name: str) -> bool:
    """Whether the list of tracked files could hold a name, where git is missing or says nothing."""
    try:
        folder = top / ".git"
        if folder.is_file():  # of another work tree, or of a submodule
            folder = top / folder.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        index = (folder / "index").read_bytes()
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return index[4:8] == _INDEX_WITH_CUT_NAMES or os.fsencode(name) in index
