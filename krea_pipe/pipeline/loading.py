"""A pipeline file and every image that it names."""

from dataclasses import dataclass
from pathlib import Path

from krea_pipe.core.errors import Problem
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.pipeline.references import Fingerprints, fingerprint_images
from krea_pipe.pipeline.spec import Overrides, draft_pipeline


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline file and the images that it names."""

    pipeline: Pipeline
    fingerprints: Fingerprints

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is allowed but probably not meant."""
        return (*self.pipeline.warnings, *self.fingerprints.warnings)


def load(file: Path, overrides: Overrides = Overrides()) -> Loaded:  # noqa: B008 (frozen)
    """Read a pipeline file and every image that it names.

    Raises:
        InvalidInput: with every problem of the file and of its images. UsageError: what stands over it is wrong.
    """
    draft = draft_pipeline(file, overrides)
    fingerprints = fingerprint_images(draft.pipeline)
    draft.problems.extend(fingerprints.problems)
    draft.problems.check()
    return Loaded(draft.pipeline, fingerprints)
