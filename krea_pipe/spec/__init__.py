"""Data becomes a `Pipeline`, or a list of located problems."""

from krea_pipe.spec.load import Draft, draft_pipeline

__all__ = ["Draft", "draft_pipeline"]
