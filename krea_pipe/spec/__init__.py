"""Data becomes a `Pipeline`, or a list of located problems."""

from krea_pipe.spec.load import load_pipeline

__all__ = ["load_pipeline"]
