"""Whose a home folder is, on systems that know owners."""

import os
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.git import repository


def check_owner(home: Path, *places: Path) -> None:
    """Refuse what belongs neither to the user nor to the owner of the checkout around a home folder.

    In a container, the user is often not the one to whom the mounted checkout belongs.

    Raises:
        StateError: something belongs to someone else.
    """
    if not hasattr(os, "geteuid"):
        return
    user = os.geteuid()
    strange = [(place, owner) for place in places if (owner := _owner(place)) not in (user, None)]
    if not strange:
        return
    top = repository(home.absolute().parent) or repository(Path.cwd()) or Path.cwd()
    for place, owner in strange:
        if owner != _owner(top):
            message = f"{place} belongs to {_name(place, owner)}, not to you (uid {user}) or the owner of {top}"
            hint = "if you trust what is in it, take it over with `chown -R`; if not, set KREA_PIPE_HOME to another one"
            raise StateError(Problem("home_of_another", message, hint=hint))


def _owner(place: Path) -> int | None:
    try:
        return os.lstat(place).st_uid
    except OSError:
        return None


def _name(place: Path, owner: int | None) -> str:
    try:
        return f"{place.owner()} (uid {owner})"
    except (KeyError, OSError, NotImplementedError):  # KeyError: nobody has that number here
        return f"uid {owner}"
