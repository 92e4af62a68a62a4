"""Overrides of a file: a profile, values of the command line, variables of other files, declared environment variables.

A file's nodes are merged, not its data, so that each value still knows its place.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from krea_pipe.core.engine import ENGINE
from krea_pipe.core.errors import InvalidInput, Place, Problem, UsageError, whole_file
from krea_pipe.core.excerpts import shown
from krea_pipe.core.fields import FIELD_NAMES, LIST_FIELDS, Allowed
from krea_pipe.core.json_data import CONTROL_CHARACTERS, Json
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.pipeline.nodes import Node, build_nodes, spelled_data
from krea_pipe.pipeline.source import Document, read_document
from krea_pipe.pipeline.spec.hints import suggestion
from krea_pipe.pipeline.spec.schema_check import field_problem

_STAND_INS = range(0xE000, 0xF8FF)
"""The codes of private-use characters, one of which replaces `#`."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """The overrides given on the command line.

    `environment` is asked for what the file declares under `env:` alone.
    """

    profiles: Sequence[str] = ()
    sets: Sequence[str] = ()
    var_files: Sequence[Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def parse_sets(sets: Sequence[str]) -> tuple[dict[str, Node], list[tuple[list[str], Node]]]:
    """Parse `--set`: request fields for every cell, and values at paths of the file.

    Raises:
        UsageError: one of them says nothing.
    """
    found = [_assignment(text) for text in sets]
    fields = {".".join(path): node for path, node in found if _is_field(path)}
    return fields, [(path, node) for path, node in found if not _is_field(path)]


def check_sets(fields: Mapping[str, Node], allowed: Allowed) -> None:
    """Refuse request fields of `--set` with values that no request can have.

    Raises:
        UsageError: there is one.
    """
    for name, node in fields.items():
        wrong = field_problem(name, node.data, allowed) if name in FIELD_NAMES else None
        if wrong is not None:
            raise UsageError(replace(wrong, code="bad_set", message=f"--set: {wrong.message}"))


def _is_field(path: Sequence[str]) -> bool:
    """Whether a path names something of every request: a field, or a strength as an axis names it."""
    return (
        path[0] in FIELD_NAMES
        if len(path) == 1
        else len(path) == 3 and path[0] in LIST_FIELDS and path[2] == "strength"
    )


def apply_overrides(document: Document, overrides: Overrides, sets: Sequence[tuple[list[str], Node]]) -> Document:
    """A document with all overrides merged into it, low to high: profile, variable files, `--set`.

    Raises:
        UsageError: there is no such profile, or a value cannot be set. InvalidInput: a variable file is wrong.
    """
    root, places = document.root, list[Place]()
    for name in overrides.profiles:
        root = merge_nodes(root, _profile(document.root, name))
    for file in overrides.var_files:
        places.append(whole_file(file))
        root = _with(root, ["vars"], moved_to(_variables(file), -len(places)))
    for path, value in sets:
        places.append(whole_file(Path("--set"), f"{'.'.join(path)}={said(value.data)}"))
        root = _with(root, path, moved_to(value, -len(places)))
    return document if root is document.root else replace(document, root=root, overlays=tuple(places))


def merge_nodes(low: Node, high: Node) -> Node:
    """Two nodes as one: mappings key by key, anything else, and an engine, as the higher one says."""
    if not isinstance(low.data, dict) or not isinstance(high.data, dict):
        return high
    children = dict(low.children)
    for key, node in high.children.items():
        is_merged = key in children and not _is_engine(key, node)
        children[key] = merge_nodes(children[key], node) if is_merged else node
    data: Json = {str(key): node.data for key, node in children.items()}
    spelled = spelled_data(data, children)
    return Node(data, low.start, low.end, children, {**low.keys, **high.keys}, low.size + high.size, spelled)


def _is_engine(key: object, node: Node) -> bool:
    """Whether a value is an engine of its own, which takes nothing from another one: least of all its key."""
    return key == ENGINE and "kind" in node.children


def _profile(root: Node, name: str) -> Node:
    profiles = root.children.get("profiles")
    known = profiles.children if profiles else {}
    if name not in known:
        hint = suggestion(name, [str(one) for one in known]) or "the file has no `profiles:`"
        raise UsageError(Problem("unknown_profile", f"there is no profile `{name}`", hint=hint))
    return known[name]


def _with(root: Node, path: Sequence[str], value: Node) -> Node:
    """A node with another value at a path of keys; new parts have the place of the nearest key above."""
    if not path:
        return merge_nodes(root, value) if isinstance(value.data, dict) and isinstance(root.data, dict) else value
    head, *rest = path
    if isinstance(root.data, list):
        message = f"`{head}` is inside a list, and a list can only be set as a whole"
        raise UsageError(Problem("bad_set", message, hint="write --set path.to.list='[one, two]'"))
    if not isinstance(root.data, dict):
        root = Node({}, value.start, value.start)
    below = root.children.get(head) or Node({}, value.start, value.start)
    key = {head: root.keys.get(head, value.start)}
    child = _with(below, rest, value)
    return merge_nodes(root, Node({head: child.data}, root.start, root.end, {head: child}, key))


def said(data: Json) -> str:
    """A value as it may have been written after `--set`."""
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)


def moved_to(node: Node, start: int) -> Node:
    """A node whose parts all have one place."""
    children = {key: moved_to(child, start) for key, child in node.children.items()}
    return Node(node.data, start, start, children, dict.fromkeys(node.keys, start), node.size, node.spelled)


def _variables(file: Path) -> Node:
    document = read_document(file)
    problems = ProblemList()
    problems.extend(document.problems)
    if not isinstance(document.data, dict):
        problems.note(Problem("wrong_type", "a variables file must be a mapping: `brand: Aurelle`", document.place()))
    for name in document.root.keys:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            hint = "use letters, digits and _, not starting with a digit"
            at = document.key_place((name,))
            problems.note(Problem("invalid_name", f"`{name}` is not a valid name", at, hint))
    problems.check()
    return document.root


def _assignment(text: str) -> tuple[list[str], Node]:
    """`path.to.key=value`; the value is read as YAML, without comments."""
    if CONTROL_CHARACTERS.search(text):
        raise UsageError(Problem("bad_set", f"{shown(text)} is not valid text", hint="encode it as UTF-8"))
    path, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w-]*(\.[\w-]+)*", path):
        message = f"{shown(text)} does not say what to set"
        raise UsageError(Problem("bad_set", message, hint="write --set path.to.key=value"))
    if value.strip() in ("", "~", "null"):
        return path.split("."), Node(None, 0, 0)
    stand_in = next((one for one in map(chr, _STAND_INS) if one not in value), "#")
    try:
        node = build_nodes(Path("--set"), value.replace("#", stand_in))
    except InvalidInput as error:
        problem = error.problems[0]
        message = f"the value of {shown(text)} cannot be read: {problem.message.replace(stand_in, '#')}"
        hint = problem.hint and problem.hint.replace(stand_in, "#")
        raise UsageError(Problem("bad_set", message, hint=hint)) from error
    return path.split("."), _with_hashes(node, stand_in)


def _with_hashes(node: Node, stand_in: str) -> Node:
    """A node with `#` for each character that stood for it while YAML was read, which would take it for a comment."""
    if not node.children:
        return replace(node, data=node.data.replace(stand_in, "#") if isinstance(node.data, str) else node.data)
    children = {
        key.replace(stand_in, "#") if isinstance(key, str) else key: _with_hashes(child, stand_in)
        for key, child in node.children.items()
    }
    data: Json = [child.data for child in children.values()]
    if isinstance(node.data, dict):
        data = {str(key): child.data for key, child in children.items()}
    keys = {key.replace(stand_in, "#"): start for key, start in node.keys.items()}
    return replace(node, data=data, children=children, keys=keys, spelled=spelled_data(data, children))
