"""Makes the cells of a pipeline: the part of the flow that needs neither the store nor a plan."""

import itertools
from collections.abc import Iterator

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.graph import Graph, build_graph
from krea_pipe.matrix.matrix import MAX_CELLS, Expansion
from krea_pipe.matrix.matrix_parts import CellText, cell_text
from krea_pipe.matrix.selecting import selected
from krea_pipe.matrix.selection import Selection
from krea_pipe.pipeline.spec import Loaded


def cells(
    loaded: Loaded,
    *,
    max_cells: int = MAX_CELLS,
    selection: Selection | None = None,
    warnings: list[Problem] | None = None,
) -> Iterator[tuple[Cell, Key]]:
    """Every cell with the key of its request, streamed unless some are selected.

    Args:
        loaded: the pipeline.
        max_cells: refuse a matrix with more cells.
        selection: which cells; None is all of them.
        warnings: takes what is allowed but probably not meant.

    Yields:
        Cells in the order of the stages, each with its key.

    Raises:
        InvalidInput: with every problem. NothingSelected: no cell fits the selection.
    """
    expansion = Expansion(
        loaded.pipeline, loaded.fingerprints, max_cells, warnings=[] if warnings is None else warnings
    )
    if selection is None or selection.is_all:
        yield from expansion.keyed()
        return
    if selection.needs_results:
        hint = "use it with plan, run or report"
        raise UsageError(
            Problem("bad_selection", f"cells cannot be selected by {selection.needs_results} here", hint=hint)
        )
    yield from selected(list(expansion.keyed()), selection, loaded.pipeline, {})


def texts(loaded: Loaded, *, max_cells: int = MAX_CELLS, selection: Selection | None = None) -> Iterator[CellText]:
    """Every cell as text, which costs far less than as a `Cell`.

    Args:
        loaded: the pipeline.
        max_cells: refuse a matrix with more cells.
        selection: which cells; None is all of them.

    Returns:
        The texts of the cells in the order of the stages, streamed unless some are selected.

    Raises:
        UsageError: the selection asks for a status.
        InvalidInput: with every problem. NothingSelected: no cell fits the selection.
    """
    if selection is None or selection.is_all:
        return Expansion(loaded.pipeline, loaded.fingerprints, max_cells).texts()
    return itertools.starmap(cell_text, cells(loaded, max_cells=max_cells, selection=selection))


def stage_cells(loaded: Loaded, stage: str) -> list[tuple[Cell, Key]]:
    """Every cell of one stage with its key.

    Raises:
        InvalidInput: some cannot be made.
    """
    return Expansion(loaded.pipeline, loaded.fingerprints).of_stage(stage)


def stage_graph(loaded: Loaded, max_cells: int) -> Graph:
    """The stages with their images and prices, generated or not, and which of them wait for others.

    Args:
        loaded: the pipeline.
        max_cells: refuse a matrix with more cells.

    Returns:
        The stages in the order of the file; prices are in US dollars.

    Raises:
        InvalidInput: with every problem.
    """
    expansion = Expansion(loaded.pipeline, loaded.fingerprints, max_cells)
    return build_graph(loaded.pipeline, expansion.keyed(), expansion.waiting)
