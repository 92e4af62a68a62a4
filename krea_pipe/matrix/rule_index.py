"""Which rules are about a combination, found without asking each rule: a number for each value of an axis, whose bits
are the rules that the value meets."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

from krea_pipe.pipeline.model import Axis, Rule


class RuleIndex:
    """The rules of one kind that one matrix has."""

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
        """How many times a condition is looked at when all combinations are."""
        return sum(self._cells(rule) for _, rule in self.of(self.conditional))

    def _cells(self, rule: Rule) -> int:
        wanted = (len(rule.matches.get(name, range(length))) for name, length in self._lengths.items())
        return math.prod(wanted)
