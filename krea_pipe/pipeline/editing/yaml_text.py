"""A YAML text that is edited: the places of its parts, and values written on one line.

An edit adds its lines and leaves every other byte alone. So the places come from the events of the parser that loads
pipelines, whose marks are exact for what a line-based edit needs: where a value's own text ends, before the comments
and blank lines that follow it. ruamel.yaml is used here and nowhere else, and on one value at a time: a round trip of a
whole file may change its layout (indented lists, spaces before comments and in brackets, line ends) and takes about ten
seconds for each megabyte.
"""

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from krea_pipe.core.errors import InvalidInput, Problem, UsageError, whole_file
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.nodes import build_nodes
from krea_pipe.pipeline.syntax import mark_index

_SpanKind: TypeAlias = Literal["scalar", "alias", "block", "flow"]
TextChange: TypeAlias = tuple[int, int, str]

DEFAULT_STEP = 2

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEEPING = re.compile(r"(?:[&!]\S+\s+)*[|>][1-9]?\+")
_SPACES = re.compile("[ ]*")
_DASH = re.compile(r"[ ]*-(?=[\s]|\Z)")
_AFTER_ITEM = re.compile(r"[ \t]*(,?)[ \t]*(#[^\r\n]*)?")
_ENDLESS = 1 << 30  # columns: a long text is never broken over lines


@dataclass(slots=True, eq=False)
class YamlValue:
    """One value: its span of text without what follows it, its parts by key or index, and the spans of its keys."""

    kind: _SpanKind
    start: int
    end: int
    children: "dict[str | int, YamlValue]" = field(default_factory=dict)
    keys: "dict[str, YamlValue]" = field(default_factory=dict)

    @property
    def last(self) -> "YamlValue":
        """The last of its parts."""
        return next(reversed(self.children.values()))

    @property
    def empty(self) -> bool:
        """Whether nothing is written: `key:` with no value."""
        return self.kind == "scalar" and self.start == self.end


class Layout:
    """A text that is known to follow the loading rules, and the place of each of its parts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = _read_parts(text)
        found = re.search(r"\r?\n", text)
        self.newline = found[0] if found else "\n"

    @property
    def step(self) -> int:
        """By how many columns the file indents a mapping in a mapping."""
        for part in self.root.children.values():
            if part.kind == "block" and part.keys:
                return max(1, self.indent(part) - self.indent(self.root))
        return DEFAULT_STEP

    def column(self, index: int) -> int:
        """The column of an index, from 0."""
        return index - self.line_start(index)

    def indent(self, mapping: YamlValue) -> int:
        """The column of a mapping's keys, or of the question marks before them; 0 where it has none."""
        first = next(iter(mapping.keys.values()), None)
        return self._spaces(self.line_start(first.start)) if first else 0

    def line_start(self, index: int) -> int:
        """The start of the line that contains an index."""
        return self.text.rfind("\n", 0, index) + 1

    def line_after(self, index: int) -> int:
        """The start of the next line; an index at the start of a line counts as the end of the previous line."""
        if self.text[index - 1 : index] == "\n":
            return index
        return self.text.find("\n", index) + 1 or len(self.text)

    def dash(self, item: YamlValue) -> int:
        """The place of the dash of an item, which comments may part from its value."""
        start = item.start
        while True:
            begin = self.line_start(start)
            found = _DASH.match(self.text, begin, max(start, begin))
            if found or not begin:
                return found.end() - 1 if found else item.start
            start = begin - 1

    def below(self, index: int, column: int) -> int:
        """The start of the line after an index, and after the comments that are indented to a column."""
        at = offset = self.line_after(index)
        while offset < len(self.text):
            following = self.line_after(offset + 1)
            line = self.text[offset:following].strip()
            if line and not (line.startswith("#") and self._spaces(offset) >= max(column, 1)):
                break
            offset = following
            at = offset if line else at
        return at

    def above(self, index: int) -> int:
        """The start of the line of an index, or of the comment lines directly above it."""
        start = self.line_start(index)
        while start and self.text[self.line_start(start - 1) : start].lstrip().startswith("#"):
            start = self.line_start(start - 1)
        return start

    def spaced(self, mapping: YamlValue) -> bool:
        """Whether a blank line precedes the last entry; for a single entry, whether it has several lines."""
        keys = list(mapping.keys.values())
        if len(keys) < 2:
            return "\n" in self.text[keys[-1].start : mapping.last.end].strip() if keys else False
        return self.blank_before(self.above(keys[-1].start))

    def blank_before(self, start: int) -> bool:
        """Whether the line above the one that begins here is blank."""
        return start > 0 and not self.text[self.line_start(start - 1) : start].strip()

    def lines_at(self, start: int, lines: Sequence[str], *, spaced: bool = False) -> TextChange:
        """The change that puts lines where a line begins, or under the last one."""
        blank = [""] if spaced and not self.blank_before(start) else []
        added = self.newline.join([*blank, *lines])
        if start and self.text[start - 1] != "\n":
            return start, start, self.newline + added
        return start, start, added + self.newline

    def in_flow(self, flow: YamlValue, entries: Iterable[str]) -> list[TextChange]:
        """The changes that put entries at the end of a mapping or list in brackets."""
        added = list(entries)
        if not flow.children:
            return [(flow.end - 1, flow.end - 1, ", ".join(added))]
        last, tail = flow.last, flow.end - 1
        begin = next(reversed(flow.keys.values())).start if flow.keys else last.start
        after = _AFTER_ITEM.match(self.text, last.end, tail)
        if after is None or self.text[self.line_start(begin) : begin].strip():
            return [(last.end, last.end, "".join(f", {one}" for one in added))]
        # Each entry has a line of its own, which may end in a comma and a comment.
        margin = self.newline + " " * self.column(begin)
        changes: list[TextChange] = [(last.end, last.end, "")] if after[1] else [(last.end, last.end, ",")]
        joined = f",{margin}".join(added) + after[1]
        return [*changes, (after.end(), after.end(), margin + joined)]

    def changed(self, changes: Iterable[TextChange]) -> str:
        """The text after changes that do not overlap; changes at the same place are applied in order."""
        pieces, done = [], 0
        for start, end, new in sorted(changes, key=lambda change: change[:2]):
            pieces += [self.text[done:start], new]
            done = end
        return "".join([*pieces, self.text[done:]])

    def _spaces(self, start: int) -> int:
        """The number of spaces from an index on."""
        found = _SPACES.match(self.text, start)
        return len(found[0]) if found else 0


