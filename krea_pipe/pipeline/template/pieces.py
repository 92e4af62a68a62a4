"""The pieces that the text of a template is joined from: each is rendered anew only when what it reads has changed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from jinja2 import meta, nodes

from krea_pipe.pipeline.template.limits import TemplateProblem, as_text, spent_work
from krea_pipe.pipeline.template.sandbox import ENVIRONMENT
from krea_pipe.pipeline.template.template import (
    VariablePath,
    compile_template,
    is_template,
    path_of_expression,
    text_renderer,
)
from krea_pipe.pipeline.template.template_files import NO_FILES, TemplateFiles, parse_template

_Values = Mapping[str, Any]


class CostlyPieceError(Exception):
    """Rendering a piece takes steps of the budget of its template, which therefore must be rendered as a whole."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a template: the names that it reads, and how it becomes text.

    `path` is the name with its fields, if the piece consists of that alone.
    """

    names: frozenset[str]
    render: Callable[[_Values], str]
    path: VariablePath | None = None


@lru_cache(maxsize=4096)
def pieces_of(text: str, files: TemplateFiles = NO_FILES) -> tuple[Piece, ...]:
    """The pieces of a template, in order; the whole is the only one if it cannot be divided.

    The joined texts, once `checked_text` has accepted them, are what the template renders. A piece that cannot be
    rendered raises a `TemplateProblem` or a `CostlyPieceError`; what is wrong, only rendering the whole says.

    Args:
        text: the template.
        files: the templates that it can include.

    Raises:
        TemplateProblem: it is not a template.
    """
    if not is_template(text):
        return (_literal(text),)
    compile_template(text, files)  # refuses what templates must not use
    parts = list(_parts(parse_template(text, files).body))
    if len(parts) < 2 or any(isinstance(one, nodes.Scope | nodes.Macro) for one in parts):
        return (_whole(text, files),)
    return tuple(map(_piece, parts))


def _whole(text: str, files: TemplateFiles) -> Piece:
    template = compile_template(text, files)
    return Piece(template.names, lambda context: as_text(template.render(context)))


def _parts(body: list[nodes.Node]) -> Iterator[nodes.Node]:
    """The top level of a template. Nothing on it can assign a name, so that its parts are independent."""
    for node in body:
        if isinstance(node, nodes.Output):
            yield from node.nodes
        else:
            yield node


def _piece(node: nodes.Node) -> Piece:
    if isinstance(node, nodes.TemplateData):
        return _literal(node.data)
    path = path_of_expression(node)
    if path is not None:
        return Piece(frozenset(path[:1]), _lookup(path), path)
    output = nodes.Output([node], lineno=1) if isinstance(node, nodes.Expr) else node
    tree = nodes.Template([output], lineno=1)
    tree.set_environment(ENVIRONMENT)
    names = frozenset(meta.find_undeclared_variables(tree))
    return Piece(names, _within_budget(text_renderer(tree)))


def _literal(text: str) -> Piece:
    return Piece(frozenset(), lambda _: text)


def _lookup(path: VariablePath) -> Callable[[_Values], str]:
    """A name with fields, which needs no compiled template."""

    def render(context: _Values) -> str:
        value: Any = context
        try:
            for step in path:
                value = value[step]
        except (LookupError, TypeError) as error:
            raise TemplateProblem("undefined_variable", f"`{'.'.join(path)}` is not defined") from error
        return as_text(value)

    return render


def _within_budget(render: Callable[[_Values], Any]) -> Callable[[_Values], str]:
    """The budget is for a whole template, so that a piece must not take any of it."""

    def checked(context: _Values) -> str:
        text = cast("str", render(context))
        if spent_work():
            raise CostlyPieceError
        return text

    return checked
