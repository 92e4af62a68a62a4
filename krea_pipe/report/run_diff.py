"""Two runs side by side: which cells belong together, how far they are apart, and both runs as one report."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from krea_pipe.core.errors import KreaPipeError, NothingSelected, Problem, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.likeness import distance
from krea_pipe.core.request import Source
from krea_pipe.matrix.selection import Selection
from krea_pipe.pipeline.references import Fingerprints, Image
from krea_pipe.planning.plan import describe_change
from krea_pipe.report.folder import read_report
from krea_pipe.report.model import (
    AxisView,
    PipelineView,
    ReferenceView,
    Report,
    Row,
    Scalar,
    StageView,
    TargetView,
    costs,
    seen_from,
    totals,
)
from krea_pipe.report.row_selection import row_filter
from krea_pipe.store.space import Space


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
    takes = row_filter(selection, {row.stage for row in rows}, rows)
    taken = tuple(pair for pair in pairs if any(map(takes, pair.rows)))
    if not taken:
        raise NothingSelected(Problem("nothing_selected", "no cell of these runs fits what was selected"))
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
    images = {Source(one.source): Image(Source(one.source), one.label) for one in references}
    return Fingerprints(Path(), Path(), by_source=images)


BEFORE, AFTER = "before", "after"
AXIS = "run"
SEPARATOR = ".."
"""Stands between the ids of the two runs."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs: its report, the folder that holds it, and the name space of its images."""

    report: Report
    folder: Path
    space: Space


def join(before: Side, after: Side, pairs: Sequence[Pair], folder: Path) -> Report:
    """One report of both runs, to be written into `folder`.

    Ids begin with `before/` or `after/`, and paths are seen from the new folder. The rows of a pair stand one after
    the other; the reason of the second is what its request changed.
    """
    one, two = before.report, after.report
    axis = _free_name([*one.stages, *two.stages])
    templates, places = _joined_templates(one.templates, two.templates)
    joining = _Joining(axis, Path.cwd(), places)
    rows = tuple(joining.rows(before, after, pairs))
    return Report(
        run_id=f"{one.run_id}{SEPARATOR}{two.run_id}",
        tool_version=two.tool_version,
        started_at=min(one.started_at, two.started_at),
        finished_at=max(one.finished_at, two.finished_at),
        exit_code=0,
        pipeline=_pipeline(one.pipeline, two.pipeline),
        git=two.git,
        target=_target(one.target, two.target),
        out=two.out,
        base=seen_from(folder, joining.here),
        cells=totals(rows),
        cost=costs(rows, cap=None),
        warnings=tuple(dict.fromkeys((*one.warnings, *two.warnings))),
        stages=_stages(one, two, AxisView(axis, tuple(labels_of(one, two).items()))),
        rows=rows,
        templates=templates,
        references=_references(one.references, two.references),
    )


def check_free(folder: Path) -> None:
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
        raise UsageError(Problem("file_in_the_way", f"{folder} exists, and holds no comparison", hint=hint))


def labels_of(before: Report, after: Report) -> dict[Scalar, str]:
    """The two values of the axis `run`, each with what tells its run from the other."""
    for one, two in (
        (before.target.kind, after.target.kind),
        (before.pipeline.name, after.pipeline.name),
        (_minute(before), _minute(after)),
    ):
        if one != two:
            return {BEFORE: f"before: {one}", AFTER: f"after: {two}"}
    return {BEFORE: f"before: {before.run_id}", AFTER: f"after: {after.run_id}"}


@dataclass(frozen=True, slots=True)
class _Joining:
    """How rows become rows of the joined report; `places` is where the templates of the second run stand now."""

    axis: str
    here: Path
    places: Mapping[int, int]

    def rows(self, before: Side, after: Side, pairs: Iterable[Pair]) -> Iterator[Row]:
        for pair in pairs:
            if pair.before is not None:
                yield self._row(pair, pair.before, before, BEFORE)
            if pair.after is not None:
                row = self._row(pair, pair.after, after, AFTER)
                template = None if row.template is None else self.places[row.template]
                reason = pair.change if pair.change and not pair.is_identical else row.reason
                yield replace(row, template=template, reason=reason)

    def _row(self, pair: Pair, row: Row, side: Side, value: str) -> Row:
        return replace(
            row,
            id=f"{value}/{row.id}",
            axes={**row.axes, self.axis: value},
            image=self._image(row, side),
            source=None if row.source is None else f"{value}/{row.source}",
            pair=pair.id,
            distance=pair.distance,
            same=pair.is_identical,
        )

    def _image(self, row: Row, side: Side) -> str | None:
        """What Krea sent: the file in the output folder may be of the other run, or of a later one."""
        return row.sha256 and seen_from(self.here, side.space.blobs.path(row.sha256).absolute())


def _joined_templates(one: Sequence[str], two: Sequence[str]) -> tuple[tuple[str, ...], Mapping[int, int]]:
    """The templates of both runs, each once, and the new place of each of the second run's."""
    found = {text: place for place, text in reversed(list(enumerate(one)))}
    added = [text for text in dict.fromkeys(two) if text not in found]
    found |= {text: len(one) + place for place, text in enumerate(added)}
    return (*one, *added), {place: found[text] for place, text in enumerate(two)}


def _free_name(stages: Iterable[StageView]) -> str:
    taken, name = {axis.name for stage in stages for axis in stage.axes}, AXIS
    while name in taken:
        name += "_"
    return name


def _stages(one: Report, two: Report, run: AxisView) -> tuple[StageView, ...]:
    """The stages and axes of both, those of the second run alone behind; `run` is the innermost axis of each stage."""
    axes: dict[str, dict[str, dict[str, tuple[Scalar, str]]]] = {}
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


def _references(one: Iterable[ReferenceView], two: Iterable[ReferenceView]) -> tuple[ReferenceView, ...]:
    return tuple({view.source: view for view in (*one, *two)}.values())


def _pipeline(one: PipelineView, two: PipelineView) -> PipelineView:
    return two if one.name == two.name else replace(two, name=f"{one.name} and {two.name}", description="")


def _target(one: TargetView, two: TargetView) -> TargetView:
    return one if one.kind == "live" and two.kind == "local" else two


def _minute(report: Report) -> str:
    return report.started_at[:16].replace("T", " ")
