"""The origin of each field of a cell, from lowest to highest precedence.

`defaults`, stage fields, a look, a row's fields, `with`, axes named like a field, `patch`, `--set`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from krea_pipe.core.excerpts import shown
from krea_pipe.matrix.rendering import CellProblem, Context, Renderer
from krea_pipe.pipeline.model import Axis, AxisValue, Matrix, Pipeline, Rule, Stage, Value
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.template import is_template

OVERRIDES = "--set"
"""The title of the highest layer."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One place that sets fields of a cell: what people call it, and each field with its value."""

    title: str
    sets: Mapping[str, Value]


class Precedence:
    """The layers of one matrix. What is the same in all its cells is known before any of them."""

    def __init__(self, pipeline: Pipeline, stage: Stage, matrix: Matrix, renderer: Renderer) -> None:
        self.pipeline, self.stage, self.matrix, self.renderer = pipeline, stage, matrix, renderer
        self.rows = [i for i, axis in enumerate(matrix.axes) if not axis.field and _sets(axis)]
        self.own = [i for i, axis in enumerate(matrix.axes) if axis.field]
        self.exclude, self.patch = RuleIndex(matrix.exclude, matrix.axes), RuleIndex(matrix.patch, matrix.axes)
        self.lowest = self._lowest()
        self.fixed = [_row(axis, axis.values[0]) for axis in stage.fixed if not axis.field]
        self.fixed += [Layer("with", axis.values[0].sets) for axis in stage.fixed if axis.field]
        self.overrides = Layer(OVERRIDES, pipeline.overrides)
        self.static_look = self._static_look()
        self.constants = merge_layers((*self.lowest, *(self.static_look or ()), *self.fixed, self.overrides))
        """The fields of a cell before its own axes, look and patches are applied."""

    @property
    def reads_context(self) -> bool:
        """Whether some rule has a condition, which reads what templates see."""
        return bool(self.exclude.conditional or self.patch.conditional)

    def met(self, rules: "RuleIndex", combination: Sequence[int], context: Context) -> int:
        """The rules that are about a cell, as bits."""
        bits = rules.about(combination)
        for own, rule in rules.of(bits & rules.conditional):
            if rule.condition is not None and not self.renderer.typed(rule.condition, context):
                bits ^= own
        return bits

    def layers(self, combination: Sequence[int], context: Context) -> list[Layer]:
        """Everything that sets fields of a cell, low to high.

        Args:
            combination: the index of the cell's value in each axis.
            context: the names that templates of the cell see.

        Raises:
            CellProblem: a template fails, or the look is not known.
        """
        higher = [self._by_value[index][combination[index]] for index in self.rows]
        higher += self.fixed
        higher += [self._by_value[index][combination[index]] for index in self.own]
        if self.matrix.patch:
            met = self.met(self.patch, combination, context)
            higher += [self._patches[rule.trail] for _, rule in self.patch.of(met)]
        higher.append(self.overrides)
        look = self.static_look
        if look is None:
            look = self._look(merge_layers((*self.lowest, *higher)), context)
        return [*self.lowest, *look, *higher]

    def varying(self) -> set[str]:
        """The fields that may differ between cells because something above the stage sets them."""
        found = {name for i in (*self.rows, *self.own) for value in self.matrix.axes[i].values for name in value.sets}
        found |= {name for rule in self.matrix.patch for name in rule.sets}
        if self.static_look is None:
            found |= {name for look in self.pipeline.looks.values() for name in look.fields}
        return found

    @cached_property
    def _by_value(self) -> dict[int, list[Layer]]:
        """The layer of each value of an axis that sets something."""
        axes = self.matrix.axes
        found = {index: [_row(axes[index], value) for value in axes[index].values] for index in self.rows}
        return found | {index: [self._of_field(value) for value in axes[index].values] for index in self.own}

    @cached_property
    def _looks(self) -> dict[str, Layer]:
        return {name: Layer(f"look {name}", look.fields) for name, look in self.pipeline.looks.items()}

    @cached_property
    def _patches(self) -> dict[Trail, Layer]:
        return {rule.trail: Layer("patch", rule.sets) for rule in self.matrix.patch}

    def _of_field(self, value: AxisValue) -> Layer:
        section = section_of(value.trail, self.stage)
        return Layer("include" if self.matrix.is_included and section == "matrix" else section, value.sets)

    def _lowest(self) -> list[Layer]:
        """The settings of a stage, merged over those for all stages."""
        stage = self.stage
        own = {name: value for name, value in stage.fields.items() if stage.defaults.get(name) is not value}
        promotes = stage.upstream is not None and stage.upstream.promotes
        return [Layer("defaults", stage.defaults), Layer("promote" if promotes else "stage", own)]

    def _look(self, fields: Mapping[str, Value], context: Context) -> list[Layer]:
        """The layer of the look that some fields name, if they name one."""
        value = fields.get("look")
        name = None if value is None else self.renderer.typed(value, context)
        if value is None or name is None:
            return []
        looks = self.pipeline.looks
        if str(name) not in looks:
            hint = f"known: {', '.join(looks)}" if looks else None
            raise CellProblem("unknown_name", f"`looks:` does not define {shown(name)}", value.trail, hint=hint)
        return [self._looks[str(name)]]

    def _static_look(self) -> list[Layer] | None:
        """The look of every cell, when it is the same in all of them."""
        setters = [value.sets for i in (*self.rows, *self.own) for value in self.matrix.axes[i].values]
        setters += [rule.sets for rule in self.matrix.patch]
        if any("look" in sets for sets in setters):
            return None
        named = merge_layers((*self.lowest, *self.fixed, self.overrides))
        if "look" in named and is_template(named["look"].data):
            return None
        return self._look(named, {})


