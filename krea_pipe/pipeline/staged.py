"""Which pipelines a commit is about: those that are staged, and those that read a file that is staged or deleted."""

import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.git import GitFailed, ask
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.pipeline_file import looks_like_pipeline, pipeline_data

READ_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".csv", ".tsv", ".txt"))
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Index:
    """A repository's folder, the YAML files that git tracks there, and the names that are staged, deleted ones too.

    `deleted` are those that the commit removes, though they may still lie in the work tree. `former` are the YAML files
    of the commit that were pipelines before it.
    """

    top: Path
    yaml_names: tuple[str, ...]
    staged: frozenset[str]
    deleted: frozenset[str]
    former: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tracked file that is a pipeline, by its name below the repository's folder, and patterns of what it names."""

    name: str
    file: Path
    patterns: tuple[str, ...]

    def names(self, other: str) -> bool:
        """Whether a path or a glob of the file, its templates filled in by anything, may mean another file."""
        return any(fnmatchcase(other, pattern) for pattern in self.patterns)


def read_index(folder: Path, environment: Mapping[str, str]) -> Index:
    """The files that git has staged around a folder.

    Raises:
        UsageError: it is in no repository, or git cannot tell.
    """
    top = Path(_git(folder, environment, "rev-parse", "--show-toplevel").removesuffix("\n"))
    staged = _git(top, environment, "diff", "--cached", "--name-only", "-z", "--no-renames")
    deleted = _git(top, environment, "diff", "--cached", "--name-only", "-z", "--no-renames", "--diff-filter=D")
    tracked = _git(top, environment, "ls-files", "-z", "--", ":(icase)*.yaml", ":(icase)*.yml")
    names, changed = tuple(dict.fromkeys(_names(tracked))), frozenset(_names(staged))
    former = frozenset(name for name in names if name in changed and _was_pipeline(top, name, environment))
    return Index(top, names, changed, frozenset(_names(deleted)), former)


def find_pipelines(index: Index) -> list[Candidate]:
    """The tracked YAML files that are pipelines, also those whose YAML is broken; links are left to their targets."""
    files = ((name, index.top / name) for name in index.yaml_names)
    return [
        Candidate(name, file, tuple(_patterns(name, data)))
        for name, file in files
        if file.is_file() and not file.is_symlink()
        for data in pipeline_data(file, is_former=name in index.former)
    ]


def may_be_read(name: str, pipelines: Sequence[Candidate]) -> bool:
    """Whether pipelines may read a file: it is an image or a table by its name, or one of them names it."""
    return PurePosixPath(name).suffix.lower() in READ_SUFFIXES or any(one.names(name) for one in pipelines)


def _was_pipeline(top: Path, name: str, environment: Mapping[str, str]) -> bool:
    """Whether the last commit has a pipeline of this name."""
    try:
        text = ask(top, environment, "cat-file", "-p", f"HEAD:{name}").decode(errors="replace")
    except GitFailed:  # there is no such file, or no commit
        return False
    return looks_like_pipeline(text)


def _patterns(name: str, data: Json) -> Iterator[str]:
    """The repository paths that the texts of a pipeline may refer to."""
    folder = posixpath.dirname(name)
    for text in _texts(data):
        wild = _TEMPLATE.sub("*", text) if "{" in text else text
        if text == wild or re.search(r"\w", wild):
            yield posixpath.normpath(posixpath.join(folder, wild))


def _texts(data: Json) -> Iterator[str]:
    """Every text of a pipeline except the paths of its own images."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, one in data.items():
            yield from () if key == "out" else _texts(one)
    elif isinstance(data, list):
        for one in data:
            yield from _texts(one)


def _names(listed: str) -> list[str]:
    return [name for name in listed.split("\0") if name]


def _git(folder: Path, environment: Mapping[str, str], *words: str) -> str:
    index = environment.get("GIT_INDEX_FILE")  # `git commit -a` tells its hooks by it which index is its own
    try:
        return os.fsdecode(ask(folder, environment, *words, index=Path(index).absolute() if index else None))
    except GitFailed as error:
        hint = "run it inside a git repository, or specify the FILEs instead of --staged"
        outside = "not a git repository" in str(error)
        message = f"{folder.absolute()} is not in a git repository" if outside else str(error)
        raise UsageError(Problem("git_failed", message, hint=hint)) from error
