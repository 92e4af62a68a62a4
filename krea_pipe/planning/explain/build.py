"""Puts together what is to be said about one cell, from a plan and the store."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from krea_pipe.core.errors import Place
from krea_pipe.core.fields import DEFAULTS, LISTS, SOURCE_STRENGTH, STRENGTHS
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Result
from krea_pipe.core.request import ByKey, Key, Request, Source, Weighted, key_of, source_text
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.reference_resolver import Items
from krea_pipe.pipeline.model import Pipeline, Value
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.planning.explain.layers import Maker, Remade, Sayings
from krea_pipe.planning.explain.model import Explanation, Ingredient, Last, Prompt, Said, Traced, Upstream
from krea_pipe.planning.explain.variables import variables_of
from krea_pipe.planning.plan import Plan, Step, describe_change
from krea_pipe.store.known import cell_name, result_name
from krea_pipe.store.space import Space


def explain_cell(
    pipeline: Pipeline, fingerprints: Fingerprints, plan: Plan, cell: Cell, space: Space, overrides: Overrides
) -> Explanation:
    """Everything about one cell of a plan of a whole file; `overrides` is what was loaded over the file.

    Raises:
        StateError: the store cannot be read.
    """
    cells = {one.id: one for step in plan.steps for one in step.cells}
    remade = Maker(pipeline, fingerprints, cells).remake(cell)
    stage = next(one for one in pipeline.stages if one.name == cell.stage)
    explaining = _Explaining(pipeline, fingerprints, cell.request, remade, Sayings(pipeline, stage, overrides, remade))
    return Explanation(
        cell=cell,
        step=_step_of(plan, cell),
        fields=tuple(explaining.fields()),
        prompt=explaining.prompt(),
        ingredients=tuple(explaining.ingredients()),
        upstream=explaining.upstream(cells),
        last=_last(pipeline.name, cell, fingerprints, space),
    )


@dataclass(frozen=True, slots=True)
class _Explaining:
    """One cell, with all that is needed to explain it."""

    pipeline: Pipeline
    fingerprints: Fingerprints
    request: Request
    remade: Remade
    sayings: Sayings

    def fields(self) -> Iterator[Traced]:
        """The request fields but the prompt, then the look, the lists of names and the source picture."""
        for name in DEFAULTS:
            yield self._traced(name, getattr(self.request, name), self._unsaid(name))
        for name in ("take", "look", *LISTS, "image", "strength"):
            if name in self.remade.fields:
                yield self._traced(name, self._value(name), self._unsaid(name))

    def prompt(self) -> Prompt:
        """The prompt with what its template reads."""
        template = self._traced("prompt", self.request.prompt, self._unsaid("prompt"))
        text = self.remade.fields["prompt"].data if "prompt" in self.remade.fields else ""
        return Prompt(template, variables_of(str(text), self.sayings), self.request.prompt)

    def ingredients(self) -> Iterator[Ingredient]:
        """Everything with a strength, in the order of the request."""
        for kind in LISTS:
            if kind in self.remade.fields:
                yield from self._named(kind)
            else:
                found = cast("Items", getattr(self.request, kind))
                yield from (self._given(kind, one) for one in found)
        if self.request.image is not None:
            yield self._picture(self.request.image)

    def upstream(self, cells: dict[str, Cell]) -> Upstream | None:
        """The cell that this one is drawn for."""
        source, chain = self.remade.source, self.sayings.stage.upstream
        if source is None or chain is None:
            return None
        key = key_of(cells[source.id].request)
        picks = chain.picks
        pick = next((one for one in picks.picks if one.id == source.id), None) if picks is not None else None
        at = picks.document.place(pick.trail) if picks is not None and pick is not None else None
        return Upstream(source.id, key, pick, at and self._seen(at))

    def _seen(self, at: Place) -> Place:
        """A place in a file beside the pipeline's, with a path like the one that the pipeline's was given by."""
        file = self.pipeline.document.file
        folder = file.resolve().parent
        inside = at.path.is_relative_to(folder)
        return replace(at, path=file.parent / at.path.relative_to(folder)) if inside else at

    def _traced(self, name: str, value: Json, unsaid: Said) -> Traced:
        by, *over = self.sayings.of(name) or [unsaid]
        return Traced(name, value, by, tuple(over))

    def _unsaid(self, name: str) -> Said:
        """Who says a field that no layer names: the upstream request that is promoted, or Krea's default."""
        if self.remade.resolver.promotes and self.remade.source is not None:
            return Said(f"source {self.remade.source.id}", None)
        return Said("default", DEFAULTS.get(name))

    def _value(self, name: str) -> Json:
        """A field as the cell has it, with what is written in place without its inner name."""
        if name not in self.remade.fields:
            return None
        value, renderer = self.remade.fields[name], self.remade.resolver.renderer
        if name not in LISTS:
            return renderer.typed(value, self.remade.context)
        names = [renderer.name(one, value, self.remade.context) for one in cast("list[Json]", value.data)]
        return [None if one.startswith("@") else one for one in names]

    def _named(self, kind: str) -> Iterator[Ingredient]:
        """What each name of a list stands for: the list of that name alone, weighed as the whole one is."""
        value, resolver = self.remade.fields[kind], self.remade.resolver
        for item in cast("list[Json]", value.data):
            name = resolver.renderer.name(item, value, self.remade.context)
            fields = {**self.remade.fields, kind: Value([name], value.trail)}
            definition = getattr(self.pipeline, kind)[name]
            at = self.pipeline.document.place(definition.trail)
            for one in resolver.weigher.weigh(kind, fields, self.remade.context):
                strength = self._strength(kind, name, one.strength, definition.strength)
                shown = "" if name.startswith("@") else name
                yield Ingredient(kind, shown, _text(one.id), self._label(one.id), at, strength)

    def _strength(self, kind: str, name: str, value: float, defined: Value | None) -> Traced:
        found = self.sayings.of(f"{kind}.{name}.strength")
        if defined is not None:
            found.append(self.sayings.said(f"{kind} {name}" if name[0] != "@" else kind, defined))
        by, *over = found or [Said("default", STRENGTHS[kind].default)]
        return Traced("strength", value, by, tuple(over))

    def _given(self, kind: str, one: Weighted[Source | str]) -> Ingredient:
        """What a promoted request has from the one before."""
        return Ingredient(
            kind, "", _text(one.id), self._label(one.id), None, Traced("strength", one.strength, self._unsaid(""))
        )

    def _picture(self, image: Weighted[Source]) -> Ingredient:
        value = self.remade.fields.get("image")
        at = self.pipeline.document.place(value.trail) if value is not None and value.trail else None
        unsaid = self._unsaid("strength") if value is None else Said("default", SOURCE_STRENGTH)
        strength = self._traced("strength", image.strength, unsaid)
        return Ingredient("image", "", _text(image.id), self._label(image.id), at, strength)

    def _label(self, identity: Source | str) -> str:
        if isinstance(identity, str):
            return identity
        image, upstream = self.fingerprints.by_source.get(identity), self.remade.source
        match identity:
            case _ if image is not None:
                return image.label
            case ByKey(key):
                return upstream.id if upstream is not None and upstream.key == key else "an upstream image"
        return source_text(identity)


def _text(identity: Source | str) -> str:
    return identity if isinstance(identity, str) else source_text(identity)


def _step_of(plan: Plan, cell: Cell) -> Step:
    key = key_of(cell.request)
    return next(step for step in plan.steps if step.key == key)


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