def merge_layers(layers: Iterable[Layer]) -> dict[str, Value]:
    """Each field as the highest of some layers sets it."""
    fields: dict[str, Value] = {}
    for layer in layers:
        fields.update(layer.sets)
    return fields


def section_of(trail: Trail, stage: Stage) -> str:
    """The section of a stage that contains an axis value: `include` and `takes` make axes too."""
    own = trail[len(stage.trail) :][:1]
    return str(own[0]) if own in (("include",), ("takes",)) else "matrix"


def _row(axis: Axis, value: AxisValue) -> Layer:
    return Layer(f"row {axis.name}={value.part}", value.sets)


def _sets(axis: Axis) -> bool:
    return any(value.sets for value in axis.values)


class RuleIndex:
    """Which rules of one kind are about a combination of a matrix, found without asking each rule.

    Each value of an axis has a number, whose bits are the rules that the value meets.
    """

    def __init__(self, rules: Sequence[Rule], axes: Sequence[Axis]) -> None:
        self.rules = rules
        self.conditional = sum(1 << number for number, rule in enumerate(rules) if rule.condition is not None)
        named = {name for rule in rules for name in rule.matches}
        self._axes = [(place, *self._of_axis(axis.name)) for place, axis in enumerate(axes) if axis.name in named]
        self._lengths = {axis.name: len(axis.values) for axis in axes}

    def _of_axis(self, name: str) -> tuple[int, dict[int, int]]:
        """The rules that any value of an axis meets, and those that each value meets that some rule names."""
        free = sum(1 << number for number, rule in enumerate(self.rules) if name not in rule.matches)
        found: dict[int, int] = {}
        for number, rule in enumerate(self.rules):
            for value in rule.matches.get(name, ()):
                found[value] = found.get(value, free) | 1 << number
        return free, found

    def about(self, combination: Sequence[int]) -> int:
        """The rules whose axes have the values of a combination, as bits."""
        bits = (1 << len(self.rules)) - 1
        for place, free, found in self._axes:
            bits &= found.get(combination[place], free)
            if not bits:
                break
        return bits

    def of(self, bits: int) -> Iterator[tuple[int, Rule]]:
        """Each rule of some bits with its own bit, in the order of the file."""
        while bits:
            own = bits & -bits
            yield own, self.rules[own.bit_length() - 1]
            bits ^= own

    @cached_property
    def checks(self) -> int:
        """The number of times that a condition is evaluated over all combinations."""
        return sum(self._cells(rule) for _, rule in self.of(self.conditional))

    def _cells(self, rule: Rule) -> int:
        wanted = (len(rule.matches.get(name, range(length))) for name, length in self._lengths.items())
        return math.prod(wanted)
