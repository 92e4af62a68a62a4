"""The decisions about the cells of a run: its picks files, stage by stage."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, KreaPipeError, Problem, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.matrix.pick_matching import Matched, decided_twice, match_picks
from krea_pipe.matrix.picking import picks_file
from krea_pipe.pipeline.editing.picks import Pick, Picks, read_picks
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.pipeline.spec import Draft, Overrides, draft_pipeline
from krea_pipe.report.model import Report, seen_from
from krea_pipe.store.git_attributes import keep_both_sides


@dataclass(frozen=True, slots=True)
class RunStage:
    """A stage of a run: its name, the names of all stages, and the key of the request of each of its cells."""

    name: str
    stages: tuple[str, ...]
    keys: Mapping[str, str]

    def matched(self, picks: Picks) -> Matched:
        """The cells of the decisions in a picks file.

        Raises:
            UsageError: it is about other stages. InvalidInput: a cell is decided twice.
        """
        if picks.is_of_others(self.name, self.stages):
            message = f"{picks.document.file.name} contains picks of {picks.stages_said}, not of `{self.name}`"
            raise UsageError(Problem("other_stage", message))
        matched = match_picks(picks, self.keys, self.keys.__getitem__, self.name, self.stages)
        if problems := decided_twice(picks, matched):
            raise InvalidInput(*problems)
        return matched


def stage_of(report: Report, name: str) -> RunStage:
    """A stage of a report."""
    keys = {row.id: row.key for row in report.rows if row.stage == name}
    return RunStage(name, tuple(one.name for one in report.stages), keys)


@dataclass(frozen=True, slots=True)
class StageDecisions:
    """The picks file of one stage: `file` as people know it, `path` where it is, and `problem` if it says nothing.

    Decisions have the ids of the run, where they are about a cell of it; a key is that of one that is about none.
    """

    file: str
    path: Path | None
    picks: tuple[Pick, ...] = ()
    rejected: tuple[Pick, ...] = ()
    problem: str = ""

    def to_json(self) -> dict[str, Json]:
        """The decisions as a page takes them."""
        lists: dict[str, Json] = {
            name: [_entry(one) for one in picks] for name, picks in (("picks", self.picks), ("rejected", self.rejected))
        }
        return {"file": self.file, **lists, "problem": self.problem}


def _entry(pick: Pick) -> Json:
    more: dict[str, Json] = {"key": pick.key} if pick.key else {}
    return {"id": pick.id, "stars": pick.stars, "note": pick.note, **({"by": pick.by} if pick.by else {}), **more}


def add_merge_rule(path: Path) -> None:
    """Have git keep the decisions of both sides where it merges a picks file."""
    keep_both_sides(path, os.environ)


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
    """The path of the pipeline file of a report."""
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
    return {name: _read(pipeline, stage_of(report, name), base) for name in names}


def _read(pipeline: Pipeline, stage: RunStage, base: Path) -> StageDecisions:
    try:
        path = picks_file(pipeline, stage.name)
    except KreaPipeError as error:
        return _unread(stage.name, str(error))
    return read_stage(path, stage, base)


def _unread(stage: str, problem: str) -> StageDecisions:
    """No decisions, under the name that a picks file has unless the pipeline gives it another."""
    return StageDecisions(f"picks/{stage}.yaml", None, problem=problem)


def read_stage(path: Path, stage: RunStage, base: Path) -> StageDecisions:
    """The decisions in one picks file; its name is relative to `base`."""
    file = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
    if not os.path.lexists(path):
        return StageDecisions(file, path)
    try:
        found = read_picks(Path(seen_from(Path.cwd(), path)))
        matched = stage.matched(found)
    except (KreaPipeError, OSError) as error:
        return StageDecisions(file, path, problem=str(error))
    cells = matched.cells

    def shown(pick: Pick) -> Pick:
        return replace(pick, id=cells[pick], key="") if pick in cells else pick

    return StageDecisions(file, path, tuple(map(shown, found.picks)), tuple(map(shown, found.rejected)))
