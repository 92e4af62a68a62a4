"""One combination of axis values becomes one request: fields by precedence, templates rendered, values checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from krea_pipe.core.excerpts import shown
from krea_pipe.core.fields import DEFAULTS, LISTS, check_field
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import Key, Request, Weighted
from krea_pipe.matrix.precedence import Precedence
from krea_pipe.matrix.reference_resolver import Weigher, lists_set_by
from krea_pipe.matrix.rendering import CellProblem, Context, Renderer, located
from krea_pipe.pipeline.cell_ids import label_of, part_of
from krea_pipe.pipeline.model import Axis, AxisValue, Matrix, Pipeline, Stage, Value
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.template import is_template


@dataclass(frozen=True)
class Upcell:
    """The cell of another stage that a cell is drawn for: its key, its request, and what templates see as `source`."""

    id: str
    key: Key
    request: Request
    axes: Mapping[str, Json]

    @cached_property
    def data(self) -> dict[str, Json]:
        """What templates see."""
        request = self.request
        return {
            "id": self.id,
            "prompt": request.prompt,
            "image": f"key:{self.key}",
            "axes": dict(self.axes),
            "seed": request.seed,
            "variant": request.variant,
            "aspect_ratio": request.aspect_ratio,
            "creativity": request.creativity,
        }


class Resolver:
    """Makes the requests of one matrix. What is the same in all its cells is resolved once."""

    def __init__(self, pipeline: Pipeline, stage: Stage, matrix: Matrix, fingerprints: Fingerprints) -> None:
        self.pipeline, self.stage, self.matrix = pipeline, stage, matrix
        self.renderer = Renderer()
        self.weigher = Weigher(pipeline, fingerprints, self.renderer)
        self.names = [axis.name for axis in matrix.axes]
        self.own_names = tuple(self.names)
        self.dynamic = any(value.is_dynamic for axis in matrix.axes for value in axis.values)
        self.checked: dict[tuple[str, Json, type], Json] = {}
        self.known: dict[tuple[str, int], Json] = {}
        self.simple: dict[int, dict[str, Json]] = {}
        self.precedence = Precedence(pipeline, stage, matrix, self.renderer)
        self.varying_names = self.precedence.varying()
        self.promotes = stage.upstream is not None and stage.upstream.promotes
        self.base: dict[str, object] = {**pipeline.variables, "stage": stage.name, "pipeline": pipeline.name}
        self._resolve_constants()

    def context(self, values: Sequence[AxisValue], source: Upcell | None) -> tuple[dict[str, object], list[AxisValue]]:
        """The names that templates may use, fields aside, and the values as they read in this cell.

        Raises:
            CellProblem: a value's template fails.
        """
        context = self.base.copy()
        if source is not None:
            context["source"] = source.data
        if self.dynamic_fixed:
            self._add(context, self.stage.fixed, [axis.values[0] for axis in self.stage.fixed])
        if not self.dynamic:
            context.update(zip(self.names, [value.data for value in values], strict=True))
            return context, list(values)
        return context, self._add(context, self.matrix.axes, values)

    def request(self, values: Sequence[AxisValue], context: dict[str, object], source: Upcell | None) -> Request:
        """The request of one combination; adds its fields to the context.

        Raises:
            CellProblem: a template fails, or a value is not one that Krea documents.
        """
        given = source.request if self.promotes and source is not None else None
        fields = self._fields(values, context, given)
        lists: dict[str, Any] = {kind: self._list(kind, fields, context, given) for kind in self.varying_lists}
        if "image" in fields:
            lists["image"] = self.weigher.source(fields, context)
        elif given is not None:
            lists["image"] = self.weigher.weighed_anew(given.image, fields, context)
        if "take" in fields:
            lists["take"] = fields["take"].data
        elif given is not None:
            lists["take"] = given.take
        prompt = given.prompt if given is not None and "prompt" not in fields else None
        if prompt is None:
            if "prompt" not in fields:
                hint = "set `prompt:` in the stage: rows and patches may give other ones"
                raise CellProblem("no_prompt", "some cells have no prompt", self.stage.trail, hint=hint)
            prompt = self.renderer.text(fields["prompt"], context)
        if not prompt:
            raise CellProblem("empty_prompt", "the prompt renders to nothing but white space", fields["prompt"].trail)
        parts: dict[str, Any] = {name: context[name] for name in DEFAULTS}
        if lists or self.fixed_lists:
            parts |= self.fixed_lists | lists
        return Request(prompt=prompt, **parts)

    def template(self, values: Sequence[AxisValue], context: Context) -> str | None:
        """What the prompt of one combination is rendered from; None where that of its source is taken as it is."""
        is_varying = "prompt" in self.varying_names
        fields = self.precedence.fields(values, context) if is_varying else self.precedence.constants
        return str(fields["prompt"].data) if "prompt" in fields else None

    def _fields(
        self, values: Sequence[AxisValue], context: dict[str, object], given: Request | None
    ) -> Mapping[str, Value]:
        """The fields of a cell; what templates may read of them is added to the context."""
        layers = self.precedence
        if self.is_simple:
            for index in layers.own:
                context.update(self._checked_sets(values[index], context))
            return layers.constants
        fields = layers.fields(values, context) if self.varying_names else layers.constants
        if layers.static_look is None and "look" in fields:
            context["look"] = self.renderer.typed(fields["look"], context)
        if self.varying:
            context.update(self._scalars(self.varying, fields, context, given))
        return fields

    def _resolve_constants(self) -> None:
        fields = self.precedence.constants
        dynamic = {name for name in DEFAULTS if name in fields and is_template(fields[name].data)}
        self.varying = [
            name for name in DEFAULTS if name in self.varying_names | dynamic or (self.promotes and name not in fields)
        ]
        self.is_simple = self._is_simple()
        self.dynamic_fixed = any(axis.values[0].is_dynamic for axis in self.stage.fixed)
        if not self.dynamic_fixed:
            self.base.update({axis.name: axis.values[0].data for axis in self.stage.fixed})
        self.base["look"] = fields["look"].data if "look" in fields else None
        self.base.update(self._scalars([name for name in DEFAULTS if name not in self.varying], fields, {}, None))
        set_by = lists_set_by(self.varying_names)
        fixed = [kind for kind in LISTS if kind in fields and kind not in set_by and self._is_fixed(kind, fields)]
        self.varying_lists = [
            kind for kind in LISTS if kind not in fixed and (kind in fields or kind in set_by or self.promotes)
        ]
        self.fixed_lists = {kind: self.weigher.weigh(kind, fields, {}) for kind in fixed}

    def _is_simple(self) -> bool:
        """Whether axes that set one plain field each stand over all else: a million cells go this way."""
        sets = [
            (axis.name, value) for i in self.precedence.own for axis in (self.matrix.axes[i],) for value in axis.values
        ]
        plain = all(
            set(value.sets) == {name} and name in DEFAULTS and not is_template(value.sets[name].data)
            for name, value in sets
        )
        return (
            plain
            and not (self.precedence.rows or self.matrix.patch or self.pipeline.overrides)
            and set(self.varying) == {name for name, _ in sets}
        )

    def _checked_sets(self, value: AxisValue, context: Context) -> dict[str, Json]:
        """What a value sets, checked once."""
        found = self.simple.get(id(value))
        if found is None:
            found = self.simple[id(value)] = self._scalars(list(value.sets), value.sets, context, None)
        return found

    def _is_fixed(self, kind: str, fields: Mapping[str, Value]) -> bool:
        strengths = [value for name, value in fields.items() if name.startswith(f"{kind}.")]
        return self.weigher.is_fixed(kind, fields[kind]) and not any(is_template(one.data) for one in strengths)

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
        return replace(value, data=data, part=part_of(name, data), scalar=data, label=label_of(data))

    def _list(
        self, kind: str, fields: Mapping[str, Value], context: Context, given: Request | None
    ) -> tuple[Weighted, ...]:
        if kind not in fields:
            return cast("tuple[Weighted, ...]", getattr(given, kind)) if given is not None else ()
        return self.weigher.weigh(kind, fields, context)

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
            return DEFAULTS[name] if given is None else cast("Json", getattr(given, name))
        data = self.renderer.typed(value, context)
        if isinstance(data, (list, dict)):
            message = f"`{name}` must be one value, not {shown(data)}"
            raise CellProblem("wrong_type", message, value.trail)
        memo = (name, data, type(data))
        if memo not in self.checked:
            self.checked[memo] = located(value, lambda: check_field(name, data))
        if not is_template(value.data):
            self.known[name, id(value)] = self.checked[memo]
        return self.checked[memo]
