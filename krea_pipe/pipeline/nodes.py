"""YAML text becomes nodes: data with the span that each part came from.

YAML 1.2 core scalars on PyYAML's event stream: `16:9`, `no`, `on` and `010` stay text. Built from events, not
with a loader, because libyaml's composer crashes on 50,000 nested brackets and loaders drop repeated keys.
"""

import math
import re
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NoReturn

import yaml

from krea_pipe.core.errors import InvalidInput, Problem
from krea_pipe.core.excerpts import LineIndex, cut
from krea_pipe.core.json_data import CONTROL_CHARACTERS, Json
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.core.written import Written, as_written
from krea_pipe.pipeline.comments import CODE, cut_after, cut_between, cut_in_open, explain_cut
from krea_pipe.pipeline.syntax import (
    error_index,
    explain_yaml_error,
    is_depth_limit,
    mark_index,
    text_mark,
    unquoted_template,
)

MAX_YAML_DEPTH = 64
MAX_NODES = 200_000
COLLECTION = 15
"""Values that a mapping or a list counts for: it takes as long to check."""
MAX_WRITTEN = 300_000
"""Keys and values."""
MAX_QUOTED = 64
"""Characters of a word that a message quotes."""

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,29})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WORD = re.compile(r"\S{1,40}")
_DROPPED = "\0"  # stands for a key that was refused, whose value is left out
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
    spelled: Json = None
    """The data with truths and nulls that remember how they are written, as numbers always do; None without any."""
    height: int = 0
    """Levels of mappings and lists in it, itself included."""


_NO_CHILDREN: dict[str | int, Node] = {}  # of all scalars
_NO_KEYS: dict[str, int] = {}


def build_nodes(file: Path, text: str) -> Node:
    """Parse one YAML document into its root node.

    Raises:
        InvalidInput: the text is not YAML, or breaks a loading rule of the language.
    """
    root, problems = collect_nodes(file, text)
    if problems:
        raise InvalidInput(*problems)
    return root


def collect_nodes(file: Path, text: str, most: int = MAX_NODES) -> tuple[Node, list[Problem]]:
    """Parse one YAML document, with at most `most` values, into its root node and its problems.

    Raises:
        InvalidInput: the text is not YAML, so that reading had to stop.
    """
    builder = _Builder(file, text, most)
    return builder.build(), builder.problems.all()


