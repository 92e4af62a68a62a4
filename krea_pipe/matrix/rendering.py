"""Renders the values of one stage, with the place of whatever cannot be rendered."""

import operator
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

from krea_pipe.core.fields import UnknownValueError
from krea_pipe.core.json_data import Json
from krea_pipe.core.written import unspelled
from krea_pipe.pipeline.model import Value
from krea_pipe.pipeline.template import (
    MAX_RENDERED,
    NO_FILES,
    NULL_IN_TEXT,
    TemplateFiles,
    TemplateProblem,
    VariablePath,
    as_text,
    checked_text,
    compile_template,
    is_template,
    paths_in,
)

Context = Mapping[str, object]
_T = TypeVar("_T")


class CellProblem(ValueError):
    """A cell cannot be made; `trail` and `word` say the place of the reason in the file."""

    def __init__(
        self, code: str, message: str, trail: tuple[str | int, ...], *, word: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.trail, self.word, self.hint = code, trail, word, hint
        self.others: tuple[CellProblem, ...] = ()
        self.null: VariablePath | None = None
        """The name and the fields that a template puts into a text, and that are null."""


@dataclass(slots=True, eq=False)
class Renderer:
    """Renders templates, or returns what one last gave if it reads the same values again."""

    files: TemplateFiles = NO_FILES
    last: dict[tuple[str, Callable[[Json], Json]], tuple[list[object], Json]] = field(default_factory=dict)

    def text(self, value: Value, context: Context) -> str:
        """Render a value to text, runs of white space folded, composed (NFC)."""
        return cast("str", self._rendered(str(value.data), value, context, folded))

    def name(self, data: Json, value: Value, context: Context) -> str:
        """Render one name of a list."""
        return cast("str", self._rendered(str(data), value, context, as_text))

    def typed(self, value: Value, context: Context) -> Json:
        """Render a value that keeps its type when it is one expression."""
        return (
            self._rendered(value.data, value, context, unspelled)
            if isinstance(value.data, str)
            else unspelled(value.data)
        )

    def tree(self, value: Value, context: Context) -> Json:
        """Render every text in a value."""
        return self._tree(value.data, value, context)

    def _tree(self, data: Json, value: Value, context: Context) -> Json:
        if isinstance(data, dict):
            return {key: self._tree(one, value, context) for key, one in data.items()}
        if isinstance(data, list):
            return [self._tree(one, value, context) for one in data]
        return self._rendered(data, value, context, _same) if is_template(data) else data  # type: ignore[arg-type]

    def _rendered(self, text: str, value: Value, context: Context, finish: Callable[[Json], Json]) -> Json:
        """Values are compared by identity, because 1 and True are equal and do not read the same.

        The last axis varies fastest and is often the seed, which few prompts read.
        """
        try:
            template = compile_template(text, self.files)
            inputs = list(map(context.get, template.names))
            last = self.last.get((text, finish))
            if last is None or not all(map(operator.is_, inputs, last[0])):
                last = self.last[text, finish] = (inputs, finish(template.render(context)))
            return last[1]
        except TemplateProblem as error:
            null = _null_path(text, self.files, context) if error.code == NULL_IN_TEXT else None
            if null is not None:
                raise _null_problem(value, null) from error
            raise CellProblem(error.code, str(error), value.trail, word=error.word, hint=error.hint) from error


def check_value(value: Value, check: Callable[[], _T]) -> _T:
    """The result of a check; a refusal is a problem at the place of a value."""
    try:
        return check()
    except ValueError as error:
        hint = error.hint if isinstance(error, UnknownValueError) else None
        raise CellProblem("invalid_value", str(error), value.trail, hint=hint) from error


def _null_path(text: str, files: TemplateFiles, context: Context) -> VariablePath | None:
    """The first name of a template, with its fields, that is null."""
    return next((path for path in paths_in(text, files) if _at(context, path) is None), None)


def _at(context: object, path: VariablePath) -> object:
    for step in path:
        context = context.get(step, "") if isinstance(context, Mapping) else ""
    return context


def _null_problem(value: Value, path: VariablePath) -> CellProblem:
    name = ".".join(path)
    hint = f"give it a value, in quotes if it is the word null, or write {{{{ {name} | default('plain', true) }}}}"
    problem = CellProblem(
        NULL_IN_TEXT, f"`{name}` is null, but a template inserts it into text", value.trail, hint=hint
    )
    problem.word, problem.null = path[0], path
    return problem


def _same(rendered: Json) -> Json:
    return rendered


def folded_texts(texts: Sequence[str]) -> Sequence[str]:
    """Texts that templates gave, as `Renderer.text` returns them.

    Nearly all need no change, which is found out for all of them at once.

    Raises:
        TemplateProblem: one is too long, or contains characters that cannot be sent.
    """
    whole = f"|{'|'.join(texts)}|"
    has_spaces = "  " in whole or "| " in whole or " |" in whole
    if whole.isascii() and whole.isprintable() and not has_spaces and max(map(len, texts)) <= MAX_RENDERED:
        return texts
    return [folded(checked_text(text)) for text in texts]


def folded(rendered: Json) -> str:
    """A rendered value as text, runs of white space folded, composed (NFC)."""
    text = " ".join(as_text(rendered).split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)
