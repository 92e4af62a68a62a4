"""Data becomes a `Pipeline`, or a list of located problems."""

from krea_pipe.pipeline.spec.load import Draft, draft_pipeline
from krea_pipe.pipeline.spec.overlay import Overrides

__all__ = ["Draft", "Overrides", "draft_pipeline"]
