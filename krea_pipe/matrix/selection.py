"""Selects cells: the expressions of `-k`/`--select` and `--exclude`, and `--only-failed`.

    serum                 a whole part of the cell's id, never a piece of one: `s1` does not take `s10`
    serum/dawn            parts that follow each other in the id; a whole id works too
    *amber*               the same as a glob: * any characters, also /, ? one, [a-c] one of them, [!a-c] any other
    stage:explore         the cell's stage; status:failed its status; stage:explore,ladder is either of them
    check:sharp           the image does not pass the check `sharp`; check:failed is any check
    product=serum,cream   the value of an axis, as in the id, by its label or as its text; 0.5 is 0.50
    creativity!=raw       the same as `not creativity=raw`, so it also takes cells without that axis

Conditions are joined by `not`, `and`, `or`, which bind in this order, and by ( ). Case counts in axis names only. In
quotes every character stands for itself: label="low, wide". Any `-k` may take a cell, and no `--exclude`.
"""

import fnmatch
import re
import textwrap
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import NoReturn, TypeAlias

from krea_pipe.core.errors import Place, Problem, UsageError
from krea_pipe.core.json_data import CONTROL_CHARACTERS
from krea_pipe.core.measures import FAILED
from krea_pipe.core.near_names import near_word

MAX_EXPRESSION = 20_000
_MAX_WORD = 2_000
MAX_GLOB = 200
_MAX_DEPTH = 50
_MAX_QUOTED = 60
MAX_HINT = 200
MAX_OPTIONS = 1_000
MAX_KEPT = 1024  # values whose answer each condition keeps

