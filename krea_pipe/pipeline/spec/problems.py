"""Collects located problems, so that all of a file's come at once, and keeps secrets out of them.

A pipeline lives in git, and its prompts are sent away, so that values that look like keys are problems too.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, Problem, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.core.secret_kinds import MASK, has_password, is_secret, without_secrets
from krea_pipe.core.written import Written
from krea_pipe.pipeline.source import Document, Trail
from krea_pipe.pipeline.spec.hints import nearest
from krea_pipe.pipeline.template import Template, TemplateProblem, compile_template, is_template

MAX_DATA = 20_000_000

MAX_TEMPLATE_WORK = 150_000
"""The budget for different templates: each costs 100 letters, and each of its expressions 50 plus its length."""

PASSWORD = "this URL contains a user name or password"
"""The same message as in `references`, so that it appears only once."""
_SECRET_HINT = "keys belong in the environment: set KREA_API_KEY; if this file was ever shared, revoke the key"

_EXPRESSION = re.compile(r"\{[{%#].*?(?:[%}#]\}|$)", re.DOTALL)
_PART = 16  # how many letters one part of a list or mapping counts for


class Problems(ProblemList):
    """The problems found so far in one document.

    `dropped` are the words of what was wrong and is left out: a check must not complain that such a word is missing or
    unused, because that would only repeat the first problem in other words.
    """

    def __init__(self, document: Document) -> None:
        super().__init__()
        self.document = document
        self.dropped: dict[str, None] = {}
        self.secret_lines: set[tuple[Path, int]] = set()
        self.rendered = 0
        self.templates: set[str] = set()
        self.template_work = 0

    def note_dropped(self, trails: Iterable[Trail]) -> None:
        """Note the words of the values at some trails as left out."""
        for trail in trails:
            if trail:
                self.dropped[str(trail[-1])] = None
                self.dropped.update(dict.fromkeys(words_of(self.document.value(trail))))

    def was_dropped(self, word: str) -> bool:
        """Whether a word, or a similar one, is among the dropped words."""
        return word in self.dropped or nearest(word, self.dropped) is not None

    def compiled(self, text: str) -> Template:
        """Compile a template of the file, as long as there are not too many.

        Raises:
            TemplateProblem: it is not a template. InvalidInput: the limit is reached.
        """
        if text not in self.templates and is_template(text):
            self.templates.add(text)
            files = self.document.templates
            self.template_work += sum(map(_work_of, (text, *(files.texts[name] for name in files.all_in(text)))))
            if self.template_work > MAX_TEMPLATE_WORK:
                hint = "for values that differ in a word, use an axis of plain values and one template"
                self.add(
                    "too_many_templates",
                    "this file has too many different templates, or templates that are too long",
                    (),
                    hint,
                )
                self.check()
        return compile_template(text, self.document.templates)

    def rendering(self, text: str, known: Mapping[str, Json]) -> Json:
        """Render a text of the file, as long as all that its templates made is not too much.

        Raises:
            TemplateProblem: it cannot be rendered, or the limit is reached.
        """
        if self.rendered > MAX_DATA:
            return text  # it was said, and there is no need to say it of every value that follows
        value = self.compiled(text).render(known)
        self.rendered += _size(value) if is_template(text) else 0
        if self.rendered > MAX_DATA:
            hint = "use fewer variables and values that repeat long ones"
            raise TemplateProblem("template_too_large", "the templates in this file produce too much data", hint=hint)
        return value

    def add(self, code: str, message: str, trail: Trail, hint: str | None = None, *, word: str | None = None) -> None:
        """Note a problem with the value at a trail, or with one word inside it."""
        at = self.document.word_place(trail, word) if word else self.document.place(trail)
        self.note(Problem(code, message + self.document.row_of(trail), at, hint))

    def add_key(self, code: str, message: str, trail: Trail, hint: str | None = None) -> None:
        """Note a problem with the key that ends a trail."""
        self.note(Problem(code, message + self.document.row_of(trail), self.document.key_place(trail), hint))

    def add_secret(self, message: str, trail: Trail, hint: str, *, is_key: bool = False) -> None:
        """Note that the value at a trail, or the key that ends it, looks like a secret, and do not show its line."""
        at = self.document.key_place(trail) if is_key else self.document.place(trail)
        self.secret_lines.add((at.path, at.line))
        self.note(Problem("secret_in_file", message, at, hint))

    def all(self) -> list[Problem]:
        """Everything that was found, in the order of the file, without the secrets that it would show."""
        return [self._quiet(problem) for problem in super().all()]

    def _quiet(self, problem: Problem) -> Problem:
        if not self.secret_lines:
            return problem
        quiet = masked_problem(problem)
        at = quiet.at
        if at is None or (at.path, at.line) not in self.secret_lines or MASK in at.text:
            return quiet
        return replace(quiet, at=replace(at, text=MASK))  # it is written with escapes, or in several lines


def masked_problem(problem: Problem) -> Problem:
    """A problem without the secrets that it, or its line, would show: problems end up in public logs."""
    at = problem.at and replace(problem.at, text=without_secrets(problem.at.text))
    hint = problem.hint and without_secrets(problem.hint)
    return Problem(problem.code, without_secrets(problem.message), at, hint)


def check_secrets(data: Json, problems: Problems, trail: Trail = (), hint: str = _SECRET_HINT) -> None:
    """Refuse values, and names, that look like keys."""
    if isinstance(data, dict):
        for key, item in data.items():
            if is_secret(key):
                problems.add_secret("this name looks like a secret key", (*trail, key), hint, is_key=True)
            check_secrets(item, problems, (*trail, key), hint)
    elif isinstance(data, list):
        for index, item in enumerate(data):
            check_secrets(item, problems, (*trail, index), hint)
    elif isinstance(data, str) and has_password(data):
        problems.add_secret(PASSWORD, trail, "remove it")
    elif isinstance(data, str) and is_secret(data):
        problems.add_secret("this value looks like a secret key", trail, hint)


@contextmanager
def masking_errors() -> Iterator[None]:
    """Removes text that looks like a key from errors that are raised before any value could be examined."""
    try:
        yield
    except (InvalidInput, UsageError) as error:
        problems = [masked_problem(problem) for problem in error.problems]
        if tuple(problems) == error.problems:
            raise
        raise type(error)(*problems) from None


def with_texts(data: Json, trail: Trail, change: Callable[[str, Trail], Json]) -> Json:
    """Data with every text in it, but not the keys, changed by a function that also gets the trail of the text."""
    if isinstance(data, list):
        return [with_texts(one, (*trail, index), change) for index, one in enumerate(data)]
    if isinstance(data, dict):
        return {key: with_texts(one, (*trail, key), change) for key, one in data.items()}
    return change(data, trail) if isinstance(data, str) and not isinstance(data, Written) else data


def _work_of(text: str) -> int:
    return 100 + sum(50 + len(one) for one in _EXPRESSION.findall(text))


def _size(value: Json) -> int:
    if isinstance(value, (list, dict)):
        return _PART + sum(map(_size, value.values() if isinstance(value, dict) else value))
    return _PART + (len(value) if isinstance(value, str) else 0)


def words_of(data: Json) -> Iterator[str]:
    """The keys, names and template names in some data."""
    if isinstance(data, dict):
        for key, item in data.items():
            yield key
            yield from words_of(item)
    elif isinstance(data, list):
        for item in data:
            yield from words_of(item)
    elif isinstance(data, str) and re.fullmatch(r"[\w.-]+", data):
        yield data
    elif isinstance(data, str):
        for expression in re.findall(r"\{[{%].*?(?:[%}]\}|$)", data, re.DOTALL):
            yield from re.findall(r"\w+", expression)
