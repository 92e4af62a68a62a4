"""The report as a value: what `report.json` holds and what every renderer takes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Attempt as Attempt
from krea_pipe.core.outcome import Failure as Failure
from krea_pipe.core.outcome import Outcome
from krea_pipe.core.outcome import Status as Status
from krea_pipe.core.outcome import Timings as Timings
from krea_pipe.core.relative_path import seen_from as seen_from

REPORT_SCHEMA = "krea-pipe/run-report@1"
ZERO_USD = Decimal(0)
"""No money, in USD."""

AxisScalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check says of an image: its value, and whether that is within the limits (None: it has no value).

    With `fail`, an image that does not pass fails the run. `message` says why there is no value, what is wrong with it,
    or what a command says of it.
    """

    name: str
    measure: str
    value: float | None
    min: float | None
    max: float | None
    passed: bool | None
    fail: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """A file that a recipe makes from the image of a cell.

    `path` is relative to the folder that `base` names, as that of an image is. `width`, `height` (pixels), `bytes` and
    `sha256` are None if the file is not there; then `error` says why.
    """

    recipe: str
    format: str
    path: str
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One cell of the matrix and its outcome; `adopted` says that its job was found in Krea's list.

    `width` and `height` are the image's pixels and `likeness` its perceptual signature (`likeness.py`), empty when it
    is not known. `template` is the place of its prompt's template in `Report.templates`, `values` what that template
    reads, as this cell has it. `source` is the id of the cell that it is generated for. `delivered` are the files that
    recipes make from its image. In a report of two runs, `pair` is what a cell and its counterpart have in common,
    `distance` how far apart their images are (0 to 1), and `same` says that nothing differs.
    """

    id: str
    stage: str
    axes: Mapping[str, AxisScalar]
    prompt: str
    request: Mapping[str, object]
    key: str
    status: Status
    reason: str
    image: str | None
    sha256: str | None
    job_id: str | None
    cost_usd: Decimal
    attempts: tuple[Attempt, ...]
    timings: Timings
    error: Failure | None
    adopted: bool = False
    width: int | None = None
    height: int | None = None
    likeness: str = ""
    template: int | None = None
    values: Mapping[str, Json] = field(default_factory=dict)
    source: str | None = None
    pair: str | None = None
    distance: float | None = None
    same: bool = False
    delivered: tuple[DeliveredFile, ...] = ()
    checks: tuple[CheckResult, ...] = ()

    @property
    def has_image(self) -> bool:
        """Whether there is an image of the cell, which was generated now or before."""
        return self.status in ("succeeded", "reused") and self.sha256 is not None

    @property
    def failed_checks(self) -> tuple[CheckResult, ...]:
        """The results of the checks that the image does not pass."""
        return tuple(one for one in self.checks if one.passed is False)

    @property
    def lacks_files(self) -> bool:
        """Whether it has an image, but not all of the files that recipes make from it."""
        return self.status in ("succeeded", "reused") and any(one.error for one in self.delivered)


@dataclass(frozen=True, slots=True)
class AxisView:
    """An axis as a reader sees it: the values in the order of the file, each with a label."""

    name: str
    values: tuple[tuple[AxisScalar, str], ...]


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage and its axes, in the order of the file."""

    name: str
    axes: tuple[AxisView, ...]


@dataclass(frozen=True, slots=True)
class ReferenceView:
    """An image that requests name by `source` (a digest or a URL): how people call it, and the digest of its bytes."""

    source: str
    label: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class PipelineView:
    """Which file was run: its name, its path as given, and the SHA-256 of its bytes."""

    name: str
    description: str
    file: str
    digest: str


@dataclass(frozen=True, slots=True)
class GitState:
    """The commit that was checked out and whether the work tree differed from it."""

    commit: str
    dirty: bool


@dataclass(frozen=True, slots=True)
class TargetView:
    """The target of requests: `live`, `local` or `engine`, and the API's base URL."""

    kind: Literal["live", "local", "engine"]
    base: str


@dataclass(frozen=True, slots=True)
class CellTotals:
    """The number of cells with each status; the statuses are disjoint and add up to `total`."""

    total: int
    succeeded: int
    reused: int
    failed: int
    uncertain: int
    pending: int


@dataclass(frozen=True, slots=True)
class CostTotals:
    """Money in USD: billed, not billed thanks to the cache, possibly billed, billed once jobs end, and the cap."""

    spent_usd: Decimal
    saved_usd: Decimal
    uncertain_usd: Decimal
    in_flight_usd: Decimal
    cap_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class ReportLayout:
    """How the page opens, as the pipeline says: axes by name, pixels of a cell, an order; None and "" are not said."""

    rows: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    size: int | None = None
    sort: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A complete report of one run.

    `image` paths are relative to the folder that `base` names from the run folder.

    `pipeline_cells` says how many cells the pipeline had, of which the run may have taken a part; reports of earlier
    versions and of two runs do not know. `shard` says which shard the run is of, as in `2/8`, `merged` the ids of the
    runs that a merged report is made of. `assembled` says that it is of no run: it has the current cells of a pipeline,
    each with its stored image, and its times are those of the latest image.
    """

    run_id: str
    tool_version: str
    started_at: str
    finished_at: str
    exit_code: int
    pipeline: PipelineView
    git: GitState | None
    target: TargetView
    out: str
    base: str
    cells: CellTotals
    cost: CostTotals
    warnings: tuple[str, ...]
    stages: tuple[StageView, ...]
    templates: tuple[str, ...]
    references: tuple[ReferenceView, ...]
    pipeline_cells: int | None = field(default=None, kw_only=True)
    rows: tuple[Row, ...]
    shard: str | None = None
    merged: tuple[str, ...] = ()
    view: ReportLayout | None = None
    assembled: bool = False

    @property
    def has_costs(self) -> bool:
        """Whether its images have a price: those of Krea do, and those of an engine if the file states one."""
        cost = self.cost
        known = (cost.spent_usd, cost.saved_usd, cost.uncertain_usd, cost.in_flight_usd, cost.cap_usd)
        return self.target.kind == "live" or (self.target.kind == "engine" and any(known))


def cells_of(report: Report) -> int:
    """The number of cells in the pipeline of a run; if it is unknown, the number in the run.

    Args:
        report: the whole report.
    """
    return max(len(report.rows), report.pipeline_cells or 0)


def totals(rows: Sequence[Row]) -> CellTotals:
    """The number of rows with each status."""
    counts = Counter(row.status for row in rows)
    return CellTotals(len(rows), *(counts[one] for one in ("succeeded", "reused", "failed", "uncertain", "pending")))


def costs(
    paid: Iterable[Row | Outcome], *, cap: Decimal | None, saved: Decimal = ZERO_USD, in_flight: Decimal = ZERO_USD
) -> CostTotals:
    """The cost of rows, or of outcomes of requests, in USD; savings are known only for a whole run."""
    spent = uncertain = ZERO_USD
    for one in paid:
        if one.status == "uncertain":
            uncertain += one.cost_usd
        else:
            spent += one.cost_usd
    return CostTotals(spent, saved, uncertain, in_flight, cap)


def by_stage(stages: Iterable[str], rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each stage: those that are named, in this order, then any other."""
    found: dict[str, list[Row]] = {name: [] for name in stages}
    for row in rows:
        found.setdefault(row.stage, []).append(row)
    return found
