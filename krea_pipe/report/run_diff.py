"""Two runs side by side: which cells belong together, how far they are apart, and both runs as one report."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from krea_pipe.core.errors import KreaPipeError, NothingSelected, Problem, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.likeness import distance
from krea_pipe.core.request import parse_source
from krea_pipe.matrix.selection import Selection
from krea_pipe.pipeline.references import Fingerprints, Image
from krea_pipe.planning.change_reason import describe_change
from krea_pipe.report.folder import read_report
from krea_pipe.report.model import (
    AxisScalar,
    AxisView,
    Report,
    Row,
    StageView,
    costs,
    seen_from,
    totals,
)
from krea_pipe.report.row_selection import row_filter
from krea_pipe.store.space import Space

BEFORE, AFTER = "before", "after"
AXIS = "run"
SEPARATOR = ".."
"""Stands between the ids of the two runs."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A cell in each of two runs; a cell that only one run has is alone.

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
        states = {(row.key, row.status, row.error.code if row.error else "") for row in self.rows}
        return self.before.sha256 is not None or len(states) == 1

    @property
    def rows(self) -> tuple[Row, ...]:
        """The one cell or the two."""
        return tuple(row for row in (self.before, self.after) if row is not None)

    @property
    def is_moved(self) -> bool:
        """Whether the same request is in another cell."""
        return self.before is not None and self.after is not None and self.before.id != self.after.id


def pair_cells(before: Report, after: Report) -> tuple[Pair, ...]:
    """Pair the cells of two runs by id, and the rest by request; unpaired cells of the second run come last."""
    partners = _partners(before.rows, after.rows)
    taken = {row.id for row in partners.values()}
    images = (Image(parse_source(one.source), one.label) for one in (*before.references, *after.references))
    named = Fingerprints(Path(), Path(), by_source={image.source: image for image in images})
    pairs = [_pair(row, partners.get(row.id), named) for row in before.rows]
    return (*pairs, *(Pair(None, row) for row in after.rows if row.id not in taken))


