"""Which images of a run are exported: the picked ones, as picks files say, or all."""

import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, KreaPipeError, Problem, UsageError
from krea_pipe.matrix.pick_matching import Matched, disputes
from krea_pipe.matrix.picking import picks_file
from krea_pipe.pipeline.editing.picks import Pick, Picks, read_picks
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.report.decisions import draft_of, pipeline_file, stage_of
from krea_pipe.report.export.promotions import Chain, Missing, Promotions, stages_above
from krea_pipe.report.model import Report, Row

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class SelectedImage:
    """One cell with its image, its decision, and the ids from the picked cell to this one."""

    row: Row
    pick: Pick | None = None
    chain: Chain = ()

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
    """The contents of picks files: the files that were read, every pick, and the ids of rejected cells.

    `pipeline` is the pipeline file as it is now, None if it is gone.
    """

    files: tuple[Path, ...]
    picks: tuple[Pick, ...]
    rejected: frozenset[str]
    pipeline: Pipeline | None


@dataclass(frozen=True, slots=True)
class Selected:
    """The images that are exported, in the order of the run, the cells or picks without one, and rejected finals."""

    images: list[SelectedImage]
    missing: list[Missing]
    rejected: list[Chain]


def read_selected_picks(report: Report, folder: Path, stages: Sequence[str], files: Sequence[Path]) -> Picked:
    """The picks of a run's stages: from the files that are named, or from those that its pipeline file means.

    Args:
        report: the run.
        folder: the folder of the run.
        stages: the stages whose images are wanted; picks of the stages that they are generated for count too.
        files: the picks files; empty for those of the pipeline.

    Raises:
        UsageError: nothing is picked. InvalidInput: a file cannot be read, or people do not agree about a cell.
    """
    given = [(file, read_picks(file)) for file in files]
    pipeline = _pipeline(report, folder, is_needed=not files)
    own_stages = stages_above(report, pipeline, stages)
    looked = list(files) if files else list(_picks_files(report, folder, own_stages, pipeline))
    found = given or [(file, read_picks(file)) for file in looked if file.is_file()]
    own = {file: _of_run(report, picks, own_stages) for file, picks in found}
    if not any(picks for picks, _ in own.values()):
        names = ", ".join(str(file) for file in looked)
        hint = "pick with `krea-pipe pick`, specify a file with --picks-file, or omit --picks for all images"
        raise UsageError(Problem("no_picks", f"no cells are picked (looked in {names})", hint=hint))
    picks = tuple(pick for picks, _ in own.values() for pick in picks)
    return Picked(tuple(own), picks, frozenset[str]().union(*(ids for _, ids in own.values())), pipeline)


def _pipeline(report: Report, folder: Path, *, is_needed: bool) -> Pipeline | None:
    """The pipeline of a report as its file says it today, None if the file is gone or, unless needed, invalid."""
    if not pipeline_file(report, folder).is_file():
        return None
    try:
        return draft_of(report, folder).pipeline
    except KreaPipeError:
        if is_needed:
            raise
        return None


def _of_run(report: Report, picks: Picks, stages: Collection[str]) -> tuple[list[Pick], set[str]]:
    """The picks of a file by the ids that cells have in a run, and the ids of rejected cells; of these stages alone."""
    known = [one.name for one in report.stages]
    wanted = [name for name in known if not stages or name in stages]
    is_known = picks.stages <= set(known)  # any other name may be what a stage was called before
    decided, joint, rejected = set[Pick](), list[Pick](), set[str]()
    for name in (one for one in wanted if one in picks.stages or not is_known):
        matched = stage_of(report, name).matched(picks)
        if problems := disputes(picks, matched, name, Path(report.pipeline.file)):
            raise InvalidInput(*problems)
        decided |= matched.cells.keys()
        joint += _named(matched)
        rejected |= matched.rejected.keys()
    left = [one for one in picks.picks if one not in decided]
    joint += [one for one in left if not is_known or (picks.stage or one.id.partition("/")[0]) in wanted]
    return joint, rejected


def _named(matched: Matched) -> list[Pick]:
    """The joint picks, each with the names of everyone who has picked the cell."""
    people: dict[str, dict[str, None]] = {}
    for pick, cell in matched.cells.items():
        if pick.by:
            people.setdefault(cell, {})[pick.by] = None
    return [replace(pick, id=cell, by=", ".join(people.get(cell, ()))) for cell, pick in matched.picks.items()]


def selected_images(report: Report, picked: Picked | None, stages: Collection[str]) -> Selected:
    """The images of a run that are exported.

    Args:
        report: the run, or a part of it.
        picked: what was picked: the images generated last from each pick are taken. None takes every cell.
        stages: the stages whose images are wanted; empty for all.
    """
    if picked is None:
        with_image = [row for row in report.rows if row.sha256 is not None and row.image is not None]
        there = {row.id for row in with_image}
        images = [SelectedImage(row) for row in with_image if not stages or row.stage in stages]
        return Selected(images, [Missing(row.id) for row in report.rows if row.id not in there], [])
    picks = {pick.id: pick for pick in picked.picks}
    files = {file.resolve() for file in picked.files}
    found = Promotions(report, picked.pipeline, stages, files, picks.keys(), picked.rejected).follow()
    chains = {chain[-1]: chain for chain in found.chains}
    images = [SelectedImage(row, picks[chains[row.id][0]], chains[row.id]) for row in report.rows if row.id in chains]
    return Selected(images, found.missing, found.rejected)


def check_missing(missing: Sequence[Missing], report: Report, folder: Path) -> None:
    """Refuse picks that the run has no image of, or whose final image it does not have.

    Raises:
        UsageError: there are some.
    """
    drafts, finals = [one for one in missing if not one.is_final], [one for one in missing if one.is_final]
    problems = []
    if drafts:
        hint = "export the run that generated them, specify a --stage, or skip them with --allow-missing"
        if report.assembled:
            hint = f"run `{_command(report, folder)}`, specify a --stage, or skip them with --allow-missing"
        message = f"{_counted(drafts, 'image')} in {report.run_id}: {_listed(drafts)}"
        problems.append(Problem("picks_without_image", message, hint=hint))
    if finals:
        command = _command(report, folder)
        hint = f"run `{command}`, export the drafts with --stage, or skip these picks with --allow-missing"
        message = f"{_counted(finals, 'final image')} in {report.run_id}: {_listed(finals)}"
        problems.append(Problem("picks_without_final", message, hint=hint))
    if problems:
        raise UsageError(*problems)


def _command(report: Report, folder: Path) -> str:
    local = " --local" if report.target.kind == "local" else ""
    return f"krea-pipe run {shlex.quote(str(pipeline_file(report, folder)))}{local}"


def _counted(missing: Sequence[Missing], what: str) -> str:
    count = len({one.pick for one in missing})
    return f"1 pick has no {what}" if count == 1 else f"{count} picks have no {what}"


def _listed(missing: Sequence[Missing]) -> str:
    return ", ".join(map(str, missing[:_SHOWN])) + (", …" if len(missing) > _SHOWN else "")


def _picks_files(report: Report, folder: Path, stages: Sequence[str], pipeline: Pipeline | None) -> Iterable[Path]:
    """The picks files of stages: those that the pipeline file names, or `picks/STAGE.yaml` where that file is gone."""
    file = pipeline_file(report, folder)
    known = {stage.name for stage in pipeline.stages} if pipeline else set()
    for stage in stages or [one.name for one in report.stages]:
        named = picks_file(pipeline, stage) if pipeline and stage in known else None
        path = (named or file.parent / "picks" / f"{stage}.yaml").resolve()
        yield path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path  # short to read
