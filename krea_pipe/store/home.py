"""The home folder, before anything in it is believed: whose it is, whether git brought it, and that it is no link.

Who writes there says what is cached and what is paid for. A clone or an archive may bring a home folder of its own.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.settings import home_folder
from krea_pipe.store.lock import lockfiles_lock, picks_lock
from krea_pipe.store.owner import check_owner
from krea_pipe.store.plain import check_files, check_folders
from krea_pipe.store.tracked import check_untracked


def open_home(environment: Mapping[str, str], file: Path | None = None) -> Path:
    """The home folder of the working folder, or of a pipeline file; see `settings.home_folder`. Nothing is made.

    A link that KREA_PIPE_HOME names is followed, because the user says so. No other is.

    Raises:
        StateError: it is a link, git tracks it, it belongs to someone else, or something else stands in the place of
            what is kept there.
    """
    home = home_folder(environment, file)
    check_untracked(home, environment)
    if os.path.islink(home):  # noqa: PTH114 (no name is too long for it)
        if not environment.get("KREA_PIPE_HOME"):
            hint = "set KREA_PIPE_HOME to the place itself"
            raise StateError(Problem("home_linked", f"{home} is a link, which is not followed", hint=hint))
        home = Path(os.path.realpath(home))
        check_untracked(home, environment)
    own = [home / name for name in ("runs", "diffs", "logs")]
    check_folders(home, *own)
    check_files(picks_lock(home), lockfiles_lock(home))
    check_owner(home, home, *own)
    return home
