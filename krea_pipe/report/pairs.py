"""The cells of two runs side by side: which belong together, what was asked for, how far their images are apart."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from krea_pipe.core.errors import NothingSelected, Problem
from krea_pipe.core.json_data import Json
from krea_pipe.core.likeness import distance
from krea_pipe.core.outcome import Status
from krea_pipe.core.request import parse_source
from krea_pipe.matrix.selecting import row_subject
from krea_pipe.matrix.selection import Selection, Subject
from krea_pipe.pipeline.references import Fingerprints, Image
from krea_pipe.planning.plan import describe_change
from krea_pipe.report.model import ReferenceView, Report, Row


@dataclass(frozen=True, slots=True)
class Pair:
    """A cell as it is in each of two runs; one that only one run has stands alone.

    `distance` tells how far the images are apart, from 0 to 1; None if that cannot be said. `change` says what the
    requests differ in, "" if in nothing.
    """

    before: Row | None
    after: Row | None
    distance: float | None = None
    change: str = ""

    @property
    def id(self) -> str:
        """The cell's id in the first run that has it, which no other pair has."""
        return self.rows[0].id

    @property
    def is_identical(self) -> bool:
        """Whether both runs have the same image, byte for byte, or neither has one for the same reason."""
        if self.before is None or self.after is None or self.before.sha256 != self.after.sha256:
            return False
        return self.before.sha256 is not None or _state(self.before) == _state(self.after)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The one cell or the two."""
        return tuple(row for row in (self.before, self.after) if row is not None)

    @property
    def is_moved(self) -> bool:
        """Whether the same request stands in another cell."""
        return self.before is not None and self.after is not None and self.before.id != self.after.id


def pair_up(before: Report, after: Report) -> tuple[Pair, ...]:
    """Pair the cells of two runs by their ids, what is left by the request; those of the second run alone come last."""
    partners = _partners(before.rows, after.rows)
    taken = {row.id for row in partners.values()}
    words = _words([*before.references, *after.references])
    pairs = [_pair(row, partners.get(row.id), words) for row in before.rows]
    return (*pairs, *(Pair(None, row) for row in after.rows if row.id not in taken))


def most_changed_first(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs that differ: those with an image on one side alone, then by distance."""
    differing = [one for one in pairs if one.before and one.after and not one.is_identical]
    return sorted(differing, key=lambda one: -2 if one.distance is None else -one.distance)


def selected(pairs: Sequence[Pair], selection: Selection) -> tuple[Pair, ...]:
    """The pairs of which a selection takes the one cell or the other.

    Raises:
        NothingSelected: it takes none. UsageError: it names what neither run has.
    """
    rows = [row for pair in pairs for row in pair.rows]
    names = {name for row in rows for name in row.axes}
    selection.check_names({row.stage for row in rows}, names, get_args(Status))
    taken = tuple(pair for pair in pairs if any(selection.takes(_subject(row)) for row in pair.rows))
    if not taken:
        raise NothingSelected(Problem("nothing_selected", "no cell of these runs fits what was selected"))
    return taken


def _subject(row: Row) -> Subject:
    return row_subject(row.id, row.stage, dict(row.axes), row.status)


def _partners(before: Sequence[Row], after: Sequence[Row]) -> Mapping[str, Row]:
    """For the id of a cell of the first run, the cell of the second that belongs to it."""
    by_id = {row.id: row for row in after}
    found = {row.id: by_id[row.id] for row in before if row.id in by_id}
    left = defaultdict[str, deque[Row]](deque)
    for row in after:
        if row.id not in found:
            left[row.key].append(row)
    for row in before:
        if row.id not in found and left[row.key]:
            found[row.id] = left[row.key].popleft()
    return found


def _pair(before: Row, after: Row | None, words: Fingerprints) -> Pair:
    if after is None:
        return Pair(before, None)
    change = ""
    if before.request != after.request:
        old, new = cast("Mapping[str, Json]", before.request), cast("Mapping[str, Json]", after.request)
        change = describe_change(old, new, words)
    return Pair(before, after, _apart(before, after), change)


def _apart(before: Row, after: Row) -> float | None:
    if before.sha256 is None or after.sha256 is None:
        return None
    return 0.0 if before.sha256 == after.sha256 else distance(before.likeness, after.likeness)


def _state(row: Row) -> tuple[str, str, str]:
    return row.key, row.status, row.error.code if row.error else ""


def _words(references: Iterable[ReferenceView]) -> Fingerprints:
    """What people call the images that requests name."""
    images = [Image(parse_source(one.source), one.label) for one in references]
    return Fingerprints(Path(), Path(), by_source={image.source: image for image in images})
