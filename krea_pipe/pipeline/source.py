"""A file's bytes become data with a place for every node."""

import hashlib
import os
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NoReturn, TypeAlias

from krea_pipe.core.errors import InvalidInput, Place, Problem, whole_file
from krea_pipe.core.excerpts import LineIndex
from krea_pipe.core.json_data import CONTROL_CHARACTERS, Json
from krea_pipe.core.merge_conflicts import conflict_in
from krea_pipe.core.unreadable import unreadable_file
from krea_pipe.pipeline.nodes import MAX_NODES, Node, collect_nodes
from krea_pipe.pipeline.template import NO_FILES, TemplateFiles

Trail: TypeAlias = tuple[str | int, ...]

MAX_PIPELINE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class UsedFile:
    """A file with parts of a document: the start and end of a node in it count from `first` on."""

    file: Path
    text: str
    first: int
    name: str = ""
    """The name under which templates include it."""
    lines: LineIndex = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", LineIndex(self.file, self.text))


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML file: data, places for pointing at any part of it, its bytes' SHA-256, broken loading rules."""

    file: Path
    text: str
    root: Node
    digest: str
    problems: tuple[Problem, ...] = ()
    overlays: tuple[Place, ...] = ()
    """The sources of overriding values: a node that begins at -1 is from the first of them."""
    tables: dict[Trail, tuple[str, Sequence[int]]] = field(default_factory=dict, compare=False, repr=False)
    """For each axis that a table gives, the file and the line of each row."""
    used: tuple["UsedFile", ...] = ()
    """The files that have parts of this document, in the order of their characters."""
    templates: TemplateFiles = NO_FILES
    """The templates that its templates can include; paths count from its folder."""
    lines: LineIndex = field(init=False, compare=False, repr=False)
    first: ClassVar[int] = 0
    """Its own characters come before those of used files."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", LineIndex(self.file, self.text))

    @property
    def data(self) -> Json:
        """The whole file as plain JSON data."""
        return self.root.data

    @property
    def files(self) -> tuple["Document | UsedFile", ...]:
        """The file itself, and those that it uses."""
        return (self, *self.used)

    def value(self, trail: Trail) -> Json:
        """The data at a trail of keys and indexes, or at its nearest existing ancestor."""
        return self._node(trail).data

    def spelled(self, trail: Trail, data: Json) -> Json:
        """Data at a trail, with values that remember how they are written where the file has it just so."""
        node = self._node(trail)
        return data if node.spelled is None or node.data != data else node.spelled

    def place(self, trail: Trail = ()) -> Place:
        """The place of the value at a trail of keys and indexes, or its nearest existing ancestor."""
        return self.place_at(self._node(trail).start)

    def key_place(self, trail: Trail) -> Place:
        """The place of the key that ends a trail; for a list item, the item."""
        start = self._node(trail[:-1]).keys.get(str(trail[-1])) if trail else None
        return self.place(trail) if start is None else self.place_at(start)

    def has_anchor(self, trail: Trail) -> bool:
        """Whether the value at a trail can be the target of aliases."""
        start = self._node(trail).start
        return start >= 0 and self.holder(start).text.startswith("&", start - self.holder(start).first)

    def is_used(self, trail: Trail) -> bool:
        """Whether the value at a trail comes from a used file."""
        start = self._node(trail).start
        return start >= 0 and self.holder(start).first > 0

    def folder(self, trail: Trail) -> Path:
        """The resolved folder that the path at a trail counts from: that of the file that contains it."""
        return self.folder_at(self._node(trail).start)

    def folder_at(self, start: int) -> Path:
        """The resolved folder of the file with a character, counted over all files of the document."""
        holder = self.holder(start).file if self.used and start >= 0 else self.file
        return holder.resolve().parent

    def row_of(self, trail: Trail) -> str:
        """Which row and column of a table a trail leads into, as a message says it; nothing where there is no table."""
        for count in range(1, len(trail)):
            table, row = self.tables.get(trail[:count]), trail[count]
            if table is not None and isinstance(row, int):
                column = f", column `{trail[count + 1]}`" if len(trail) > count + 1 else ""
                return f" (line {table[1][row]} of {table[0]}{column})"
        return ""

    def word_place(self, trail: Trail, word: str, within: str = "") -> Place:
        """The first place of a word in the value at a trail, or in the text `within` it; else the value itself."""
        node = self._node(trail)
        if node.start < 0:
            return self.place_at(node.start)
        holder = self.holder(node.start)
        start, end = node.start - holder.first, max(node.end, node.start) - holder.first
        around = holder.text.find(within, start, end) if within else -1
        if around >= 0:
            return holder.lines.place(around + max(within.find(word), 0))
        included = self.templates.all_in(node.data) if isinstance(node.data, str) else ()
        others = ((one, 0, len(one.text)) for one in self.used if one.name in included)
        for file, first, last in ((holder, start, end), *others):
            index = _word_index(word, file.text, first, last)
            if index >= 0:
                return file.lines.place(index)
        return holder.lines.place(start)

    def place_at(self, start: int) -> Place:
        """The place of a character, counted over all files of the document."""
        if start < 0:
            return self.overlays[-start - 1]
        holder = self.holder(start)
        return holder.lines.place(start - holder.first)

    def holder(self, start: int) -> "Document | UsedFile":
        """The file that has a character, counted over all files of the document."""
        number = bisect_right(self.used, start, key=lambda one: one.first)
        return self.used[number - 1] if number else self

    def _node(self, trail: Trail) -> Node:
        node = self.root
        for step in trail:
            child = node.children.get(step)
            if child is None:
                break
            node = child
        return node


def _word_index(word: str, text: str, start: int, end: int) -> int:
    """The first index of a word in a part of a text; -1 if it is not there.

    A name is searched for before a field of that name: in `{{ text.text }}` the first is the name.
    """
    for before in (r"(?<![\w.])", r"(?<!\w)"):
        found = re.compile(rf"{before}{re.escape(word)}(?!\w)").search(text, start, end)
        if found:
            return found.start()
    return -1


def read_document(file: Path, most: int = MAX_NODES, edited: bytes | None = None) -> Document:
    """Read and parse one YAML file, which has at most `most` values; `edited` is what it is going to contain.

    Raises:
        InvalidInput: the file cannot be read, is not UTF-8 text, has a merge conflict, or breaks a loading rule.
    """
    check_inside(file)
    raw = _read_bytes(file) if edited is None else edited
    text = _decode(file, raw.removeprefix(b"\xef\xbb\xbf"))
    if conflict := conflict_in(file, text):
        raise InvalidInput(conflict)
    root, problems = collect_nodes(file, text, most)
    return Document(file, text, root, hashlib.sha256(raw).hexdigest(), tuple(problems))


def check_inside(file: Path) -> None:
    """Refuse a file that a link leads out of its repository: error messages quote lines of files.

    Raises:
        InvalidInput: it does; its target is not read.
    """
    try:
        here = Path(os.path.abspath(file))  # noqa: PTH100 (links stay as they are written)
        top = next((one.resolve() for one in here.parents if (one / ".git").exists()), None)
        inside = top is None or file.resolve().is_relative_to(top)
    except (OSError, ValueError, RuntimeError) as error:
        _fail("file_unreadable", f"cannot access the file: {error}", whole_file(file))
    if not inside:
        hint = (
            "replace the link with the file; links must stay inside, so that a pull request cannot expose other files"
        )
        _fail("file_outside", "this link leads outside its repository", whole_file(file), hint)


def _read_bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_PIPELINE_BYTES + 1)  # no more, because a device has no end
    except OSError as error:
        raise InvalidInput(unreadable_file(file, error)) from error
    if len(raw) > MAX_PIPELINE_BYTES:
        _fail("file_too_large", f"a pipeline file can have at most {MAX_PIPELINE_BYTES:,} bytes", whole_file(file))
    return raw


def _decode(file: Path, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        _not_text(file, raw, error.start)
    control = CONTROL_CHARACTERS.search(text)
    if control:
        _not_text(file, raw, len(text[: control.start()].encode()))
    return text


def _not_text(file: Path, raw: bytes, offset: int) -> NoReturn:
    before = raw[:offset]
    at = Place(file, before.count(b"\n") + 1, offset - before.rfind(b"\n"))
    code = "binary_file" if b"\0" in raw[:8192] else "not_utf8"
    what = "a binary file" if code == "binary_file" else "not valid UTF-8 text"
    message = f"this is {what}: byte 0x{raw[offset]:02x} at offset {offset}"
    _fail(code, message, at, "a pipeline is a YAML file, saved as UTF-8")


def _fail(code: str, message: str, at: Place, hint: str | None = None) -> NoReturn:
    raise InvalidInput(Problem(code, message, at, hint))
