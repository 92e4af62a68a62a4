"""The environment of a command: the API, the home folder, and the store of that API."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.core.engine import EngineSpec
from krea_pipe.core.settings import LOCAL_TARGET, Target, live_target, with_engine
from krea_pipe.store.home import open_home
from krea_pipe.store.space import Space, open_space


@dataclass(frozen=True, slots=True)
class Workspace:
    """An API, the home folder, and the name space in it that the API has."""

    target: Target
    home: Path
    space: Space


def target_of(environment: Mapping[str, str], *, local: bool) -> Target:
    """The local Krea, or the API that the environment names.

    Args:
        environment: where the address of the API may be named.
        local: take the local Krea.

    Returns:
        The API.

    Raises:
        UsageError: the environment names no address that can be used.
    """
    return LOCAL_TARGET if local else live_target(environment)


def open_workspace(
    environment: Mapping[str, str], file: Path | None = None, *, local: bool = False, engine: EngineSpec | None = None
) -> Workspace:
    """Find the home folder, without creating anything.

    Args:
        environment: where the address of the API and the home folder may be named.
        file: the pipeline file, beside which a home folder is searched for as well.
        local: take the local Krea.
        engine: what draws the images of the pipeline, if it names an engine.

    Returns:
        The API, the home folder, and what is stored there of that API.

    Raises:
        UsageError: the environment names no address that can be used. StateError: the home folder is not to be trusted.
    """
    target = with_engine(target_of(environment, local=local), engine)
    home = open_home(environment, file)
    return Workspace(target, home, open_space(home, target.space))
