"""The references, moodboards, styles and the source picture of a request, each with its strength."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

from krea_pipe.core.contract import MAX_MOODBOARDS, MAX_STYLE_REFERENCES
from krea_pipe.core.dialects import engine_facts
from krea_pipe.core.excerpts import shown
from krea_pipe.core.fields import (
    LIST_FIELDS,
    SOURCE_STRENGTH,
    STRENGTHS,
    check_source_strength,
    check_strength,
    ignore_hint,
)
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import Source, Weighted, parse_source, source_text
from krea_pipe.matrix.rendering import CellProblem, Context, Renderer, check_value
from krea_pipe.pipeline.model import Board, Pipeline, ReferenceSet, Value
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.repo_paths import Unusable
from krea_pipe.pipeline.template import is_template

Items: TypeAlias = tuple[Weighted[Source | str], ...]
"""A list of a request: style references by their sources, or moodboards or styles by their ids at Krea."""


@dataclass(slots=True, eq=False)
class ReferenceResolver:
    """Resolves names to what is sent; what was seen before is not checked again."""

    pipeline: Pipeline
    fingerprints: Fingerprints
    renderer: Renderer
    lists: dict[str, Items] = field(default_factory=dict)

    def items(self, kind: str, fields: Mapping[str, Value], context: Context) -> Items:
        """A list of a request.

        Raises:
            CellProblem: a name is not known, a strength is out of range, or there are too many.
        """
        value = fields[kind]
        if not value.data or kind in self.pipeline.rules.ignored:
            return ()
        names = [self.renderer.name(one, value, context) for one in cast("list[Json]", value.data)]
        strengths = {name: self._strength(kind, name, fields, context) for name in dict.fromkeys(names)}
        if any(self._is_templated(kind, name) for name in names):
            return self._limited(kind, self._all(kind, strengths, context), value)
        memo = f"{kind} {strengths}"
        if memo not in self.lists:
            self.lists[memo] = self._limited(kind, self._all(kind, strengths, context), value)
        return self.lists[memo]

    def source(self, fields: Mapping[str, Value], context: Context) -> Weighted[Source] | None:
        """The source picture of image-to-image, if there is one."""
        value = fields.get("image")
        text = None if value is None else self.renderer.typed(value, context)
        if value is None or not text or "image" in self.pipeline.rules.ignored:
            return None
        self._check_drawn("image", value)
        found = self._images(str(text), value, context)
        if len(found) != 1:
            raise CellProblem("several_files", f"`image` matches {len(found)} files; Krea accepts one", value.trail)
        return self.with_strength(Weighted(found[0], SOURCE_STRENGTH), fields, context)

    def with_strength(
        self, image: Weighted[Source] | None, fields: Mapping[str, Value], context: Context
    ) -> Weighted[Source] | None:
        """A source picture with the strength that the fields set, if they set one."""
        given = fields.get("strength")
        if image is None or given is None:
            return image
        data = self.renderer.typed(given, context)
        return Weighted(image.id, check_value(given, lambda: check_source_strength(data)))

    def is_fixed(self, kind: str, value: Value) -> bool:
        """Whether a list names the same things with the same strengths in every cell that does not override it."""
        known = self._named(kind)
        names = [str(name) for name in cast("list[Json]", value.data)]
        strengths = [known[name].strength for name in names if name in known]
        templated = any(is_template(name) or self._is_templated(kind, name) for name in names)
        return not templated and not any(one is not None and is_template(one.data) for one in strengths)

    def _is_templated(self, kind: str, name: str) -> bool:
        item = self._named(kind).get(name)
        return isinstance(item, ReferenceSet) and any(is_template(image.data) for image in item.images)

    def _strength(self, kind: str, name: str, fields: Mapping[str, Value], context: Context) -> float:
        item = self._definition(kind, name, fields[kind])
        value = fields.get(f"{kind}.{name}.strength") or item.strength
        if value is None:
            return STRENGTHS[kind].default
        data = self.renderer.typed(value, context)
        return check_value(value, lambda: check_strength(kind, data))

    def _definition(self, kind: str, name: str, value: Value) -> Board | ReferenceSet:
        known = self._named(kind)
        if name not in known:
            listed = ", ".join(one for one in known if one[0] != "@")
            message = f"`{kind}:` does not define {shown(name)}"
            raise CellProblem("unknown_name", message, value.trail, hint=f"known: {listed}" if listed else None)
        return known[name]

    def _named(self, kind: str) -> Mapping[str, Board | ReferenceSet]:
        return cast("Mapping[str, Board | ReferenceSet]", getattr(self.pipeline, kind))

    def _all(self, kind: str, strengths: Mapping[str, float], context: Context) -> Items:
        return tuple(one for name in strengths for one in self._weighted(kind, name, strengths[name], context))

    def _weighted(self, kind: str, name: str, strength: float, context: Context) -> Sequence[Weighted[Source | str]]:
        item = self._named(kind)[name]
        if isinstance(item, Board):
            return [Weighted(item.id, strength)]
        texts = [(self.renderer.text(image, context), image) for image in item.images]
        return [Weighted(source, strength) for text, image in texts for source in self._images(text, image, context)]

    def _images(self, text: str, value: Value, context: Context) -> list[Source]:
        upstream = context.get("source")
        if isinstance(upstream, dict) and text == upstream["image"]:
            return [parse_source(text)]
        try:
            return [image.source for image in self.fingerprints.of(text, self._folder(value))]
        except Unusable as error:
            raise CellProblem(error.code, str(error), value.trail, hint=error.hint) from error

    def _folder(self, value: Value) -> Path | None:
        """The folder that a path counts from: that of its file, or of the pipeline file if an expression gives it."""
        document = self.pipeline.document
        if not document.used or str(value.data).startswith("{{"):
            return None
        return document.folder(value.trail)

    def _check_drawn(self, kind: str, value: Value) -> None:
        """Refuse what an engine cannot draw."""
        if kind not in self.pipeline.rules.lists:
            raise CellProblem(
                "engine_cannot", f"the engine cannot draw with `{kind}`", value.trail, hint=ignore_hint(kind)
            )

    def _check_loras(self, found: Items, value: Value) -> None:
        """Refuse trained styles that the engine has no file for."""
        engine = self.pipeline.engine
        if engine is None:
            return
        most = engine_facts(engine.identity.name).most_loras
        if most is not None and len(found) > most:
            message = f"{len(found)} styles in one request; {engine.identity.name} draws with at most {most}"
            raise CellProblem("too_many_loras", message, value.trail)
        missing = next((one for one in found if one.id not in engine.loras), None)
        if missing is not None:
            named = (name for name, board in self.pipeline.styles.items() if board.id == missing.id and name[0] != "@")
            name = next(named, str(missing.id))
            hint = f"add `engine: {{loras: {{{name}: loras/{name}.safetensors}}}}`, or `engine: {{ignore: [styles]}}`"
            raise CellProblem("no_lora", f"the engine has no file for the style `{name}`", value.trail, hint=hint)

    def _limited(self, kind: str, found: Items, value: Value) -> Items:
        if found:
            self._check_drawn(kind, value)
        if kind == "styles":
            self._check_loras(found, value)
        if kind == "references" and len(found) > MAX_STYLE_REFERENCES:
            message = f"{len(found)} style references in one request; Krea accepts at most {MAX_STYLE_REFERENCES}"
            raise CellProblem("too_many_references", message, value.trail, hint="name fewer images, or split the set")
        if kind == "moodboards" and len(found) > MAX_MOODBOARDS:
            message = f"{len(found)} moodboards in one request; Krea accepts one"
            raise CellProblem("too_many_moodboards", message, value.trail)
        seen = set[Source | str]()
        for one in found:
            if one.id in seen:
                message = f"{self._label(one.id)} appears twice in the `{kind}` of one request"
                raise CellProblem("repeated_reference", message, value.trail, hint="remove one of the two")
            seen.add(one.id)
        return found

    def _label(self, identity: Source | str) -> str:
        if isinstance(identity, str):
            return identity
        image = self.fingerprints.by_source.get(identity)
        return image.label if image else source_text(identity)


def lists_set_by(names: set[str]) -> set[str]:
    """The lists that some field names set, or whose strengths they set."""
    return {kind for kind in LIST_FIELDS if any(name.partition(".")[0] == kind for name in names)}
