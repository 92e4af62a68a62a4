"""Strict, sandboxed, type-keeping rendering of one value; compiled once.

A value that is exactly one `{{ expression }}` keeps its type, anything else becomes text. Templates that only insert
values are rendered here; others need Jinja, which takes longer to import than most commands take.
"""

from collections.abc import Iterable
from functools import lru_cache

from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.template.compiled import Template, VariablePath
from krea_pipe.pipeline.template.inserting import compile_inserting, inserted_paths
from krea_pipe.pipeline.template.limits import MAX_RENDERED, too_long
from krea_pipe.pipeline.template.template_files import NO_FILES, TemplateFiles


def is_template(value: Json) -> bool:
    """Whether a value holds template syntax."""
    return isinstance(value, str) and ("{{" in value or "{%" in value or "{#" in value)


@lru_cache(maxsize=4096)
def compile_template(text: str, files: TemplateFiles = NO_FILES) -> Template:
    """Compile one value once.

    Args:
        text: the value.
        files: the templates that it can include.

    Raises:
        TemplateProblem: it is not a template, or uses something that templates must not use.
    """
    if len(text) > MAX_RENDERED:
        raise too_long()
    if not is_template(text):
        return Template(text, frozenset(), frozenset(), frozenset(), lambda _context: text)
    inserting = compile_inserting(text, lambda: _with_jinja(text, files))
    return inserting or _with_jinja(text, files)


@lru_cache(maxsize=4096)
def _with_jinja(text: str, files: TemplateFiles) -> Template:
    from krea_pipe.pipeline.template.jinja_template import compile_with_jinja  # noqa: PLC0415 (Jinja, which takes long)

    return compile_with_jinja(text, files)


def paths_in(text: str, files: TemplateFiles = NO_FILES) -> list[VariablePath]:
    """The names that a template takes from outside, each with the fields that it reads of it."""
    found: Iterable[VariablePath] | None = inserted_paths(text)
    if found is None:
        from krea_pipe.pipeline.template.jinja_template import paths_outside  # noqa: PLC0415 (Jinja, which takes long)

        found = paths_outside(text, files)
    known = {*found}
    whole = [path for path in known if not any(other[: len(path)] == path and other != path for other in known)]
    return sorted(whole, key=lambda path: (text.find(".".join(path)) % (len(text) + 1), path))
