"""What people have decided about the cells of a run: its picks files, stage by stage."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.core.errors import KreaPipeError
from krea_pipe.core.json_data import Json
from krea_pipe.matrix.picking import picks_file
from krea_pipe.pipeline.editing.picks import Pick, read_picks
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.pipeline.spec import Draft, Overrides, draft_pipeline
from krea_pipe.report.model import Report, seen_from


@dataclass(frozen=True, slots=True)
class StageDecisions:
    """The picks file of one stage: `file` as people know it, `path` where it is, and `problem` if it says nothing."""

    file: str
    path: Path | None
    picks: tuple[Pick, ...] = ()
    rejected: tuple[Pick, ...] = ()
    problem: str = ""

    def to_json(self) -> dict[str, Json]:
        """The decisions as a page takes them."""
        lists: dict[str, Json] = {
            name: [{"id": one.id, "stars": one.stars, "note": one.note} for one in picks]
            for name, picks in (("picks", self.picks), ("rejected", self.rejected))
        }
        return {"file": self.file, **lists, "problem": self.problem}


def decisions_json(decisions: Mapping[str, StageDecisions]) -> dict[str, Json]:
    """The decisions of all stages as a page takes them."""
    return {stage: one.to_json() for stage, one in decisions.items()}


def draft_of(report: Report, folder: Path) -> Draft:
    """The pipeline of a report as its file says it today.

    Raises:
        InvalidInput: the file is gone, or makes no sense.
    """
    return draft_pipeline(pipeline_file(report, folder), Overrides(environment=os.environ))


def pipeline_file(report: Report, folder: Path) -> Path:
    """Where the pipeline file of a report is."""
    return Path(seen_from(Path.cwd(), Path(folder, report.base, report.pipeline.file).resolve()))


def read_decisions(report: Report, folder: Path, pipeline: Pipeline | None = None) -> dict[str, StageDecisions]:
    """The decisions about each stage of a report; `pipeline` is its pipeline where that is known already.

    What cannot be read has a `problem` and holds nothing.
    """
    problem = ""
    if pipeline is None:
        try:
            pipeline = draft_of(report, folder).pipeline
        except (KreaPipeError, OSError) as error:
            problem = str(error)
        if not pipeline_file(report, folder).is_file():
            problem = f"{report.pipeline.file} is missing, so no picks are shown"
    names = [stage.name for stage in report.stages]
    if pipeline is None:
        return {name: _unread(name, problem) for name in names}
    base = Path(folder, report.base).resolve()
    return {name: _read(pipeline, name, base) for name in names}


def _read(pipeline: Pipeline, stage: str, base: Path) -> StageDecisions:
    try:
        path = picks_file(pipeline, stage)
    except KreaPipeError as error:
        return _unread(stage, str(error))
    return read_stage(path, stage, base)


def _unread(stage: str, problem: str) -> StageDecisions:
    """No decisions, under the name that a picks file has unless the pipeline gives it another."""
    return StageDecisions(f"picks/{stage}.yaml", None, problem=problem)


def read_stage(path: Path, stage: str, base: Path) -> StageDecisions:
    """The decisions in one picks file; its name is given as it is seen from `base`."""
    file = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
    if not os.path.lexists(path):
        return StageDecisions(file, path)
    try:
        found = read_picks(Path(seen_from(Path.cwd(), path)))
    except (KreaPipeError, OSError) as error:
        return StageDecisions(file, path, problem=str(error))
    if found.stage != stage:
        return StageDecisions(file, path, problem=f"{file} contains picks of `{found.stage}`, not of `{stage}`")
    return StageDecisions(file, path, found.picks, found.rejected)
