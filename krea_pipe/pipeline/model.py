"""A pipeline as a value: what a file says once it is known to make sense.

Everything that a message may have to point at keeps its `trail`, the keys and indexes that lead to it in the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from krea_pipe.core.engine import EngineSpec
from krea_pipe.core.errors import Problem
from krea_pipe.core.fields import FieldRules
from krea_pipe.core.json_data import Json
from krea_pipe.core.recipe import Transcoding
from krea_pipe.pipeline.editing.picks import Picks
from krea_pipe.pipeline.pricing import BUILT_IN_PRICES, PriceList
from krea_pipe.pipeline.sampling import Sample
from krea_pipe.pipeline.source import Document, Trail


@dataclass(frozen=True, slots=True)
class Value:
    """Data from the file, perhaps a template, and its place."""

    data: Json
    trail: Trail


@dataclass(frozen=True, slots=True)
class ReferenceSet:
    """Style images that are used together, with one strength (None: Krea's default)."""

    images: tuple[Value, ...]
    strength: Value | None
    trail: Trail


@dataclass(frozen=True, slots=True)
class Board:
    """A moodboard or a trained style: its id at Krea and its strength (None: the default)."""

    id: str
    strength: Value | None
    trail: Trail


@dataclass(frozen=True, slots=True)
class Look:
    """Request fields under one name, as an art director says it."""

    fields: Mapping[str, Value]
    trail: Trail


@dataclass(frozen=True, slots=True)
class Recipe:
    """How files are made for others from the images of a stage.

    `path` is a template; without one, the files are in a folder of the recipe's name. A recipe that is written in place
    has the name of its format.
    """

    name: str
    how: Transcoding
    path: Value | None
    trail: Trail


@dataclass(frozen=True, slots=True)
class AxisValue:
    """One value of an axis: its part of a cell id, what a reader and a template see, the fields that it sets.

    With `is_dynamic` its data reads earlier axes, and part, scalar and label are known in each cell only.
    """

    part: str
    scalar: str | int | float | bool | None
    label: str
    data: Json
    sets: Mapping[str, Value]
    trail: Trail
    is_dynamic: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A named list of values. `field` says that the axis itself sets the request field of its name."""

    name: str
    values: tuple[AxisValue, ...]
    field: bool
    trail: Trail


@dataclass(frozen=True, slots=True)
class Rule:
    """Which cells of one matrix a rule is about: for each axis named the indexes of its values, and an expression.

    `trail` is the same for one rule in every matrix of a stage. `sets` are the fields that a `patch` sets.
    """

    matches: Mapping[str, frozenset[int]]
    condition: Value | None
    trail: Trail
    sets: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Matrix:
    """Axes that multiply, and the rules that fit them. A cell of `include` is a matrix of one cell."""

    axes: tuple[Axis, ...]
    exclude: tuple[Rule, ...]
    patch: tuple[Rule, ...]
    trail: Trail
    is_included: bool = False


@dataclass(frozen=True, slots=True)
class SourceStage:
    """The stage whose cells a chained stage is generated for, all of them or those that were picked.

    `wants` are the fewest and the most picks (None: any). `picks` is None while the file is missing.
    """

    stage: str
    trail: Trail
    file: Path | None = None
    picks: Picks | None = None
    wants: tuple[int, int | None] = (1, None)
    promotes: bool = False
    """Whether each request is the upstream one, with some fields changed."""


@dataclass(frozen=True, slots=True)
class ImageCheck:
    """A measure of each image of a stage, and the limits that it is to keep; None is no limit.

    With `fail`, an image outside of the limits fails the run. `colours` (as #RRGGBB) and `within` (a CIEDE2000
    difference) are of the measure `colours`; `command` (words), `folder` (where it runs) and `timeout` (seconds) of the
    measure `command`.
    """

    name: str
    measure: str
    trail: Trail
    min: float | None = None
    max: float | None = None
    fail: bool = False
    colours: tuple[str, ...] = ()
    within: float = 10
    command: tuple[str, ...] = ()
    folder: Path = Path()
    timeout: float = 30


@dataclass(frozen=True)
class Stage:
    """One prompt and its matrices. `fields` holds the file's `defaults` and the stage's own, the stage's last.

    `fixed` are the axes of `with`, of one value each; `unused_ok` the trails of rules that may match nothing.
    """

    name: str
    fields: Mapping[str, Value]
    matrices: tuple[Matrix, ...]
    out: Value | None
    trail: Trail
    fixed: tuple[Axis, ...] = ()
    sample: Sample | None = None
    upstream: SourceStage | None = None
    needs: tuple[str, ...] = ()
    unused_ok: frozenset[Trail] = frozenset()
    defaults: Mapping[str, Value] = field(default_factory=dict)
    checks: tuple[ImageCheck, ...] = ()
    deliver: tuple[Recipe, ...] = ()

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """Every axis of the stage by its name, with the values of all matrices, in the order of the file."""
        first: dict[str, Axis] = {}
        values: dict[str, dict[str, AxisValue]] = {}
        for axis in (axis for matrix in self.matrices for axis in matrix.axes):
            first.setdefault(axis.name, axis)
            values.setdefault(axis.name, {}).update((value.part, value) for value in axis.values)
        return tuple(Axis(name, tuple(values[name].values()), axis.field, axis.trail) for name, axis in first.items())

    @property
    def all_axes(self) -> tuple[Axis, ...]:
        """Every axis of the stage, those of `with` last."""
        return (*self.axes, *self.fixed)

    @property
    def promotes(self) -> bool:
        """Whether each request is an upstream one, with some fields changed."""
        return self.upstream is not None and self.upstream.promotes


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of one live run: US dollars and new images; None means that the file sets no limit."""

    usd: Decimal | None = None
    images: int | None = None


@dataclass(frozen=True, slots=True)
class ReportView:
    """How the page of a run opens: axes on rows and on columns, pixels of a cell, and the order; None is not said."""

    rows: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    size: int | None = None
    sort: str = ""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One file. `root` is the folder that references must not leave; `overrides` are fields of `--set`.

    `prices` are what its images cost, with what the user's settings and the file say.
    """

    document: Document
    name: str
    description: str
    root: Path
    variables: Mapping[str, Json]
    budget: Budget
    prompts: Mapping[str, Value]
    references: Mapping[str, ReferenceSet]
    moodboards: Mapping[str, Board]
    styles: Mapping[str, Board]
    stages: tuple[Stage, ...]
    warnings: tuple[Problem, ...]
    looks: Mapping[str, Look] = field(default_factory=dict)
    overrides: Mapping[str, Value] = field(default_factory=dict)
    prices: PriceList = BUILT_IN_PRICES
    report: ReportView | None = None
    engine: EngineSpec | None = None
    """What draws its images; None is the hosted Krea."""
    rules: FieldRules = field(default_factory=FieldRules)
    is_over: bool = False
    """Whether profiles, variables or values of the command line override the file."""
