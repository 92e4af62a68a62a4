"""Collects located problems, so that all of a file's come at once."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from krea_pipe.core.errors import Problem
from krea_pipe.core.json_data import Json
from krea_pipe.core.masking import MASK, without_secrets
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.pipeline.source import Document, Trail
from krea_pipe.pipeline.spec.hints import nearest
from krea_pipe.pipeline.template import TemplateProblem
from krea_pipe.pipeline.template.template import Template, compile_template, is_template

MAX_DATA = 20_000_000

MAX_TEMPLATE_WORK = 150_000
"""What different templates may hold: each counts for 100 letters, each of its expressions for 50 and its own."""

_EXPRESSION = re.compile(r"\{[{%#].*?(?:[%}#]\}|$)", re.DOTALL)
_PART = 16  # how many letters one part of a list or mapping counts for


class Problems(ProblemList):
    """What was found so far in one document.

    `lost` are the words of what was wrong and is left out: a check may not complain that such a word is missing
    or unused, because that would only repeat the first problem in other words.
    """

    def __init__(self, document: Document) -> None:
        super().__init__()
        self.document = document
        self.lost: dict[str, None] = {}
        self.secret_lines: set[tuple[Path, int]] = set()
        self.rendered = 0
        self.templates: set[str] = set()
        self.template_work = 0

    def lose(self, trails: Iterable[Trail]) -> None:
        """Note the words of the values at some trails as left out."""
        for trail in trails:
            if trail:
                self.lost[str(trail[-1])] = None
                self.lost.update(dict.fromkeys(words_of(self.document.value(trail))))

    def has_lost(self, word: str) -> bool:
        """Whether a word, or what was meant to be it, is among what was left out."""
        return word in self.lost or nearest(word, self.lost) is not None

    def compiled(self, text: str) -> Template:
        """Compile a template of the file, as long as there are not too many.

        Raises:
            TemplateProblem: it is none. InvalidInput: the limit is reached.
        """
        if text not in self.templates and is_template(text):
            self.templates.add(text)
            self.template_work += _work_of(text)
            if self.template_work > MAX_TEMPLATE_WORK:
                hint = "values that differ in a word can be plain values of an axis, which one template reads"
                self.add("too_many_templates", "this file has too many different templates, or too long ones", (), hint)
                self.check()
        return compile_template(text)

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
            hint = "write fewer variables and values that repeat long ones"
            raise TemplateProblem("template_too_large", "the templates of this file make too much data", hint=hint)
        return value

    def add(self, code: str, message: str, trail: Trail, hint: str | None = None) -> None:
        """Note a problem with the value at a trail."""
        self.note(Problem(code, message, self.document.place(trail), hint))

    def add_key(self, code: str, message: str, trail: Trail, hint: str | None = None) -> None:
        """Note a problem with the key that ends a trail."""
        self.note(Problem(code, message, self.document.key_place(trail), hint))

    def add_secret(self, message: str, trail: Trail, hint: str, *, is_key: bool = False) -> None:
        """Note that the value at a trail, or the key that ends it, looks like a secret, and show its line to nobody."""
        at = self.document.key_place(trail) if is_key else self.document.place(trail)
        self.secret_lines.add((at.path, at.line))
        self.note(Problem("secret_in_file", message, at, hint))

    def add_word(self, code: str, message: str, trail: Trail, *, word: str | None, hint: str | None) -> None:
        """Note a problem with one word inside the value at a trail."""
        at = self.document.word_place(trail, word) if word else self.document.place(trail)
        self.note(Problem(code, message, at, hint))

    def all(self) -> list[Problem]:
        """Everything that was found, in the order of the file, without the secrets that it would show."""
        return [self._quiet(problem) for problem in super().all()]

    def _quiet(self, problem: Problem) -> Problem:
        if not self.secret_lines:
            return problem
        quiet = unrepeating(problem)
        at = quiet.at
        if at is None or (at.path, at.line) not in self.secret_lines or MASK in at.text:
            return quiet
        return replace(quiet, at=replace(at, text=MASK))  # it is written with escapes, or in several lines


def unrepeating(problem: Problem) -> Problem:
    """A problem without the secrets that it, or its line, would show: problems end up in public logs."""
    at = problem.at and replace(problem.at, text=without_secrets(problem.at.text))
    hint = problem.hint and without_secrets(problem.hint)
    return Problem(problem.code, without_secrets(problem.message), at, hint)


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
