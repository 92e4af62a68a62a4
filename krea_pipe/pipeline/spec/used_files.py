"""Definitions of other files: what `use:` names, merged below the definitions of the file itself.

Nodes are merged, not data, so that each value still knows its place and the folder that its paths count from.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from krea_pipe.core.engine import ENGINE
from krea_pipe.core.errors import InvalidInput, Place, Problem
from krea_pipe.core.fields import LIST_FIELDS, NAMED_OR_USED, STAGE_KEYS
from krea_pipe.core.json_data import Json
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.pipeline.nodes import MAX_NODES, Node, spelled_data
from krea_pipe.pipeline.repo_paths import Unusable, files_of
from krea_pipe.pipeline.source import Document, Trail, UsedFile, read_document
from krea_pipe.pipeline.spec.schema import top_keys

USE = "use"
SECTIONS = ("vars", ENGINE, "defaults", "prompts", *LIST_FIELDS, "looks", "axes", "checks", "deliver", "profiles")
"""The keys of a used file whose definitions are merged."""
MAX_USE_DEPTH = 8
MAX_USED_FILES = 50

_HINT = "paths under `use` count from the file that contains them"


def is_library(data: Json) -> bool:
    """Whether the data of a file only defines names for other files: it has no stages, and nothing of a stage."""
    if not isinstance(data, dict) or any(key in data for key in (*STAGE_KEYS, "stages")):
        return False
    lists = any(isinstance(data.get(kind), list) for kind in NAMED_OR_USED)  # what a single stage uses
    return not lists and any(key in data for key in (USE, *SECTIONS))


def with_used_files(document: Document, root: Path) -> Document:
    """Merge the definitions of the files that a document uses.

    Args:
        document: the pipeline file.
        root: the folder that no used file may leave, resolved.

    Returns:
        The document with the definitions of these files below its own; itself if it uses none.

    Raises:
        InvalidInput: a file cannot be used.
    """
    if USE not in document.root.keys:
        return document
    reader = _Reader(root, len(document.text) + 1)
    reader.read(document, (document.file.resolve(),))
    reader.problems.check()
    found = reader.definitions
    return replace(
        document,
        root=_merged(document.root, found, reader.unknown),
        used=tuple(reader.files),
        problems=(*document.problems, *reader.loading),
    )


@dataclass(slots=True, eq=False)
class _Reader:
    """Reads used files depth first: a file's definitions follow those of the files that it uses.

    `first` is where the characters of the next file begin. `unknown` are keys of used files that no pipeline has;
    merged, they are refused like those of the pipeline file. `loading` are broken loading rules of used files.
    """

    root: Path
    first: int
    problems: ProblemList = field(default_factory=ProblemList)
    files: list[UsedFile] = field(default_factory=list)
    known: set[Path] = field(default_factory=set)
    definitions: dict[str, Node] = field(default_factory=dict)
    unknown: dict[str, tuple[int, Node]] = field(default_factory=dict)
    loading: list[Problem] = field(default_factory=list)
    size: int = 0

    def read(self, document: Document, above: tuple[Path, ...]) -> None:
        """Read the files that a document uses; `above` are the resolved files that lead to it, itself last."""
        for trail, text in _paths(document.value((USE,))):
            at = document.place(trail)
            try:
                files = files_of(text, above[-1].parent, self.root)
            except Unusable as error:
                hint = _outside_hint(self.root) if error.code == "reference_outside" else error.hint or _HINT
                self.problems.note(Problem(error.code, str(error), at, hint))
                continue
            for file in files:
                self._take(file, above, _shown(document.file, above[-1], file), at)

    def _take(self, file: Path, above: tuple[Path, ...], shown: Path, at: Place) -> None:
        if file in above:
            circle = [*above[above.index(file) :], file]
            message = f"the files use each other: {' → '.join(one.name for one in circle)}"
            self.problems.note(Problem("use_cycle", message, at, "a file cannot use a file that uses it"))
        elif file not in self.known:
            self._check_limits(above, at)
            self.known.add(file)
            self._add(read_document(shown), (*above, file))

    def _check_limits(self, above: tuple[Path, ...], at: Place) -> None:
        if len(above) > MAX_USE_DEPTH:
            message = f"files use each other more than {MAX_USE_DEPTH} levels deep"
            self.problems.note(Problem("too_many", message, at, "use the last of these files directly"))
            self.problems.check()
        if len(self.known) >= MAX_USED_FILES:
            message = f"a pipeline can use at most {MAX_USED_FILES} files"
            self.problems.note(Problem("too_many", message, at, "combine some of them"))
            self.problems.check()

    def _add(self, document: Document, above: tuple[Path, ...]) -> None:
        self._check(document)
        self.size += document.root.size
        if self.size > MAX_NODES:
            message = f"the used files expand to more than {MAX_NODES:,} values"
            self.problems.note(Problem("alias_bomb", message, document.place(), "use fewer of them"))
            self.problems.check()
        first, self.first = self.first, self.first + len(document.text) + 1
        self.files.append(UsedFile(document.file, document.text, first))
        self.read(document, above)
        self.loading += document.problems
        known = {*top_keys()}
        for name, node in document.root.children.items():
            key = str(name)
            if key in SECTIONS and isinstance(node.data, dict):
                moved = _moved(node, first)
                self.definitions[key] = _with_names(self.definitions.get(key), moved)
            elif key not in known and not key.startswith("x-"):
                self.unknown.setdefault(key, (document.root.keys[key] + first, _moved(node, first)))

    def _check(self, document: Document) -> None:
        """Refuse a file that is not of our format at all; everything else is checked after merging."""
        data = document.data
        if not isinstance(data, dict):
            message = "a used file must be a mapping with definitions"
            raise InvalidInput(Problem("wrong_type", message, document.place(), "write `version: 1` at its top"))
        if data.get("version") != 1 or isinstance(data["version"], bool):
            at = document.place(("version",)) if "version" in data else document.place()
            self.problems.note(Problem("bad_version", "a used file must have `version: 1`", at))


def _outside_hint(root: Path) -> str:
    """What to do about a file outside the folder that a pipeline must not leave."""
    if (root / ".git").exists():
        return f"used files must be inside the repository {root.name}/, and their paths are relative"
    return f"used files must be inside {root.name}/; in a git repository, they can be anywhere inside the repository"


def _paths(said: Json) -> Iterator[tuple[Trail, str]]:
    """Each path under `use`; the schema refuses anything else there."""
    items = said if isinstance(said, list) else [said]
    for index, one in enumerate(items):
        if isinstance(one, str) and one:
            yield ((USE, index) if isinstance(said, list) else (USE,)), one


def _shown(holder: Path, real: Path, file: Path) -> Path:
    """A used file as messages name it: seen from where the file that uses it is named."""
    return Path(os.path.normpath(holder.parent / os.path.relpath(file, real.parent)))


def _merged(own: Node, found: dict[str, Node], unknown: dict[str, tuple[int, Node]]) -> Node:
    """The root of a file with the definitions of used files, and with their unknown keys."""
    children, keys = dict(own.children), dict(own.keys)
    for name, (start, node) in unknown.items():
        children.setdefault(name, node)
        keys.setdefault(name, start)
    if "stages" not in children:
        _move_lists(children, found)
    for name, node in found.items():
        mine = children.get(name)
        if mine is None or name != ENGINE:  # an engine takes nothing from another one
            children[name] = node if mine is None else _with_names(node, mine)
        keys.setdefault(name, node.start)
    profiles = children.get("profiles")
    if "stages" not in children and profiles is not None and isinstance(profiles.data, dict):
        moved = {name: _profile(node, found) for name, node in profiles.children.items()}
        children["profiles"] = _mapping(profiles, moved, profiles.keys)
    return _mapping(own, children, keys)


def _move_lists(children: dict[str | int, Node], found: dict[str, Node]) -> None:
    """Move the lists of a file with one stage to its defaults, where names are defined under the same key."""
    for kind in (*LIST_FIELDS, "checks", "deliver"):
        node = children.get(kind)
        if kind in found and node is not None and isinstance(node.data, list):
            del children[kind]
            own = children.get("defaults", Node({}, node.start, node.end))
            children["defaults"] = _mapping(own, {kind: node, **own.children}, {kind: node.start, **own.keys})


def _profile(node: Node, found: dict[str, Node]) -> Node:
    if not isinstance(node.data, dict):
        return node
    children = dict(node.children)
    _move_lists(children, found)
    return _mapping(node, children, node.keys)


def _with_names(low: Node | None, high: Node) -> Node:
    """Two mappings of definitions as one, in which a name of the second replaces that of the first as a whole."""
    if low is None or not isinstance(high.data, dict):
        return high
    return _mapping(high, {**low.children, **high.children}, {**low.keys, **high.keys})


def _mapping(node: Node, children: dict[str | int, Node], keys: dict[str, int]) -> Node:
    data: Json = {str(key): one.data for key, one in children.items()}
    size = node.size + sum(one.size for one in children.values())
    return Node(data, node.start, node.end, children, keys, size, spelled_data(data, children))


def _moved(node: Node, first: int) -> Node:
    """A node whose characters count from another one."""
    children = {key: _moved(one, first) for key, one in node.children.items()}
    keys = {key: start + first for key, start in node.keys.items()}
    return Node(node.data, node.start + first, node.end + first, children, keys, node.size, node.spelled, node.height)
