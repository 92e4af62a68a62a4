"""Checking a pipeline file: every problem of it."""

from dataclasses import dataclass
from pathlib import Path

from krea_pipe.app.reading import load_pipeline
from krea_pipe.core.errors import InvalidInput, Problem
from krea_pipe.matrix.matrix import Expansion
from krea_pipe.pipeline.input_files import inputs_of
from krea_pipe.pipeline.spec import Overrides, is_library


@dataclass(frozen=True, slots=True)
class Checked:
    """A pipeline file that was read: how many cells it has, what is wrong with it, and which other files it reads.

    `is_skipped` is for a staged YAML file that is not a pipeline, `is_library` for a file with definitions alone.
    """

    file: Path
    cells: int
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    inputs: frozenset[Path] = frozenset()
    is_skipped: bool = False
    is_library: bool = False


def check_file(file: Path, overrides: Overrides, max_cells: int) -> Checked:
    """Read a pipeline file and the images that it names, and make every request.

    Args:
        file: the pipeline.
        overrides: settings that override it.
        max_cells: refuse a matrix with more cells.

    Returns:
        The number of its cells, its problems and warnings, and the files that it reads.
    """
    try:
        loaded = load_pipeline(file, overrides, allow_library=True)
        found = list[Problem]()
        library = is_library(loaded.pipeline.document.data)
        expansion = Expansion(loaded.pipeline, loaded.fingerprints, max_cells, warnings=found)
        count = 0 if library else sum(1 for _ in expansion.keyed())
    except InvalidInput as error:
        return Checked(file, 0, error.problems)
    inputs = frozenset(inputs_of(loaded.pipeline, loaded.fingerprints))
    return Checked(file, count, warnings=(*loaded.warnings, *found), inputs=inputs, is_library=library)
