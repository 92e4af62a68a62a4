"""What a template reads, and where each of these values comes from."""

from collections.abc import Mapping
from typing import cast

from krea_pipe.core.fields import DEFAULTS
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.model import AxisValue, Value
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.template import VariablePath, paths_in
from krea_pipe.planning.explain.layers import Sayings
from krea_pipe.planning.explain.model import Said, Traced


def variables_of(text: str, sayings: Sayings) -> tuple[Traced, ...]:
    """Each value that a template reads and that is there, in the order in which the template names them."""
    found = []
    for path in paths_in(text):
        value = _at(sayings.remade.context, path)
        if value is not _MISSING:
            data = cast("Json", value)
            found.append(Traced(".".join(path), data, _said(path, data, sayings)))
    return tuple(found)


_MISSING = object()


def _at(data: object, path: VariablePath) -> object:
    for name in path:
        if not isinstance(data, Mapping) or name not in data:
            return _MISSING
        data = data[name]
    return data


def _said(path: VariablePath, value: Json, sayings: Sayings) -> Said:
    """Where a value comes from, by the order in which names hide each other: fields, axes, `with`, variables."""
    name, pipeline, stage = path[0], sayings.pipeline, sayings.stage
    axes = dict(zip(sayings.remade.resolver.names, sayings.remade.values, strict=True))
    fixed = {axis.name: axis.values[0] for axis in stage.fixed}
    if name in DEFAULTS or name == "look":
        found = sayings.of(name)
        return found[0] if found else Said("default", value)
    if name in axes or name in fixed:
        return _of_axis(path, axes.get(name) or fixed[name], sayings, plain="with" if name in fixed else "")
    if name == "source" and stage.upstream is not None:
        return sayings.said("for_each", Value(value, stage.upstream.trail))
    if name in pipeline.variables:
        trail: Trail = path if name == "env" else ("vars", *path)
        return sayings.said(str(trail[0]), Value(value, trail))
    return Said("name of the stage" if name == "stage" else "name of the pipeline", value)


def _of_axis(path: VariablePath, value: AxisValue, sayings: Sayings, *, plain: str) -> Said:
    layer = f"row {path[0]}={value.part}" if isinstance(value.data, dict) else plain or sayings.section(value.trail)
    return sayings.said(layer, Value(value.data, (*value.trail, *path[1:])))
