"""Data becomes a `Pipeline`, or a list of located problems."""

from krea_pipe.pipeline.spec.loading import Draft, Loaded, draft_pipeline, load_pipeline
from krea_pipe.pipeline.spec.overlay import Overrides

__all__ = ["Draft", "Loaded", "Overrides", "draft_pipeline", "load_pipeline"]