_GLOB = re.compile(r"[*?\[]")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]{1,40}|(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{0,40})?)(?:e[-+]?[0-9]{1,4})?")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<quoted>"[^"]*"|'[^']*')
    | (?P<mark>!=|[()=,])
    | (?P<fact>(?i:stage|status|check):)
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
    "<": "only = and != compare; list the values: seed=1,2,3",
    ">": "only = and != compare; list the values: seed=1,2,3",
}
_MISPLACED = {
    ")": ("this bracket has no opening bracket", "remove it, or add the opening bracket"),
    ",": ("a comma is only allowed between values", "write `and` or `or` between conditions"),
    "=": ("a condition has one axis and one operator", "write `and` or `or` between conditions"),
    "!=": ("a condition has one axis and one operator", "write `and` or `or` between conditions"),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """The parts of a cell that an expression tests; `axes` has the texts that may name a value."""

    id: str
    stage: str
    axes: Mapping[str, tuple[str, ...]]
    status: str = ""
    failed: tuple[str, ...] = ()
    """The names of the checks that the image does not pass."""


Test: TypeAlias = Callable[[Subject], bool]
Fits: TypeAlias = Callable[[str], bool]


def fold(text: str) -> str:
    """A text in the form used for comparison: without case, in one Unicode form."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@dataclass(frozen=True, slots=True)
class Wanted:
    """A word or value of an expression; if quoted, it is neither a glob nor a number."""

    text: str
    quoted: bool = False

    @property
    def is_glob(self) -> bool:
        """Whether it matches more than one text."""
        return not self.quoted and _GLOB.search(fold(self.text)) is not None


def fits_any(wanted: Sequence[Wanted]) -> Fits:
    """Whether a text is one of the wanted: by a glob, as the same number, or letter by letter without case."""
    globs = [_matcher(fold(one.text)) for one in wanted if one.is_glob]
    words = {fold(one.text) for one in wanted if not one.is_glob}
    numbers = {_number(fold(one.text)) for one in wanted if not one.quoted} - {None}

    def fits(text: str) -> bool:
        folded = fold(text)
        if folded in words or any(matches(folded) for matches in globs):
            return True
        return bool(numbers) and _number(folded) in numbers

    return fits


def on_id(wanted: Wanted) -> Test:
    """Whether a part of the id, or several in a row, are the wanted ones; a glob reaches over any number of parts."""
    inner = f"/{fold(wanted.text)}/"
    if not wanted.is_glob:
        return lambda subject: inner in f"/{fold(subject.id)}/"
    matches = _matcher(f"*{inner}*")
    return lambda subject: matches(f"/{fold(subject.id)}/")


def on_stage(fits: Fits) -> Test:
    """Whether the stage fits."""
    fits = lru_cache(MAX_KEPT)(fits)
    return lambda subject: fits(subject.stage)


def on_status(fits: Fits) -> Test:
    """Whether the status fits; a cell that nothing is known of has none."""
    fits = lru_cache(MAX_KEPT)(fits)
    return lambda subject: fits(subject.status)


def on_check(fits: Fits) -> Test:
    """Whether the image does not pass a check that fits."""

    @lru_cache(MAX_KEPT)
    def fits_failed(failed: tuple[str, ...]) -> bool:
        return bool(failed) and any(map(fits, (*failed, FAILED)))

    return lambda subject: fits_failed(subject.failed)


def on_axis(name: str, fits: Fits) -> Test:
    """Whether the cell has the axis, and one of the texts of its value fits."""

    @lru_cache(MAX_KEPT)
    def fits_value(texts: tuple[str, ...] | None) -> bool:
        return texts is not None and any(fits(text) for text in texts)

    return lambda subject: fits_value(subject.axes.get(name))


def negated(test: Test) -> Test:
    """The opposite of a condition."""
    return lambda subject: not test(subject)


def any_of(tests: Sequence[Test]) -> Test:
    """At least one of several conditions."""
    return tests[0] if len(tests) == 1 else lambda subject: any(test(subject) for test in tests)


def all_of(tests: Sequence[Test]) -> Test:
    """True if all of several conditions are; an empty group is always true."""
    return tests[0] if len(tests) == 1 else lambda subject: all(test(subject) for test in tests)


def _matcher(glob: str) -> Fits:
    matches = re.compile(fnmatch.translate(glob)).match
    return lambda text: matches(text) is not None


def _number(text: str) -> int | Decimal | None:
    """A number by its value, so that 0.5 is 0.50; the common whole ones without the cost of a decimal."""
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.isdigit() else Decimal(text)


@dataclass(frozen=True, slots=True)
class Name:
    """A name that must exist: of a stage, status, check or axis, or a value of `axis`; the candidates; its place."""

    what: str
    axis: str
    text: str
    fits: Fits
    at: Place


def unknown_name(name: Name, known: Collection[str]) -> Problem:
    """What to say of a name that nothing has, with the nearest that something has."""
    message = f"there is no {name.what} `{_cut(name.text)}`" + (f" of the axis `{name.axis}`" if name.axis else "")
    options = sorted(one for one in known if len(one) <= _MAX_QUOTED)[:MAX_OPTIONS]
    hint = textwrap.shorten(near_word(fold(name.text), options), MAX_HINT, placeholder=" …")
    if name.what == "axis" and name.text in _ON_FACT:
        hint = f"write `{name.text}:` instead of `{name.text}=`"
    return Problem(f"unknown_{name.what}", message, name.at, hint)


_ON_FACT = {"stage": on_stage, "status": on_status, "check": on_check}


@dataclass(frozen=True, slots=True)
class _Token:
    """A token of an expression, and the index where it starts; a mark or a keyword is a separate kind."""

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
            self._fail(0, "the expression is empty", f"remove the option, or say what to select: {_EXAMPLE}")
        if len(self.text) > MAX_EXPRESSION:
            message = f"the expression is longer than {MAX_EXPRESSION:,} characters"
            self._fail(MAX_EXPRESSION, message, "use globs, or repeat the option")
        self._next()
        test = self._alternatives(0)
        self._expect("end")
        return test

    def _read(self) -> Iterator[_Token]:
        for found in _TOKEN.finditer(self.text):
            kind, text, start = str(found.lastgroup), found[0], found.start()
            if kind == "flaw" and text in _FLAWS:
                self._fail(start, f"{text} has no meaning here", f"{_FLAWS[text]}; quote it to use it as text")
            elif kind == "flaw":
                self._fail(start, "the quote that opens here is never closed", f"close it with {text}")
            elif kind == "mark" or (kind == "word" and text.lower() in _KEYWORDS):
                yield _Token(text.lower(), text, start)
            elif kind != "space":
                yield _Token(kind, text, start)
        yield _Token("end", "", len(self.text))

    def _next(self) -> _Token:
        """Advance to the next token, and return the current one."""
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
        if depth > _MAX_DEPTH:
            self._fail(opened, f"brackets are nested more than {_MAX_DEPTH} levels deep", "remove the redundant ones")
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
            return _ON_FACT[what](fits)
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
            self._fail(token.start, "this is not part of an id", f"write a word or a glob, {_EXAMPLE}")
        if ":" in text and not wanted.quoted:
            hint = "write product=serum for an axis; only stage:, status: and check: have a colon"
            self._fail(token.start + token.text.index(":"), "ids do not contain colons", hint)
        return on_id(Wanted(text, wanted.quoted))

    def _values(self, before: _Token, what: str, axis: str = "") -> Fits:
        """The values after an operator, any of which may match."""
        wanted = [self._value(before, what, axis)]
        while self.token.kind == ",":
            wanted.append(self._value(self._next(), what, axis))
        return fits_any(wanted)

    def _value(self, before: _Token, what: str, axis: str) -> Wanted:
        token = self._next()
        if token.kind == "fact":
            hint = "write `and` or `or` before it, or put the value in quotes"
            self._fail(token.start, f"{token.text} starts another condition", hint)
        if token.kind not in ("word", "quoted"):
            quoted = f'put the value in quotes: "{token.text}"'
            hint = quoted if token.kind in _KEYWORDS else "add it, as in product=serum,cream"
            self._fail(token.start, f"a value is missing after `{before.text}`", hint)
        wanted = self._wanted(token)
        self.names.append(Name(what, axis, wanted.text, fits_any([wanted]), self._place(token.start)))
        return wanted

    def _wanted(self, token: _Token) -> Wanted:
        wanted = Wanted(token.plain, token.kind == "quoted")
        if len(wanted.text) > _MAX_WORD:
            self._fail(
                token.start, f"a word or value can have up to {_MAX_WORD:,} characters", "use a glob: label=low*"
            )
        if len(fold(wanted.text)) > MAX_GLOB and wanted.is_glob:
            self._fail(
                token.start, f"a glob can have up to {MAX_GLOB} characters", "use a shorter one, or quote the text"
            )
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
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"


@dataclass(frozen=True, slots=True)
class Selection:
    """The cells that options ask for; `parse_selection` makes it."""

    select: tuple[str, ...]
    exclude: tuple[str, ...]
    only_failed: bool
    _names: tuple[Name, ...] = field(repr=False, compare=False)
    _test: Test = field(repr=False, compare=False)

    @property
    def is_all(self) -> bool:
        """Whether nothing was asked, so that every cell is taken."""
        return not (self.select or self.exclude or self.only_failed)

    @property
    def needs_status(self) -> bool:
        """Whether the answer depends on the earlier outcome of a cell."""
        return self.only_failed or any(name.what == "status" for name in self._names)

    @property
    def needs_checks(self) -> bool:
        """Whether the answer depends on the checks of a cell's image."""
        return any(name.what == "check" for name in self._names)

    @property
    def needs_results(self) -> str:
        """What the answer depends on that only a run knows, in a word; empty if it depends on the cells alone."""
        return "status" if self.needs_status else "check" if self.needs_checks else ""

    def takes(self, subject: Subject) -> bool:
        """Whether the cell is selected."""
        return self._test(subject)

    def check_names(
        self, stages: Collection[str], axes: Collection[str], statuses: Collection[str], checks: Collection[str]
    ) -> None:
        """Refuse names that nothing has, all at once.

        Raises:
            UsageError: `unknown_stage`, `unknown_axis`, `unknown_status`, `unknown_check`.
        """
        known = {("stage", ""): stages, ("axis", ""): axes, ("status", ""): statuses}
        self._check({**known, ("check", ""): [*checks, FAILED]})

    def check_values(self, axes: Mapping[str, Iterable[tuple[str, ...]]]) -> None:
        """Refuse values that an axis does not have, given the texts of all its values; axes left out are not checked.

        Raises:
            UsageError: `unknown_value`.
        """
        self._check({("value", name): {text for texts in axes[name] for text in texts} for name in axes})

    def _check(self, known: Mapping[tuple[str, str], Collection[str]]) -> None:
        asked = [(name, known[name.what, name.axis]) for name in self._names if (name.what, name.axis) in known]
        problems = [unknown_name(name, options) for name, options in asked if not any(map(name.fits, options))]
        if problems:
            raise UsageError(*problems)


def parse_selection(select: Sequence[str], exclude: Sequence[str], *, only_failed: bool = False) -> Selection:
    """Read the expressions of the options.

    `only_failed` is `status:failed`. An `uncertain` cell may have been paid, so it is not generated again by the way.

    Raises:
        UsageError: `bad_selection`, for every expression that cannot be read.
    """
    names: list[Name] = []
    problems: list[Problem] = []
    wanted = _parse_all("--select", select, names, problems)
    unwanted = _parse_all("--exclude", exclude, names, problems)
    if problems:
        raise UsageError(*problems)
    tests = [any_of(wanted)] if select else []
    tests += [negated(any_of(unwanted))] if exclude else []
    tests += [_has_failed] if only_failed else []
    return Selection(tuple(select), tuple(exclude), only_failed, tuple(names), all_of(tests))


def _parse_all(option: str, texts: Sequence[str], names: list[Name], problems: list[Problem]) -> list[Test]:
    tests = []
    for text in texts:
        try:
            tests.append(Parser(option, text, names).parse())
        except UsageError as error:
            problems += error.problems
    return tests


def _has_failed(subject: Subject) -> bool:
    return subject.status == "failed"
