"""Which pipeline files the arguments of a command mean: files, folders and patterns."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, Problem, UsageError
from krea_pipe.pipeline.pipeline_file import is_pipeline_file
from krea_pipe.pipeline.repo_paths import WILDCARD
from krea_pipe.pipeline.source import read_document
from krea_pipe.pipeline.spec import is_library

SUFFIXES = (".yaml", ".yml")
MAX_ENTRIES = 50_000
"""The maximum number of files and folders below a folder that is searched for pipelines."""


def is_one_file(arguments: Sequence[Path]) -> bool:
    """Whether arguments mean one file, with which a command works as if it took no other.

    Args:
        arguments: files, folders and patterns.

    Returns:
        False for a folder or a pattern, even if it has one file.
    """
    return len(arguments) == 1 and not arguments[0].is_dir() and not _is_pattern(arguments[0])


def pipeline_files(arguments: Sequence[Path], *, with_libraries: bool = False) -> list[Path]:
    """The pipeline files that arguments mean, each once, in the order of the arguments.

    Args:
        arguments: files, folders, and patterns that no shell has expanded. Of a folder, all pipelines below it are
            meant, those in hidden folders excepted.
        with_libraries: also return files without stages, which other files use.

    Returns:
        The files. Libraries are left out unless one is the only file.

    Raises:
        UsageError: a folder or a pattern has no pipeline, or a folder has too many files.
    """
    found = dict[Path, Path]()
    for argument in arguments:
        files = list(_files_of(argument))
        if not files:
            what = "no file matches" if _is_pattern(argument) else "there is no pipeline in"
            hint = "specify a file, a folder or a pattern"
            raise UsageError(Problem("no_such_file", f"{what} {argument}", hint=hint))
        found.update((file.absolute(), file) for file in files)
    if with_libraries or len(found) == 1:
        return list(found.values())
    return [file for file in found.values() if not _is_library(file)] or list(found.values())


def _files_of(argument: Path) -> Iterator[Path]:
    if argument.is_dir():
        yield from (file for file in _below(argument) if is_pipeline_file(file))
    elif _is_pattern(argument):
        matches = sorted(Path(name) for name in glob.glob(os.fspath(argument), recursive=True))  # noqa: PTH207 (absolute)
        yield from (file for file in matches if file.suffix.lower() in SUFFIXES and is_pipeline_file(file))
    else:
        yield argument


def _below(folder: Path) -> Iterator[Path]:
    seen = 0
    for place, folders, names in os.walk(folder):
        seen += 1 + len(names)
        if seen > MAX_ENTRIES:
            message = f"{folder} has more than {MAX_ENTRIES:,} files below it"
            raise UsageError(Problem("too_many", message, hint="specify the folder that has the pipelines"))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if Path(name).suffix.lower() in SUFFIXES)


def _is_pattern(argument: Path) -> bool:
    return WILDCARD.search(os.fspath(argument)) is not None and not argument.exists()


def _is_library(file: Path) -> bool:
    try:
        return is_library(read_document(file).data)
    except InvalidInput:
        return False
