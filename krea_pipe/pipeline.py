"""A pipeline as a value: what a file says once it is known to make sense.

Everything that a message may have to point at keeps its `trail`, the keys and indexes that lead to it in the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from krea_pipe.errors import Problem
from krea_pipe.nodes import Json
from krea_pipe.source import Document, Trail


@dataclass(frozen=True, slots=True)
class Value:
    """Data from the file, perhaps a template, and where it stands."""

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
class AxisValue:
    """One value of an axis: its part of a cell id, what a reader and a template see, the fields that it sets."""

    part: str
    scalar: str | int | float | bool | None
    label: str
    data: Json
    sets: Mapping[str, Value]
    trail: Trail


@dataclass(frozen=True, slots=True)
class Axis:
    """A named list of values. `field` says that the axis itself sets the request field of its name."""

    name: str
    values: tuple[AxisValue, ...]
    field: bool
    trail: Trail


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A combination to leave out: for each axis named, the indexes of the values that match."""

    matches: Mapping[str, frozenset[int]]
    trail: Trail


@dataclass(frozen=True, slots=True)
class Stage:
    """One prompt and its matrix. `fields` holds the defaults and the stage's own, the stage's last."""

    name: str
    fields: Mapping[str, Value]
    axes: tuple[Axis, ...]
    exclude: tuple[Exclusion, ...]
    out: Value | None
    trail: Trail


@dataclass(frozen=True, slots=True)
class Budget:
    """What one live run may cost: US dollars and new images; None is no limit from the file."""

    usd: Decimal | None = None
    images: int | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One file. `root` is the folder that references may not leave."""

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
