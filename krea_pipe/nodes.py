"""YAML text becomes nodes: data with the span that each part came from.

YAML 1.2 core scalars on PyYAML's event stream: `16:9`, `no`, `on` and `010` stay text. Built from events, not
with a loader, because libyaml's composer crashes on 50,000 nested brackets and loaders drop repeated keys.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeAlias

import yaml

from krea_pipe.errors import InvalidInput, Place, Problem

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_DEPTH = 64
MAX_NODES = 200_000

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,29})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True, eq=False)
class Node:
    """One YAML node: its data, the span of text it came from, its children by key or index, its keys."""

    data: Json
    start: int
    end: int
    children: "dict[str | int, Node]" = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    size: int = 1


def build_nodes(file: Path, text: str) -> Node:
    """Parse one YAML document into its root node.

    Raises:
        InvalidInput: the text is not YAML, or breaks a loading rule of the language.
    """
    return _Builder(file, text).build()


def place_at(file: Path, text: str, index: int) -> Place:
    """The line and column of a character index."""
    start = text.rfind("\n", 0, index) + 1
    end = text.find("\n", index)
    line = text[start : end if end >= 0 else len(text)].rstrip("\r")
    return Place(file, text.count("\n", 0, index) + 1, index - start + 1, line)


def resolve_scalar(text: str) -> Json:
    """Type a plain scalar by the YAML 1.2 core rules that this language keeps.

    Raises:
        ValueError: the number is not finite.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{text} is too large for a number")
        return number
    return text


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being filled."""

    node: Node
    anchor: str | None
    key: str | None = None


class _Builder:
    """Turns the parser's events into nodes without recursion, so that depth can not overflow a stack."""

    def __init__(self, file: Path, text: str) -> None:
        self.file, self.text = file, text
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node | None] = {}
        self.root: Node | None = None
        self.documents = 0

    def build(self) -> Node:
        for event in self._events():
            self._take(event)
        if self.root is None or self.root.data is None:
            self._fail("empty_file", "the file is empty", 0, "run `krea-pipe init` for a starter pipeline")
        return self.root

    def _events(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self.text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            unfinished = "end of stream" in (error.problem or "")
            mark = (error.context_mark if unfinished else None) or error.problem_mark
            code, hint = _syntax_hint(self.text, _index(mark), error.problem or "")
            self._fail(code, _sentence(error), _index(mark), hint)
        except yaml.YAMLError as error:
            self._fail("yaml_syntax", str(error).splitlines()[0], 0)

    def _take(self, event: yaml.Event) -> None:
        start = _index(event.start_mark)
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    self._fail("second_document", "one file holds one pipeline; here a second starts", start)
            case yaml.AliasEvent():
                self._add(self._aliased(event.anchor or "", start), start)
            case yaml.ScalarEvent():
                self._scalar(event, start)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event, start)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close(event)

    def _scalar(self, event: yaml.ScalarEvent, start: int) -> None:
        self._refuse_tag(event.tag, start)
        data: Json = event.value
        if event.implicit[0]:
            try:
                data = resolve_scalar(event.value)
            except ValueError as error:
                self._fail("number_not_finite", str(error), start)
        node = Node(data, start, _index(event.end_mark))
        if event.anchor:
            self.anchors[event.anchor] = node
        self._add(node, start)

    def _open(self, event: "yaml.MappingStartEvent | yaml.SequenceStartEvent", start: int) -> None:
        self._refuse_tag(event.tag, start)
        if self.stack and self._wants_key():
            self._refuse_key(start)
        if len(self.stack) >= MAX_DEPTH:
            self._fail("too_deep", f"nested more than {MAX_DEPTH} levels deep", start)
        data: Json = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.anchor:
            self.anchors[event.anchor] = None
        self.stack.append(_Open(Node(data, start, start), event.anchor))

    def _close(self, event: yaml.Event) -> None:
        done = self.stack.pop()
        done.node.end = _index(event.end_mark)
        if done.anchor:
            self.anchors[done.anchor] = done.node
        self._add(done.node, done.node.start)

    def _aliased(self, anchor: str, start: int) -> Node:
        if anchor not in self.anchors:
            self._fail("unknown_alias", f"nothing is anchored as &{anchor} before this", start)
        node = self.anchors[anchor]
        if node is None:
            self._fail("recursive_alias", f"*{anchor} stands inside its own anchor", start)
        return node

    def _add(self, node: Node, start: int) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if isinstance(parent.node.data, list):
            parent.node.children[len(parent.node.data)] = node
            parent.node.data.append(node.data)
        elif parent.key is None:
            parent.key = self._key(node, parent.node, start)
            return
        elif isinstance(parent.node.data, dict):
            parent.node.children[parent.key] = node
            parent.node.data[parent.key] = node.data
            parent.key = None
        parent.node.size += node.size
        if parent.node.size > MAX_NODES:
            self._fail("alias_bomb", f"the file unfolds to more than {MAX_NODES:,} values", start)

    def _key(self, node: Node, mapping: Node, start: int) -> str:
        key = node.data
        if not isinstance(key, str):
            shown = self.text[node.start : node.end]
            self._fail("key_not_text", f"a key is text, and {shown} is not", start, f'write "{shown}":')
        if key == "<<":
            self._fail("merge_key", "merge keys (<<) are not supported", start, "write the keys out")
        if key in mapping.keys:
            first = place_at(self.file, self.text, mapping.keys[key])
            self._fail("repeated_key", f"the key `{key}` is already set in line {first.line}", start)
        mapping.keys[key] = start
        return key

    def _wants_key(self) -> bool:
        top = self.stack[-1]
        return isinstance(top.node.data, dict) and top.key is None

    def _refuse_key(self, start: int) -> NoReturn:
        if self.text.startswith("{{", start - 1):
            hint = _quoted(place_at(self.file, self.text, start - 1).text)
            self._fail("unquoted_template", "a value that starts with {{ must be quoted", start - 1, hint)
        self._fail("key_not_text", "a key is text, not a list or a mapping", start)

    def _refuse_tag(self, tag: str | None, start: int) -> None:
        if tag is not None:
            self._fail("tag", f"YAML tags such as {tag} are not supported", start, "remove it")

    def _fail(self, code: str, message: str, index: int, hint: str | None = None) -> NoReturn:
        raise InvalidInput(Problem(code, message, place_at(self.file, self.text, index), hint))


def _index(mark: "yaml.Mark | yaml._yaml.Mark | None") -> int:
    return mark.index if mark else 0


def _sentence(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.problem, error.context) if part]
    return "not valid YAML: " + ", ".join(parts)


def _syntax_hint(text: str, index: int, problem: str) -> tuple[str, str | None]:
    line = place_at(Path(), text, index).text
    if "\t" in line and "cannot start any token" in problem:
        return "tab", "indent with spaces, not with tabs"
    if re.search(r":\s+\{\{", line):
        return "unquoted_template", _quoted(line)
    if "mapping values" in problem:
        return "unquoted_colon", _quoted(line)
    return "yaml_syntax", None


def _quoted(line: str) -> str:
    found = re.match(r"[\s-]*([\w.-]+):\s+(.*?)\s*$", line)
    if not found:
        return "put the value in quotes"
    return f"quote the value: {found[1]}: '{found[2].replace(chr(39), chr(39) * 2)}'"
