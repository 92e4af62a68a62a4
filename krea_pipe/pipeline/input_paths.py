"""Which files concern a pipeline: those that it reads, and those that its texts may name once they exist."""

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

from krea_pipe.core.errors import InvalidInput
from krea_pipe.pipeline.input_files import inputs_of
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.pipeline.nodes import Node
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.source import Document, read_document

_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_WILD = re.compile(r"[*?\[]")
_MOST_FOLDERS = 1_000
"""For one pattern: what it matches beyond that is not followed."""
_LONGEST = 1_024
"""No path is longer than so many characters; a longer text is a prompt."""


@dataclass(frozen=True, slots=True)
class InputPaths:
    """Files that concern a pipeline, as resolved paths, and patterns of what its texts may name."""

    files: frozenset[Path]
    patterns: frozenset[str] = frozenset()

    def __or__(self, other: "InputPaths") -> "InputPaths":
        return InputPaths(self.files | other.files, self.patterns | other.patterns)

    def concern(self, path: Path) -> bool:
        """Whether a change of a file or folder may change the pipeline."""
        text = path.as_posix()
        if path in self.files or any(fnmatchcase(text, pattern) for pattern in self.patterns):
            return True
        above = f"{text}/"  # a folder with files that are named
        return any(one.as_posix().startswith(above) for one in self.files) or any(
            pattern.startswith(above) or fnmatchcase(above, _folder_pattern(pattern)) for pattern in self.patterns
        )

    def folders(self) -> frozenset[Path]:
        """The existing folders in which such files are, or would appear."""
        named = {_existing(one.parent) for one in self.files}
        return frozenset(named.union(*(_folders_of(pattern) for pattern in self.patterns)))


def _folder_pattern(pattern: str) -> str:
    return f"{posixpath.dirname(pattern)}/"


def _existing(folder: Path) -> Path:
    """A folder, or the nearest one above it that exists."""
    return next((one for one in (folder, *folder.parents) if one.is_dir()), folder)


def _folders_of(pattern: str) -> Iterator[Path]:
    folder = posixpath.dirname(pattern)
    fixed = _WILD.split(folder, maxsplit=1)[0]
    if fixed == folder:
        yield _existing(Path(folder))
        return
    above = _existing(Path(posixpath.dirname(fixed) or "/"))
    yield above
    inside = Path(folder).relative_to(above).as_posix()
    yield from islice((one for one in above.glob(inside) if one.is_dir()), _MOST_FOLDERS)


def input_paths(pipeline: Pipeline, fingerprints: Fingerprints) -> InputPaths:
    """The files that concern a pipeline.

    Args:
        pipeline: the pipeline.
        fingerprints: its images.

    Returns:
        The pipeline file, what it reads, and patterns of what its texts may name.
    """
    document = pipeline.document
    files = frozenset(one for one in inputs_of(pipeline, fingerprints))
    return _of_file(document.file) | InputPaths(files, frozenset(_patterns(document.root, document)))


def input_paths_of_broken(file: Path) -> InputPaths:
    """The files that concern a pipeline that cannot be loaded, as far as its text shows them."""
    try:
        document = read_document(file)
    except InvalidInput:
        return _of_file(file)
    return _of_file(file) | InputPaths(frozenset(), frozenset(_patterns(document.root, document)))


def _of_file(file: Path) -> InputPaths:
    """A file under its own name, and as the file that a link leads to."""
    return InputPaths(frozenset({Path(os.path.abspath(file)), file.resolve()}))  # noqa: PTH100 (keeps links)


def _patterns(node: Node, document: Document) -> Iterator[str]:
    if isinstance(node.data, str):
        yield from _pattern(node.data, node.start, document)
    for one in node.children.values():
        yield from _patterns(one, document)


def _pattern(text: str, start: int, document: Document) -> Iterator[str]:
    """The path that a text may be, with anything for its templates."""
    if len(text) > _LONGEST or "\n" in text.strip():
        return
    wild = _TEMPLATE.sub("*", text) if "{" in text else text
    if re.search(r"\w", wild):
        yield posixpath.normpath(posixpath.join(document.folder_at(start).as_posix(), wild))
