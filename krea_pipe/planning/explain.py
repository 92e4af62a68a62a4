"""Explains one cell: the origin of every value in its request, the contents of its key, and the action of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

from krea_pipe.core.errors import Place
from krea_pipe.core.fields import DEFAULTS, LIST_FIELDS, SINGULARS, SOURCE_STRENGTH, STRENGTHS
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Result
from krea_pipe.core.request import (
    KEY_VERSION,
    ByKey,
    Key,
    Source,
    Weighted,
    canonical_json,
    key_of,
    source_text,
)
from krea_pipe.core.word_diff import PromptChange
from krea_pipe.core.written import Written
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.matrix import Expansion
from krea_pipe.matrix.pick_matching import match_picks
from krea_pipe.matrix.precedence import OVERRIDES, Layer, merge_layers, section_of
from krea_pipe.matrix.reference_resolver import Items
from krea_pipe.matrix.rerolling import NAMED
from krea_pipe.matrix.resolve import CellDraft
from krea_pipe.pipeline.editing.picks import Pick
from krea_pipe.pipeline.model import AxisValue, Pipeline, Stage, Value
from krea_pipe.pipeline.nodes import Node
from krea_pipe.pipeline.pricing import Price
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.source import Document, Trail, read_document
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.pipeline.template import VariablePath, paths_in
from krea_pipe.planning.change_reason import describe_change, prompt_change
from krea_pipe.planning.plan import Plan, Step
from krea_pipe.store.known import cell_name, result_name
from krea_pipe.store.space import Space


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a value: the layer, the value as written there, possibly a template, and the place.

    Without a place it is not in a file.
    """

    layer: str
    written: Json
    at: Place | None = None


@dataclass(frozen=True, slots=True)
class Traced:
    """The value of a cell, its origin, and the lower layers that it overrides, nearest first."""

    name: str
    value: Json
    origin: Origin
    over: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt: its template, the values that the template reads, and the text that is sent."""

    template: Traced
    variables: tuple[Traced, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Ingredient:
    """Something with a strength: a style reference, a moodboard, a trained style, or the source picture.

    `name` is the one in the file, empty for what is written in place. `source` is a digest, a URL, a key or an id at
    Krea; `label` how people call it; `at` where it is defined.
    """

    kind: str
    name: str
    source: str
    label: str
    at: Place | None
    strength: Traced


@dataclass(frozen=True, slots=True)
class PickedSource:
    """The cell that a cell is generated for, and the pick that chose it, with its place in the picks file."""

    id: str
    key: Key
    pick: Pick | None = None
    at: Place | None = None


@dataclass(frozen=True, slots=True)
class Last:
    """The cell when it was last generated: its key, its image, and a short list of the differences from now.

    `change` is that of the prompt, if it is one of them.
    """

    key: Key
    result: Result
    changes: str
    change: PromptChange | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one cell.

    `step` is what a run would do for it, `last` is None when it was never generated, and `price` is what Krea itself
    takes. `takes` are the seeds of its rerolls.
    """

    cell: Cell
    step: Step
    fields: tuple[Traced, ...]
    prompt: Prompt
    ingredients: tuple[Ingredient, ...]
    upstream: PickedSource | None
    last: Last | None
    price: Price
    takes: tuple[int, ...] = ()

    @property
    def price_at(self) -> Place | None:
        """The place that states the price, None for a built-in one and where nothing is paid."""
        return self.price.at if self.step.price else None

    @property
    def canonical(self) -> str:
        """The text whose SHA-256 is the key."""
        return canonical_json({"key_version": KEY_VERSION, "request": self.cell.request.fields()})

    @property
    def shared(self) -> tuple[str, ...]:
        """Other cells that the same request, and payment, is for."""
        return tuple(cell.id for cell in self.step.cells if cell.id != self.cell.id)


def explain_cell(
    pipeline: Pipeline, fingerprints: Fingerprints, plan: Plan, cell: Cell, space: Space, overrides: Overrides
) -> Explanation:
    """Everything about one cell.

    Args:
        pipeline: the file.
        fingerprints: the images that it names.
        plan: a plan of the whole file.
        cell: one of the plan's.
        space: the store.
        overrides: what was loaded over the file.

    Returns:
        Its request with the origin of each value, its key, and what a run would do with it.

    Raises:
        StateError: the store cannot be read.
    """
    cells = {one.id: one for step in plan.steps for one in step.cells}
    draft = Expansion(pipeline, fingerprints).draft_of(cell, cells)
    keys = {one.id: step.key for step in plan.steps for one in step.cells}
    builder = _Builder(cell, fingerprints, _Origins(pipeline, overrides, draft), keys)
    key = key_of(cell.request)
    return Explanation(
        cell=cell,
        step=next(step for step in plan.steps if step.key == key),
        fields=tuple(builder.fields()),
        prompt=builder.prompt(),
        ingredients=tuple(builder.ingredients()),
        upstream=builder.upstream(),
        last=_last(pipeline.name, cell, fingerprints, space),
        price=pipeline.prices.of(cell.request),
        takes=_takes(pipeline.name, cell, space),
    )


