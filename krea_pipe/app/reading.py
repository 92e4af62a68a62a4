"""Reads a pipeline and the images that it names."""

from pathlib import Path

from krea_pipe.pipeline.spec import Loaded, Overrides, read_pipeline
from krea_pipe.store.checked_images import CheckedImages
from krea_pipe.store.home_place import find_home


def load_pipeline(
    file: Path,
    overrides: Overrides = Overrides(),  # noqa: B008 (frozen)
    *,
    allow_library: bool = False,
    edited: bytes | None = None,
) -> Loaded:
    """Read a pipeline file and every image that it names; an image that was found to be whole is not decoded again.

    Args:
        file: the pipeline file.
        overrides: what the command line says over it; its environment names the home folder.
        allow_library: accept a file without stages, whose definitions other files use.
        edited: read these bytes in place of those of the file, which an edit is going to replace.

    Returns:
        The pipeline and its images.

    Raises:
        InvalidInput: with every problem of the file and of its images. UsageError: the overrides are wrong.
    """
    checked = CheckedImages(find_home(overrides.environment, file))
    return read_pipeline(file, overrides, checked, allow_library=allow_library, edited=edited)
