"""The cells of one matrix as parts, each of which is computed once for all cells that agree in what it depends on."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Generic, NamedTuple, Protocol, TypeVar, cast

from krea_pipe.core.fields import DEFAULTS, LIST_FIELDS
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import (
    KEYED_AFTER,
    KEYED_BEFORE,
    MEMBERS,
    Key,
    Request,
    Source,
    Weighted,
    canonical_json,
    image_data,
    member_text,
    named_data,
)
from krea_pipe.matrix.blocks import CellBlock
from krea_pipe.matrix.cell import Cell, RecipeFile
from krea_pipe.matrix.dependencies import OWN_ID, SOURCE_AXIS, Combination, Dependencies
from krea_pipe.matrix.out_paths import checked_path, path_of, recipe_files_of
from krea_pipe.matrix.parts import Joined, Part, constant
from krea_pipe.matrix.path_shapes import Segment, are_distinct, are_sound
from krea_pipe.matrix.rendering import CellProblem, folded
from krea_pipe.matrix.resolve import Resolver
from krea_pipe.pipeline.cell_ids import Scalar
from krea_pipe.pipeline.model import Value
from krea_pipe.pipeline.template import CostlyPieceError, Piece, TemplateProblem, checked_text, pieces_of

MOST_COMPARED = 20_000
"""Texts of the values of axes that are compared to find out whether paths can be the same."""
_T = TypeVar("_T")
_FIELDS = tuple(one.name for one in fields(Request))


class _State(Protocol):
    """A state of SHA-256."""

    def copy(self) -> "_State": ...

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class CellText(NamedTuple):
    """A cell as text: `axes` and `request` are JSON, the request in its canonical form."""

    id: str
    stage: str
    axes: str
    out: str
    key: str
    request: str


def cell_text(cell: Cell, key: Key) -> CellText:
    """A cell with the key of its request as text."""
    axes = zip(cell.names, cell.axes, strict=True)
    return CellText(cell.id, cell.stage, f"{{{_members(axes)}}}", cell.out, key, canonical_json(cell.request.fields()))


class MatrixParts:
    """The parts of the cells of one matrix whose axes have no templates.

    Raises:
        TemplateProblem: something in it is not a template.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver, self._stage = resolver, resolver.stage
        self._on = Dependencies(resolver.precedence)
        self._files = resolver.pipeline.document.templates
        self._values = {name: position for position, name in enumerate(resolver.names, 1)}
        self._source = {SOURCE_AXIS} if self._stage.upstream is not None else set[int]()
        self._own = self._own_id()
        self._id = Joined([constant(f"{self._stage.name}/" if self._own.parts else self._stage.name), *self._own.parts])
        self._fields = self._request_fields()
        members = [self._member(name) for name in MEMBERS]
        last = max(axis for member in members for axis in (*member.axes, SOURCE_AXIS))
        first = next(number for number, one in enumerate((*members, None)) if one is None or last in one.axes)
        self._head = self._state_of(Joined([constant("{"), *members[:first]]))
        self._tail = Joined([*members[first:], constant("}")])
        self._out = self._path()

    def texts(self, block: CellBlock) -> list[CellText]:
        """The cells of a block as text, without files of recipes.

        Raises:
            CellProblem: some cell cannot be made.
        """
        self.files(block)  # there may be something wrong with one
        heads, tails = self._head.column(block), self._tail.column(block)
        keys = _keys(heads, tails)
        requests = [f"{head}{tail}" for (head, _), tail in zip(heads, tails, strict=True)]
        columns = (self.ids(block), [self._stage.name] * len(keys), self._axes_text.column(block), self.outs(block))
        return list(map(CellText._make, zip(*columns, keys, requests, strict=True)))

    def cells(self, block: CellBlock, position: int) -> list[tuple[Cell, Key]]:
        """The cells of a block with their keys, the first at a position.

        Raises:
            CellProblem: some cell cannot be made.
        """
        requests = map(Request, *(self._fields[name].column(block) for name in _FIELDS))
        keys = map(Key, _keys(self._head.column(block), self._tail.column(block)))
        columns = (
            range(position, position + len(block.combinations)),
            self.ids(block),
            [self._stage.name] * len(block.combinations),
            self._names.column(block),
            self._scalars(block),
            self.outs(block),
            requests,
            self._sources.column(block),
            self._template.column(block),
            self.files(block),
        )
        return list(zip(map(Cell, *columns), keys, strict=True))

    def ids(self, block: CellBlock) -> list[str]:
        """The ids of the cells of a block."""
        return self._id.column(block)

    def outs(self, block: CellBlock) -> list[str]:
        """The paths of the images of a block; errors as for `path_of`."""
        return self._out.column(block)

    def files(self, block: CellBlock) -> Sequence[tuple[RecipeFile, ...]]:
        """The files to make from the images of a block; errors as for `recipe_files_of`."""
        if not self._stage.deliver:
            return [()] * len(block.combinations)
        found = zip(self.ids(block), self.outs(block), block.combinations, strict=True)
        renderer = self._resolver.renderer
        return [
            recipe_files_of(self._stage, identity, out, renderer, block.resolved(cell).context)
            for identity, out, cell in found
        ]

    @cached_property
    def has_distinct_paths(self) -> bool:
        """Whether the paths of its images show without a comparison that no two are the same."""
        segments = self._segments
        lengths = [1, *[len(axis.values) for axis in self._resolver.matrix.axes]]
        return segments is not None and not self._source and are_distinct(segments, lengths)

    def _own_id(self) -> Joined:
        """What the ids of cells say of their axes."""
        axes = self._resolver.matrix.axes
        if not axes:
            return Joined([Part(self._source, lambda block, cell: "/".join(_inherited_parts(block, cell)))])
        parts = [Part(self._source, lambda block, cell: "".join(f"{one}/" for one in _inherited_parts(block, cell)))]
        for position, axis in enumerate(axes, 1):
            texts = [value.part for value in axis.values]
            parts += [constant("/")] if position > 1 else []
            parts.append(_of_axis(position, texts))
        return Joined(parts)

    @cached_property
    def _names(self) -> Part[tuple[str, ...]]:
        own = self._resolver.names
        return Part(self._source, lambda block, cell: (*[name for name, _, _ in block.inherited(cell)], *own))

    @cached_property
    def _axis_scalars(self) -> list[Part[Scalar]]:
        axes = enumerate(self._resolver.matrix.axes, 1)
        return [_of_axis(position, [value.scalar for value in axis.values]) for position, axis in axes]

    def _scalars(self, block: CellBlock) -> list[tuple[Scalar, ...]]:
        inherited = Part(self._source, lambda block, cell: tuple([one for _, _, one in block.inherited(cell)]))
        own = [part.column(block) for part in self._axis_scalars]
        rows = zip(*own, strict=True) if own else iter([()] * len(block.combinations))
        if not self._source:
            return list(rows)
        return [(*above, *row) for above, row in zip(inherited.column(block), rows, strict=True)]

    @cached_property
    def _axes_text(self) -> Joined:
        names = Part(self._source, lambda block, cell: _members((n, s) for n, _, s in block.inherited(cell)))
        parts = [constant("{"), names]
        for position, axis in enumerate(self._resolver.matrix.axes, 1):
            comma = Part(self._source, lambda block, cell: "," if block.inherited(cell) else "")
            parts += [comma if position == 1 else constant(","), constant(f"{_json(axis.name)}:")]
            parts.append(_of_axis(position, [_json(value.scalar) for value in axis.values]))
        return Joined([*parts, constant("}")])

    @cached_property
    def _sources(self) -> Part[str | None]:
        def source_id(block: CellBlock, cell: Combination) -> str | None:
            source = block.sources[cell[SOURCE_AXIS]]
            return None if source is None else source.id

        return Part(self._source, source_id)

    @cached_property
    def _template(self) -> Part[str | None]:
        resolver = self._resolver
        if self._fixed_prompt is not None:
            template = str(self._fixed_prompt.data)
            return Part((), lambda *_: template)
        return Part(self._on.of(["prompt"]), lambda block, cell: resolver.template(block.resolved(cell)))

    @property
    def _fixed_prompt(self) -> Value | None:
        """The template of the prompt, if all cells have the same one."""
        precedence = self._resolver.precedence
        is_varying = "prompt" in self._resolver.varying_names
        return None if is_varying else precedence.constants.get("prompt")

    def _request_fields(self) -> Mapping[str, Part[object]]:
        resolver, on = self._resolver, self._on
        found: dict[str, Part[object]] = {}
        for name in DEFAULTS:
            found[name] = Part(on.of([name]), _field_of(name))
        for kind in LIST_FIELDS:
            found[kind] = Part(on.of([kind]), _items_of(kind))
        found["image"] = Part(on.of(["image"]), lambda block, cell: resolver.image(block.resolved(cell)))
        found["take"] = Part(on.of(["take"]), lambda block, cell: resolver.take(block.resolved(cell)))
        found["prompt"] = self._prompt()
        return found

    def _prompt(self) -> Part[object]:
        resolver, value = self._resolver, self._fixed_prompt

        def whole(block: CellBlock, cell: Combination) -> str:
            return resolver.prompt(block.resolved(cell))

        if value is None:
            return Part(self._on.of(["prompt"]), whole)
        text = self._divided(value)

        def joined(block: CellBlock, cell: Combination) -> str:
            try:
                return folded(checked_text(text.of(block, cell))) or whole(block, cell)
            except (TemplateProblem, CostlyPieceError):
                return whole(block, cell)

        return Part(text.axes, joined)

    def _divided(self, value: Value) -> Joined:
        """The text that a template renders, in pieces that are not checked."""
        found: list[Part[str]] = []
        for piece in pieces_of(str(value.data), self._files):
            found += self._own.parts if self._is_cell(piece) else [self._piece(piece)]
        return Joined(found)

    def _is_cell(self, piece: Piece) -> bool:
        """Whether a piece is what ids say of the axes of a cell, in the template of a path."""
        return piece.path == (OWN_ID,) and OWN_ID not in self._values and OWN_ID not in self._resolver.base

    def _piece(self, piece: Piece) -> Part[str]:
        return Part(self._on.of(piece.names), lambda block, cell: piece.render(self._read(block, cell, piece.names)))

    def _read(self, block: CellBlock, cell: Combination, names: Iterable[str]) -> Mapping[str, object]:
        """Some of the names that templates of a cell see, those of fields only after all fields are known."""
        found: dict[str, object] = {}
        for name in names:
            if name in self._values and name not in DEFAULTS and name != "look":
                axis = self._values[name]
                found[name] = self._resolver.matrix.axes[axis - 1].values[cell[axis]].data
            else:
                return block.resolved(cell).context
        return found

    def _member(self, name: str) -> Part[str]:
        field = self._fields[name]
        return Part(field.axes, lambda block, cell: member_text(name, _data(name, field.of(block, cell))))

    def _state_of(self, head: Joined) -> Part[tuple[str, _State]]:
        """The beginning of a request, and the state of SHA-256 behind it."""

        def state(block: CellBlock, cell: Combination) -> tuple[str, _State]:
            text = head.of(block, cell)
            return text, hashlib.sha256(f"{KEYED_BEFORE}{text}".encode())

        return Part(head.axes, state)

    def _path(self) -> Part[str] | Joined:
        stage, out = self._stage, self._stage.out
        if out is None:
            return self._id if stage.trail else self._own
        text = self._divided(out)
        if self._segments is not None and are_sound(self._segments):
            return text

        def checked(block: CellBlock, cell: Combination) -> str:
            try:
                return checked_path(folded(checked_text(text.of(block, cell))), out.trail)
            except (TemplateProblem, CostlyPieceError):
                draft = block.resolved(cell)
                return path_of(stage, draft.id, self._resolver.renderer, draft.context)

        return Part(text.axes, checked)

    @cached_property
    def _segments(self) -> Sequence[Segment] | None:
        """What paths are joined from; None if that is not known before there are cells."""
        out, axes = self._stage.out, self._resolver.matrix.axes
        if out is None or self._source or sum(len(axis.values) for axis in axes) > MOST_COMPARED:
            return None
        try:
            return list(_merged(self._segment(part) for part in self._divided(out).parts))
        except (CellProblem, TemplateProblem, CostlyPieceError, _SeveralAxesError):
            return None

    def _segment(self, part: Part[str]) -> Segment:
        """The texts of a part for all values of its axis."""
        if len(part.axes) > 1:
            raise _SeveralAxesError
        axis = part.axes[0] if part.axes else None
        start = (SOURCE_AXIS, *[0 for _ in self._resolver.matrix.axes])
        count = 1 if axis is None else len(self._resolver.matrix.axes[axis - 1].values)
        cells = [(*start[:axis], number, *start[axis + 1 :]) if axis else start for number in range(count)]
        block = CellBlock(self._resolver, cells, {SOURCE_AXIS: None})
        return Segment(axis, tuple(checked_text(text) for text in part.column(block)))


