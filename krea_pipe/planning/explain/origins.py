"""Where the values of one cell come from: the layer that sets each, and its place in a file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from krea_pipe.core.errors import Place
from krea_pipe.core.fields import DEFAULTS, SINGULARS
from krea_pipe.core.json_data import Json
from krea_pipe.matrix.precedence import OVERRIDES, Layer, folded, section_of
from krea_pipe.matrix.resolve import CellDraft
from krea_pipe.pipeline.model import AxisValue, Pipeline, Stage, Value
from krea_pipe.pipeline.nodes import Node
from krea_pipe.pipeline.source import Document, Trail, read_document
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.pipeline.template.paths import Path, paths_in
from krea_pipe.planning.explain.model import Origin, Traced


@dataclass
class Origins:
    """The layers of one cell as they were folded, with the places of what they set; `overrides` stand over the file."""

    pipeline: Pipeline
    overrides: Overrides
    draft: CellDraft

    @cached_property
    def layers(self) -> list[Layer]:
        """Everything that sets fields of the cell, low to high."""
        return self.draft.resolver.layers(self.draft)

    @cached_property
    def fields(self) -> dict[str, Value]:
        """The value of each field that some layer sets."""
        return folded(self.layers)

    @property
    def stage(self) -> Stage:
        """The stage of the cell."""
        return self.draft.resolver.stage

    @property
    def document(self) -> Document:
        """The file with everything that was merged over it."""
        return self.pipeline.document

    def of(self, name: str) -> list[Origin]:
        """Every layer that sets a field, the highest first."""
        found = [(layer.title, self._written(layer, name)) for layer in self.layers if name in layer.sets]
        return [self.origin(title, value) for title, value in reversed(found)]

    def origin(self, layer: str, value: Value) -> Origin:
        """Where a value of a layer stands: what was merged over the file is a layer of its own."""
        if layer == OVERRIDES or not value.trail:
            return Origin(layer, value.data)
        written, at = self.document.value(value.trail), self.document.place(value.trail)
        if at in self.document.overlays:
            return self._overlaid(value, at)
        if value.trail[0] == "vars":
            return Origin(layer, written, at)
        within = [one for one in self.overrides.profiles if _holds(self.document.root, ("profiles", one, *value.trail))]
        return Origin(f"{layer}, profile {within[-1]}" if within else layer, written, at)

    def variables(self, text: str) -> Iterator[Traced]:
        """Each value that a template reads and that is there, in the order in which the template names them."""
        for path in paths_in(text):
            value = _at(self.draft.context, path)
            if value is not _MISSING:
                data = cast("Json", value)
                yield Traced(".".join(path), data, self._of_variable(path, data))

    def _written(self, layer: Layer, name: str) -> Value:
        """A field of a layer; a cell of `include` sets it itself, also where it names a value of the matrix."""
        value, matrix = layer.sets[name], self.draft.resolver.matrix
        entry = self.document.value(matrix.trail) if layer.title == "include" else None
        keys = {SINGULARS.get(key, key): key for key in entry} if isinstance(entry, dict) else {}
        return Value(value.data, (*matrix.trail, keys[name])) if name in keys else value

    def _overlaid(self, value: Value, at: Place) -> Origin:
        """Where a value stands that `--set` or a file of `--vars` gives."""
        if at.path not in self.overrides.var_files:
            return Origin(OVERRIDES, value.data)
        file = read_document(at.path)
        return Origin(f"--vars {at.path}", self.document.value(value.trail), file.place(value.trail[1:]))

    def _of_variable(self, path: Path, value: Json) -> Origin:
        """Where a name of a template comes from, by the order in which they hide each other: fields, axes, `with`,
        variables."""
        name, resolver = path[0], self.draft.resolver
        axes = dict(zip(resolver.names, self.draft.values, strict=True))
        fixed = {axis.name: axis.values[0] for axis in self.stage.fixed}
        if name in DEFAULTS or name == "look":
            found = self.of(name)
            return found[0] if found else Origin("default", value)
        if name in axes:
            return self._of_axis(path, axes[name], section_of(axes[name].trail, self.stage))
        if name in fixed:
            return self._of_axis(path, fixed[name], "with")
        if name == "source" and self.stage.upstream is not None:
            return self.origin("for_each", Value(value, self.stage.upstream.trail))
        if name in self.pipeline.variables:
            trail: Trail = path if name == "env" else ("vars", *path)
            return self.origin(str(trail[0]), Value(value, trail))
        return Origin("name of the stage" if name == "stage" else "name of the pipeline", value)

    def _of_axis(self, path: Path, value: AxisValue, section: str) -> Origin:
        layer = f"row {path[0]}={value.part}" if isinstance(value.data, dict) else section
        return self.origin(layer, Value(value.data, (*value.trail, *path[1:])))


_MISSING = object()


def _at(data: object, path: Path) -> object:
    for name in path:
        if not isinstance(data, Mapping) or name not in data:
            return _MISSING
        data = data[name]
    return data


def _holds(node: Node, trail: Trail) -> bool:
    """Whether something stands at a trail."""
    for step in trail:
        if step not in node.children:
            return False
        node = node.children[step]
    return True
