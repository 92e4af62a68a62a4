"""The Jinja environment that templates run in: data only, no functions, and Python that counts what it does.

Items come before attributes, there are no methods, and each filter and test has a limit to what it may make or read.
Jinja's optimizer is off, because it would fold `'a' * 10**9` while compiling.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, operators
from jinja2.filters import make_attrgetter
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from krea_pipe.core.excerpts import shown
from krea_pipe.core.near_names import near_word
from krea_pipe.core.written import WrittenNull, unspelled
from krea_pipe.pipeline.template.limits import (
    MAX_DIGITS,
    MAX_NAME_IN_ERROR,
    MAX_RENDERED,
    TemplateProblem,
    as_text,
    check_number,
    check_sum,
    count_content,
    count_items,
    join_bounded,
    slug,
    spend,
)

_FILTERS = "abs default first float int last length"
_TEXT_FILTERS = "capitalize lower string title trim upper"
_TESTS = "defined undefined none number string true false sequence mapping"
_COMPARISONS = "in eq ne lt le gt ge"
_CALL_STEPS = 16
"""What the call of a macro counts for, besides its text and its loops."""
_LOOP_FIELDS = ("index", "index0", "revindex", "revindex0", "first", "last", "length")
_FORMAT_CODE = re.compile(r"%(?:%|[-+ 0]{0,2}(\d{0,2})(?:\.\d{1,2})?[dsf])")
_MEANT = {
    **dict.fromkeys(("uppercase", "upcase", "to_upper", "toupper"), "upper"),
    **dict.fromkeys(("lowercase", "downcase", "to_lower", "tolower"), "lower"),
    **dict.fromkeys(("titlecase", "title_case", "capitalise"), "title"),
    **dict.fromkeys(("count", "size", "len"), "length"),
    **dict.fromkeys(("strip", "striptags", "squish"), "trim"),
    **dict.fromkeys(("random", "sample", "pick", "shuffle"), "choice"),
    **dict.fromkeys(("slugify", "parameterize", "kebabcase", "urlize"), "slug"),
    **dict.fromkeys(("zfill", "pad", "padleft", "rjust", "ljust", "center", "format_number"), "format"),
    **dict.fromkeys(("d", "coalesce", "fallback", "else"), "default"),
    **dict.fromkeys(("str", "to_string", "tostring"), "string"),
    **dict.fromkeys(("to_sentence", "joinand", "and"), "join_and"),
    **dict.fromkeys(("number", "to_int", "integer"), "int"),
}
"""Filters of other tools, each with ours that does the same."""

_NEEDLESS = ("list", "e", "escape", "forceescape", "safe", "raw", "html_safe")
"""Filters of other tools that have no purpose here."""

_T = TypeVar("_T")


class _Missing(jinja2.StrictUndefined):
    """A missing name or field, which raises our error as soon as it is used."""

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
            case LoopContext():
                message, hint = f"`loop` has no `{name}`", near_word(name, _LOOP_FIELDS)
            case jinja2.utils.missing:
                message, hint = f"`{name}` is not defined", None
            case _:
                message, hint = f"a plain value has no field `{name}`", "only rows and mappings have fields"
        raise TemplateProblem("undefined_variable", message, name, hint)


class _Generator(CodeGenerator):
    """Writes a template's Python so that whatever grows or takes long is counted when it runs."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 (Jinja's name)
        """Join with a limit."""
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802
        """Compare values that were weighed, unless one is written out, so that no more than that is read."""
        right = node.ops[0]
        if len(node.ops) == 1 and (_is_constant(right.expr) or (_is_constant(node.expr) and "in" not in right.op)):
            super().visit_Compare(node, frame)
            return
        self.write("(")
        self._count_content(node.expr, frame)
        for operand in node.ops:
            self.write(f" {operators[operand.op]} ")
            self._count_content(operand.expr, frame)
        self.write(")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802
        """Look an item up; a slice copies, so its source is weighed."""
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self._count_content(node.node, frame)
        self.write("[")
        self.visit(node.arg, frame)
        self.write("]")

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802
        """Loop over items that were counted, each for as many steps as the body is large."""
        weight = nodes.Const(1 + sum(1 for _ in node.find_all(nodes.Node)) // 8)
        steps = nodes.EnvironmentAttribute("count_items")
        node.iter = nodes.Call(steps, [node.iter, weight], [], None, None)
        super().visit_For(node, frame)

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:  # noqa: N802, ARG002
        """Call `count_items`, or a macro, whose text is counted; a template itself cannot call anything else."""
        if not isinstance(node.node, nodes.EnvironmentAttribute):
            self.write("environment.from_macro(")
            super().visit_Call(node, frame)
            self.write(")")
            return
        self.write("environment.count_items(")
        for argument in node.args:
            self.visit(argument, frame)
            self.write(", ")
        self.write(")")

    def _count_content(self, node: nodes.Expr, frame: Frame) -> None:
        self.write("environment.count_content(")
        self.visit(node, frame)
        self.write(")")


def _is_constant(node: nodes.Expr) -> bool:
    items = node.items if isinstance(node, (nodes.List, nodes.Tuple)) else [node]
    return all(isinstance(item, nodes.Const) for item in items)


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 for data: item before attribute, no methods, no operators that grow text."""

    code_generator_class = _Generator
    intercepted_binops = frozenset(["*", "%", "+"])
    count_content, count_items = staticmethod(count_content), staticmethod(count_items)

    def joined(self, parts: tuple[object, ...]) -> str:
        """Join what is around `~`."""
        return join_bounded([part if type(part) is str else as_text(part) for part in parts])

    def from_macro(self, text: str) -> str:
        """The text that a macro made, counted, so that macros that call each other have an end."""
        spend(_CALL_STEPS)
        return join_bounded([text])

    def getattr(self, obj: object, attribute: str) -> object:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: object) -> object:  # noqa: ANN401 (whatever data holds)
        """Look up data by key or index, never a Python attribute, so that `row.items` is the key `items`."""
        if isinstance(obj, LoopContext) and argument in _LOOP_FIELDS:
            return getattr(obj, str(argument))
        try:
            return obj[argument]
        except (LookupError, TypeError):
            name = shown(argument) if isinstance(argument, (list, tuple, dict)) else str(argument)
            return _Missing(obj=obj, name=name)

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not numbers and operator != "+":
            raise TemplateProblem("template_operator", f"{operator} works only on numbers", operator)
        if operator == "+" and not numbers and not isinstance(left, type(right)):
            raise TemplateProblem("template_operator", "+ needs two values of the same kind; ~ joins text", "+")
        check_sum(left, right)
        result: object = super().call_binop(context, operator, left, right)
        check_number(result)
        return result


def _finalized(value: object) -> object:
    """A value as the part of a text that it becomes."""
    if isinstance(value, LoopContext):
        raise TemplateProblem("template_not_text", "`loop` cannot be part of text", "loop", "write {{ loop.index }}")
    # Nearly all output is text, and an undefined has to stay one until Jinja raises for it.
    return value if type(value) is str or isinstance(value, jinja2.Undefined) else as_text(value)


def _on_text(text_filter: Callable[..., str]) -> Callable[..., str]:
    def filtered(value: object, *arguments: object) -> str:
        text = count_content(value if type(value) is str else _finalized(value))
        return text_filter(text, *map(_plain_argument, arguments)) if arguments else text_filter(text)

    return filtered


def _on_list(list_filter: Callable[..., Any]) -> Callable[..., Any]:
    @jinja2.pass_environment
    def filtered(environment: jinja2.Environment, values: object, *arguments: object, **named: object) -> object:
        for argument in (*arguments, *named.values()):
            _plain_argument(argument)
        return list_filter(environment, count_content(values), *arguments, **named)

    return filtered


def _rounding(round_number: Callable[..., float]) -> Callable[..., float]:
    def rounded(value: float, precision: int = 0, method: str = "common") -> float:
        if not -MAX_DIGITS <= precision <= MAX_DIGITS:
            raise TemplateProblem("template_render", f"round allows at most {MAX_DIGITS} digits", "round")
        return round_number(value, precision, method)

    return rounded


def _on_number(test: Callable[..., Any]) -> Callable[..., Any]:
    # For a text `%` would be formatting, and could ask for a text of any length.
    return lambda value: isinstance(value, (int, float)) and test(value)


def _comparison(test: Callable[..., Any]) -> Callable[..., Any]:
    return lambda value, other: test(count_content(value), count_content(other))


@jinja2.pass_environment
def _join(
    environment: jinja2.Environment, values: Collection[object], d: object = "", attribute: str | int | None = None
) -> str:
    items: Iterable[object] = count_items(values)
    if attribute is not None:
        items = map(make_attrgetter(environment, _plain_argument(attribute)), items)
    return join_bounded([item if type(item) is str else as_text(item) for item in items], as_text(d))


def _join_and(values: Sequence[object], word: object = "and") -> str:
    given = [values] if isinstance(values, str) else count_items(values)
    items = [as_text(value) for value in given if value is not None]
    return join_bounded([one for one in (join_bounded(items[:-1], ", "), *items[-1:]) if one], f" {as_text(word)} ")


def _format(pattern: object, *values: object) -> str:
    """Printf's `%03d`, `%.2f` and `%s`, with widths of up to 99."""
    text = count_content(as_text(pattern))
    codes = [one for one in _FORMAT_CODE.finditer(text) if one[0] != "%%"]
    if _FORMAT_CODE.sub("", text).count("%") or len(codes) != len(values):
        hint = "write one of %d, %03d, %s or %.2f for each value: {{ '%03d' | format(seed) }}"
        raise TemplateProblem("template_render", "this text cannot be formatted with these values", "format", hint)
    given = [as_text(one) if code[0].endswith("s") else one for one, code in zip(values, codes, strict=True)]
    return join_bounded([text % tuple(given)])


def _choice(values: Sequence[object], seed: object = 1) -> object:
    if not values:
        raise TemplateProblem("template_render", "choice needs at least one value", "choice")
    number = int.from_bytes(hashlib.sha256(repr(count_content(seed)).encode()).digest()[:8], "big")
    return values[number % len(values)]


def _replace(value: object, old: object, new: object) -> str:
    text, target, instead = count_content(as_text(value)), as_text(old), as_text(new)
    if not target or text.count(target) * len(instead) > MAX_RENDERED:
        raise TemplateProblem("template_too_large", "replace would produce a very long text", "replace")
    return text.replace(target, instead)


def _plain_argument(value: _T) -> _T:
    if isinstance(value, (list, tuple, dict)) or (isinstance(value, str) and len(value) > MAX_NAME_IN_ERROR):
        message = f"the arguments of a filter must be numbers, or texts of up to {MAX_NAME_IN_ERROR} characters"
        raise TemplateProblem("template_too_large", message)
    return value


def filter_hint(name: str) -> str:
    """What to write in place of an unknown filter."""
    longest = max((one for one in ENVIRONMENT.filters if name.lower().startswith(one)), key=len, default="")
    meant = _MEANT.get(name.lower()) or (longest if len(longest) > 3 else None)
    if name.lower() in _NEEDLESS:
        return "remove it; the value can be used without it"
    return f"did you mean `{meant}`?" if meant else near_word(name, [*ENVIRONMENT.filters])


def _environment() -> _Environment:
    """The environment with these filters and tests, and no others."""
    env = _Environment(undefined=_Missing, optimized=False, autoescape=False, cache_size=0, finalize=_finalized)
    env.globals.clear()
    known = env.filters
    tests: Mapping[str, Any] = env.tests
    env.filters = {name: known[name] for name in _FILTERS.split()}
    env.filters |= {name: _on_text(known[name]) for name in _TEXT_FILTERS.split()}
    env.filters |= {"sort": _on_list(known["sort"]), "sum": _on_list(known["sum"]), "round": _rounding(known["round"])}
    env.filters |= {"join": _join, "join_and": _join_and, "choice": _choice, "replace": _replace}
    env.filters["format"] = _format
    env.filters["slug"] = lambda value: slug(count_content(value))
    env.tests = {name: tests[name] for name in _TESTS.split()}
    env.tests |= {name: _comparison(tests[name]) for name in _COMPARISONS.split()}
    env.tests |= {"none": lambda value: value is None or isinstance(value, WrittenNull)}
    env.tests |= {"string": lambda value: isinstance(value, str) and not isinstance(value, WrittenNull)}
    env.tests |= {"true": lambda value: unspelled(value) is True, "false": lambda value: unspelled(value) is False}
    env.tests |= {name: _on_number(tests[name]) for name in ("even", "odd")}
    return env


ENVIRONMENT = _environment()
