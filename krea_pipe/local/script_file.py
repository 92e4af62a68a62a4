"""A script as a YAML file, read with the place of every mistake.

    seed: 7                                                    # for the shares; 0 when it is left out
    rules:                                                     # asked in order; the first that takes a call acts
      - {on: submit, do: 429, retry_after: 2, share: 0.05}
      - {on: submit, do: reset, times: 3}                      # before Krea has acted
      - {on: submit, do: reset, after: true, prompt: teapot}   # after it: the job exists, its id is lost
      - {on: image, do: truncated, every: 4}
      - {on: end, do: failed, code: nsfw, where: result}

`on` is a call (submit, job, jobs, cancel, upload, image), `any` call, the `end` of a job, or its `webhook`.

| `do` | what happens | more keys |
|---|---|---|
| 400 to 599 | that status; from 500 with a gateway's HTML, below with Krea's JSON | `retry_after`, `after` |
| `reset` | the connection is reset | `after` |
| `slow` | the answer takes so long | `seconds`, `after` |
| `truncated`, `corrupt` | half of the answer; all of it with other bytes in its middle | |
| `stuck`, `failed`, `empty` (end) | the job never ends, fails, or has no image | `code`, `message`, `where` |
| `twice`, `missing` (webhook) | the delivery is repeated, or does not come | |

`after: true` lets Krea act first. `where` is where a failed job says why: `top`, `result` or `nowhere`. Every rule may
select: `prompt` is text in the job's prompt, `every` each Nth, `share` a part from 0 to 1, `times` the first N.
"""

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import yaml

from krea_pipe.local.script import Rule, Script
from krea_pipe.local.script_words import (
    DETAILS,
    KEYS,
    SELECTORS,
    SUBJECTS,
    WITHOUT_PROMPT,
    Word,
    one_of,
    read_word,
    whole,
)

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64


class Flaw(NamedTuple):
    """A mistake in a script: line and column count from 1."""

    line: int
    column: int
    message: str
    hint: str | None = None


class ScriptError(Exception):
    """A script that cannot be followed, with every mistake that was found in it."""

    def __init__(self, *flaws: Flaw) -> None:
        super().__init__("; ".join(f"{flaw.line}:{flaw.column}: {flaw.message}" for flaw in flaws))
        self.flaws = flaws


def read_script(data: bytes) -> Script:
    """The script in the bytes of a file.

    Raises:
        ScriptError: it is not YAML, or has keys, words or values that mean nothing.
    """
    root = _parse(_decode(data))
    reader = _Reader()
    script = reader.read(root)
    if reader.flaws:
        raise ScriptError(*sorted(reader.flaws, key=lambda flaw: flaw[:2]))
    return script


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise ScriptError(Flaw(1, 1, f"a script holds at most {MAX_BYTES:,} bytes"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - before.rfind(b"\n")
        raise ScriptError(Flaw(before.count(b"\n") + 1, column, "this is not UTF-8 text")) from error


class _Loader(yaml.SafeLoader):
    """PyYAML's own loader, because libyaml's composer crashes on brackets that are nested deeply enough."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 (PyYAML's own)
        """Compose the next node, down to a depth that no script needs and no stack is too small for."""
        if self.depth >= MAX_DEPTH and self.check_event(yaml.CollectionStartEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ScriptError(Flaw(mark.line + 1, mark.column + 1, f"nested more than {MAX_DEPTH} levels deep"))
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _parse(text: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise ScriptError(Flaw(line, column, f"this is not YAML: {error.problem or error.context}")) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = error.position - before.rfind("\n")
        raise ScriptError(Flaw(before.count("\n") + 1, column, "this character cannot stand in YAML")) from error
    if root is None:
        raise ScriptError(Flaw(1, 1, "the script is empty", "it needs at least `rules: [{on: submit, do: 429}]`"))
    return root


_Fields: TypeAlias = dict[str, tuple[yaml.Node, yaml.Node]]


@dataclass(slots=True)
class _Reader:
    """Nodes become a script; what is wrong with them is collected, so that all of it is told at once."""

    flaws: list[Flaw] = field(default_factory=list)

    def read(self, root: yaml.Node) -> Script:
        fields = self._fields(root, ("seed", "rules"), "a script")
        seed = self._value(fields, "seed", partial(whole, 0, 2**32))
        if "rules" not in fields:
            if isinstance(root, yaml.MappingNode):
                self._note(root, "`rules` is missing")
            return Script()
        rules = fields["rules"][1]
        if not isinstance(rules, yaml.SequenceNode):
            self._note(rules, "`rules` is a list of rules", "such as [{on: submit, do: 429}]")
            return Script()
        found = [self._rule(node) for node in rules.value]
        return Script([rule for rule in found if rule is not None], seed or 0)

    def _rule(self, node: yaml.Node) -> Rule | None:
        """One rule, or None when something in it is wrong."""
        before = len(self.flaws)
        fields = self._fields(node, KEYS, "a rule")
        for key in ("on", "do"):
            if key not in fields and isinstance(node, yaml.MappingNode):
                self._note(node, f"`{key}` is missing")
        on = self._value(fields, "on", partial(one_of, SUBJECTS))
        word = self._value(fields, "do", partial(read_word, on)) if on else None
        if word is None:
            return None
        self._check_keys(node, fields, on, word)
        details = {key: self._value(fields, key, DETAILS[key]) for key in word.takes if key in fields}
        selectors = {key: self._value(fields, key, read) for key, read in SELECTORS.items() if key in fields}
        return None if len(self.flaws) > before else Rule(on, word.make(**details), **selectors)

    def _check_keys(self, node: yaml.Node, fields: _Fields, on: str, word: Word) -> None:
        do = _text(fields["do"][1])
        for key, (place, _) in fields.items():
            if key in DETAILS and key not in word.takes:
                self._note(place, f"`{key}` means nothing with `do: {do}`")
        for key in word.needs:
            if key not in fields:
                self._note(node, f"`do: {do}` needs `{key}`")
        if "prompt" in fields and on in WITHOUT_PROMPT:
            self._note(fields["prompt"][0], f"`on: {on}` cannot select by `prompt`: these calls have none")

    def _fields(self, node: yaml.Node, known: Collection[str], what: str) -> _Fields:
        """The keys and values of a mapping by name; unknown and repeated keys are noted and left out."""
        if not isinstance(node, yaml.MappingNode):
            self._note(node, f"{what} is a mapping", f"its keys are {', '.join(known)}")
            return {}
        fields: _Fields = {}
        for key, value in node.value:
            name = _text(key)
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean `{close[0]}`?" if close else f"its keys are {', '.join(known)}"
                self._note(key, f"`{name}` is not a key of {what}", hint)
            elif name in fields:
                self._note(key, f"`{name}` stands here twice")
            else:
                fields[name] = (key, value)
        return fields

    def _value(self, fields: _Fields, key: str, read: Callable[[str], Any]) -> Any:  # noqa: ANN401 (as `read` gives)
        """The value of a key, or None when it is missing or wrong; the text counts, as YAML 1.1 reads `on` as true."""
        if key not in fields:
            return None
        node = fields[key][1]
        if not isinstance(node, yaml.ScalarNode):
            self._note(node, f"`{key}` is one value, not {_text(node)}")
            return None
        try:
            return read(node.value)
        except ValueError as error:
            self._note(node, f"`{key}` is {error}, not {node.value!r}")
            return None

    def _note(self, node: yaml.Node, message: str, hint: str | None = None) -> None:
        self.flaws.append(Flaw(node.start_mark.line + 1, node.start_mark.column + 1, message, hint))


def _text(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
