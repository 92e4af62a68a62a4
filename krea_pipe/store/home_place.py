"""Finds the home folder from the pipeline file, so that it is the same from every working folder.

Linked work trees of a git repository share the home folder of the main one. Earlier versions looked in the working
folder first, and in each work tree for itself: what they have made is found by `other_homes`.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.core.user_paths import expanded_path
from krea_pipe.core.worktree import main_worktree, repository

HOME_NAME = ".krea-pipe"
HOME_VARIABLE = "KREA_PIPE_HOME"


@dataclass(frozen=True, slots=True)
class _Tree:
    """A folder and the top of its git repository; outside of one both are the same."""

    folder: Path
    top: Path

    def places(self) -> Iterator[Path]:
        """The possible home folders, nearest first."""
        above = [self.folder, *self.folder.parents]
        yield from (one / HOME_NAME for one in above[: above.index(self.top) + 1])


def find_home(environment: Mapping[str, str], file: Path | None = None) -> Path:
    """The home folder: KREA_PIPE_HOME, the nearest `.krea-pipe`, or the place for a new one.

    It is searched for from the folder of the pipeline file upwards to the top of its git repository. A new one is made
    at that top, outside of git beside the file. Without a file, the working folder counts in its place.

    Args:
        environment: Where KREA_PIPE_HOME may be set.
        file: The pipeline file, if there is one.

    Returns:
        The path of the folder, which need not be there; relative when it is in the working folder.

    Raises:
        UsageError: KREA_PIPE_HOME begins with the name of a user who does not exist.
    """
    named = environment.get(HOME_VARIABLE)
    if named:
        return expanded_path(named, environment, HOME_VARIABLE)
    here = Path.cwd()
    own = _tree(here if file is None else file.resolve().parent)
    tree = _shared(own) or own
    new = tree.folder if file is None and tree is own else tree.top
    home = next((one for one in tree.places() if _exists(one)), new / HOME_NAME)
    return Path(HOME_NAME) if home.parent == here else home


def other_homes(environment: Mapping[str, str], file: Path) -> list[Path]:
    """Further home folders that may hold images of a pipeline file, because earlier versions would have used them.

    Args:
        environment: Where KREA_PIPE_HOME may be set: if it is set, there are no others, because the user has chosen.
        file: The pipeline file.

    Returns:
        The paths of those that exist, the nearest to the file first.
    """
    if environment.get(HOME_VARIABLE):
        return []
    home, found = find_home(environment, file), dict[str, Path]()
    for own in (_tree(file.resolve().parent), _tree(Path.cwd())):
        for tree in filter(None, (own, _shared(own))):
            found |= {os.path.realpath(one): one for one in tree.places() if _exists(one)}
    found.pop(os.path.realpath(home), None)
    return list(found.values())


def _tree(folder: Path) -> _Tree:
    return _Tree(folder, repository(folder) or folder)


def _shared(tree: _Tree) -> _Tree | None:
    """The same folder in the main work tree; None for a folder that is in no linked one."""
    main = main_worktree(tree.top)
    return None if main is None else _Tree(main / tree.folder.relative_to(tree.top), main)


def _exists(home: Path) -> bool:
    return home.is_dir() or home.is_symlink()
