"""Which values a template reads."""

from collections.abc import Iterator

from jinja2 import meta, nodes

from krea_pipe.pipeline.template import ENVIRONMENT

Path = tuple[str, ...]


def paths_in(text: str) -> list[Path]:
    """The names that a template takes from outside, each with the fields that it reads of it."""
    tree = ENVIRONMENT.parse(text)
    outside = meta.find_undeclared_variables(tree)
    found = {path for path in _paths(tree) if path[0] in outside}
    whole = [path for path in found if not any(other[: len(path)] == path and other != path for other in found)]
    return sorted(whole, key=lambda path: (text.find(".".join(path)) % (len(text) + 1), path))


def _paths(tree: nodes.Node) -> Iterator[Path]:
    for node in tree.find_all((nodes.Name, nodes.Getattr, nodes.Getitem)):
        path = _path(node)
        if path is not None:
            yield path


def _path(node: nodes.Node) -> Path | None:
    match node:
        case nodes.Name(name=name):
            return (name,)
        case nodes.Getattr(node=inner, attr=last) | nodes.Getitem(node=inner, arg=nodes.Const(value=str() as last)):
            above = _path(inner)
            return None if above is None else (*above, last)
    return None