def resolve_scalar(text: str) -> Json:
    """Type a plain scalar by the YAML 1.2 core rules that this language keeps; numbers remember their spelling.

    Raises:
        ValueError: the number is not finite.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return as_written(int(text), text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"the number {text} is too large")
        return as_written(number, text)
    return text


def spelled_data(data: Json, children: "dict[str | int, Node]") -> Json:
    """The data of a mapping or list whose children remember their spelling; None where none of them is special."""
    if all(one.spelled is None for one in children.values()):
        return None
    parts = {key: one.data if one.spelled is None else one.spelled for key, one in children.items()}
    return list(parts.values()) if isinstance(data, list) else {str(key): one for key, one in parts.items()}


@dataclass(slots=True, eq=False)
class _Open:
    """A mapping or list that is being filled."""

    node: Node
    anchor: str | None
    key: str | None = None


class _Builder:
    """Turns the parser's events into nodes without recursion, so that depth cannot overflow a stack."""

    def __init__(self, file: Path, text: str, most: int) -> None:
        self.text, self.lines, self.most = text, LineIndex(file, text), most
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node | None] = {}
        self.problems = ProblemList()
        self.count = 0
        self.root: Node | None = None
        self.documents = 0

    def build(self) -> Node:
        taken = 0
        try:
            for event in yaml.parse(self.text, Loader=_Loader):
                taken += 1
                self._take(event)
        except yaml.MarkedYAMLError as error:
            self._judge_before(error, taken)
        except yaml.reader.ReaderError as error:
            code = error.character
            message = f"not valid YAML: the character U+{code:04X} is not allowed"
            self._fail("yaml_syntax", message, max(0, self.text.find(chr(code))), "remove it")
        if self.root is None or self.root.data is None:
            self._fail("empty_file", "the file is empty", 0, "run `krea-pipe init` for a starter pipeline")
        return self.root

    def _judge_before(self, error: yaml.MarkedYAMLError, taken: int) -> NoReturn:
        """Say what is wrong before the place of a scanner's error, and only then that error.

        A scanner reads up to 1,024 characters ahead of its events, and fails on what it finds there, on nesting as well
        since libyaml 0.2.6. So the events that the text before that place gives are taken first, with every scanner.
        """
        known = self.problems
        self.problems = ProblemList(known.found)
        try:
            for event in islice(yaml.parse(self.text[: error_index(error)], Loader=_Loader), taken, None):
                self._take(event)
        except yaml.YAMLError as earlier:
            if is_depth_limit(error) and isinstance(earlier, yaml.MarkedYAMLError):
                error = earlier
        cut = next((one for one in reversed(self.problems.found) if one.code == CODE), None)
        self.problems = known
        flaw = explain_yaml_error(self.text, error)
        if cut is not None and cut.at is not None and self._follows(cut.at.line, error_index(error)):
            self.problems.note(cut)
            self.problems.check()
        brackets = (one.node.start for one in self.stack if self.text.startswith(("[", "{"), one.node.start))
        opened = flaw.at if flaw.code == "unclosed_bracket" else next(brackets, None)
        lost = None if opened is None else cut_in_open(self.text, opened, mark_index(error.problem_mark))
        self._fail(*(flaw if lost is None else explain_cut(self.text, lost, lost)))

    def _follows(self, line: int, index: int) -> bool:
        """Whether an index is in the first line with words after some line."""
        between = "".join(self.text[:index].splitlines(keepends=True)[line:])
        return not between.strip()

    def _take(self, event: yaml.Event) -> None:
        start = mark_index(event.start_mark)
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    message = "a file contains one pipeline; a second document starts here"
                    self._fail("second_document", message, start, "move it to its own file")
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
        self._count(start)
        end = mark_index(event.end_mark)
        node = Node(self._typed(event, start), start, end, _NO_CHILDREN, _NO_KEYS)
        if event.implicit[0] and (node.data is None or isinstance(node.data, bool)):
            spelled = as_written(node.data, event.value)
            node.spelled = spelled if isinstance(spelled, Written) else None
        if event.implicit[0] and not self._awaits_key():
            self._refuse_cut(node, start, cut_after(self.text, end, node.data))
        if event.anchor:
            self.anchors[event.anchor] = node
        self._add(node, start)

    def _typed(self, event: yaml.ScalarEvent, start: int) -> Json:
        if CONTROL_CHARACTERS.search(event.value):
            self._note("control_character", "this text contains a control character", start, "remove the escape")
            return CONTROL_CHARACTERS.sub("-", event.value)
        if not event.implicit[0]:
            return event.value
        try:
            return resolve_scalar(event.value)
        except ValueError as error:
            self._note("number_not_finite", str(error), start)
            return 1

    def _open(self, event: "yaml.MappingStartEvent | yaml.SequenceStartEvent", start: int) -> None:
        self._refuse_tag(event.tag, start)
        self._count(start)
        if self._awaits_key():
            self._refuse_key(start)
        if len(self.stack) >= MAX_YAML_DEPTH:
            self._fail_too_deep(start)
        data: Json = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.anchor:
            self.anchors[event.anchor] = None
        self.stack.append(_Open(Node(data, start, start, size=COLLECTION, height=1), event.anchor))

    def _close(self, event: yaml.Event) -> None:
        done = self.stack.pop()
        done.node.end = mark_index(event.end_mark)
        done.node.spelled = spelled_data(done.node.data, done.node.children)
        if self.text.startswith(("[", "{"), done.node.start):
            self._check_gaps(done.node)
        if done.anchor:
            self.anchors[done.anchor] = done.node
        self._add(done.node, done.node.start)

    def _aliased(self, anchor: str, start: int) -> Node:
        if anchor not in self.anchors:
            message = f"*{anchor} is an alias, but it is not preceded by the anchor &{anchor}"
            self._fail("unknown_alias", message, start, text_mark(self.text, start).hint)
        node = self.anchors[anchor]
        if node is None:
            self._fail("recursive_alias", f"*{anchor} is used inside its own anchor", start, "write out the value")
        return node

    def _add(self, node: Node, start: int) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        parent.node.height = max(parent.node.height, node.height + 1)
        if len(self.stack) + node.height > MAX_YAML_DEPTH:  # by aliases; what is written was counted as it opened
            self._fail_too_deep(start)
        if isinstance(parent.node.data, list):
            parent.node.children[len(parent.node.data)] = node
            parent.node.data.append(node.data)
        elif parent.key is None:
            parent.key = self._key(node, parent.node, start)
            return
        elif isinstance(parent.node.data, dict):
            if parent.key != _DROPPED:
                parent.node.children[parent.key] = node
                parent.node.data[parent.key] = node.data
            parent.key = None
        parent.node.size += node.size
        if parent.node.size > self.most:
            self._fail_too_many(start)

    def _count(self, start: int) -> None:
        """Count what is written, since a list has its size only when it ends."""
        self.count += 1
        if self.count > MAX_WRITTEN:
            self._fail_too_many(start)

    def _fail_too_deep(self, start: int) -> NoReturn:
        self._fail("too_deep", f"nested more than {MAX_YAML_DEPTH} levels deep", start, "reduce the nesting")

    def _fail_too_many(self, start: int) -> NoReturn:
        message = f"the file expands to more than {self.most:,} values (a mapping or list counts as {COLLECTION})"
        self._fail("alias_bomb", message, start, "use fewer aliases, and put long lists of rows into a CSV file")

    def _key(self, node: Node, mapping: Node, start: int) -> str:
        key = node.data
        if not isinstance(key, str):
            written = cut(self.text[node.start : node.end], MAX_QUOTED) or "null"
            self._note("key_not_text", f"a key must be text, but {written} is not", start, f'write "{written}":')
            return _DROPPED
        if key == "<<":
            # Continuing would report everything that it would have merged as missing.
            self._fail("merge_key", "merge keys (<<) are not supported", start, "write out the keys")
        if key in mapping.keys:
            first = self.lines.place(mapping.keys[key])
            message = f"the key `{cut(key, MAX_QUOTED)}` is already set on line {first.line}"
            self._note("repeated_key", message, start, "remove one of the two")
            return _DROPPED
        mapping.keys[key] = start
        return key

    def _awaits_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].node.data, dict) and self.stack[-1].key is None

    def _check_gaps(self, node: Node) -> None:
        """Refuse a list or mapping in brackets that a comment takes an item out of."""
        if "#" not in self.text[node.start : node.end]:
            return
        within = [one for one in node.children.values() if node.start < one.start <= node.end]  # aliases are elsewhere
        spans = [(node.start, node.start + 1), *((one.start, one.end) for one in within), (node.end, node.end)]
        lost = cut_between(self.text, spans)
        self._refuse_cut(node, lost or 0, lost)

    def _refuse_cut(self, node: Node, start: int, lost: int | None) -> None:
        if lost is not None:
            self._note(*explain_cut(self.text, start, lost, node.data))

    def _refuse_key(self, start: int) -> NoReturn:
        if self.text.startswith("{{", start - 1):
            self._fail(*unquoted_template(self.text, start - 1))
        self._fail("key_not_text", "a key must be text, not a list or a mapping", start, "put it in quotes")

    def _refuse_tag(self, tag: str | None, start: int) -> None:
        if tag is not None:
            name = _WORD.match(self.text, start)
            hint = "remove it, or quote the value if it starts with an exclamation mark"
            self._note("tag", f"YAML tags such as {name[0] if name else tag} are not supported", start, hint)

    def _fail(self, code: str, message: str, index: int, hint: str | None = None) -> NoReturn:
        self._note(code, message, index, hint)
        self.problems.check()
        raise AssertionError("a problem was noted")

    def _note(self, code: str, message: str, index: int, hint: str | None = None) -> None:
        self.problems.note(Problem(code, message, self.lines.place(index), hint))
