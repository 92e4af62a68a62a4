"""The cell that a person means by a word."""

import difflib
import heapq
from collections.abc import Iterable, Sequence

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.matrix.cell import Cell, Waiting
from krea_pipe.matrix.selection import Subject
from krea_pipe.matrix.selection.match import Wanted, on_id

LISTED = 5
COMPARED = 200


def find_cell(cells: Iterable[Cell], text: str, waiting: Sequence[Waiting] = ()) -> Cell:
    """The one cell of an id, of an end of an id, or of parts or a glob that stand in it, whichever fits first.

    Raises:
        UsageError: no cell fits, or several do.
    """
    by_id = {cell.id: cell for cell in cells}
    wanted = text.strip("/")
    fits = on_id(Wanted(wanted))
    for found in (
        [wanted] if wanted in by_id else [],
        [one for one in by_id if one.endswith(f"/{wanted}")],
        [one for one in by_id if fits(Subject(one, "", {}))],
    ):
        if len(found) == 1:
            return by_id[found[0]]
        if found and wanted:
            raise _several(wanted, found)
    raise _unknown(wanted, list(by_id), waiting)


def _several(text: str, found: Sequence[str]) -> UsageError:
    more = f", and {len(found) - LISTED:,} more" if len(found) > LISTED else ""
    hint = f"name one of them: {', '.join(found[:LISTED])}{more}"
    return UsageError(Problem("several_cells", f"{len(found):,} cells are called `{text}`", hint=hint))


def _unknown(text: str, known: Sequence[str], waiting: Sequence[Waiting]) -> UsageError:
    near = _nearest(text, known)
    hint = f"the nearest: {', '.join(near)}" if near else "show all cells with `krea-pipe expand`"
    stage = text.partition("/")[0]
    for one in waiting:
        if one.stage == stage:
            hint = f"`{stage}` has no cells yet: it waits for picks of `{one.upstream}` in {one.file}"
    return UsageError(Problem("unknown_cell", f"there is no cell `{text}`", hint=hint))


def _nearest(text: str, known: Sequence[str]) -> list[str]:
    """The ids that are most like a text; the slow look is for those alone that share the most parts with it."""
    parts = set(text.lower().split("/"))
    closest = heapq.nlargest(COMPARED, known, key=lambda one: len(parts & set(one.lower().split("/"))))
    return difflib.get_close_matches(text, closest, n=3, cutoff=0.5)