def most_changed_first(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs that differ: those with an image on one side alone, then by distance."""
    differing = [one for one in pairs if one.before and one.after and not one.is_identical]
    return sorted(differing, key=lambda one: -2 if one.distance is None else -one.distance)


def select_pairs(pairs: Sequence[Pair], selection: Selection) -> tuple[Pair, ...]:
    """The pairs in which a selection matches at least one cell.

    Raises:
        NothingSelected: it takes none. UsageError: it names what neither run has.
    """
    rows = [row for pair in pairs for row in pair.rows]
    takes = row_filter(selection, {row.stage for row in rows}, rows)
    taken = tuple(pair for pair in pairs if any(map(takes, pair.rows)))
    if not taken:
        raise NothingSelected(Problem("nothing_selected", "no cell of these runs matches the selection"))
    return taken


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


def _pair(before: Row, after: Row | None, named: Fingerprints) -> Pair:
    if after is None:
        return Pair(before, None)
    apart, change = None, ""
    if before.sha256 is not None and after.sha256 is not None:
        apart = 0.0 if before.sha256 == after.sha256 else distance(before.likeness, after.likeness)
    if before.request != after.request:
        old, new = cast("Mapping[str, Json]", before.request), cast("Mapping[str, Json]", after.request)
        change = describe_change(old, new, named)
    return Pair(before, after, apart, change)


@dataclass(frozen=True, slots=True)
class RunSide:
    """One of the two runs: its report, the folder that holds it, and the name space of its images."""

    report: Report
    folder: Path
    space: Space


def join_reports(before: RunSide, after: RunSide, pairs: Sequence[Pair], folder: Path) -> Report:
    """One report of both runs.

    Ids begin with `before/` or `after/`, and paths are seen from the new folder. The rows of a pair come one after
    the other; the reason of the second is what its request changed.

    Args:
        before: the first run.
        after: the second run.
        pairs: the cells of both, as `pair_cells` gives them.
        folder: where the report will be written.
    """
    one, two = before.report, after.report
    axis, taken = AXIS, {axis.name for stage in (*one.stages, *two.stages) for axis in stage.axes}
    while axis in taken:
        axis += "_"
    templates = {text: place for place, text in reversed(list(enumerate(one.templates)))}
    added = [text for text in dict.fromkeys(two.templates) if text not in templates]
    templates |= {text: place for place, text in enumerate(added, len(one.templates))}
    rows = tuple(_joined_rows(before, after, pairs, axis, templates))
    pipeline = two.pipeline
    if one.pipeline.name != pipeline.name:
        pipeline = replace(pipeline, name=f"{one.pipeline.name} and {pipeline.name}", description="")
    return Report(
        run_id=f"{one.run_id}{SEPARATOR}{two.run_id}",
        tool_version=two.tool_version,
        started_at=min(one.started_at, two.started_at),
        finished_at=max(one.finished_at, two.finished_at),
        exit_code=0,
        pipeline=pipeline,
        git=two.git,
        target=one.target if one.target.kind == "live" and two.target.kind == "local" else two.target,
        out=two.out,
        base=seen_from(folder, Path.cwd()),
        cells=totals(rows),
        cost=costs(rows, cap=None),
        warnings=tuple(dict.fromkeys((*one.warnings, *two.warnings))),
        stages=_stages(one, two, AxisView(axis, tuple(labels_of(one, two).items()))),
        rows=rows,
        templates=(*one.templates, *added),
        references=tuple({view.source: view for view in (*one.references, *two.references)}.values()),
    )


def check_diff_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier comparison.

    Raises:
        UsageError: it does.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        is_ours = SEPARATOR in read_report(folder).run_id
    except KreaPipeError:
        is_ours = False
    if not is_ours:
        hint = "choose another folder with --out"
        raise UsageError(Problem("file_in_the_way", f"{folder} exists and does not contain a comparison", hint=hint))


def labels_of(before: Report, after: Report) -> dict[AxisScalar, str]:
    """The two values of the axis `run`, with labels that distinguish the runs."""
    for one, two in (
        (before.target.kind, after.target.kind),
        (before.pipeline.name, after.pipeline.name),
        (before.started_at[:16].replace("T", " "), after.started_at[:16].replace("T", " ")),
    ):
        if one != two:
            return {BEFORE: f"before: {one}", AFTER: f"after: {two}"}
    return {BEFORE: f"before: {before.run_id}", AFTER: f"after: {after.run_id}"}


def _joined_rows(
    before: RunSide, after: RunSide, pairs: Iterable[Pair], axis: str, templates: Mapping[str, int]
) -> Iterator[Row]:
    """The rows of both runs; `templates` says the place of each template in the joined report."""
    here = Path.cwd()
    for pair in pairs:
        for value, side, row in ((BEFORE, before, pair.before), (AFTER, after, pair.after)):
            if row is None:
                continue
            is_changed = value == AFTER and pair.change and not pair.is_identical
            yield replace(
                row,
                id=f"{value}/{row.id}",
                axes={**row.axes, axis: value},
                # What Krea sent: the file in the output folder may be of the other run, or of a later one.
                delivered=(),
                image=row.sha256 and seen_from(here, side.space.blobs.path(row.sha256).absolute()),
                source=None if row.source is None else f"{value}/{row.source}",
                template=None if row.template is None else templates[side.report.templates[row.template]],
                reason=pair.change if is_changed else row.reason,
                pair=pair.id,
                distance=pair.distance,
                same=pair.is_identical,
            )


def _stages(one: Report, two: Report, run: AxisView) -> tuple[StageView, ...]:
    """The stages and axes of both, those of the second run alone behind; `run` is the innermost axis of each stage."""
    axes: dict[str, dict[str, dict[str, tuple[AxisScalar, str]]]] = {}
    for stage in (*one.stages, *two.stages):
        known = axes.setdefault(stage.name, {})
        for axis in stage.axes:
            values = known.setdefault(axis.name, {})
            for value, label in axis.values:
                values.setdefault(repr(value), (value, label))
    return tuple(
        StageView(stage, (*(AxisView(name, tuple(values.values())) for name, values in found.items()), run))
        for stage, found in axes.items()
    )
