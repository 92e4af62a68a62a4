"""The sandbox that templates run in: data only, no functions, nothing that grows text without bound.

Jinja's optimizer is off, because it would fold `'a' * 10**9` while compiling.
"""

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_RENDERED = 20_000
MAX_LOOPS = 2

_FILTERS = "abs default first float int join last length round sort sum"
_TEXT_FILTERS = "capitalize lower string title trim upper"
_TESTS = "defined undefined none number string true false even odd in eq ne lt le gt ge sequence mapping"
_REFUSED_NODES: Mapping[type[nodes.Node], str] = {
    nodes.Call: "call functions or methods",
    nodes.Assign: "use {% set %}",
    nodes.AssignBlock: "use {% set %}",
    nodes.With: "use {% with %}",
    nodes.Macro: "use {% macro %}",
    nodes.CallBlock: "use {% call %}",
    nodes.Include: "use {% include %}",
    nodes.Import: "use {% import %}",
    nodes.FromImport: "use {% import %}",
    nodes.Extends: "use {% extends %}",
    nodes.Block: "use {% block %}",
    nodes.FilterBlock: "use {% filter %}",
    nodes.Pow: "use **",
}


class TemplateProblem(ValueError):
    """A template can not be compiled or rendered: what to point at in it, if that is known, and what to do."""

    def __init__(self, code: str, message: str, word: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.word, self.hint = code, word, hint


def as_text(value: object) -> str:
    """A value as a part of a text: null is nothing, true and false are as in YAML.

    Raises:
        TemplateProblem: it is a row, a mapping or a list, which nobody wants to read in a prompt.
    """
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case None:
            return ""
        case dict():
            hint = f"name one of its fields: {', '.join(str(key) for key in value)}"
            raise TemplateProblem("template_not_text", "a row or mapping can not be a part of a text", hint=hint)
        case list() | tuple():
            hint = "join its items: {{ items | join_and }}"
            raise TemplateProblem("template_not_text", "a list can not be a part of a text", hint=hint)
    return str(value)


def slug(value: object) -> str:
    """Turn any text into a part of a path: lower case, letters and digits of any script, single hyphens."""
    return _slug(as_text(value))


@lru_cache(maxsize=4096)
def _slug(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"(?<=\d):(?=\d)", "x", text)
    return re.sub(r"-{2,}", "-", re.sub(r"[^\w.]+|_", "-", text)).strip("-.")


def _join_and(values: Sequence[object], word: str = "and") -> str:
    items = [as_text(value) for value in ([values] if isinstance(values, str) else values)]
    return f" {word} ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def _choice(values: Sequence[object], seed: object = 1) -> object:
    if not values:
        raise TemplateProblem("template_render", "choice needs at least one value", "choice")
    number = int.from_bytes(hashlib.sha256(repr(seed).encode()).digest()[:8], "big")
    return values[number % len(values)]


def _replace(text: object, old: object, new: object) -> str:
    source, target = as_text(text), str(old)
    if not target or source.count(target) * len(str(new)) > MAX_RENDERED:
        raise TemplateProblem("template_too_large", "replace would make a very long text", "replace")
    return source.replace(target, str(new))


class _Missing(jinja2.StrictUndefined):
    """A name or a field that is not there, which says so in our words as soon as it is used."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> NoReturn:
        name, owner = str(self._undefined_name), self._undefined_obj
        hint: str | None
        match owner:
            case dict():
                row = f"the row `{owner['id']}`" if "id" in owner else "this mapping"
                message, hint = f"{row} has no field `{name}`", near_word(name, [str(key) for key in owner])
            case list() | tuple():
                message, hint = f"this list has no item {name}", f"it has {len(owner)}, counted from 0"
            case jinja2.utils.missing:
                message, hint = f"nothing defines `{name}`", None
            case _:
                message, hint = f"a plain value has no field `{name}`", "only rows and mappings have fields"
        raise TemplateProblem("undefined_variable", message, name, hint)


def near_word(word: str, known: Sequence[str]) -> str:
    """A hint with the known word nearest to one that was written, or with all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"there is {', '.join(known) or 'nothing'}"


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
            return _Missing(obj=obj, name=str(argument))

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not numbers and operator != "+":
            raise TemplateProblem("template_operator", f"{operator} is for numbers alone", operator)
        if operator == "+" and not numbers and not isinstance(left, type(right)):
            raise TemplateProblem("template_operator", "+ needs two values of one kind; ~ joins text", "+")
        return super().call_binop(context, operator, left, right)


def _finalized(value: object) -> object:
    # Nearly all output is text, and an undefined has to stay one until Jinja raises for it.
    return value if type(value) is str or isinstance(value, jinja2.Undefined) else as_text(value)


def _on_text(text_filter: Callable[..., str]) -> Callable[..., str]:
    return lambda value, *arguments: text_filter(_finalized(value), *arguments)


def _environment() -> _Environment:
    env = _Environment(undefined=_Missing, optimized=False, autoescape=False, cache_size=0, finalize=_finalized)
    env.globals.clear()
    texts = {name: _on_text(env.filters[name]) for name in _TEXT_FILTERS.split()}
    env.filters = {name: env.filters[name] for name in _FILTERS.split()}
    env.filters |= texts | {"slug": slug, "join_and": _join_and, "choice": _choice, "replace": _replace}
    env.tests = {name: env.tests[name] for name in _TESTS.split()}
    return env


ENVIRONMENT = _environment()


def check_tree(tree: nodes.Template) -> None:
    """Refuse what templates may not use.

    Raises:
        TemplateProblem: the template calls, assigns, imports or loops too deep.
    """
    for node in tree.find_all(tuple(_REFUSED_NODES)):
        hint = "use filters: {{ surface | title }}" if isinstance(node, nodes.Call) else None
        message = f"templates can not {_REFUSED_NODES[type(node)]}; they only read data"
        raise TemplateProblem("template_forbidden", message, hint=hint)
    if any(node.name in ("self", "super") for node in tree.find_all(nodes.Name)):
        raise TemplateProblem("template_forbidden", "templates can not use self or super; they only read data", "self")
    if _loop_depth(tree) > MAX_LOOPS:
        raise TemplateProblem("template_forbidden", f"loops nest at most {MAX_LOOPS} deep", "for")


def syntax_problem(said: str) -> TemplateProblem:
    """Say what Jinja says about a template that it can not read, in words for people who do not know Jinja."""
    unknown = re.match(r"(?:No (filter|test) named|Encountered unknown (tag)) '([^']+)'", said)
    if unknown:
        kind, name = unknown[1] or unknown[2], unknown[3]
        if name in ("else", "elif", "endif", "endfor"):
            return TemplateProblem("template_syntax", f"{{% {name} %}} stands alone", name, "open it with {% if … %}")
        known = {"filter": ENVIRONMENT.filters, "test": ENVIRONMENT.tests, "tag": ("if", "elif", "else", "for")}
        return TemplateProblem("template_syntax", f"unknown {kind} `{name}`", name, near_word(name, [*known[kind]]))
    block = re.search(r"innermost block that needs to be closed is '(\w+)'", said)
    if block and "Unexpected end" in said:
        return TemplateProblem(
            "template_syntax", f"{{% {block[1]} %}} is not closed", hint=f"close it with {{% end{block[1]} %}}"
        )
    hint = "an expression looks like {{ surface }} or {{ product.text | title }}"
    if "end of print statement" in said or "end of template" in said.lower():
        return TemplateProblem("template_syntax", "an expression in {{ }} is not complete or not closed", hint=hint)
    return TemplateProblem("template_syntax", f"the template can not be read: {said.rstrip('.')}", hint=hint)


def _loop_depth(node: nodes.Node) -> int:
    below = max((_loop_depth(child) for child in node.iter_child_nodes()), default=0)
    return below + isinstance(node, nodes.For)
