"""Which images picks have led to: each pick is followed from its draft to the images generated last from it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from krea_pipe.pipeline.model import Pipeline, Stage
from krea_pipe.report.model import Report, Row

Chain: TypeAlias = tuple[str, ...]
"""The ids of cells from a pick to a cell that was generated from it, each the source of the next."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A pick without an image: `cell` is the id of the cell that has none, or of no cell and `stage` has none for it.

    `status` is that of the cell in the run, "" if the run does not have it.
    """

    pick: str
    cell: str = ""
    stage: str = ""
    status: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the pick itself has an image, but not the one that follows from it."""
        return bool(self.stage)

    def __str__(self) -> str:
        """The pick, and what is missing of it."""
        if not self.is_final:
            return self.pick
        return f"{self.pick} ({f'{self.cell}: {self.status}' if self.cell else f'not yet in `{self.stage}`'})"


@dataclass(slots=True)
class Followed:
    """The result of following picks: the chain to each image, picks without one, and those with rejected images."""

    chains: list[Chain] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    rejected: list[Chain] = field(default_factory=list)


def stages_above(report: Report, pipeline: Pipeline | None, stages: Collection[str]) -> list[str]:
    """These stages and those that they are generated for, in the order of the run."""
    above: dict[str, set[str]] = {}
    by_id = {row.id: row.stage for row in report.rows}
    for row in report.rows:
        if row.source is not None:
            above.setdefault(row.stage, set()).add(by_id.get(row.source, row.source.partition("/")[0]))
    for stage in pipeline.stages if pipeline else ():
        if stage.upstream is not None:
            above.setdefault(stage.name, set()).add(stage.upstream.stage)
    found, left = set[str](), list(stages)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += above.get(name, ())
    return [one.name for one in report.stages if one.name in found]


@dataclass(frozen=True, slots=True)
class Promotions:
    """Follows picks through the stages that are generated for them.

    Args:
        report: the run.
        pipeline: its pipeline file as it is now, by which an image is missed that the run does not have; None if it
            is gone.
        stages: the stages whose images are wanted; empty for all.
        files: the picks files that were read.
        picked: the ids of the picked cells.
        rejected: the ids of the rejected cells.
    """

    report: Report
    pipeline: Pipeline | None
    stages: Collection[str]
    files: Collection[Path]
    picked: Collection[str]
    rejected: Collection[str]

    def follow(self) -> Followed:
        """Follow every pick. A descendant that is picked too replaces the pick; a rejected one is left out."""
        rows = {row.id: row for row in self.report.rows}
        children: dict[str, list[Row]] = {}
        reachable = set(stages_above(self.report, self.pipeline, self.stages)) if self.stages else None
        for row in self.report.rows:
            if row.source is not None and (reachable is None or row.stage in reachable):
                children.setdefault(row.source, []).append(row)
        all_found = Followed()
        for pick in self.picked:
            found = self._followed(pick, rows, children)
            if found is not None:
                all_found.chains += found.chains
                all_found.missing += found.missing
                all_found.rejected += [] if found.chains or found.missing else found.rejected
        return all_found

    def _followed(self, pick: str, rows: Mapping[str, Row], children: Mapping[str, list[Row]]) -> Followed | None:
        """What follows from one pick; None if picks of its descendants replace it."""
        found, is_replaced = Followed(), False
        left: list[Chain] = [(pick,)]
        while left:
            chain = left.pop()
            cell, is_final = chain[-1], len(chain) > 1
            row, below = rows.get(cell), children.get(cell, [])
            if is_final and cell in self.picked:
                is_replaced = True
            elif is_final and cell in self.rejected:
                found.rejected.append(chain)
            elif not _has_image(row) and (is_final or not below):
                found.missing.append(_missing(chain, row))
            else:
                absent = [*self._absent(chain, row, below)]
                found.missing += absent
                left += [(*chain, one.id) for one in reversed(below)]
                if not below and not absent:
                    found.chains.append(chain)
        return None if is_replaced else found

    def _absent(self, chain: Chain, row: Row | None, below: Collection[Row]) -> Iterator[Missing]:
        """The images that the pipeline or the selection asks for, but the run does not have."""
        own = row.stage if row else chain[-1].partition("/")[0]
        known = {one.stage for one in below}
        wanted = [stage.name for stage in self._stages_for(own, chain[-1]) if stage.name not in known]
        if self.stages and own not in self.stages and not below and not wanted:
            wanted = [next(iter(self.stages))]
        for name in wanted:
            yield Missing(chain[0], stage=name)

    def _stages_for(self, stage: str, cell: str) -> Iterator[Stage]:
        """The wanted stages that must have an image for a cell: not those that leave some cells out by a rule."""
        for one in self.pipeline.stages if self.pipeline else ():
            upstream = one.upstream
            if upstream is None or upstream.stage != stage or (self.stages and one.name not in self.stages):
                continue
            if one.sample is None and not any(matrix.exclude for matrix in one.matrices):
                taken = upstream.file is None or (cell in self.picked and upstream.file.resolve() in self.files)
                yield from [one] if taken else []


def _has_image(row: Row | None) -> bool:
    return row is not None and row.sha256 is not None and row.image is not None


def _missing(chain: Chain, row: Row | None) -> Missing:
    """What is missing of a pick whose last cell has no image."""
    if row is None or len(chain) == 1:
        return Missing(chain[0])
    return Missing(chain[0], row.id, row.stage, row.status)