def flow_text(value: Json) -> str:
    """A value or a mapping of values on one line, quoted where it must be."""
    # As a value in braces, because a list writes a mapping of one key without braces of its own.
    yaml, stream = YAML(), io.StringIO()
    yaml.width, yaml.default_flow_style = _ENDLESS, True
    yaml.dump({"k": _quotable(value)}, stream)
    return stream.getvalue().strip().removeprefix("{k: ").removesuffix("}")


def _quotable(value: Json) -> object:
    """Data whose texts stay on one line: in double quotes where a character would need an escape."""
    if isinstance(value, dict):
        return {key: _quotable(one) for key, one in value.items()}
    return DoubleQuotedScalarString(value) if isinstance(value, str) and not value.isprintable() else value


def split_mark(text: str) -> tuple[str, str]:
    """A byte order mark, if a text begins with one, and the rest."""
    return (text[:1], text[1:]) if text.startswith("\ufeff") else ("", text)


def holds_data(text: str, file: Path, wanted: Json) -> bool:
    """Whether a text holds exactly some data."""
    try:
        return _same(build_nodes(file, text).data, wanted)
    except InvalidInput:
        return False


def _same(one: Json, other: Json) -> bool:
    """Whether two values are equal in every part and type: 1 equals neither 1.0 nor true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


def unsafe_edit(file: Path, by_hand: Iterable[str]) -> UsageError:
    """The error for an edit that is not made, with the lines to write by hand."""
    hint = "edit it by hand:\n" + "\n".join(by_hand)
    return UsageError(Problem("unsafe_edit", "the file cannot be edited safely", whole_file(file), hint))


@dataclass(slots=True)
class _Open:
    """A mapping or list whose parts are being read."""

    part: YamlValue
    mapping: bool
    key: str | None = None

    def add(self, part: YamlValue, word: str) -> None:
        if not self.mapping:
            self.part.children[len(self.part.children)] = part
        elif self.key is None:
            self.key = word
            self.part.keys[word] = part
        else:
            self.part.children[self.key] = part
            self.key = None


def _read_parts(text: str) -> YamlValue:
    stack: list[_Open] = []
    words: dict[str, str] = {}
    root = YamlValue("scalar", 0, 0)
    for event in yaml.parse(text, Loader=_Loader):
        match event:
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                start = mark_index(event.start_mark)
                part = YamlValue("flow" if event.flow_style else "block", start, start)
                stack.append(_Open(part, isinstance(event, yaml.MappingStartEvent)))
                continue
            case yaml.ScalarEvent():
                part, word = YamlValue("scalar", mark_index(event.start_mark), _content_end(text, event)), event.value
                words[event.anchor or ""] = word
            case yaml.AliasEvent():
                part = YamlValue("alias", mark_index(event.start_mark), mark_index(event.end_mark))
                word = words.get(event.anchor or "", "")
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                part, word = stack.pop().part, ""
                part.end = mark_index(event.end_mark) if part.kind == "flow" else part.last.end
            case _:
                continue
        if stack:
            stack[-1].add(part, word)
        else:
            root = part
    return root


def _content_end(text: str, event: yaml.ScalarEvent) -> int:
    """The end of a scalar's text; blank lines after a block belong to it only with `|+`."""
    start, end = mark_index(event.start_mark), mark_index(event.end_mark)
    if event.style not in ("|", ">") or _KEEPING.match(text, start, end):
        return end
    return start + len(text[start:end].rstrip())
