"""One cell made anew, with the layers that its fields come from and where each of them says so."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from krea_pipe.core.errors import Place
from krea_pipe.core.fields import SINGULARS
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import key_of
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.rendering import CellProblem
from krea_pipe.matrix.resolve import Resolver, Upcell
from krea_pipe.pipeline.model import AxisValue, Matrix, Pipeline, Stage, Value
from krea_pipe.pipeline.nodes import Node
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.source import Document, Trail, read_document
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.planning.explain.model import Said

Layer = tuple[str, Mapping[str, Value]]


@dataclass(frozen=True)
class Remade:
    """A cell made anew: what resolved it, its values, the names that its templates see, its layers, low to high."""

    resolver: Resolver
    values: Sequence[AxisValue]
    context: Mapping[str, object]
    source: Upcell | None
    layers: Sequence[Layer]

    @cached_property
    def fields(self) -> dict[str, Value]:
        """The value of each field that the highest layer says."""
        return {name: value for _, sets in self.layers for name, value in sets.items()}


class Maker:
    """Makes cells of one expansion anew, by their ids."""

    def __init__(self, pipeline: Pipeline, fingerprints: Fingerprints, cells: Mapping[str, Cell]) -> None:
        self.pipeline, self.fingerprints, self.cells = pipeline, fingerprints, cells
        self.stages = {stage.name: stage for stage in pipeline.stages}

    def remake(self, cell: Cell) -> Remade:
        """The one combination of axis values that gives a cell."""
        source = self._upcell(cell.source)
        own = cell.names[len(self.cells[cell.source].names) if cell.source else 0 :]
        for matrix in self.stages[cell.stage].matrices:
            if tuple(axis.name for axis in matrix.axes) == own:
                for remade in self._candidates(cell, matrix, source):
                    return remade
        raise AssertionError(f"{cell.id} came of no combination of its stage")

    def _upcell(self, identity: str | None) -> Upcell | None:
        if identity is None:
            return None
        cell = self.cells[identity]
        remade = self.remake(cell)
        own = {name: cast("Json", remade.context[name]) for name in remade.resolver.names}
        inherited = remade.source.axes if remade.source is not None else {}
        return Upcell(identity, key_of(cell.request), cell.request, {**inherited, **own})

    def _candidates(self, cell: Cell, matrix: Matrix, source: Upcell | None) -> Iterator[Remade]:
        """The combinations whose parts and request are the cell's."""
        resolver = Resolver(self.pipeline, self.stages[cell.stage], matrix, self.fingerprints)
        parts = cell.id.split("/")[len(cell.names) - len(matrix.axes) + 1 :]
        fitting = [
            [value for value in axis.values if value.is_dynamic or value.part == part]
            for axis, part in zip(matrix.axes, parts, strict=True)
        ]
        for combination in itertools.product(*fitting):
            try:
                context, values = resolver.context(combination, source)
                if [value.part for value in values] == parts:
                    layers = [*resolver.precedence.layers(values, context)]
                    if resolver.request(values, context, source) == cell.request:
                        yield Remade(resolver, values, context, source, layers)
            except CellProblem:
                continue  # a combination that a rule leaves out


@dataclass
class Sayings:
    """Finds out which layer says a value, and where; `overrides` is what stands over the file."""

    pipeline: Pipeline
    stage: Stage
    overrides: Overrides
    remade: Remade
    paths: list[list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.paths = [text.partition("=")[0].split(".") for text in self.overrides.sets]

    def of(self, name: str) -> list[Said]:
        """Everything that is said of a field, the highest layer first."""
        found = [
            self.said(self._title(layer, sets, sets[name]), sets[name]) for layer, sets in self.layers if name in sets
        ]
        return found[::-1]

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers, those of a stage and of `defaults` apart."""
        promotes = self.stage.upstream is not None and self.stage.upstream.promotes
        data = self.pipeline.document.value(("defaults",)) if "defaults" in self.document.root.children else {}
        pairs = data.items() if isinstance(data, dict) and not promotes else ()
        defaults = {SINGULARS.get(key, key): Value(one, ("defaults", key)) for key, one in pairs}
        found: list[Layer] = [("defaults", defaults)]
        for layer, sets in self.remade.layers:
            if layer == "stage":
                own = {name: value for name, value in sets.items() if value.trail[:1] != ("defaults",)}
                found.append(("promote" if promotes else layer, own))
            else:
                found.append((layer, self._included(sets) if layer == "matrix" else sets))
        return found

    def _included(self, sets: Mapping[str, Value]) -> Mapping[str, Value]:
        """What an axis sets; a cell of `include` says it itself, also where it names a value of the matrix."""
        matrix = self.remade.resolver.matrix
        said = self.document.value(matrix.trail) if matrix.is_included else None
        keys = {SINGULARS.get(key, key): key for key in said} if isinstance(said, dict) else {}
        return {
            name: Value(value.data, (*matrix.trail, keys[name])) if name in keys else value
            for name, value in sets.items()
        }

    @property
    def document(self) -> Document:
        """The file with everything that was merged over it."""
        return self.pipeline.document

    def said(self, layer: str, value: Value) -> Said:
        """What a layer says with a value of the file."""
        if not value.trail:
            return Said(layer, value.data)
        if self._is_set(value.trail):
            return Said("--set", value.data)
        written = self.document.value(value.trail)
        if value.trail[0] == "vars":
            file, at = self._variable(value.trail)
            return Said(f"--vars {file}" if file else layer, written, at)
        within = [one for one in self.overrides.profiles if _holds(self.document.root, ("profiles", one, *value.trail))]
        return Said(f"{layer}, profile {within[-1]}" if within else layer, written, self.document.place(value.trail))

    def section(self, trail: Trail) -> str:
        """The section of the stage that an axis value stands in: `include` and `takes` make axes too."""
        own = trail[len(self.stage.trail) :][:1]
        return str(own[0]) if own in (("include",), ("takes",)) else "matrix"

    def _title(self, layer: str, sets: Mapping[str, Value], value: Value) -> str:
        if layer == "look":
            return next((f"look {name}" for name, look in self.pipeline.looks.items() if look.fields is sets), layer)
        if layer == "row":
            axes = zip(self.remade.resolver.names, self.remade.values, strict=True)
            fixed = ((axis.name, axis.values[0]) for axis in self.stage.fixed)
            return next((f"row {name}={one.part}" for name, one in (*axes, *fixed) if one.sets is sets), layer)
        if layer == "matrix":
            return self.section(value.trail)
        return layer

    def _is_set(self, trail: Trail) -> bool:
        words = [str(step) for step in trail]
        return any(words[: len(path)] == path for path in self.paths)

    def _variable(self, trail: Trail) -> tuple[str, Place]:
        """The last file of `--vars` that says a variable, if one does, and the place."""
        for file in reversed(self.overrides.var_files):
            document = read_document(file)
            if _holds(document.root, trail[1:2]):
                return str(file), document.place(trail[1:])
        return "", self.document.place(trail)


def _holds(node: Node, trail: Trail) -> bool:
    """Whether something stands at a trail."""
    for step in trail:
        if step not in node.children:
            return False
        node = node.children[step]
    return True
