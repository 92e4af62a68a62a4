"""Paths from options and the environment, and the user's settings file."""

import os
from collections.abc import Mapping
from pathlib import Path

from krea_pipe.core.errors import Problem, UsageError


def user_settings_file(environment: Mapping[str, str]) -> Path | None:
    """The path of the user's settings: `krea-pipe/settings.yaml` in XDG_CONFIG_HOME, or in `.config` of HOME.

    Args:
        environment: where XDG_CONFIG_HOME and HOME may be set; XDG_CONFIG_HOME counts if it is an absolute path.

    Returns:
        The file, which need not be there; None where neither names a folder.

    Raises:
        UsageError: XDG_CONFIG_HOME begins with the name of a user who does not exist.
    """
    base, home = environment.get("XDG_CONFIG_HOME", ""), environment.get("HOME", "")
    named = expanded_path(base, environment, "XDG_CONFIG_HOME") if base.startswith(("/", "~")) else None
    folder = named or (Path(home) / ".config" if home else None)
    return None if folder is None else folder / "krea-pipe" / "settings.yaml"


def expanded_path(text: str, environment: Mapping[str, str], name: str) -> Path:
    """A path from an option or the environment, with `~` and `~USER` expanded.

    Args:
        text: the path as it was given.
        environment: where HOME may be set.
        name: what gave it, for the error.

    Returns:
        The path.

    Raises:
        UsageError: there is no such user.
    """
    first, slash, rest = text.partition("/")
    if not first.startswith("~"):
        return Path(text)
    folder = (environment.get("HOME", "") if first == "~" else "") or os.path.expanduser(first)  # noqa: PTH111
    if folder == first:
        message = f"{name} is the folder of a user who does not exist: {text}"
        raise UsageError(Problem("unknown_user", message, hint=f"for a folder with that name, write ./{text}"))
    return Path(f"{folder}{slash}{rest}")