@dataclass
class _Origins:
    """The layers of one cell in the order of their application, with the places of what they set."""

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
        return merge_layers(self.layers)

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
        """The place of a value of a layer; overrides count as a separate layer."""
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
        for path in paths_in(text, self.document.templates):
            value = _at(self.draft.context, path)
            if value is not _MISSING:
                data = value.written if isinstance(value, Written) else cast("Json", value)
                yield Traced(".".join(path), data, self._of_variable(path, data))

    def _written(self, layer: Layer, name: str) -> Value:
        """A field of a layer; a cell of `include` sets it itself, also where it names a value of the matrix."""
        value, matrix = layer.sets[name], self.draft.resolver.matrix
        entry = self.document.value(matrix.trail) if layer.title == "include" else None
        keys = {SINGULARS.get(key, key): key for key in entry} if isinstance(entry, dict) else {}
        return Value(value.data, (*matrix.trail, keys[name])) if name in keys else value

    def _overlaid(self, value: Value, at: Place) -> Origin:
        """The place of a value that `--set` or a file of `--vars` gives."""
        if at.path not in self.overrides.var_files:
            return Origin(OVERRIDES, value.data)
        file = read_document(at.path)
        return Origin(f"--vars {at.path}", self.document.value(value.trail), file.place(value.trail[1:]))

    def _of_variable(self, path: VariablePath, value: Json) -> Origin:
        """The origin of a name in a template, in the order of precedence: fields, axes, `with`, variables."""
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
        return Origin("stage name" if name == "stage" else "pipeline name", value)

    def _of_axis(self, path: VariablePath, value: AxisValue, section: str) -> Origin:
        layer = f"row {path[0]}={value.part}" if isinstance(value.data, dict) else section
        return self.origin(layer, Value(value.data, (*value.trail, *path[1:])))


_MISSING = object()


def _at(data: object, path: VariablePath) -> object:
    for name in path:
        if not isinstance(data, Mapping) or name not in data:
            return _MISSING
        data = data[name]
    return data


def _holds(node: Node, trail: Trail) -> bool:
    """Whether there is something at a trail."""
    for step in trail:
        if step not in node.children:
            return False
        node = node.children[step]
    return True


