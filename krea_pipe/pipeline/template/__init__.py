"""Templates: strict, sandboxed rendering of values, for each rendering with a budget of work."""

from krea_pipe.pipeline.template.compiled import CostlyPieceError, Piece, Template, VariablePath, checked_text
from krea_pipe.pipeline.template.limits import MAX_RENDERED, NULL_IN_TEXT, TemplateProblem, as_text, reset_budgets, slug
from krea_pipe.pipeline.template.pieces import pieces_of
from krea_pipe.pipeline.template.template import compile_template, is_template, paths_in
from krea_pipe.pipeline.template.template_files import NO_FILES, TemplateFiles, included_names, with_names

__all__ = [
    "MAX_RENDERED",
    "NO_FILES",
    "NULL_IN_TEXT",
    "CostlyPieceError",
    "Piece",
    "Template",
    "TemplateFiles",
    "TemplateProblem",
    "VariablePath",
    "as_text",
    "checked_text",
    "compile_template",
    "included_names",
    "is_template",
    "paths_in",
    "pieces_of",
    "reset_budgets",
    "slug",
    "with_names",
]