def _field_of(name: str) -> Callable[[CellBlock, Combination], object]:
    return lambda block, cell: block.resolved(cell).context[name]


def _items_of(kind: str) -> Callable[[CellBlock, Combination], object]:
    return lambda block, cell: block.resolver.items(kind, block.resolved(cell))


class _SeveralAxesError(Exception):
    """A part of a path depends on several axes."""


def _of_axis(position: int, values: Sequence[_T]) -> Part[_T]:
    """A part that has a value for each value of one axis."""
    return Part([position], lambda _, cell: values[cell[position]])


def _inherited_parts(block: CellBlock, cell: Combination) -> list[str]:
    return [part for _, part, _ in block.inherited(cell)]


def _members(axes: Iterable[tuple[str, Scalar]]) -> str:
    """Axes as the members of a JSON object."""
    return ",".join([f"{_json(name)}:{_json(value)}" for name, value in axes])


def _json(value: Scalar) -> str:
    return json.dumps(value, ensure_ascii=False)


def _data(name: str, value: object) -> Json:
    """The value of a field of a request as JSON data."""
    if name == "references":
        return [image_data(one) for one in cast("tuple[Weighted[Source], ...]", value)]
    if name in LIST_FIELDS:
        return [named_data(one) for one in cast("tuple[Weighted[str], ...]", value)]
    return image_data(value) if isinstance(value, Weighted) else cast("Json", value)


