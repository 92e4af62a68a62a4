"""Data becomes a `Pipeline`, or a list of located problems."""

from krea_pipe.pipeline.spec.loading import Draft, Loaded, draft_pipeline, read_pipeline
from krea_pipe.pipeline.spec.overlay import Overrides
from krea_pipe.pipeline.spec.prices import CLASS_WORDS, user_prices
from krea_pipe.pipeline.spec.used_files import is_library

__all__ = [
    "CLASS_WORDS",
    "Draft",
    "Loaded",
    "Overrides",
    "draft_pipeline",
    "is_library",
    "read_pipeline",
    "user_prices",
]
