"""The pieces of a template that only Jinja can render."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from jinja2 import meta, nodes

from krea_pipe.pipeline.template.compiled import CostlyPieceError, Piece
from krea_pipe.pipeline.template.included_files import parse_template
from krea_pipe.pipeline.template.inserting import literal, lookup
from krea_pipe.pipeline.template.jinja_template import path_of_expression, text_renderer
from krea_pipe.pipeline.template.limits import as_text, spent_work
from krea_pipe.pipeline.template.sandbox import ENVIRONMENT
from krea_pipe.pipeline.template.template import compile_template
from krea_pipe.pipeline.template.template_files import TemplateFiles


def divide_with_jinja(text: str, files: TemplateFiles) -> tuple[Piece, ...]:
    """The pieces of a template; arguments and errors as for `pieces_of`."""
    template = compile_template(text, files)  # refuses what templates must not use
    parts = list(_parts(parse_template(text, files).body))
    if len(parts) < 2 or any(isinstance(one, nodes.Scope | nodes.Macro) for one in parts):
        return (Piece(template.names, lambda context: as_text(template.render(context))),)
    return tuple(map(_piece, parts))


def _parts(body: list[nodes.Node]) -> Iterator[nodes.Node]:
    """The top level of a template. Nothing on it can assign a name, so that its parts are independent."""
    for node in body:
        if isinstance(node, nodes.Output):
            yield from node.nodes
        else:
            yield node


def _piece(node: nodes.Node) -> Piece:
    if isinstance(node, nodes.TemplateData):
        return literal(node.data)
    path = path_of_expression(node)
    if path is not None:
        return lookup(path)
    output = nodes.Output([node], lineno=1) if isinstance(node, nodes.Expr) else node
    tree = nodes.Template([output], lineno=1)
    tree.set_environment(ENVIRONMENT)
    names = frozenset(meta.find_undeclared_variables(tree))
    return Piece(names, _within_budget(text_renderer(tree)))


def _within_budget(render: Callable[[Mapping[str, Any]], Any]) -> Callable[[Mapping[str, Any]], str]:
    """The budget is for a whole template, so that a piece must not take any of it."""

    def checked(context: Mapping[str, Any]) -> str:
        text = cast("str", render(context))
        if spent_work():
            raise CostlyPieceError
        return text

    return checked
