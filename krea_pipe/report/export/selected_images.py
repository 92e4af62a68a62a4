"""Which images of a run are exported: the picked ones, as picks files say, or all."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, Problem, UsageError
from krea_pipe.matrix.pick_matching import disputes
from krea_pipe.matrix.picking import picks_file
from krea_pipe.pipeline.editing.picks import Pick, Picks, read_picks
from krea_pipe.report.decisions import draft_of, pipeline_file, stage_of
from krea_pipe.report.model import Report, Row

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class SelectedImage:
    """One cell with its image, and its decision."""

    row: Row
    pick: Pick | None = None

    @property
    def remark(self) -> str:
        """Stars and note in one line."""
        if self.pick is None:
            return ""
        stars = self.pick.stars
        said = f"{stars} {'star' if stars == 1 else 'stars'}" if stars else ""
        return " · ".join(filter(None, [said, self.pick.note]))


@dataclass(frozen=True, slots=True)
class Picked:
    """The contents of picks files: the files that were read, and every pick."""

    files: tuple[Path, ...]
    picks: tuple[Pick, ...]


def read_selected_picks(report: Report, folder: Path, stages: Sequence[str], files: Sequence[Path]) -> Picked:
    """The picks of a run's stages: from the files that are named, or from those that its pipeline file means.

    Raises:
        UsageError: nothing is picked. InvalidInput: a file cannot be read, or people do not agree about a cell.
    """
    given = [(file, read_picks(file)) for file in files]
    looked = list(files) if files else list(_picks_files(report, folder, stages))
    found = given or [(file, read_picks(file)) for file in looked if file.is_file()]
    own = {file: tuple(_of_run(report, picks, stages)) for file, picks in found}
    if not any(own.values()):
        names = ", ".join(str(file) for file in looked)
        hint = "pick with `krea-pipe pick`, specify a file with --picks-file, or omit --picks for all images"
        raise UsageError(Problem("no_picks", f"no cells are picked (looked in {names})", hint=hint))
    return Picked(tuple(own), tuple(pick for picks in own.values() for pick in picks))


def _of_run(report: Report, picks: Picks, stages: Sequence[str]) -> Iterator[Pick]:
    """The picks of a file by the ids that cells have in a run, unless they are of other stages than are asked for."""
    known = [one.name for one in report.stages]
    wanted = [name for name in known if not stages or name in stages]
    is_known = picks.stages <= set(known)  # any other name may be what a stage was called before
    cells: dict[Pick, str] = {}
    joint: dict[str, Pick] = {}
    for name in (one for one in wanted if one in picks.stages or not is_known):
        matched = stage_of(report, name).matched(picks)
        if problems := disputes(picks, matched, name, Path(report.pipeline.file)):
            raise InvalidInput(*problems)
        cells = dict(matched.cells) | cells
        joint = dict(matched.picks) | joint
    for cell, pick in joint.items():
        yield replace(pick, id=cell)
    for pick in picks.picks:
        if pick not in cells and (not is_known or (picks.stage or pick.id.partition("/")[0]) in wanted):
            yield pick


def selected_images(report: Report, picked: Picked | None) -> tuple[list[SelectedImage], list[str]]:
    """The images of a run that are exported.

    Args:
        report: the run, or a part of it.
        picked: what was picked; None takes every cell.

    Returns:
        The images in the order of the run, and the ids of picks, or cells, that have none in it.
    """
    picks = {pick.id: pick for pick in picked.picks} if picked else dict.fromkeys(row.id for row in report.rows)
    rows = [row for row in report.rows if row.id in picks and row.sha256 is not None and row.image is not None]
    there = {row.id for row in rows}
    return [SelectedImage(row, picks[row.id]) for row in rows], [name for name in picks if name not in there]


def check_missing(missing: Sequence[str], report: Report) -> None:
    """Refuse picks that the run has no image of.

    Raises:
        UsageError: there are some.
    """
    if missing:
        names = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        some = "1 pick has" if len(missing) == 1 else f"{len(missing)} picks have"
        hint = "export the run that generated them, specify a --stage, or skip them with --allow-missing"
        raise UsageError(Problem("picks_without_image", f"{some} no image in {report.run_id}: {names}", hint=hint))


def _picks_files(report: Report, folder: Path, stages: Sequence[str]) -> Iterable[Path]:
    """The picks files of stages: those that the pipeline file names, or `picks/STAGE.yaml` where that file is gone."""
    file = pipeline_file(report, folder)
    pipeline = draft_of(report, folder).pipeline if file.is_file() else None
    known = {stage.name for stage in pipeline.stages} if pipeline else set()
    for stage in stages or [one.name for one in report.stages]:
        named = picks_file(pipeline, stage) if pipeline and stage in known else None
        path = (named or file.parent / "picks" / f"{stage}.yaml").resolve()
        yield path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path  # short to read
