"""The cells of one matrix as parts, each of which is computed once for all cells that agree in what it depends on."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Generic, TypeAlias, TypeVar, cast

from krea_pipe.core.engine import EngineIdentity
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
from krea_pipe.matrix.out_paths import checked_path, is_own_id, path_of, recipe_files_of
from krea_pipe.matrix.parts import AxisPart, Column, Joined, Part, constant, each
from krea_pipe.matrix.path_shapes import Segment, are_distinct, are_sound
from krea_pipe.matrix.rendering import CellProblem, folded_texts
from krea_pipe.matrix.resolve import Inherited, Resolver
from krea_pipe.pipeline.cell_ids import Scalar
from krea_pipe.pipeline.model import Value
from krea_pipe.pipeline.template import CostlyPieceError, Piece, TemplateProblem, checked_text, pieces_of

MOST_COMPARED = 20_000
"""Texts of the values of axes that are compared to find out whether paths can be the same."""
_T = TypeVar("_T")


CellText: TypeAlias = tuple[str, str, str, str, str, str]
"""A cell as text: its id, stage, axes as JSON, path, the key of its request, and the request as canonical JSON."""


def cell_text(cell: Cell, key: Key) -> CellText:
    """A cell with the key of its request as text."""
    axes = _members(zip(cell.names, cell.axes, strict=True))
    return cell.id, cell.stage, f"{{{axes}}}", cell.out, key, canonical_json(cell.request.fields())


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
        self._fields = self._request_fields()
        members = [self._member(name) for name in MEMBERS]
        last = max(axis for member in members for axis in (*member.axes, SOURCE_AXIS))
        first = next((number for number, one in enumerate(members) if last in one.axes), len(members))
        self._head = _hashed(Joined([constant("{"), *members[:first]]))
        self._tail = _encoded(Joined([*members[first:], constant("}")]))
        self._out = self._path()

    def texts(self, block: CellBlock) -> Iterable[CellText]:
        """The cells of a block as text, without files of recipes.

        Raises:
            CellProblem: some cell cannot be made.
        """
        heads, tails = self._head.column(block), self._tail.column(block)
        requests = [f"{head}{tail}" for (head, _), (tail, _) in zip(heads, tails, strict=True)]
        stages = repeat(self._stage.name, len(requests))
        ids, outs = self.ids(block), self.outs(block)
        self.files(block)  # there may be something wrong with one
        return zip(ids, stages, self._axes_text.column(block), outs, _keys(heads, tails), requests, strict=True)

    def cells(self, block: CellBlock, position: int) -> Iterable[tuple[Cell, Key]]:
        """The cells of a block with their keys, the first at a position.

        Raises:
            CellProblem: some cell cannot be made.
        """
        count = len(block.combinations)
        requests = zip(*[self._fields[name].column(block) for name in Request._fields], strict=True)
        ids = self.ids(block)
        columns = (
            range(position, position + count),
            ids,
            repeat(self._stage.name, count),
            self._names.column(block),
            self._scalars(block),
            ids if self._has_ids_as_paths else self.outs(block),  # the same texts, not equal ones
            map(Request._make, requests),
            self._sources.column(block),
            self._template.column(block),
            self.files(block),
        )
        keys = _keys(self._head.column(block), self._tail.column(block))
        return zip(map(Cell._make, zip(*columns, strict=True)), keys, strict=True)

    def ids(self, block: CellBlock) -> Sequence[str]:
        """The ids of the cells of a block."""
        return [f"{self._stage.name}/{own}" for own in self._own.column(block)]

    def outs(self, block: CellBlock) -> Sequence[str]:
        """The paths of the images of a block; errors as for `path_of`."""
        return self.ids(block) if self._has_ids_as_paths else self._out.column(block)

    @property
    def _has_ids_as_paths(self) -> bool:
        return self._stage.out is None and bool(self._stage.trail)

    def files(self, block: CellBlock) -> Sequence[tuple[RecipeFile, ...]]:
        """The files to make from the images of a block; errors as for `recipe_files_of`."""
        if not self._stage.deliver:
            return [()] * len(block.combinations)
        renderer = self._resolver.renderer
        return [
            recipe_files_of(self._stage, identity, out, renderer, block.resolved(cell).context)
            for identity, out, cell in zip(self.ids(block), self.outs(block), block.combinations, strict=True)
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
        between = "/" if axes else ""
        inherited = self._inherited(lambda found: "/".join([part for _, part, _ in found]) + (between if found else ""))
        parts: list[Column[str]] = [inherited]
        for axis, one in enumerate(axes, 1):
            parts += [constant("/")] if axis > 1 else []
            parts.append(AxisPart(axis, [value.part for value in one.values]))
        return Joined(parts)

    def _inherited(self, of: Callable[[Inherited], _T]) -> Part[_T]:
        """A value that depends only on the axes of the cell that a cell is generated for."""
        return Part(self._source, each(lambda block, cell: of(block.inherited(cell))))

    @cached_property
    def _names(self) -> Part[tuple[str, ...]]:
        own = self._resolver.names
        return self._inherited(lambda found: (*[name for name, _, _ in found], *own))

    def _scalars(self, block: CellBlock) -> Iterable[tuple[Scalar, ...]]:
        own = [part.column(block) for part in self._axis_scalars]
        rows = zip(*own, strict=True) if own else repeat((), len(block.combinations))
        if not self._source:
            return rows
        above = self._inherited(lambda found: tuple([scalar for _, _, scalar in found])).column(block)
        return [(*one, *row) for one, row in zip(above, rows, strict=True)]

    @cached_property
    def _axis_scalars(self) -> Sequence[Column[Scalar]]:
        axes = enumerate(self._resolver.matrix.axes, 1)
        return [AxisPart(axis, [value.scalar for value in one.values]) for axis, one in axes]

    @cached_property
    def _axes_text(self) -> Joined:
        axes = self._resolver.matrix.axes
        between = "," if axes else ""
        inherited = self._inherited(
            lambda found: _members((name, one) for name, _, one in found) + (between if found else "")
        )
        parts: list[Column[str]] = [constant("{"), inherited]
        for axis, one in enumerate(axes, 1):
            parts.append(constant(f"{',' if axis > 1 else ''}{_json(one.name)}:"))
            parts.append(AxisPart(axis, [_json(value.scalar) for value in one.values]))
        return Joined([*parts, constant("}")])

    @cached_property
    def _sources(self) -> Part[str | None]:
        def source_id(block: CellBlock, cell: Combination) -> str | None:
            source = block.sources[cell[SOURCE_AXIS]]
            return None if source is None else source.id

        return Part(self._source, each(source_id))

    @cached_property
    def _template(self) -> Part[str | None]:
        axes = () if self._fixed_prompt is not None else self._on.of(["prompt"])
        return Part(axes, each(lambda block, cell: self._resolver.template(block.resolved(cell))))

    @property
    def _fixed_prompt(self) -> Value | None:
        """The template of the prompt, if all cells have the same one."""
        precedence = self._resolver.precedence
        is_varying = "prompt" in self._resolver.varying_names
        return None if is_varying else precedence.constants.get("prompt")

    def _request_fields(self) -> Mapping[str, Part[object]]:
        resolver, on = self._resolver, self._on
        found: dict[str, Part[object]] = {name: Part(on.of([name]), _field_of(name)) for name in DEFAULTS}
        found |= {kind: Part(on.of([kind]), _items_of(kind)) for kind in LIST_FIELDS}
        found["image"] = Part(on.of(["image"]), each(lambda block, cell: resolver.image(block.resolved(cell))))
        found["take"] = Part(on.of(["take"]), each(lambda block, cell: resolver.take(block.resolved(cell))))
        found["engine"] = Part((), each(lambda *_: resolver.engine))
        found["prompt"] = self._prompt()
        return found

    def _prompt(self) -> Part[object]:
        resolver, value = self._resolver, self._fixed_prompt
        whole = each(lambda block, cell: resolver.prompt(block.resolved(cell)))
        if value is None:
            return Part(self._on.of(["prompt"]), whole)
        text = self._divided(value)

        def joined(block: CellBlock) -> Iterable[str]:
            try:
                found = folded_texts(text.column(block))
            except (TemplateProblem, CostlyPieceError):
                return whole(block)
            return found if all(found) else whole(block)

        return Part(text.axes, joined)

    def _divided(self, value: Value) -> Joined:
        """The text that a template renders, in pieces that are not checked."""
        found: list[Column[str]] = []
        for piece in pieces_of(str(value.data), self._files):
            found += self._own.parts if self._is_cell(piece) else [self._piece(piece)]
        return Joined(found)

    def _is_cell(self, piece: Piece) -> bool:
        """Whether a piece is what ids say of the axes of a cell, in the template of a path."""
        return piece.path == (OWN_ID,) and self._is_free(OWN_ID)

    def _is_free(self, name: str) -> bool:
        """Whether no axis and no variable has a name."""
        return name not in self._values and name not in self._resolver.base

    def _piece(self, piece: Piece) -> Part[str]:
        axes = self._on.of(piece.names)
        return Part(axes, each(lambda block, cell: piece.render(self._read(block, cell, piece.names))))

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
        values = self._fields[name]
        return Part(values.axes, lambda block: [member_text(name, _data(name, one)) for one in values.column(block)])

    def _path(self) -> Column[str]:
        stage, out = self._stage, self._stage.out
        if out is None or (is_own_id(out) and self._is_free(OWN_ID)):
            return self._own
        text = self._divided(out)
        if self._segments is not None and are_sound(self._segments):
            return text

        def path(block: CellBlock, cell: Combination) -> str:
            draft = block.resolved(cell)
            return path_of(stage, draft.id, self._resolver.renderer, draft.context)

        def checked(block: CellBlock) -> Iterable[str]:
            try:
                return [checked_path(one, out.trail) for one in folded_texts(text.column(block))]
            except (TemplateProblem, CostlyPieceError):
                return each(path)(block)

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

    def _segment(self, part: Column[str]) -> Segment:
        """The texts of a part for all values of its axis."""
        if len(part.axes) > 1:
            raise _SeveralAxesError
        axis = part.axes[0] if part.axes else None
        first = (0, *[0 for _ in self._resolver.matrix.axes])
        count = 1 if axis is None else len(self._resolver.matrix.axes[axis - 1].values)
        cells = [first if axis is None else (*first[:axis], index, *first[axis + 1 :]) for index in range(count)]
        block = CellBlock(self._resolver, cells, {0: None})
        return Segment(axis, tuple(map(checked_text, part.column(block))))


class _SeveralAxesError(Exception):
    """A part of a path depends on several axes."""


def _field_of(name: str) -> Callable[[CellBlock], Iterable[object]]:
    return each(lambda block, cell: block.resolved(cell).context[name])


def _items_of(kind: str) -> Callable[[CellBlock], Iterable[object]]:
    return each(lambda block, cell: block.resolver.items(kind, block.resolved(cell)))


def _hashed(head: Joined) -> Part[tuple[str, "hashlib._Hash"]]:
    """The beginning of a request, and the state of SHA-256 behind it."""
    return Part(
        head.axes,
        lambda block: [(text, hashlib.sha256(f"{KEYED_BEFORE}{text}".encode())) for text in head.column(block)],
    )


def _encoded(tail: Joined) -> Part[tuple[str, bytes]]:
    """The end of a request, and the bytes that SHA-256 has still to read."""
    return Part(tail.axes, lambda block: [(text, f"{text}{KEYED_AFTER}".encode()) for text in tail.column(block)])


def _keys(heads: Iterable[tuple[str, "hashlib._Hash"]], tails: Iterable[tuple[str, bytes]]) -> Iterator[Key]:
    for (_, state), (_, rest) in zip(heads, tails, strict=True):
        whole = state.copy()
        whole.update(rest)
        yield cast("Key", whole.hexdigest())


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
    if isinstance(value, EngineIdentity):
        return value.fields()
    return image_data(value) if isinstance(value, Weighted) else cast("Json", value)


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

    of_block: Callable[[MatrixParts, CellBlock, int], Iterable[_T]]
    of_cell: Callable[[tuple[Cell, Key]], _T]


AS_CELLS: CellForm[tuple[Cell, Key]] = CellForm(MatrixParts.cells, lambda cell: cell)
AS_TEXTS: CellForm[CellText] = CellForm(lambda parts, block, _: parts.texts(block), lambda cell: cell_text(*cell))
