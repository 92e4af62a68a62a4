"""On which axes of a matrix each name that its templates can read depends, and each field of its requests.

More axes than necessary cost time; an axis too few would give a cell the text of another one. So every value that may
set a field counts, whichever is the highest in the end.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from krea_pipe.core.fields import LIST_FIELDS, OWN_FIELDS
from krea_pipe.core.json_data import Json, leaves
from krea_pipe.matrix.precedence import Layer, Precedence
from krea_pipe.pipeline.model import Board, ReferenceSet, Value
from krea_pipe.pipeline.template import compile_template, is_template

Combination: TypeAlias = tuple[int, ...]
"""A cell of a matrix: the number of the cell that it is generated for, and the index of its value in each axis."""
Axes: TypeAlias = frozenset[int]
"""Positions in a `Combination`."""

SOURCE_AXIS = 0
"""The position of the cell that a cell is generated for."""
OWN_ID = "cell"
"""In `out`, what the id of a cell says of its axes."""


class Dependencies:
    """The dependencies of one matrix whose axes have no templates."""

    def __init__(self, precedence: Precedence) -> None:
        self._precedence = precedence
        self._files = precedence.pipeline.document.templates
        self._axes: dict[str, set[int]] = {}
        self._reads: dict[str, set[str]] = {}
        self._note_axes()
        self._note_layers()
        self._note_patches()
        self._note_lists()
        self._note_source()

    def of(self, names: Iterable[str]) -> Axes:
        """The axes that some names or fields depend on, directly or through what they read."""
        found, seen, waiting = set[int](), set[str](), list(names)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                found |= self._axes.get(name, set())
                waiting += self._reads.get(name, ())
        return frozenset(found)

    def _note(self, name: str, axes: Iterable[int] = (), reads: Iterable[str] = ()) -> None:
        self._axes.setdefault(name, set()).update(axes)
        self._reads.setdefault(name, set()).update(reads)

    def _note_axes(self) -> None:
        axes = self._precedence.matrix.axes
        for position, axis in enumerate(axes, 1):
            self._note(axis.name, [position])
            for name, value in ((name, one) for found in axis.values for name, one in found.sets.items()):
                self._note(name, [position], self._names_in(value.data))
        self._note(OWN_ID, [SOURCE_AXIS, *range(1, len(axes) + 1)])

    def _note_layers(self) -> None:
        precedence = self._precedence
        layers = [*precedence.lowest, *precedence.fixed, precedence.overrides, *(precedence.static_look or ())]
        for name, value in ((name, value) for layer in layers for name, value in layer.sets.items()):
            self._note(name, reads=self._names_in(value.data))
        if precedence.static_look is None:
            looks = [Layer(name, look.fields) for name, look in precedence.pipeline.looks.items()]
            for name, value in ((name, value) for look in looks for name, value in look.sets.items()):
                self._note(name, reads=["look", *self._names_in(value.data)])

    def _note_patches(self) -> None:
        positions = {axis.name: position for position, axis in enumerate(self._precedence.matrix.axes, 1)}
        for rule in self._precedence.matrix.patch:
            asked = [] if rule.condition is None else [*self._names_in(rule.condition.data)]
            for name, value in rule.sets.items():
                self._note(name, [positions[one] for one in rule.matches], [*asked, *self._names_in(value.data)])

    def _note_lists(self) -> None:
        """What is defined under `references` and the others, and what sets the strength of one of them."""
        for kind in LIST_FIELDS:
            items: Iterable[Board | ReferenceSet] = getattr(self._precedence.pipeline, kind).values()
            self._note(kind, reads=(name for item in items for name in self._names_of(item)))
            self._note(kind, reads=[name for name in self._reads if name.startswith(f"{kind}.")])
        self._note("image", reads=["strength"])

    def _note_source(self) -> None:
        upstream = self._precedence.stage.upstream
        if upstream is None:
            return
        self._note("source", [SOURCE_AXIS])
        for name in OWN_FIELDS if upstream.promotes else (*LIST_FIELDS, "image"):
            self._note(name, reads=["source"])
        if upstream.promotes:
            self._note("take", reads=["source"])

    def _names_of(self, item: Board | ReferenceSet) -> Iterator[str]:
        values: list[Value] = [*item.images] if isinstance(item, ReferenceSet) else []
        for value in (*values, *([item.strength] if item.strength else [])):
            yield from self._names_in(value.data)

    def _names_in(self, data: Json) -> Iterator[str]:
        """The names that the templates in some data read."""
        for text in leaves(data):
            if isinstance(text, str) and is_template(text):
                yield from compile_template(text, self._files).names