@dataclass(frozen=True, slots=True)
class _Builder:
    """One cell, with all that is needed to explain it."""

    cell: Cell
    fingerprints: Fingerprints
    origins: _Origins
    keys: Mapping[str, Key]

    def fields(self) -> Iterator[Traced]:
        """The request fields but the prompt, then the look, the lists of names and the source picture."""
        for name in DEFAULTS:
            yield self._traced(name, getattr(self.cell.request, name), self._unset(name))
        if self.cell.request.engine is not None:
            at = self.origins.document.place(("engine",))
            yield Traced("engine", self.cell.request.engine.words, Origin("engine", None, at))
        for name in ("take", "look", *LIST_FIELDS, "image", "strength"):
            if name in self.origins.fields:
                yield self._traced(name, self._value(name), self._unset(name))

    def prompt(self) -> Prompt:
        """The prompt with what its template reads."""
        text = self.cell.request.prompt
        template = self._traced("prompt", text, self._unset("prompt"))
        return Prompt(template, tuple(self.origins.variables(self.cell.template or "")), text)

    def ingredients(self) -> Iterator[Ingredient]:
        """Everything with a strength, in the order of the request."""
        for kind in LIST_FIELDS:
            if kind in self.origins.fields:
                yield from self._named(kind)
            else:  # what a promoted request has from the one before
                for item in cast("Items", getattr(self.cell.request, kind)):
                    yield self._ingredient(kind, item, Traced("strength", item.strength, self._unset("")))
        image, value = self.cell.request.image, self.origins.fields.get("image")
        if image is not None:
            at = self.origins.document.place(value.trail) if value is not None and value.trail else None
            unset = self._unset("strength") if value is None else Origin("default", SOURCE_STRENGTH)
            yield self._ingredient("image", image, self._traced("strength", image.strength, unset), at=at)

    def upstream(self) -> PickedSource | None:
        """The cell that this one is generated for."""
        source, chain = self.origins.draft.source, self.origins.stage.upstream
        if source is None or chain is None:
            return None
        picks, pick = chain.picks, None
        if picks is not None:
            ids = [one for one in self.keys if one.partition("/")[0] == chain.stage]
            names = [one.name for one in self.origins.pipeline.stages]
            pick = match_picks(picks, ids, self.keys.__getitem__, chain.stage, names).picks.get(source.id)
        at = picks.document.place(pick.trail) if picks is not None and pick is not None else None
        return PickedSource(source.id, source.key, pick, at and self._beside(at))

    def _beside(self, at: Place) -> Place:
        """A place in a file beside the pipeline file, with the path given relative to it."""
        file = self.origins.document.file
        folder = file.resolve().parent
        inside = at.path.is_relative_to(folder)
        return replace(at, path=file.parent / at.path.relative_to(folder)) if inside else at

    def _traced(self, name: str, value: Json, unset: Origin) -> Traced:
        origin, *over = self.origins.of(name) or [unset]
        return Traced(name, value, origin, tuple(over))

    def _unset(self, name: str) -> Origin:
        """The origin of a field that no layer sets: the promoted upstream request, or Krea's default."""
        draft = self.origins.draft
        if draft.resolver.promotes and draft.source is not None:
            return Origin(f"source {draft.source.id}", None)
        return Origin("default", self.origins.pipeline.rules.defaults.get(name))

    def _value(self, name: str) -> Json:
        """A field as the cell has it, with what is written in place without its inner name."""
        value, draft = self.origins.fields[name], self.origins.draft
        renderer = draft.resolver.renderer
        if name not in LIST_FIELDS:
            return renderer.typed(value, draft.context)
        names = [renderer.name(one, value, draft.context) for one in cast("list[Json]", value.data)]
        return [None if one.startswith("@") else one for one in names]

    def _named(self, kind: str) -> Iterator[Ingredient]:
        """The meaning of each name in a list: the list of that name alone, resolved like the whole list."""
        value, draft = self.origins.fields[kind], self.origins.draft
        resolver, pipeline = draft.resolver, self.origins.pipeline
        in_place = OVERRIDES if self.origins.of(kind)[0].layer == OVERRIDES else kind
        for item in cast("list[Json]", value.data):
            name = resolver.renderer.name(item, value, draft.context)
            definition = getattr(pipeline, kind)[name]
            at = pipeline.document.place(definition.trail)
            origins = self.origins.of(f"{kind}.{name}.strength")
            if definition.strength is not None:
                title = in_place if name.startswith("@") else f"{kind} {name}"
                origins.append(self.origins.origin(title, definition.strength))
            origin, *over = origins or [Origin("default", STRENGTHS[kind].default)]
            fields = {**self.origins.fields, kind: Value([name], value.trail)}
            for one in resolver.references.items(kind, fields, draft.context):
                strength = Traced("strength", one.strength, origin, tuple(over))
                yield self._ingredient(kind, one, strength, name="" if name.startswith("@") else name, at=at)

    def _ingredient(
        self, kind: str, item: Weighted[Source | str], strength: Traced, *, name: str = "", at: Place | None = None
    ) -> Ingredient:
        text = item.id if isinstance(item.id, str) else source_text(item.id)
        return Ingredient(kind, name, text, self._label(item.id), at, strength)

    def _label(self, identity: Source | str) -> str:
        """The name of something that has a strength, as people know it."""
        if isinstance(identity, str):
            return identity
        image, source = self.fingerprints.by_source.get(identity), self.origins.draft.source
        match identity:
            case _ if image is not None:
                return image.label
            case ByKey(key):
                return source.id if source is not None and source.key == key else "an upstream image"
        return source_text(identity)


def _takes(pipeline: str, cell: Cell, space: Space) -> tuple[int, ...]:
    """The seeds with which a cell has been rerolled, without the one that it has."""
    before = cell_name(f"{NAMED.format(pipeline)}/{cell.id}/s")
    seeds = (name.removeprefix(before) for name in space.facts.beginning_with(before))
    return tuple(sorted({int(seed) for seed in seeds if seed.isdecimal()} - {cell.request.seed}))


def _last(pipeline: str, cell: Cell, fingerprints: Fingerprints, space: Space) -> Last | None:
    """The facts in the store about the last time that a cell was generated."""
    name = cell_name(f"{pipeline}/{cell.id}")
    key = str(space.facts.read([name]).get(name, {}).get("key", ""))
    fact = space.facts.read([result_name(key)]).get(result_name(key))
    if fact is None:
        return None
    try:
        result = Result.from_json(fact)
    except (KeyError, ValueError, TypeError, ArithmeticError):
        return None
    before, now = fact.get("request"), cell.request.fields()
    same = key == key_of(cell.request) or not isinstance(before, dict) or before == now
    if same:
        return Last(Key(key), result, "")
    earlier = cast("dict[str, Json]", before)
    changes = describe_change(earlier, now, fingerprints)
    return Last(Key(key), result, changes, prompt_change(changes, earlier, now))
