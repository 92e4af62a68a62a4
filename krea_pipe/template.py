"""Strict, sandboxed, type-keeping rendering of one value; compiled once.

A value that is exactly one `{{ expression }}` keeps its type, anything else becomes text.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import jinja2
from jinja2 import meta, nodes
from jinja2.runtime import Context

from krea_pipe.nodes import Json
from krea_pipe.sandbox import ENVIRONMENT, MAX_RENDERED, TemplateProblem, check_tree, syntax_problem


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled value: names it reads, names and their fields that it needs without fail, how to render it."""

    text: str
    names: frozenset[str]
    required: frozenset[str]
    fields: frozenset[tuple[str, str]]
    render: Callable[[Mapping[str, Any]], Json]


def is_template(value: Json) -> bool:
    """Whether a value holds template syntax."""
    return isinstance(value, str) and ("{{" in value or "{%" in value or "{#" in value)


@lru_cache(maxsize=4096)
def compile_template(text: str) -> Template:
    """Compile one value once.

    Raises:
        TemplateProblem: it is not a template, or uses what templates may not use.
    """
    if not is_template(text):
        return Template(text, frozenset(), frozenset(), frozenset(), lambda _context: text)
    try:
        tree = ENVIRONMENT.parse(text)
        check_tree(tree)
        names = frozenset(meta.find_undeclared_variables(tree))
        render = _expression(tree, text) or _text(text)
    except jinja2.TemplateError as error:
        raise syntax_problem(error.message or "") from error
    if _forgiving(tree):
        return Template(text, names, frozenset(), frozenset(), render)
    return Template(text, names, names, _fields(tree, names), render)


def _forgiving(tree: nodes.Template) -> bool:
    """Whether some name may be missing: it stands under a condition, a test or the filter `default`."""
    conditional = any(True for _ in tree.find_all((nodes.Test, nodes.CondExpr, nodes.If)))
    return conditional or any(node.name == "default" for node in tree.find_all(nodes.Filter))


def _fields(tree: nodes.Template, names: frozenset[str]) -> frozenset[tuple[str, str]]:
    """Every `name.field` of a template whose name comes from outside."""
    return frozenset(
        (node.node.name, node.attr)
        for node in tree.find_all(nodes.Getattr)
        if isinstance(node.node, nodes.Name) and node.node.name in names
    )


def _expression(tree: nodes.Template, text: str) -> Callable[[Mapping[str, Any]], Json] | None:
    """The typed form, when the whole value is one `{{ … }}`."""
    match tree.body:
        case [nodes.Output(nodes=[node])] if not isinstance(node, nodes.TemplateData):
            inner = re.fullmatch(r"\s*\{\{[-+]?(.*?)[-+]?\}\}\s*", text, re.DOTALL)
            if inner is None or text != text.strip():
                return None
            compiled = ENVIRONMENT.compile_expression(inner[1], undefined_to_none=False)
            return lambda context: _guard(lambda: _plain(compiled(context)))
    return None


def _text(text: str) -> Callable[[Mapping[str, Any]], Json]:
    root = ENVIRONMENT.from_string(text)
    # Shared: Jinja would otherwise copy all names for each cell. Templates can not assign any.
    new_context, pieces = cast("Callable[..., Context]", root.new_context), root.root_render_func
    return lambda context: _guard(lambda: _joined(pieces(new_context(context, shared=True))))


def _joined(pieces: Iterator[str]) -> str:
    parts, size = [], 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size > MAX_RENDERED:
            raise TemplateProblem("template_too_large", f"the text is longer than {MAX_RENDERED:,} characters")
    return "".join(parts)


def _plain(value: object) -> Json:
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises, with the name that is missing
    if isinstance(value, str) and len(value) > MAX_RENDERED:
        raise TemplateProblem("template_too_large", f"the text is longer than {MAX_RENDERED:,} characters")
    if value is None or isinstance(value, (str, int, float)):
        return value
    budget = iter(range(MAX_RENDERED))
    return _plain_tree(value, budget)


def _plain_tree(value: object, budget: Iterator[int]) -> Json:
    if next(budget, None) is None:
        raise TemplateProblem("template_too_large", f"the value holds more than {MAX_RENDERED:,} parts")
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {str(key): _plain_tree(item, budget) for key, item in value.items()}
    if isinstance(value, (list, tuple, Iterator)):
        return [_plain_tree(item, budget) for item in value]
    return str(value)


def _guard(render: Callable[[], Json]) -> Json:
    """Translate what Jinja and Python raise while rendering into one exception."""
    try:
        return render()
    except TemplateProblem:
        raise
    except ZeroDivisionError as error:
        raise TemplateProblem("template_render", "the template divides by zero") from error
    except jinja2.TemplateError as error:
        raise TemplateProblem("template_render", f"the template can not be rendered: {error.message}") from error
    except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
        message = "a filter or an operator in the template got a value of the wrong kind"
        raise TemplateProblem("template_render", message) from error
