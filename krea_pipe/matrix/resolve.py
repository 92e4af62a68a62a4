"""One combination of axis values becomes one request: fields by precedence, templates rendered, values checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias, TypedDict, cast

from krea_pipe.core.engine import EngineIdentity
from krea_pipe.core.excerpts import shown
from krea_pipe.core.fields import DEFAULTS, LIST_FIELDS
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import ByKey, Key, Request, Source, Weighted, source_text
from krea_pipe.core.written import unspelled
from krea_pipe.matrix.precedence import Layer, Precedence, merge_layers
from krea_pipe.matrix.reference_resolver import Items, ReferenceResolver, lists_set_by
from krea_pipe.matrix.rendering import CellProblem, Context, Renderer, check_value
from krea_pipe.pipeline.cell_ids import Scalar, label_of, part_of
from krea_pipe.pipeline.model import Axis, AxisValue, Matrix, Pipeline, Stage, Value
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.template import is_template

Inherited: TypeAlias = tuple[tuple[str, str, Scalar], ...]
"""The name, the part of an id and the value of each axis that a cell inherits from the one that it is generated for."""


@dataclass(frozen=True)
class SourceCell:
    """The cell of another stage that a cell is generated for: its key, request, and what templates see as `source`."""

    id: str
    key: Key
    request: Request
    axes: Mapping[str, Json]
    inherited: Inherited

    @cached_property
    def data(self) -> dict[str, Json]:
        """The names that templates can read."""
        request = self.request
        return {
            "id": self.id,
            "prompt": request.prompt,
            "image": source_text(ByKey(self.key)),
            "axes": dict(self.axes),
            "seed": request.seed,
            "variant": request.variant,
            "aspect_ratio": request.aspect_ratio,
            "creativity": request.creativity,
        }


@dataclass(slots=True)
class CellDraft:
    """One combination of axis values, before its place, its path and its request are known.

    `values` are those of its axes as they read in this cell, `context` the names that its templates see. `fields` is
    known once they have been added to the context.
    """

    resolver: "Resolver"
    combination: tuple[int, ...]
    values: list[AxisValue]
    context: dict[str, object]
    source: SourceCell | None
    fields: Mapping[str, Value] | None = None

    @property
    def given(self) -> Request | None:
        """The request that the one of this cell changes, in a stage that promotes."""
        return self.source.request if self.resolver.promotes and self.source is not None else None

    @property
    def inherited(self) -> Inherited:
        """The name, the part of the id and the value of each axis of its source."""
        return () if self.source is None else self.source.inherited

    @property
    def id(self) -> str:
        """The id of the cell."""
        parts = [value.part for value in self.values]
        return "/".join([self.resolver.stage.name, *[part for _, part, _ in self.inherited], *parts])

    def located(self, problem: CellProblem) -> CellProblem:
        """A problem at the value that is null, where the file has it."""
        path = problem.null or ("",)
        for name, value in zip(self.resolver.names, self.values, strict=True):
            if name == path[0]:
                problem.trail, problem.word = (*value.trail, *path[1:]), value.label
        if path[0] in self.resolver.pipeline.variables:
            problem.trail, problem.word = ("vars", *path), None
        return problem

    @property
    def axes(self) -> dict[str, Json]:
        """The values of its axes, and of those that its source has, as templates see them."""
        own = {name: cast("Json", self.context[name]) for name in self.resolver.names}
        return {**(self.source.axes if self.source is not None else {}), **own}


class RequestParts(TypedDict, total=False):
    """The fields of a `Request`, while they are being collected."""

    variant: str
    prompt: str
    aspect_ratio: str
    resolution: str
    seed: int | None
    creativity: str
    intensity: int
    complexity: int
    movement: int
    references: tuple[Weighted[Source], ...]
    moodboards: tuple[Weighted[str], ...]
    styles: tuple[Weighted[str], ...]
    image: Weighted[Source] | None
    take: int | None
    engine: EngineIdentity | None


class Resolver:
    """Makes the requests of one matrix. What is the same in all its cells is resolved once."""

    def __init__(self, pipeline: Pipeline, stage: Stage, matrix: Matrix, fingerprints: Fingerprints) -> None:
        self.pipeline, self.stage, self.matrix = pipeline, stage, matrix
        self.renderer = Renderer(pipeline.document.templates)
        self.references = ReferenceResolver(pipeline, fingerprints, self.renderer)
        self.names = tuple(axis.name for axis in matrix.axes)
        self.dynamic = any(value.is_dynamic for axis in matrix.axes for value in axis.values)
        self.checked: dict[tuple[str, Json, type], Json] = {}
        self.known: dict[tuple[str, int], Json] = {}
        self.simple: dict[int, dict[str, Json]] = {}
        self.precedence = Precedence(pipeline, stage, matrix, self.renderer)
        self.varying_names = self.precedence.varying()
        self.promotes = stage.upstream is not None and stage.upstream.promotes
        self.engine = None if pipeline.engine is None else pipeline.engine.identity
        self.base: dict[str, object] = {**pipeline.variables, "stage": stage.name, "pipeline": pipeline.name}
        self._resolve_constants()

    def draft(self, combination: tuple[int, ...], source: SourceCell | None) -> CellDraft:
        """One combination with its values and the names that its templates may use, fields aside.

        Args:
            combination: the index of a value in each axis.
            source: the cell that it is generated for, in a stage that has `for_each`.

        Raises:
            CellProblem: a value's template fails.
        """
        values = [axis.values[index] for axis, index in zip(self.matrix.axes, combination, strict=True)]
        context = self.base.copy()
        if source is not None:
            context["source"] = source.data
        if self.dynamic_fixed:
            self._add(context, self.stage.fixed, [axis.values[0] for axis in self.stage.fixed])
        if self.dynamic:
            values = self._add(context, self.matrix.axes, values)
        else:
            context.update(zip(self.names, [value.data for value in values], strict=True))
        return CellDraft(self, combination, values, context, source)

    def layers(self, draft: CellDraft) -> list[Layer]:
        """Everything that sets fields of a cell, low to high.

        Raises:
            CellProblem: a template fails, or a look is not known.
        """
        return self.precedence.layers(draft.combination, draft.context)

    def request(self, draft: CellDraft) -> Request:
        """The request of a draft; adds its fields to the names that its templates see.

        Raises:
            CellProblem: a template fails, or a value is not one that Krea documents.
        """
        self.fields(draft)
        parts: dict[str, object] = {name: draft.context[name] for name in DEFAULTS}
        for kind in LIST_FIELDS:
            parts[kind] = self.items(kind, draft)
        parts["engine"] = self.engine
        parts |= {"image": self.image(draft), "take": self.take(draft), "prompt": self.prompt(draft)}
        return Request(**cast("RequestParts", parts))

    def template(self, draft: CellDraft) -> str | None:
        """The template of the prompt of a cell; None if it uses the prompt of its source."""
        fields = self.fields(draft)
        return str(fields["prompt"].data) if "prompt" in fields else None

    def prompt(self, draft: CellDraft) -> str:
        """The prompt of a cell; errors as for `request`."""
        fields = self.fields(draft)
        if "prompt" in fields:
            prompt = self.renderer.text(fields["prompt"], draft.context)
            if not prompt:
                message = "the rendered prompt contains only white space"
                raise CellProblem("empty_prompt", message, fields["prompt"].trail)
            return prompt
        if draft.given is None:
            hint = "set `prompt:` in the stage: rows and patches can override it"
            raise CellProblem("no_prompt", "some cells have no prompt", self.stage.trail, hint=hint)
        return draft.given.prompt

    def items(self, kind: str, draft: CellDraft) -> Items:
        """The references, moodboards or styles of a cell; errors as for `request`."""
        if kind in self.fixed_lists:
            return self.fixed_lists[kind]
        if kind not in self.varying_lists:
            return ()
        fields = self.fields(draft)
        if kind in fields:
            return self.references.items(kind, fields, draft.context)
        return cast("Items", getattr(draft.given, kind)) if draft.given is not None else ()

    def image(self, draft: CellDraft) -> Weighted[Source] | None:
        """The source image of a cell; errors as for `request`."""
        fields, given = self.fields(draft), draft.given
        if "image" in fields:
            return self.references.source(fields, draft.context)
        return None if given is None else self.references.with_strength(given.image, fields, draft.context)

    def take(self, draft: CellDraft) -> int | None:
        """The number that distinguishes a cell from others without a seed."""
        fields = self.fields(draft)
        if "take" in fields:
            return cast("int | None", fields["take"].data)
        return None if draft.given is None else draft.given.take

    def fields(self, draft: CellDraft) -> Mapping[str, Value]:
        """The fields of a cell; what templates may read of them is added to its context once.

        Raises:
            CellProblem: a template fails, or a value is not one that Krea documents.
        """
        if draft.fields is None:
            draft.fields = self._fields(draft)
        return draft.fields

    def _fields(self, draft: CellDraft) -> Mapping[str, Value]:
        precedence, context = self.precedence, draft.context
        if self.is_simple:
            for index in precedence.own:
                context.update(self._checked_sets(draft.values[index], context))
            return precedence.constants
        fields = merge_layers(self.layers(draft)) if self.varying_names else precedence.constants
        if precedence.static_look is None and "look" in fields:
            context["look"] = self.renderer.typed(fields["look"], context)
        if self.varying:
            context.update(self._scalars(self.varying, fields, context, draft.given))
        return fields

    def _resolve_constants(self) -> None:
        fields = self.precedence.constants
        dynamic = {name for name in DEFAULTS if name in fields and is_template(fields[name].data)}
        self.varying = [
            name for name in DEFAULTS if name in self.varying_names | dynamic or (self.promotes and name not in fields)
        ]
        self.is_simple = self._is_simple()
        self.dynamic_fixed = any(axis.values[0].is_dynamic for axis in self.stage.fixed)
        self.is_dynamic = self.dynamic or self.dynamic_fixed
        if not self.dynamic_fixed:
            self.base.update({axis.name: axis.values[0].data for axis in self.stage.fixed})
        self.base["look"] = fields["look"].data if "look" in fields else None
        self.base.update(self._scalars([name for name in DEFAULTS if name not in self.varying], fields, {}, None))
        set_by = lists_set_by(self.varying_names)
        fixed = [kind for kind in LIST_FIELDS if kind in fields and kind not in set_by and self._is_fixed(kind, fields)]
        self.varying_lists = [
            kind for kind in LIST_FIELDS if kind not in fixed and (kind in fields or kind in set_by or self.promotes)
        ]
        self.fixed_lists = {kind: self.references.items(kind, fields, {}) for kind in fixed}

    def _is_simple(self) -> bool:
        """Whether axes that set one plain field each override everything else: a million cells go this way."""
        axes = [self.matrix.axes[index] for index in self.precedence.own]
        plain = all(
            set(value.sets) == {axis.name} and axis.name in DEFAULTS and not is_template(value.sets[axis.name].data)
            for axis in axes
            for value in axis.values
        )
        higher = self.precedence.rows or self.matrix.patch or self.pipeline.overrides
        return plain and not higher and set(self.varying) == {axis.name for axis in axes}

    def _checked_sets(self, value: AxisValue, context: Context) -> dict[str, Json]:
        """The field that a value sets, checked once."""
        found = self.simple.get(id(value))
        if found is None:
            found = self.simple[id(value)] = self._scalars(list(value.sets), value.sets, context, None)
        return found

    def _is_fixed(self, kind: str, fields: Mapping[str, Value]) -> bool:
        strengths = [value for name, value in fields.items() if name.startswith(f"{kind}.")]
        return self.references.is_fixed(kind, fields[kind]) and not any(is_template(one.data) for one in strengths)

    def _add(self, context: dict[str, object], axes: Sequence[Axis], values: Sequence[AxisValue]) -> list[AxisValue]:
        """Add the data of axes to a context, one after the other, because each may read those before it."""
        found = []
        for axis, value in zip(axes, values, strict=True):
            now = self._read(axis.name, value, context) if value.is_dynamic else value
            context[axis.name] = now.data
            found.append(now)
        return found

    def _read(self, name: str, value: AxisValue, context: Context) -> AxisValue:
        data = self.renderer.tree(Value(value.data, value.trail), context)
        if isinstance(data, (dict, list)):
            return replace(value, data=data)
        scalar = cast("Scalar", unspelled(data))
        return replace(value, data=data, part=part_of(name, scalar), scalar=scalar, label=label_of(data))

    def _scalars(
        self, names: Sequence[str], fields: Mapping[str, Value], context: Context, given: Request | None
    ) -> dict[str, Json]:
        """Some fields of a cell; where several are wrong, the first problem carries the others."""
        found: dict[str, Json] = {}
        wrong: list[CellProblem] = []
        for name in names:
            try:
                found[name] = self._scalar(name, fields.get(name), context, given)
            except CellProblem as error:
                wrong.append(error)
        if wrong:
            wrong[0].others = tuple(wrong[1:])
            raise wrong[0]
        return found

    def _scalar(self, name: str, value: Value | None, context: Context, given: Request | None) -> Json:
        known = self.known.get((name, id(value)))
        if known is not None:
            return known
        if value is None:
            return self.pipeline.rules.defaults[name] if given is None else cast("Json", getattr(given, name))
        data = self.renderer.typed(value, context)
        if isinstance(data, (list, dict)):
            message = f"`{name}` must be one value, not {shown(data)}"
            raise CellProblem("wrong_type", message, value.trail)
        memo = (name, data, type(data))
        if memo not in self.checked:
            self.checked[memo] = check_value(value, lambda: self.pipeline.rules.check(name, data))
        if not is_template(value.data):
            self.known[name, id(value)] = self.checked[memo]
        return self.checked[memo]
