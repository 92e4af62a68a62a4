"""The Jinja environment: item before attribute, no methods, and Python that counts what it does.

Jinja's optimizer is off, because it would fold `'a' * 10**9` while compiling.
"""

from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, operators
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from krea_pipe.core.excerpts import shown
from krea_pipe.pipeline.template.filters import finalized, install
from krea_pipe.pipeline.template.texts import TemplateProblem, as_text, near_word
from krea_pipe.pipeline.template.work import bounded, check_number, check_sum, counted, weighed


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
        self._weigh(node.expr, frame)
        for operand in node.ops:
            self.write(f" {operators[operand.op]} ")
            self._weigh(operand.expr, frame)
        self.write(")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802
        """Look an item up; a slice copies, so its source is weighed."""
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self._weigh(node.node, frame)
        self.write("[")
        self.visit(node.arg, frame)
        self.write("]")

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802
        """Loop over items that were counted, each for as many steps as the body is large."""
        weight = nodes.Const(1 + sum(1 for _ in node.find_all(nodes.Node)) // 8)
        steps = nodes.EnvironmentAttribute("steps")
        node.iter = nodes.Call(steps, [node.iter, weight], [], None, None)
        super().visit_For(node, frame)

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:  # noqa: N802, ARG002
        """Call `steps`; a template itself cannot call anything."""
        self.write("environment.steps(")
        for argument in node.args:
            self.visit(argument, frame)
            self.write(", ")
        self.write(")")

    def _weigh(self, node: nodes.Expr, frame: Frame) -> None:
        self.write("environment.weighed(")
        self.visit(node, frame)
        self.write(")")


def _is_constant(node: nodes.Expr) -> bool:
    items = node.items if isinstance(node, (nodes.List, nodes.Tuple)) else [node]
    return all(isinstance(item, nodes.Const) for item in items)


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 for data: item before attribute, no methods, no operators that grow text."""

    code_generator_class = _Generator
    intercepted_binops = frozenset(["*", "%", "+"])
    weighed, steps = staticmethod(weighed), staticmethod(counted)

    def joined(self, parts: tuple[object, ...]) -> str:
        """Join what stands around `~`."""
        return bounded([part if type(part) is str else as_text(part) for part in parts])

    def getattr(self, obj: object, attribute: str) -> object:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: object) -> object:  # noqa: ANN401 (whatever data holds)
        """Look up data by key or index, never a Python attribute, so that `row.items` is the key `items`."""
        try:
            return obj[argument]
        except (LookupError, TypeError):
            name = shown(argument) if isinstance(argument, (list, tuple, dict)) else str(argument)
            return _Missing(obj=obj, name=name)

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not numbers and operator != "+":
            raise TemplateProblem("template_operator", f"{operator} is for numbers alone", operator)
        if operator == "+" and not numbers and not isinstance(left, type(right)):
            raise TemplateProblem("template_operator", "+ needs two values of one kind; ~ joins text", "+")
        check_sum(left, right)
        result: object = super().call_binop(context, operator, left, right)
        check_number(result)
        return result


def _environment() -> _Environment:
    env = _Environment(undefined=_Missing, optimized=False, autoescape=False, cache_size=0, finalize=finalized)
    env.globals.clear()
    install(env)
    return env


ENVIRONMENT = _environment()
