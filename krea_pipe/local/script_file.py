"""Reads a script from a YAML file, and reports every mistake with its place.

    seed: 7                                                    # for the shares; 0 when it is left out
    rules:                                                     # asked in order; the first that takes a call acts
      - {on: submit, do: 429, retry_after: 2, share: 0.05}
      - {on: submit, do: reset, times: 3}                      # before Krea has acted
      - {on: submit, do: reset, after: true, prompt: teapot}   # after it: the job exists, its id is lost
      - {on: image, do: truncated, every: 4}
      - {on: end, do: failed, code: nsfw, where: result}

`on` is a call (submit, job, jobs, cancel, upload, image), `any` call, the `end` of a job, or its `webhook`.

| `do` | what happens | more keys | |---|---|---| | 400 to 599 | that status; from 500 with a gateway's HTML, below with
Krea's JSON | `retry_after`, `after` | | `reset` | the connection is reset | `after` | | `slow` | the answer takes so
long | `seconds`, `after` | | `truncated`, `corrupt` | half of the answer; all of it with other bytes in its middle | |
| `stuck`, `failed`, `empty` (end) | the job never ends, fails, or has no image | `code`, `message`, `where` | |
`twice`, `missing` (webhook) | the delivery is repeated, or does not come | |

`after: true` lets Krea act first. `where` is where a failed job says why: `top`, `result` or `nowhere`. Every rule may
select: `prompt` is text in the job's prompt, `every` each Nth, `share` a part from 0 to 1, `times` the first N.
"""

import difflib
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter, signature
from typing import Any, NamedTuple, TypeAlias, get_args

import yaml

from krea_pipe.local.job import JobOutcome, Place
from krea_pipe.local.script import CALLS, Action, Corrupt, Deliver, End, Refuse, Reset, Rule, Script, Slow, Truncate

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64

_DAY = 24 * 60 * 60


def _whole(low: int, high: int, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high):
        raise ValueError(f"a whole number from {low:,} to {high:,}")
    return int(text)