def _keys(heads: Sequence[tuple[str, _State]], tails: Sequence[str]) -> list[str]:
    """The keys of requests, given as the part whose state is known and the rest."""
    keys = []
    for (_, state), tail in zip(heads, tails, strict=True):
        whole = state.copy()
        whole.update(f"{tail}{KEYED_AFTER}".encode())
        keys.append(whole.hexdigest())
    return keys


def _merged(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Segments without constant texts that follow each other."""
    constants: list[str] = []
    for one in segments:
        if one.axis is None:
            constants += one.texts
            continue
        if constants:
            yield Segment(None, ("".join(constants),))
        constants = []
        yield one
    if constants:
        yield Segment(None, ("".join(constants),))


@dataclass(frozen=True, slots=True)
class CellForm(Generic[_T]):
    """What an expansion gives for each cell: for those of a block from their parts, or from the cell itself.

    The number is the position of the first cell of the block.
    """

    of_block: Callable[[MatrixParts, CellBlock, int], Sequence[_T]]
    of_cell: Callable[[tuple[Cell, Key]], _T]


AS_CELLS: CellForm[tuple[Cell, Key]] = CellForm(MatrixParts.cells, lambda cell: cell)
AS_TEXTS: CellForm[CellText] = CellForm(lambda parts, block, _: parts.texts(block), lambda cell: cell_text(*cell))
