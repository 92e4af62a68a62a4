"""Strict, sandboxed, type-keeping rendering of one value; compiled once.

A value that is exactly one `{{ expression }}` keeps its type, anything else becomes text. Templates see data
only: no callables, no files, no clock. The optimizer is off because Jinja would otherwise fold `'a' * 10**9`
while compiling, and what could grow without bound at run time is refused.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from krea_pipe.nodes import Json

MAX_RENDERED = 20_000
MAX_LOOPS = 2

_FILTERS = "abs capitalize default first float int join last length lower replace round sort string title trim upper"
_TESTS = "defined undefined none number string true false even odd in eq ne lt le gt ge sequence mapping"
_REFUSED_NODES = (
    nodes.Assign,
    nodes.AssignBlock,
    nodes.With,
    nodes.Call,
    nodes.Macro,
    nodes.CallBlock,
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
    nodes.Extends,
    nodes.Block,
    nodes.FilterBlock,
    nodes.Pow,
)


class TemplateProblem(ValueError):
    """A template can not be compiled or rendered; `word` is the part of it to point at, if one is known."""

    def __init__(self, code: str, message: str, word: str | None = None) -> None:
        super().__init__(message)
        self.code, self.word = code, word


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled value: the names it reads, those it needs without fail, and how to render it."""

    text: str
    names: frozenset[str]
    required: frozenset[str]
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
        return Template(text, frozenset(), frozenset(), lambda _context: text)
    try:
        tree = _ENVIRONMENT.parse(text)
        _check_tree(tree)
        names = frozenset(meta.find_undeclared_variables(tree))
        render = _expression(tree, text) or _text(text)
    except jinja2.TemplateError as error:
        raise TemplateProblem("template_syntax", f"template: {error.message}") from error
    return Template(text, names, frozenset() if _forgiving(tree) else names, render)


def slug(value: object) -> str:
    """Turn any text into a part of a path: lower case, letters and digits of any script, single hyphens."""
    text = unicodedata.normalize("NFKC", str(value)).lower()
    text = re.sub(r"(?<=\d):(?=\d)", "x", text)
    return re.sub(r"-{2,}", "-", re.sub(r"[^\w.]+|_", "-", text)).strip("-.")


def _join_and(values: Sequence[object], word: str = "and") -> str:
    items = [str(value) for value in values]
    return f" {word} ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def _choice(values: Sequence[object], seed: object = 1) -> object:
    if not values:
        raise TemplateProblem("template_render", "choice needs at least one value", "choice")
    number = int.from_bytes(hashlib.sha256(repr(seed).encode()).digest()[:8], "big")
    return values[number % len(values)]


def _replace(text: object, old: object, new: object) -> str:
    source, target = str(text), str(old)
    if not target or source.count(target) * len(str(new)) > MAX_RENDERED:
        raise TemplateProblem("template_too_large", "replace would make a very long text", "replace")
    return source.replace(target, str(new))


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 for data: item before attribute, no methods, no operators that grow text."""

    intercepted_binops = frozenset(["*", "%", "+"])

    def getattr(self, obj: object, attribute: str) -> object:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: object) -> object:  # noqa: ANN401 (whatever data holds)
        """Look up data by key or index, never a Python attribute, so that `row.items` is the key `items`."""
        try:
            return obj[argument]
        except (LookupError, TypeError):
            return self.undefined(obj=obj, name=str(argument))

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not numbers and operator != "+":
            raise TemplateProblem("template_operator", f"{operator} is for numbers", operator)
        if operator == "+" and not numbers and not isinstance(left, type(right)):
            raise TemplateProblem("template_operator", "+ needs two values of one kind; ~ joins text", "+")
        return super().call_binop(context, operator, left, right)


def _environment() -> _Environment:
    env = _Environment(undefined=jinja2.StrictUndefined, optimized=False, autoescape=False, cache_size=0)
    env.globals.clear()
    env.filters = {name: env.filters[name] for name in _FILTERS.split()}
    env.filters |= {"slug": slug, "join_and": _join_and, "choice": _choice, "replace": _replace}
    env.tests = {name: env.tests[name] for name in _TESTS.split()}
    return env


_ENVIRONMENT = _environment()


def _check_tree(tree: nodes.Template) -> None:
    for node in tree.find_all(_REFUSED_NODES):
        what = type(node).__name__.lower()
        raise TemplateProblem("template_forbidden", f"templates may not use {what}; they only read data")
    if _loop_depth(tree) > MAX_LOOPS:
        raise TemplateProblem("template_forbidden", f"loops nest at most {MAX_LOOPS} deep", "for")


def _loop_depth(node: nodes.Node) -> int:
    below = max((_loop_depth(child) for child in node.iter_child_nodes()), default=0)
    return below + isinstance(node, nodes.For)


def _forgiving(tree: nodes.Template) -> bool:
    """Whether some name may be missing: it stands under a condition, a test or the filter `default`."""
    conditional = any(True for _ in tree.find_all((nodes.Test, nodes.CondExpr, nodes.If)))
    return conditional or any(node.name == "default" for node in tree.find_all(nodes.Filter))


def _expression(tree: nodes.Template, text: str) -> Callable[[Mapping[str, Any]], Json] | None:
    """The typed form, when the whole value is one `{{ … }}`."""
    match tree.body:
        case [nodes.Output(nodes=[node])] if not isinstance(node, nodes.TemplateData):
            inner = re.fullmatch(r"\s*\{\{[-+]?(.*?)[-+]?\}\}\s*", text, re.DOTALL)
            if inner is None or text != text.strip():
                return None
            compiled = _ENVIRONMENT.compile_expression(inner[1], undefined_to_none=False)
            return lambda context: _guard(lambda: _plain(compiled(context)))
    return None


def _text(text: str) -> Callable[[Mapping[str, Any]], Json]:
    root = _ENVIRONMENT.from_string(text)
    new_context, pieces = root.new_context, root.root_render_func
    return lambda context: _guard(lambda: _joined(pieces(new_context(dict(context)))))


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
        str(value)  # StrictUndefined raises here, with the name that is missing
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
    except jinja2.UndefinedError as error:
        word = re.search(r"'([^']+)'(?: is undefined)?$", error.message or "")
        raise TemplateProblem("undefined_variable", f"template: {error.message}", word and word[1]) from error
    except (
        jinja2.TemplateError,
        ArithmeticError,
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
    ) as error:
        if isinstance(error, TemplateProblem):
            raise
        raise TemplateProblem("template_render", f"template: {error}") from error
