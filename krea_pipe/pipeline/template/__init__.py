"""The sandbox that templates run in: data only, no functions, and for each rendering a budget of work."""

from krea_pipe.pipeline.template.environment import ENVIRONMENT
from krea_pipe.pipeline.template.texts import (
    MAX_RENDERED,
    TemplateProblem,
    as_text,
    near_word,
    not_finite,
    slug,
    too_long,
)
from krea_pipe.pipeline.template.work import MAX_NUMBER, start_pipeline, start_work

__all__ = [
    "ENVIRONMENT",
    "MAX_NUMBER",
    "MAX_RENDERED",
    "TemplateProblem",
    "as_text",
    "near_word",
    "not_finite",
    "slug",
    "start_pipeline",
    "start_work",
    "too_long",
]
