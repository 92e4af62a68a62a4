"""What stands at the seams between rooms: names that mean one thing, and docstrings that say how they are used."""

import ast
import re
from collections import defaultdict
from functools import cache

from test_architecture import room_of, trees

DOCUMENTED = ("store", "planning", "api", "executor", "app")
"""The rooms whose names, where another room takes them, say what they take, give and raise."""
MAX_SHARED_NAMES = 4
"""How many names stand for two things or more; it may only fall, to 10."""

NOTHING = {"None", "Never", "NoReturn", "Iterator[None]", "AsyncIterator[None]"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SECTION = re.compile(r"^(Args|Returns|Yields|Raises):$", re.MULTILINE)


def imported(tree):
    """What a module imports by `from`: the module, the name and the name that it has here."""
    for node in tree.body:
        for one in node.body if isinstance(node, ast.If) else (node,):  # `if TYPE_CHECKING:`
            if isinstance(one, ast.ImportFrom):
                yield from ((one.module, alias.name, alias.asname or alias.name) for alias in one.names)


def taken():
    """Each name that a module takes from another one: imported, by the name of a module, or by a late import."""
    for module, tree in trees().items():
        modules = {}
        for source, name, here in imported(tree):
            yield module, source, name
            if f"{source}.{name}" in trees():
                modules[here] = f"{source}.{name}"
        for node in ast.walk(tree) if modules or module == "krea_pipe.cli.lazy" else ():
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                yield module, modules[node.value.id], node.attr
            elif isinstance(node, ast.Constant) and re.fullmatch(r"krea_pipe[\w.]+:\w+", str(node.value)):
                yield (module, *node.value.split(":"))


def seams():
    """The classes and functions of the rooms above that another room takes, and the methods of these classes."""
    wanted = defaultdict(set)
    for module, source, name in taken():
        if source in trees() and room_of(source) in DOCUMENTED and room_of(source) != room_of(module):
            wanted[source].add(name)
    for module, names in sorted(wanted.items()):
        for node in trees()[module].body:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and node.name in names:
                yield module, node.name, node
                for one in node.body if isinstance(node, ast.ClassDef) else ():
                    if isinstance(one, FUNCTIONS) and not one.name.startswith("_"):
                        yield module, f"{node.name}.{one.name}", one


@cache
def errors():
    """The names of the classes that stand below `KreaPipeError`, and of the functions that make one of them."""
    nodes = [node for tree in trees().values() for node in tree.body]
    found, classes = {"KreaPipeError"}, [node for node in nodes if isinstance(node, ast.ClassDef)]
    for _ in range(4):
        found |= {node.name for node in classes if {ast.unparse(base) for base in node.bases} & found}
    inner = [one for node in classes for one in node.body]
    makers = [node for node in (*nodes, *inner) if isinstance(node, FUNCTIONS) and node.returns]
    return found | {node.name for node in makers if ast.unparse(node.returns) in found}


def own_nodes(function):
    """What is in a function, and not in one inside of it."""
    open_ = list(function.body)
    while open_:
        node = open_.pop()
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            open_ += ast.iter_child_nodes(node)


def sections_of(doc):
    """The text of each section of a docstring by its name, and what stands before them as ""."""
    parts = SECTION.split(doc)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def is_one_sentence(text):
    first = re.sub(r"`[^`]*`", "x", text.strip().split("\n\n")[0])
    return re.findall(r"[.!?](?=\s|$)", first) == ["."] and first.endswith(".")


def parameters_of(function):
    args = function.args
    every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    return [one.arg for one in every if one is not None and one.arg not in ("self", "cls", "_")]


def raises_an_error(function):
    """Whether a `raise` in it names a `KreaPipeError`."""
    raised = [node.exc for node in own_nodes(function) if isinstance(node, ast.Raise) and node.exc is not None]
    named = [one.func if isinstance(one, ast.Call) else one for one in raised]
    return bool({ast.unparse(one).rpartition(".")[2] for one in named} & errors())


def lacks(node):
    """What the docstring of a class or a function does not say."""
    found = sections_of(ast.get_docstring(node) or "")
    missing = [] if is_one_sentence(found[""]) else ["one sentence as its first paragraph"]
    decorators = {ast.unparse(one).split("(")[0] for one in node.decorator_list}
    if isinstance(node, ast.ClassDef) or decorators & {"property", "cached_property"}:
        return missing
    told = re.findall(r"^ {4}\*{0,2}(\w+):", found.get("Args", ""), re.MULTILINE)
    missing += [f"`{name}` under `Args:`" for name in parameters_of(node) if name not in told]
    if ast.unparse(node.returns) not in NOTHING and not found.keys() & {"Returns", "Yields"}:
        missing.append("`Returns:`")
    if raises_an_error(node) and "Raises" not in found:
        missing.append("`Raises:`")
    return missing


def test_what_another_room_takes_says_how_it_is_used():
    assert {f"{module}.{name}": wanting for module, name, node in seams() if (wanting := lacks(node))} == {}


def public_names(tree):
    """The classes, functions and constants of a module; a command of the command line is named by what it is called."""
    for node in tree.body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            if not any("click.command" in ast.unparse(one) for one in node.decorator_list):
                yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))


def test_few_public_names_are_those_of_several_things():
    found = defaultdict(set)
    for module, tree in trees().items():
        for name in public_names(tree) if room_of(module) != "local" else ():  # it stands apart
            if not name.startswith("_") and name != "main":
                found[name].add(module.removeprefix("krea_pipe."))
    shared = {name: sorted(modules) for name, modules in found.items() if len(modules) > 1}
    assert len(shared) <= MAX_SHARED_NAMES, shared
