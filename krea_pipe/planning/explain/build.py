"""Puts together what is to be said about one cell, from a plan and the store."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from krea_pipe.core.errors import Place
from krea_pipe.core.fields import DEFAULTS, LISTS, SOURCE_STRENGTH, STRENGTHS
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Result
from krea_pipe.core.request import ByKey, Key, Source, Weighted, key_of, source_text
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.matrix import Expansion
from krea_pipe.matrix.precedence import OVERRIDES
from krea_pipe.matrix.reference_resolver import Items
from krea_pipe.pipeline.model import Pipeline, Value
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.planning.explain.model import Explanation, Ingredient, Last, Origin, Prompt, Traced, Upstream
from krea_pipe.planning.explain.origins import Origins
from krea_pipe.planning.plan import Plan, describe_change
from krea_pipe.store.known import cell_name, result_name
from krea_pipe.store.space import Space


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
    builder = _Builder(cell, fingerprints, Origins(pipeline, overrides, draft))
    key = key_of(cell.request)
    return Explanation(
        cell=cell,
        step=next(step for step in plan.steps if step.key == key),
        fields=tuple(builder.fields()),
        prompt=builder.prompt(),
        ingredients=tuple(builder.ingredients()),
        upstream=builder.upstream(),
        last=_last(pipeline.name, cell, fingerprints, space),
    )


@dataclass(frozen=True, slots=True)
class _Builder:
    """One cell, with all that is needed to explain it."""

    cell: Cell
    fingerprints: Fingerprints
    origins: Origins

    def fields(self) -> Iterator[Traced]:
        """The request fields but the prompt, then the look, the lists of names and the source picture."""
        for name in DEFAULTS:
            yield self._traced(name, getattr(self.cell.request, name), self._unset(name))
        for name in ("take", "look", *LISTS, "image", "strength"):
            if name in self.origins.fields:
                yield self._traced(name, self._value(name), self._unset(name))

    def prompt(self) -> Prompt:
        """The prompt with what its template reads."""
        text = self.cell.request.prompt
        template = self._traced("prompt", text, self._unset("prompt"))
        return Prompt(template, tuple(self.origins.variables(self.cell.template or "")), text)

    def ingredients(self) -> Iterator[Ingredient]:
        """Everything with a strength, in the order of the request."""
        for kind in LISTS:
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

    def upstream(self) -> Upstream | None:
        """The cell that this one is drawn for."""
        source, chain = self.origins.draft.source, self.origins.stage.upstream
        if source is None or chain is None:
            return None
        picks = chain.picks
        pick = next((one for one in picks.picks if one.id == source.id), None) if picks is not None else None
        at = picks.document.place(pick.trail) if picks is not None and pick is not None else None
        return Upstream(source.id, source.key, pick, at and self._beside(at))

    def _beside(self, at: Place) -> Place:
        """A place in a file beside the pipeline's, with a path like the one that the pipeline's was given by."""
        file = self.origins.document.file
        folder = file.resolve().parent
        inside = at.path.is_relative_to(folder)
        return replace(at, path=file.parent / at.path.relative_to(folder)) if inside else at

    def _traced(self, name: str, value: Json, unset: Origin) -> Traced:
        origin, *over = self.origins.of(name) or [unset]
        return Traced(name, value, origin, tuple(over))

    def _unset(self, name: str) -> Origin:
        """Where a field comes from that no layer sets: the upstream request that is promoted, or Krea's default."""
        draft = self.origins.draft
        if draft.resolver.promotes and draft.source is not None:
            return Origin(f"source {draft.source.id}", None)
        return Origin("default", DEFAULTS.get(name))

    def _value(self, name: str) -> Json:
        """A field as the cell has it, with what is written in place without its inner name."""
        value, draft = self.origins.fields[name], self.origins.draft
        renderer = draft.resolver.renderer
        if name not in LISTS:
            return renderer.typed(value, draft.context)
        names = [renderer.name(one, value, draft.context) for one in cast("list[Json]", value.data)]
        return [None if one.startswith("@") else one for one in names]

    def _named(self, kind: str) -> Iterator[Ingredient]:
        """What each name of a list stands for: the list of that name alone, resolved as the whole one is."""
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
        """What people call something that has a strength."""
        if isinstance(identity, str):
            return identity
        image, source = self.fingerprints.by_source.get(identity), self.origins.draft.source
        match identity:
            case _ if image is not None:
                return image.label
            case ByKey(key):
                return source.id if source is not None and source.key == key else "an upstream image"
        return source_text(identity)


def _last(pipeline: str, cell: Cell, fingerprints: Fingerprints, space: Space) -> Last | None:
    """What the store knows of the last time that a cell was drawn."""
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
    return Last(Key(key), result, "" if same else describe_change(cast("dict[str, Json]", before), now, fingerprints))
