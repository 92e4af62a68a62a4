"""One expression of `--select` or `--exclude`, from text to a condition.

`krea_pipe.matrix.selection` has the grammar.
"""

import re
import textwrap
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from krea_pipe.core.errors import Place, Problem, UsageError
from krea_pipe.core.json_data import CONTROL_CHARACTERS
from krea_pipe.core.near_names import near_word
from krea_pipe.matrix.selection.match import (
    Fits,
    Test,
    Wanted,
    all_of,
    any_of,
    fits_any,
    fold,
    negated,
    on_axis,
    on_id,
    on_stage,
    on_status,
)

MAX_EXPRESSION = 20_000
MAX_WORD = 2_000
MAX_GLOB = 200
MAX_DEPTH = 50
MAX_SAID = 60
MAX_HINT = 200
MAX_OPTIONS = 1_000

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<quoted>"[^"]*"|'[^']*')
    | (?P<mark>!=|[()=,])
    | (?P<fact>(?i:stage|status):)
    | (?P<word>(?:[^\s()"',=!&|<>]|(?<=\[)!)+)   # only the ! of [!a-c] belongs to a word
    | (?P<flaw>.)""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = ("and", "or", "not")
_EXAMPLE = "for example stage:explore, or product=serum and not light=dawn"
_FLAWS = {
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not` before a condition, or != between an axis and a value",
    "<": "only = and != compare; name the values: seed=1,2,3",
    ">": "only = and != compare; name the values: seed=1,2,3",
}
_MISPLACED = {
    ")": ("this bracket closes nothing", "remove it, or open one before"),
    ",": ("a comma stands between values only", "write `and` or `or` between conditions"),
    "=": ("a condition has one axis and one sign", "write `and` or `or` between conditions"),
    "!=": ("a condition has one axis and one sign", "write `and` or `or` between conditions"),
}


@dataclass(frozen=True, slots=True)
class Name:
    """What has to exist: the name of a stage, a status or an axis, or a value of `axis`; what fits it; its place."""

    what: str
    axis: str
    text: str
    fits: Fits
    at: Place


def unknown_name(name: Name, known: Collection[str]) -> Problem:
    """What to say of a name that nothing has, with the nearest that something has."""
    message = f"there is no {name.what} `{_cut(name.text)}`" + (f" of the axis `{name.axis}`" if name.axis else "")
    options = sorted(one for one in known if len(one) <= MAX_SAID)[:MAX_OPTIONS]
    hint = textwrap.shorten(near_word(fold(name.text), options), MAX_HINT, placeholder=" …")
    if name.what == "axis" and name.text in ("stage", "status"):
        hint = f"write `{name.text}:` in place of `{name.text}=`"
    return Problem(f"unknown_{name.what}", message, name.at, hint)


@dataclass(frozen=True, slots=True)
class _Token:
    """A piece of an expression and the index where it starts; a mark or a keyword is a kind of its own."""

    kind: str
    text: str
    start: int

    @property
    def plain(self) -> str:
        """The text without its quotes."""
        return self.text[1:-1] if self.kind == "quoted" else self.text


class Parser:
    """Recursive descent over one expression; it adds the names that have to exist to `names`."""

    def __init__(self, option: str, text: str, names: list[Name]) -> None:
        self.file, self.names = Path(option), names
        self.text = CONTROL_CHARACTERS.sub("\ufffd", text).rstrip()
        self.line = re.sub(r"\s", " ", self.text)
        self.tokens = self._read()
        self.token = _Token("start", "", 0)

    def parse(self) -> Test:
        """The expression as a condition.

        Raises:
            UsageError: `bad_selection`, with the place in the expression.
        """
        if not self.text:
            self._fail(0, "the expression is empty", f"leave the option out, or say what to take: {_EXAMPLE}")
        if len(self.text) > MAX_EXPRESSION:
            message = f"the expression is longer than {MAX_EXPRESSION:,} characters"
            self._fail(MAX_EXPRESSION, message, "use globs, or give the option several times")
        self._next()
        test = self._alternatives(0)
        self._expect("end")
        return test

    def _read(self) -> Iterator[_Token]:
        for found in _TOKEN.finditer(self.text):
            kind, text, start = str(found.lastgroup), found[0], found.start()
            if kind == "flaw" and text in _FLAWS:
                self._fail(start, f"{text} means nothing here", f"{_FLAWS[text]}; in quotes it is text")
            elif kind == "flaw":
                self._fail(start, "the quote that opens here is never closed", f"close it with {text}")
            elif kind == "mark" or (kind == "word" and text.lower() in _KEYWORDS):
                yield _Token(text.lower(), text, start)
            elif kind != "space":
                yield _Token(kind, text, start)
        yield _Token("end", "", len(self.text))

    def _next(self) -> _Token:
        """Go on to the next token, and return the one that was left."""
        left = self.token
        if left.kind != "end":
            self.token = next(self.tokens)
        return left

    def _alternatives(self, depth: int) -> Test:
        tests = [self._together(depth)]
        while self.token.kind == "or":
            self._next()
            tests.append(self._together(depth))
        return any_of(tests)

    def _together(self, depth: int) -> Test:
        tests = [self._one(depth)]
        while self.token.kind == "and":
            self._next()
            tests.append(self._one(depth))
        return all_of(tests)

    def _one(self, depth: int) -> Test:
        opposite = False
        while self.token.kind == "not":
            self._next()
            opposite = not opposite
        test = self._bracket(depth + 1) if self.token.kind == "(" else self._condition()
        return negated(test) if opposite else test

    def _bracket(self, depth: int) -> Test:
        opened = self._next().start
        if depth > MAX_DEPTH:
            self._fail(opened, f"brackets stand more than {MAX_DEPTH} deep", "leave out those that change nothing")
        test = self._alternatives(depth)
        if self.token.kind == "end":
            self._fail(opened, "the bracket that opens here is never closed", "close it with )")
        self._expect(")")
        self._next()
        return test

    def _condition(self) -> Test:
        token = self._next()
        if token.kind == "fact":
            what = token.text[:-1].lower()
            fits = self._values(token, what)
            return on_stage(fits) if what == "stage" else on_status(fits)
        if token.kind not in ("word", "quoted"):
            where = f"before `{token.text}`" if token.text else "at the end"
            self._fail(token.start, f"a condition is missing {where}", f"write one, {_EXAMPLE}")
        if self.token.kind not in ("=", "!="):
            return self._id(token)
        sign, axis = self._next(), token.plain
        self.names.append(Name("axis", "", axis, axis.__eq__, self._place(token.start)))
        test = on_axis(axis, self._values(sign, "value", axis))
        return negated(test) if sign.kind == "!=" else test

    def _id(self, token: _Token) -> Test:
        wanted = self._wanted(token)
        text = wanted.text.strip("/")
        if not text.strip():
            self._fail(token.start, "this names no part of an id", f"write a word or a glob, {_EXAMPLE}")
        if ":" in text and not wanted.quoted:
            hint = "write product=serum for an axis; only stage: and status: have a colon"
            self._fail(token.start + token.text.index(":"), "no id has a colon", hint)
        return on_id(Wanted(text, wanted.quoted))

    def _values(self, before: _Token, what: str, axis: str = "") -> Fits:
        """The values after a sign, of which any will do."""
        wanted = [self._value(before, what, axis)]
        while self.token.kind == ",":
            wanted.append(self._value(self._next(), what, axis))
        return fits_any(wanted)

    def _value(self, before: _Token, what: str, axis: str) -> Wanted:
        token = self._next()
        if token.kind == "fact":
            hint = "write `and` or `or` before it, or put the value in quotes"
            self._fail(token.start, f"{token.text} begins another condition", hint)
        if token.kind not in ("word", "quoted"):
            quoted = f'put the value in quotes: "{token.text}"'
            hint = quoted if token.kind in _KEYWORDS else "write it there, as in product=serum,cream"
            self._fail(token.start, f"a value is missing after `{before.text}`", hint)
        wanted = self._wanted(token)
        self.names.append(Name(what, axis, wanted.text, fits_any([wanted]), self._place(token.start)))
        return wanted

    def _wanted(self, token: _Token) -> Wanted:
        wanted = Wanted(token.plain, token.kind == "quoted")
        if len(wanted.text) > MAX_WORD:
            self._fail(token.start, f"a word or value has up to {MAX_WORD:,} characters", "use a glob: label=low*")
        if len(fold(wanted.text)) > MAX_GLOB and wanted.is_glob:
            self._fail(token.start, f"a glob has up to {MAX_GLOB} characters", "use a shorter one, or quote the text")
        return wanted

    def _expect(self, kind: str) -> None:
        """Go no further unless the token is of a kind: here an expression can only end or be joined to another."""
        if self.token.kind != kind:
            between = (
                "`and` or `or` is missing here",
                "write one between two conditions; a value with a space goes in quotes",
            )
            self._fail(self.token.start, *_MISPLACED.get(self.token.kind, between))

    def _place(self, index: int) -> Place:
        return Place(self.file, 1, index + 1, self.line)

    def _fail(self, index: int, message: str, hint: str) -> NoReturn:
        raise UsageError(Problem("bad_selection", message, self._place(index), hint))


def _cut(text: str) -> str:
    text = re.sub(r"\s", " ", text)
    return text if len(text) <= MAX_SAID else f"{text[:MAX_SAID]}…"
