"""Templates: strict, sandboxed rendering of values, for each rendering with a budget of work."""

from krea_pipe.pipeline.template.limits import MAX_RENDERED, NULL_IN_TEXT, TemplateProblem, as_text, reset_budgets, slug
from krea_pipe.pipeline.template.template import Template, VariablePath, compile_template, is_template, paths_in

__all__ = [
    "MAX_RENDERED",
    "NULL_IN_TEXT",
    "Template",
    "TemplateProblem",
    "VariablePath",
    "as_text",
    "compile_template",
    "is_template",
    "paths_in",
    "reset_budgets",
    "slug",
]
