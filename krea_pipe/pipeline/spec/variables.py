"""Names of variables that nothing reads, and variables that are written as other tools write them."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from krea_pipe.core.errors import Problem
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.model import Stage
from krea_pipe.pipeline.source import Document, Trail

_EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_FOREIGN = re.compile(
    r"\$\{\s*(\w+)((?:\.\w+)*)\s*\}|(?<![\w$])\$(\w+)((?:\.\w+)*)|(?<![{$])\{\s*(\w+)((?:\.\w+)*)\s*\}(?!\})"
)


def names_read(data: Json, key: str = "") -> Iterator[str]:
    """Every word in the templates and conditions of some data."""
    if isinstance(data, dict):
        for name, one in data.items():
            yield from names_read(one, name)
    elif isinstance(data, list):
        for one in data:
            yield from names_read(one, key)
    elif isinstance(data, str):
        for part in [data] if key == "if" else _EXPRESSION.findall(data):
            yield from re.findall(r"[A-Za-z_]\w*", part)


def variable_warnings(
    document: Document, variables: Mapping[str, Json], used: Collection[str], stages: Sequence[Stage]
) -> Iterator[Problem]:
    """Warn about unused variables, and about `{name}`, `$name` and `${name}` if a variable or an axis has that name."""
    known = {*variables, *(axis.name for stage in stages for axis in stage.all_axes if not axis.field)}
    foreign = dict.fromkeys(_foreign(document.data, known, ()))
    meant = {name.partition(".")[0] for _, _, name in foreign}
    for trail, written, name in foreign:
        at = document.word_place(trail, name.partition(".")[0], written)
        message = f"`{written}` is not a template, so it is sent unchanged"
        yield Problem("foreign_template", message, at, f"write {{{{ {name} }}}}")
    for name in variables:
        # An alias, or another file, may use it.
        is_elsewhere = document.has_anchor(("vars", name)) or document.is_used(("vars", name))
        if name not in used and name not in meant and not is_elsewhere:
            at = document.key_place(("vars", name))
            yield Problem("unused_variable", f"nothing uses the variable `{name}`", at, "use it, or remove it")


def _foreign(data: Json, known: Collection[str], trail: Trail) -> Iterator[tuple[Trail, str, str]]:
    if isinstance(data, (dict, list)):
        for key, one in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _foreign(one, known, (*trail, key)) if key not in ("description", "note") else ()
    elif isinstance(data, str) and ("{" in data or "$" in data):
        for found in _FOREIGN.finditer(_EXPRESSION.sub(" ", data)):
            name, fields = next((found[i], found[i + 1]) for i in (1, 3, 5) if found[i])
            if name in known:
                yield trail, found[0], name + fields
