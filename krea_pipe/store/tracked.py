"""Whether git tracks a home folder: what stands there then is what a commit says, also that of a fork."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.git import GitFailed, ask, repository

SECONDS = 10
INDEX_WITH_CUT_NAMES = b"\0\0\0\4"
"""The version of an index in which a name holds only what the one before has not."""


def check_untracked(home: Path, environment: Mapping[str, str]) -> None:
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
        _check(link, top, home, environment)
    if (real_top := repository(real.parent)) is not None:
        _check(real, real_top, home, environment)


def _check(place: Path, top: Path, home: Path, environment: Mapping[str, str]) -> None:
    name = place.relative_to(top).as_posix()
    try:
        found = _tracked(top, name, environment)
    except GitFailed as error:
        if _may_be_tracked(top, place.name):
            message = f"git cannot be asked whether it tracks {home}: {error}"
            hint = f"put git right, or set KREA_PIPE_HOME to a folder outside of {top}"
            raise StateError(Problem("home_tracked", message, hint=hint)) from error
        return
    if found:
        message = f"git tracks {found[0]}: a home folder that came with a clone may be anybody's, and is not used"
        hint = f"if you do not know who has made it, delete it; then `git rm -r --cached {name}`, and ignore it"
        raise StateError(Problem("home_tracked", message, hint=hint))


def _tracked(top: Path, name: str, environment: Mapping[str, str]) -> Sequence[str]:
    """What git tracks of a path and below it, by its own spelling where the disk takes several for one.

    Nothing that a repository's settings name is run for this question, so that it may be another user's, as it is in
    a container.
    """
    asked = ("-c", "safe.directory=*", "ls-files", "-z", "--", f":(top,literal,icase){name}")
    listed = os.fsdecode(ask(top, environment, *asked, seconds=SECONDS)).split("\0")
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
    return index[4:8] == INDEX_WITH_CUT_NAMES or os.fsencode(name) in index