def _number(low: float, high: float, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise ValueError(f"a number from {low:g} to {high:,g}")
    return number


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


def _some_text(text: str) -> str:
    if not text:
        raise ValueError("some text")
    return text


def _one_of(words: Collection[str], text: str) -> str:
    if text not in words:
        raise ValueError(f"one of {', '.join(words)}")
    return text


_SELECTORS: dict[str, Callable[[str], Any]] = {
    "prompt": _some_text,
    "every": partial(_whole, 1, 1_000_000_000),
    "share": partial(_number, 0, 1),
    "times": partial(_whole, 1, 1_000_000_000),
}
_DETAILS: dict[str, Callable[[str], Any]] = {
    "retry_after": partial(_whole, 0, _DAY),
    "after": _switch,
    "seconds": partial(_number, 0, _DAY),
    "code": str,
    "message": str,
    "where": partial(_one_of, get_args(Place)),
}
_KEYS = ("on", "do", *_DETAILS, *_SELECTORS)
_WITHOUT_PROMPT = ("jobs", "upload")


_Words: TypeAlias = dict[str, Callable[..., Action]]


def _fail(code: str = "internal_error", message: str = "A script asked for this failure.", where: Place = "top") -> End:
    return End(JobOutcome("failed", code, message, where))


# What each `do` makes; the parameters are the keys that say more about it.
_HTTP: _Words = {"reset": Reset, "slow": Slow, "truncated": Truncate, "corrupt": Corrupt}
_ENDS: _Words = {
    "stuck": partial(End, JobOutcome("stuck")),
    "failed": _fail,
    "empty": partial(End, JobOutcome("empty")),
}
_DELIVERIES: _Words = {"twice": partial(Deliver, 2), "missing": partial(Deliver, 0)}
_BY_SUBJECT = {**dict.fromkeys((*CALLS, "any"), _HTTP), "end": _ENDS, "webhook": _DELIVERIES}


def _read_word(on: str, text: str) -> Callable[..., Action]:
    """The effect of a `do` on a subject, such as `submit` or `end`."""
    words = _BY_SUBJECT[on]
    if text in words:
        return words[text]
    if words is _HTTP and len(text) == 3 and text.isascii() and text.isdigit() and text[0] in "45":
        return partial(Refuse, int(text))
    status = ", or a status from 400 to 599" if words is _HTTP else ""
    raise ValueError(f"one of {', '.join(words)}{status}")


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
        raise ScriptError(Flaw(1, 1, f"a script can have at most {MAX_BYTES:,} bytes"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - before.rfind(b"\n")
        raise ScriptError(Flaw(before.count(b"\n") + 1, column, "this is not UTF-8 text")) from error


def _parse(text: str) -> yaml.Node:
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark, what = error.problem_mark or error.context_mark, f"this is not YAML: {error.problem or error.context}"
        raise ScriptError(Flaw(1, 1, what) if mark is None else _flaw_at(mark, what)) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = error.position - before.rfind("\n")
        raise ScriptError(Flaw(before.count("\n") + 1, column, "this character is not allowed in YAML")) from error
    if root is None:
        raise ScriptError(Flaw(1, 1, "the script is empty", "it needs at least `rules: [{on: submit, do: 429}]`"))
    return root


def _check_depth(text: str) -> None:
    """Refuse what is nested deeper than any script needs and than the stack of PyYAML's composer bears."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ScriptError(_flaw_at(event.start_mark, f"nested more than {MAX_DEPTH} levels deep"))


def _flaw_at(mark: Any, message: str, hint: str | None = None) -> Flaw:  # noqa: ANN401 (PyYAML's own)
    return Flaw(mark.line + 1, mark.column + 1, message, hint)


_Fields: TypeAlias = dict[str, tuple[yaml.Node, yaml.Node]]


@dataclass(slots=True)
class _Reader:
    """Converts nodes to a script, and collects all problems."""

    flaws: list[Flaw] = field(default_factory=list)

    def read(self, root: yaml.Node) -> Script:
        fields = self._fields(root, ("seed", "rules"), "a script", needs=("rules",))
        seed = self._value(fields, "seed", partial(_whole, 0, 2**32)) or 0
        rules = fields["rules"][1] if "rules" in fields else None
        if not isinstance(rules, yaml.SequenceNode):
            if rules is not None:
                self._note(rules, "`rules` must be a list of rules", "such as [{on: submit, do: 429}]")
            return Script()
        return Script([rule for rule in map(self._rule, rules.value) if rule is not None], seed)

    def _rule(self, node: yaml.Node) -> Rule | None:
        """One rule, or None when something in it is wrong."""
        before = len(self.flaws)
        fields = self._fields(node, _KEYS, "a rule", needs=("on", "do"))
        on = self._value(fields, "on", partial(_one_of, tuple(_BY_SUBJECT)))
        make = self._value(fields, "do", partial(_read_word, on)) if on else None
        if make is None:
            return None
        takes = signature(make).parameters
        do = _text(fields["do"][1])
        for key, (place, _) in fields.items():
            if key in _DETAILS and key not in takes:
                self._note(place, f"`{key}` has no meaning with `do: {do}`")
        for key, parameter in takes.items():
            if parameter.default is Parameter.empty and key not in fields:
                self._note(node, f"`do: {do}` needs `{key}`")
        if "prompt" in fields and on in _WITHOUT_PROMPT:
            self._note(fields["prompt"][0], f"`on: {on}` cannot select by `prompt`: these calls have none")
        details = {key: self._value(fields, key, _DETAILS[key]) for key in takes if key in fields}
        selectors = {key: self._value(fields, key, read) for key, read in _SELECTORS.items() if key in fields}
        return None if len(self.flaws) > before else Rule(on, make(**details), **selectors)

    def _fields(self, node: yaml.Node, known: Collection[str], what: str, *, needs: Collection[str]) -> _Fields:
        """The keys and values of a mapping by name; unknown and repeated keys are noted and left out."""
        if not isinstance(node, yaml.MappingNode):
            self._note(node, f"{what} must be a mapping", f"valid keys: {', '.join(known)}")
            return {}
        fields: _Fields = {}
        for key, value in node.value:
            name = _text(key)
            if name not in known:
                close = difflib.get_close_matches(name, known, 1, cutoff=0.75)
                hint = f"did you mean `{close[0]}`?" if close else f"valid keys: {', '.join(known)}"
                self._note(key, f"`{name}` is not a key of {what}", hint)
            elif name in fields:
                self._note(key, f"`{name}` appears twice")
            else:
                fields[name] = (key, value)
        for name in needs:
            if name not in fields:
                self._note(node, f"`{name}` is missing")
        return fields

    def _value(self, fields: _Fields, key: str, read: Callable[[str], Any]) -> Any:  # noqa: ANN401 (as `read` gives)
        """The value of a key, or None when it is missing or wrong; the text counts, as YAML 1.1 reads `on` as true."""
        if key not in fields:
            return None
        node = fields[key][1]
        if not isinstance(node, yaml.ScalarNode):
            self._note(node, f"`{key}` must be one value, not {_text(node)}")
            return None
        try:
            return read(node.value)
        except ValueError as error:
            self._note(node, f"`{key}` must be {error}, not {node.value!r}")
            return None

    def _note(self, node: yaml.Node, message: str, hint: str | None = None) -> None:
        self.flaws.append(_flaw_at(node.start_mark, message, hint))


def _text(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
