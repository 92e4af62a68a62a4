"""Where the fields of a cell come from, low to high.

`defaults`, stage fields, a look, a row's fields, `with`, axes named like a field, `patch`, `--set`.
"""

from collections.abc import Iterator, Mapping, Sequence

from krea_pipe.core.excerpts import shown
from krea_pipe.matrix.rendering import CellProblem, Context, Renderer
from krea_pipe.matrix.rule_index import RuleIndex
from krea_pipe.pipeline.model import Axis, AxisValue, Matrix, Pipeline, Stage, Value
from krea_pipe.pipeline.template import is_template


class Precedence:
    """The layers of one matrix. What is the same in all its cells is known before any of them."""

    def __init__(self, pipeline: Pipeline, stage: Stage, matrix: Matrix, renderer: Renderer) -> None:
        self.pipeline, self.stage, self.matrix, self.renderer = pipeline, stage, matrix, renderer
        self.rows = [i for i, axis in enumerate(matrix.axes) if not axis.field and _sets(axis)]
        self.own = [i for i, axis in enumerate(matrix.axes) if axis.field]
        self.exclude, self.patch = RuleIndex(matrix.exclude, matrix.axes), RuleIndex(matrix.patch, matrix.axes)
        self.places = [{one.trail: i for i, one in enumerate(axis.values)} for axis in matrix.axes if matrix.patch]
        self.fixed = self._fixed_sets()
        self.static_look = self._static_look()
        constants = {**stage.fields, **(self.static_look or {})}
        for _, sets in (*self.fixed, ("--set", pipeline.overrides)):
            constants.update(sets)
        self.constants: Mapping[str, Value] = constants
        """The fields of a cell as far as no axis, look or patch of its own sets them."""

    def met(self, rules: RuleIndex, combination: Sequence[int], context: Context) -> int:
        """The rules that are about a cell, as bits."""
        bits = rules.about(combination)
        for own, rule in rules.of(bits & rules.conditional):
            if rule.condition is not None and not self.renderer.typed(rule.condition, context):
                bits ^= own
        return bits

    def layers(self, values: Sequence[AxisValue], context: Context) -> Iterator[tuple[str, Mapping[str, Value]]]:
        """Where fields of a cell come from, low to high: the name of each layer, and what it sets."""
        higher = self._higher(values, context)
        look = self._look(
            {name: value for _, sets in (("", self.stage.fields), *higher) for name, value in sets.items()}, context
        )
        yield "stage", self.stage.fields
        if look is not None:
            yield "look", look
        yield from higher

    def fields(self, values: Sequence[AxisValue], context: Context) -> Mapping[str, Value]:
        """The fields of a cell, each from the highest layer that sets it."""
        fields = {**self.stage.fields}
        higher = self._higher(values, context)
        if self.static_look is None:
            named = {**fields}
            for _, sets in higher:
                named.update(sets)
            fields.update(self._look(named, context) or {})
        else:
            fields.update(self.static_look)
        for _, sets in higher:
            fields.update(sets)
        return fields

    def varying(self) -> set[str]:
        """The fields that may differ between cells because something above the stage sets them."""
        found = {name for i in (*self.rows, *self.own) for value in self.matrix.axes[i].values for name in value.sets}
        found |= {name for rule in self.matrix.patch for name in rule.sets}
        if self.static_look is None:
            found |= {name for look in self.pipeline.looks.values() for name in look.fields}
        return found

    def _higher(self, values: Sequence[AxisValue], context: Context) -> list[tuple[str, Mapping[str, Value]]]:
        """The layers above a look."""
        found: list[tuple[str, Mapping[str, Value]]] = [("row", values[index].sets) for index in self.rows]
        found += self.fixed
        found += [("matrix", values[index].sets) for index in self.own]
        if self.matrix.patch:
            combination = self._indexes(values)
            met = self.met(self.patch, combination, context)
            found += [("patch", rule.sets) for _, rule in self.patch.of(met)]
        found.append(("--set", self.pipeline.overrides))
        return found

    def _indexes(self, values: Sequence[AxisValue]) -> list[int]:
        return [known[value.trail] for known, value in zip(self.places, values, strict=True)]

    def _look(self, fields: Mapping[str, Value], context: Context) -> Mapping[str, Value] | None:
        value = fields.get("look")
        name = None if value is None else self.renderer.typed(value, context)
        if value is None or name is None:
            return None
        looks = self.pipeline.looks
        if str(name) not in looks:
            hint = f"known: {', '.join(looks)}" if looks else None
            raise CellProblem("unknown_name", f"nothing is called {shown(name)} under `looks:`", value.trail, hint=hint)
        return looks[str(name)].fields

    def _fixed_sets(self) -> list[tuple[str, Mapping[str, Value]]]:
        rows = [("row", axis.values[0].sets) for axis in self.stage.fixed if not axis.field]
        return rows + [("with", axis.values[0].sets) for axis in self.stage.fixed if axis.field]

    def _static_look(self) -> Mapping[str, Value] | None:
        """The look of every cell, when it is the same in all of them."""
        setters = [*(value.sets for i in (*self.rows, *self.own) for value in self.matrix.axes[i].values)]
        setters += [rule.sets for rule in self.matrix.patch]
        if any("look" in sets for sets in setters):
            return None
        named = {**self.stage.fields}
        for _, sets in (*self.fixed, ("--set", self.pipeline.overrides)):
            named.update(sets)
        value = named.get("look")
        if value is not None and is_template(value.data):
            return None
        return self._look(named, {}) or {}


def _sets(axis: Axis) -> bool:
    return any(value.sets for value in axis.values)
