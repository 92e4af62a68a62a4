"""Templates that other templates include, and macros that they import: put in place before anything is compiled.

An included file becomes part of the template, and so do imported macros, so that all rules and limits apply to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from krea_pipe.core.near_names import near_word
from krea_pipe.pipeline.template.limits import TemplateProblem
from krea_pipe.pipeline.template.sandbox import ENVIRONMENT
from krea_pipe.pipeline.template.template_files import NO_FILES, TemplateFiles, included_names

MAX_FILE_DEPTH = 8
"""Levels of templates that include each other."""
_JOINT = "\N{MIDDLE DOT}"
"""Joins the name of a macro and the number of its file; no template can contain such a name."""


def parse_template(text: str, files: TemplateFiles = NO_FILES) -> nodes.Template:
    """Parse a template with everything that it includes and imports in place.

    Raises:
        jinja2.TemplateError: it is not a template. TemplateProblem: a file cannot be included.
    """
    tree = ENVIRONMENT.parse(text)
    if next(included_names(text), None) is None and not _has_imports(tree):
        return tree
    inliner = _Inliner(files)
    inliner.visit(tree)
    _Calls(inliner.scope.modules).visit(tree)
    named = {alias: _named(inliner.macros[own], alias) for alias, own in inliner.scope.names.items()}
    tree.body = [nodes.Scope([*_called(tree, {**inliner.macros, **named}), *tree.body], lineno=1)]
    return tree


def _called(tree: nodes.Template, macros: Mapping[str, nodes.Macro]) -> list[nodes.Macro]:
    """The macros that a template calls, and those that they call: what others read is not needed."""
    found, waiting = dict[str, nodes.Macro](), list[nodes.Node]([tree])
    while waiting:
        for call in waiting.pop().find_all(nodes.Call):
            name = call.node.name if isinstance(call.node, nodes.Name) else ""
            if name in macros and name not in found:
                found[name] = macros[name]
                waiting.append(macros[name])
    return list(found.values())


def _has_imports(tree: nodes.Template) -> bool:
    return any(True for _ in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport)))


@dataclass(frozen=True)
class _Scope:
    """What the imports of one file mean in that file: names in `macros`, by the names that the file uses."""

    names: dict[str, str] = field(default_factory=dict)
    modules: dict[str, dict[str, str]] = field(default_factory=dict)


class _Inliner(NodeTransformer):
    """Puts included templates in place, and collects the macros that are imported.

    `macros` holds all of them, each under a name of its own; `imported` holds these names by file and macro.
    """

    def __init__(self, files: TemplateFiles) -> None:
        self.files = files
        self.above: list[str] = []
        self.scope = _Scope()
        self.macros: dict[str, nodes.Macro] = {}
        self.imported: dict[str, dict[str, str]] = {}

    def visit_Include(self, node: nodes.Include) -> list[nodes.Node]:  # noqa: N802 (Jinja's name)
        """The contents of the file in place of the tag."""
        if node.ignore_missing or not node.with_context:
            _refuse("`ignore missing` and `without context` are not supported", "include")
        return list(self._body_of(node.template))

    def visit_Import(self, node: nodes.Import) -> None:  # noqa: N802
        """The macros of the file, under the name of the import and their own."""
        self.scope.modules[node.target] = self._macros_of(node.template)

    def visit_FromImport(self, node: nodes.FromImport) -> None:  # noqa: N802
        """The macros that are named."""
        found = self._macros_of(node.template)
        for one in node.names:
            name, alias = one if isinstance(one, tuple) else (one, one)
            if name not in found:
                _refuse(f"`{_name(node.template)}` has no macro `{name}`", name, near_word(name, list(found)))
            self.scope.names[alias] = found[name]

    def _macros_of(self, template: nodes.Expr) -> dict[str, str]:
        """The names in `macros` of the macros of a file, which know each other and what their file imports."""
        name = _name(template)
        if name not in self.imported:
            outer, self.scope = self.scope, _Scope()
            found = {one.name: one for one in self._body_of(template) if isinstance(one, nodes.Macro)}
            own = {one: f"{one}{_JOINT}{len(self.imported)}" for one in found}
            calls = _Calls(self.scope.modules, self.scope.names | own)
            self.macros |= {own[one]: _named(calls.visit(macro), own[one]) for one, macro in found.items()}
            self.imported[name], self.scope = own, outer
        return self.imported[name]

    def _body_of(self, template: nodes.Expr) -> list[nodes.Node]:
        name = _name(template)
        if name in self.above or len(self.above) >= MAX_FILE_DEPTH:
            circle = " → ".join([*self.above, name])
            _refuse(f"these templates include each other, or too many others: {circle}", name)
        if name not in self.files.texts:
            _refuse(f"the template {name} does not exist", name, "templates can include files of the repository")
        self.above.append(name)
        tree = ENVIRONMENT.parse(self.files.texts[name])
        self.visit(tree)
        self.above.pop()
        return tree.body


class _Calls(NodeTransformer):
    """Turns calls of `m.headline(…)`, and of macros in `names`, into calls by the names in `macros`."""

    def __init__(self, modules: Mapping[str, Mapping[str, str]], names: Mapping[str, str] | None = None) -> None:
        self.modules, self.names = modules, names or {}

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        """A call with the macro's own name."""
        self.generic_visit(node)
        match node.node:
            case nodes.Getattr(node=nodes.Name(name=module), attr=macro) if module in self.modules:
                if macro not in self.modules[module]:
                    near = near_word(macro, list(self.modules[module]))
                    _refuse(f"`{module}` has no macro `{macro}`", macro, near)
                node.node = nodes.Name(self.modules[module][macro], "load", lineno=node.lineno)
            case nodes.Name(name=name) if name in self.names:
                node.node = nodes.Name(self.names[name], "load", lineno=node.lineno)
        return node


def _named(macro: nodes.Macro, name: str) -> nodes.Macro:
    return nodes.Macro(name, macro.args, macro.defaults, macro.body, lineno=macro.lineno)


def _name(template: nodes.Expr) -> str:
    if isinstance(template, nodes.Const) and isinstance(template.value, str):
        return template.value
    return _refuse("the name of an included file must be a text in quotes", "include")


def _refuse(message: str, word: str, hint: str | None = None) -> NoReturn:
    raise TemplateProblem("template_file", message, word, hint)
