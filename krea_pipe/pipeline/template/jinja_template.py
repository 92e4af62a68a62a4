"""Templates that Jinja compiles and renders."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import jinja2
from jinja2 import meta, nodes
from jinja2.runtime import Context

from krea_pipe.core.json_data import Json
from krea_pipe.core.near_names import near_word
from krea_pipe.pipeline.template.compiled import Template, VariablePath, plain_value, without_controls
from krea_pipe.pipeline.template.included_files import parse_template
from krea_pipe.pipeline.template.limits import (
    MAX_RENDERED,
    TemplateProblem,
    not_finite,
    reset_work,
    too_long,
)
from krea_pipe.pipeline.template.sandbox import ENVIRONMENT, filter_hint
from krea_pipe.pipeline.template.template_files import TemplateFiles

MAX_LOOPS = 2
_MAX_DEPTH = 64

_REFUSED_NODES: Mapping[type[nodes.Node], str] = {
    nodes.Call: "call functions or methods",
    nodes.Assign: "use {% set %}",
    nodes.AssignBlock: "use {% set %}",
    nodes.With: "use {% with %}",
    nodes.CallBlock: "use {% call %}",
    nodes.Extends: "use {% extends %}",
    nodes.Block: "use {% block %}",
    nodes.FilterBlock: "use {% filter %}",
    nodes.Pow: "use **",
}


def compile_with_jinja(text: str, files: TemplateFiles) -> Template:
    """Compile a template.

    Args:
        text: the template.
        files: the templates that it can include.

    Raises:
        TemplateProblem: it is not a template, or uses something that templates must not use.
    """
    try:
        tree = parse_template(text, files)
        _check_tree(tree)
        names = frozenset(meta.find_undeclared_variables(tree))
        render = _expression(tree, text, names) or text_renderer(tree)
    except jinja2.TemplateError as error:
        raise _syntax_problem(error.message or "", text) from error
    except TemplateProblem:
        raise
    except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError) as error:
        raise _too_deep() from error
    if _allows_missing(tree):
        return Template(text, names, frozenset(), frozenset(), render)
    return Template(text, names, names, _fields(tree, names), render)


def _allows_missing(tree: nodes.Template) -> bool:
    """Whether some name may be missing: it is under a condition, a test or the filter `default`."""
    conditional = any(True for _ in tree.find_all((nodes.Test, nodes.CondExpr, nodes.If)))
    return conditional or any(node.name == "default" for node in tree.find_all(nodes.Filter))


def _fields(tree: nodes.Template, names: frozenset[str]) -> frozenset[tuple[str, str]]:
    """Every `name.field` in a template whose name is defined outside it."""
    return frozenset(
        (node.node.name, node.attr)
        for node in tree.find_all(nodes.Getattr)
        if isinstance(node.node, nodes.Name) and node.node.name in names
    )


def _expression(tree: nodes.Template, text: str, names: frozenset[str]) -> Callable[[Mapping[str, Any]], Json] | None:
    """The typed form, when the whole value is one `{{ … }}`."""
    match tree.body:
        case [nodes.Output(nodes=[node])] if not isinstance(node, nodes.TemplateData):
            inner = re.fullmatch(r"\s*\{\{[-+]?(.*?)[-+]?\}\}\s*", text, re.DOTALL)
            if inner is None or text != text.strip():
                return None
            compiled = ENVIRONMENT.compile_expression(inner[1], undefined_to_none=False)
            # Jinja copies what it is given, and a file may have any number of variables.
            return lambda context: _guard(lambda: _plain(compiled({n: context[n] for n in names if n in context})))
    return None


def text_renderer(tree: nodes.Template) -> Callable[[Mapping[str, Any]], Json]:
    """How a template, or a part of one, becomes text."""
    root = jinja2.Template.from_code(ENVIRONMENT, ENVIRONMENT.compile(tree), ENVIRONMENT.make_globals(None))
    # Shared: Jinja would otherwise copy all names for each cell. Templates cannot assign any.
    new_context, pieces = cast("Callable[..., Context]", root.new_context), root.root_render_func
    return lambda context: _guard(lambda: _joined(pieces(new_context(context, shared=True))))


def _joined(pieces: Iterator[str]) -> str:
    parts, size = [], 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size > MAX_RENDERED:
            raise too_long()
    return without_controls("".join(parts))


def _plain(value: object) -> Json:
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises, with the name that is missing
    return plain_value(value)


def _guard(render: Callable[[], Json]) -> Json:
    """Translate what Jinja and Python raise while rendering into one exception."""
    reset_work()
    try:
        return render()
    except TemplateProblem:
        raise
    except ZeroDivisionError as error:
        raise TemplateProblem("template_render", "the template divides by zero") from error
    except jinja2.TemplateError as error:
        raise TemplateProblem("template_render", f"the template cannot be rendered: {error.message}") from error
    except (RecursionError, MemoryError) as error:
        raise _too_deep() from error
    except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
        message = "a filter or an operator in the template got a value of the wrong kind"
        raise TemplateProblem("template_render", message) from error


def _check_tree(tree: nodes.Template) -> None:
    """Refuse what templates must not use, before anything walks the tree recursively."""
    level: list[nodes.Node] = [tree]
    for _ in range(_MAX_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
    if level:
        raise _too_deep()
    macros = {node.name for node in tree.find_all(nodes.Macro)}
    for node in tree.find_all(tuple(_REFUSED_NODES)):
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in macros:
            continue
        hint = "use filters: {{ surface | title }}" if isinstance(node, nodes.Call) else None
        message = f"templates cannot {_REFUSED_NODES[type(node)]}; they only read data"
        raise TemplateProblem("template_forbidden", message, hint=hint)
    if any(isinstance(node.value, float) and not math.isfinite(node.value) for node in tree.find_all(nodes.Const)):
        raise not_finite()
    if any(node.name in ("self", "super") for node in tree.find_all(nodes.Name)):
        raise TemplateProblem("template_forbidden", "templates cannot use self or super; they only read data", "self")
    if _loop_depth(tree) > MAX_LOOPS:
        raise TemplateProblem("template_forbidden", f"loops can be nested at most {MAX_LOOPS} deep", "for")


def _too_deep() -> TemplateProblem:
    hint = "move parts of it to `vars:`"
    return TemplateProblem(
        "template_too_large", "an expression in the template is too long, or nested too deeply", hint=hint
    )


def _syntax_problem(said: str, text: str) -> TemplateProblem:
    """Translate Jinja's error about an invalid template into words for people who do not know Jinja."""
    unknown = re.match(r"(?:No (filter|test) named|Encountered unknown (tag)) '([^']+)'", said)
    if unknown:
        kind, name = unknown[1] or unknown[2], unknown[3]
        if name in ("else", "elif", "endif", "endfor"):
            return TemplateProblem(
                "template_syntax", f"{{% {name} %}} is never opened", name, "open it with {% if … %}"
            )
        known = {"filter": ENVIRONMENT.filters, "test": ENVIRONMENT.tests, "tag": ("if", "elif", "else", "for")}
        hint = filter_hint(name) if kind == "filter" else near_word(name, [*known[kind]])
        return TemplateProblem("template_syntax", f"unknown {kind} `{name}`", name, hint)
    block = re.search(r"innermost block that needs to be closed is '(\w+)'", said)
    if block and "Unexpected end" in said:
        return TemplateProblem(
            "template_syntax", f"{{% {block[1]} %}} is not closed", hint=f"close it with {{% end{block[1]} %}}"
        )
    if "end of comment" in said:
        hint = "write `{ #` with a space, or end the comment with #}"
        return TemplateProblem("template_syntax", "{# starts a comment, but no #} ends it", "{#", hint)
    if named := re.search(r"\{\{\{\s*(\w+(?:\.\w+)*)\s*\}\}\}", text):
        message = "three braces do not enclose an expression"
        return TemplateProblem("template_syntax", message, named[1], f"write {{{{ {named[1]} }}}}")
    if named := re.search(r"\{\{\s*(\w+(?:\.\w+)*)\s*\}(?!\})", text):
        message = f"`{named[0]}` is not closed with }}}}"
        return TemplateProblem("template_syntax", message, named[1], f"write {{{{ {named[1]} }}}}")
    hint = "an expression looks like {{ surface }} or {{ product.text | title }}"
    if "end of print statement" in said or "end of template" in said.lower():
        return TemplateProblem("template_syntax", "an expression in {{ }} is not complete or not closed", hint=hint)
    return TemplateProblem("template_syntax", f"the template is not valid: {said.rstrip('.')}", hint=hint)


def _loop_depth(node: nodes.Node) -> int:
    below = max((_loop_depth(child) for child in node.iter_child_nodes()), default=0)
    return below + isinstance(node, nodes.For)


def paths_outside(text: str, files: TemplateFiles) -> set[VariablePath]:
    """The names that a template takes from outside, with and without the fields that it reads of them."""
    tree = parse_template(text, files)
    outside = meta.find_undeclared_variables(tree)
    return {path for path in _paths(tree) if path[0] in outside}


def _paths(tree: nodes.Node) -> Iterator[VariablePath]:
    for node in tree.find_all((nodes.Name, nodes.Getattr, nodes.Getitem)):
        path = path_of_expression(node)
        if path is not None:
            yield path


def path_of_expression(node: nodes.Node) -> VariablePath | None:
    """The name and the fields that an expression consists of; None if it is anything else."""
    match node:
        case nodes.Name(name=name):
            return (name,)
        case nodes.Getattr(node=inner, attr=last) | nodes.Getitem(node=inner, arg=nodes.Const(value=str() as last)):
            above = path_of_expression(inner)
            return None if above is None else (*above, last)
    return None
