"""The files that a pipeline reads, as a cluster gives them to other machines, without the home folder and images."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from krea_pipe.app import flow
from krea_pipe.app.shard_task import ShardTask, write_files
from krea_pipe.core.errors import KreaPipeError, Problem, StateError, UsageError
from krea_pipe.core.user_paths import user_settings_file
from krea_pipe.pipeline.input_files import inputs_of
from krea_pipe.pipeline.spec import Loaded, Overrides

_MOST_BYTES = 1 << 30
"""Bytes of all files together."""
_SETTINGS = "settings/krea-pipe/settings.yaml"
_ROOT = "project"


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """Files by their path below a root, the working folder there, and folders that have to exist."""

    files: Mapping[str, bytes]
    folder: str
    folders: tuple[str, ...] = ()


def from_here(file: Path) -> str:
    """A path as seen from the working folder, which is the same on every machine.

    Args:
        file: a path here.

    Returns:
        The relative path of the same file.
    """
    return os.path.relpath(file.absolute(), Path.cwd())


def collect_files(
    loaded: Loaded, overrides: Overrides, named: Iterable[Path], environment: Mapping[str, str]
) -> ShardFiles:
    """Read the files that a pipeline reads.

    Args:
        loaded: the pipeline, of which all cells have been made.
        overrides: its overrides.
        named: further files that the command names; those that do not exist are left out.
        environment: where the user's settings are.

    Returns:
        The files.

    Raises:
        StateError: one cannot be read. UsageError: they are too large to be sent.
    """
    pipeline = loaded.pipeline
    wanted = {pipeline.document.file.absolute(), *inputs_of(pipeline, loaded.fingerprints)}
    wanted |= {file.absolute() for file in overrides.var_files}
    wanted |= {file.absolute() for file in named if file.exists()}
    here, git = Path.cwd(), pipeline.root / ".git"
    root = Path(os.path.commonpath([here, *(file.parent for file in wanted), *([git.parent] if git.exists() else [])]))

    def below(path: Path) -> str:
        return f"{_ROOT}/{path.relative_to(root).as_posix()}"

    files = {below(file): _read(file) for file in sorted(wanted)}
    settings = user_settings_file(environment)
    if settings is not None and settings.is_file():
        files[_SETTINGS] = _read(settings)
    size = sum(map(len, files.values()))
    if size > _MOST_BYTES:
        message = f"the files of the pipeline total {size / 1e6:,.0f} MB; the maximum is {_MOST_BYTES / 1e6:,.0f} MB"
        raise UsageError(Problem("too_large", message, hint="use --shard on machines that have the files"))
    return ShardFiles(files, below(here), (below(git),) if git.exists() else ())


def check_shard_files(found: ShardFiles, loaded: Loaded, overrides: Overrides, max_cells: int) -> None:
    """Check that the files alone produce the same requests, before another machine pays for different ones.

    Args:
        found: the files.
        loaded: the pipeline that they are of.
        overrides: its overrides.
        max_cells: refuse a matrix with more cells.

    Raises:
        UsageError: they do not.
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_files(ShardTask("", "", (), found.folder, found.files, found.folders), root)
        place = root / found.folder
        moved = replace(overrides, var_files=tuple(place / from_here(file) for file in overrides.var_files))
        try:
            copy = flow.load_pipeline(place / from_here(loaded.pipeline.document.file), moved)
            there = [(cell.id, key) for cell, key in flow.cells(copy, max_cells=max_cells)]
        except KreaPipeError as error:
            raise _incomplete(str(error.problems[0]).replace(str(place), ".")) from error
    if there != [(cell.id, key) for cell, key in flow.cells(loaded, max_cells=max_cells)]:
        raise _incomplete("they produce different requests")


def _incomplete(why: str) -> KreaPipeError:
    message = f"the pipeline would not work on another machine with only the files it reads: {why}"
    return UsageError(Problem("not_portable", message, hint="replace links with the files themselves"))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StateError(Problem("unreadable", f"cannot read {file}: {error.strerror}")) from error
