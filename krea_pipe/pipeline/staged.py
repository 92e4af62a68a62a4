"""Which pipelines a commit is about: those that are staged, and those that read a file that is staged or deleted."""

import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from krea_pipe.core.errors import InvalidInput, Problem, UsageError
from krea_pipe.core.git import GitFailed, ask
from krea_pipe.core.json_data import Json
from krea_pipe.core.near_names import closest
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.pipeline.nodes import Node
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.repo_paths import Unusable, files_of
from krea_pipe.pipeline.source import read_document
from krea_pipe.pipeline.spec.generated import FILE_KINDS
from krea_pipe.pipeline.spec.image_checks import command_files

SHAPES = {"prompt": str, "prompts": dict, "stages": dict}
OWN_KEYS = frozenset(
    (
        *("prompt", "prompts", "matrix", "vars", "budget", "prices", "references", "moodboards", "styles"),
        *("takes", "look", "looks", "axes", "patch"),
    )
)
"""The keys at the top of a pipeline that files of other tools hardly have."""
READ_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".csv", ".tsv", ".txt"))
_NO_PIPELINE = object()
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_BROKEN = (
    re.compile(r"^version[ \t]*:[ \t]*1[ \t]*(#.*)?\r?$", re.MULTILINE),
    re.compile(r"^[ \t]*prompts?[ \t]*:", re.MULTILINE),
)


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
        for data in _pipeline_data(file, is_former=name in index.former)
    ]


def is_pipeline_file(file: Path) -> bool:
    """Whether a YAML file is a pipeline or a library of one, also if it cannot be parsed."""
    return next(_pipeline_data(file, is_former=False), _NO_PIPELINE) is not _NO_PIPELINE


def may_be_read(name: str, pipelines: Sequence[Candidate]) -> bool:
    """Whether pipelines may read a file: it is an image or a table by its name, or one of them names it."""
    return PurePosixPath(name).suffix.lower() in READ_SUFFIXES or any(one.names(name) for one in pipelines)


def inputs_of(pipeline: Pipeline, fingerprints: Fingerprints) -> set[Path]:
    """List the files that a pipeline reads besides itself.

    Args:
        pipeline: the pipeline.
        fingerprints: its images; those that templates name are among them only after its cells were made.

    Returns:
        Images, picks files, tables and the programs of checks, as resolved paths.
    """
    images = {image.file for found in fingerprints.by_text.values() for image in found if image.file}
    picks = {stage.upstream.file.resolve() for stage in pipeline.stages if stage.upstream and stage.upstream.file}
    used = {one.file.resolve() for one in pipeline.document.used}
    checks = [check for stage in pipeline.stages for check in stage.checks]
    programs = {file for check in checks for _, file in command_files(check) if file.is_relative_to(pipeline.root)}
    return images | picks | used | programs | set(_tables(pipeline.document.root, pipeline))


def _tables(node: Node, pipeline: Pipeline) -> Iterator[Path]:
    """The files that axes take their values from."""
    for key, one in node.children.items():
        is_named = key in FILE_KINDS and isinstance(one.data, str)
        yield from _named_table(one, pipeline) if is_named else _tables(one, pipeline)


def _named_table(node: Node, pipeline: Pipeline) -> list[Path]:
    try:
        return files_of(str(node.data), pipeline.document.folder_at(node.start), pipeline.root)
    except Unusable:
        return []  # a variable of that name


def _was_pipeline(top: Path, name: str, environment: Mapping[str, str]) -> bool:
    """Whether the last commit has a pipeline of this name."""
    try:
        text = ask(top, environment, "cat-file", "-p", f"HEAD:{name}").decode(errors="replace")
    except GitFailed:  # there is no such file, or no commit
        return False
    return all(sign.search(text) for sign in _BROKEN)


def _pipeline_data(file: Path, *, is_former: bool) -> Iterator[Json]:
    """The data of a file that is a pipeline; None when it is meant to be one and cannot be parsed."""
    try:
        text = file.read_bytes().decode(errors="replace")
    except OSError:
        return
    if not is_former and not any(key in text for key in ("version", *OWN_KEYS, *SHAPES)):
        return
    try:
        data = read_document(file).data
    except InvalidInput:
        if is_former or all(sign.search(text) for sign in _BROKEN):
            yield None
        return
    if is_former or (isinstance(data, dict) and _is_pipeline(data)):
        yield data


def _is_pipeline(data: dict[str, Json]) -> bool:
    """Whether a mapping has two keys of a pipeline; with another version than ours, or none, only keys of our own.

    CI systems have files with a `version` and a list of `stages`, and package files a `name` and a `version`.
    """
    if data.get("version") == 1 and isinstance(data["version"], int) and not isinstance(data["version"], bool):
        known = ("name", *SHAPES, *OWN_KEYS)
        return any(key in data for key in known) or any(closest(key, known) for key in data if key != "version")
    if len(OWN_KEYS & data.keys()) > 1:
        return True
    return "version" in data and any(isinstance(data.get(key), kind) for key, kind in SHAPES.items())


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
