"""The data under `matrix:` becomes axes, and the data under `exclude:` becomes rules over them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeAlias, cast

from krea_pipe.fields import DEFAULTS, FIELD_NAMES, LISTS, check_field, check_strength
from krea_pipe.nodes import Json, shown
from krea_pipe.pipeline import Axis, AxisValue, Exclusion
from krea_pipe.sandbox import TemplateProblem, slug
from krea_pipe.source import Trail
from krea_pipe.spec.hints import RESERVED_AXES, reserved, suggestion
from krea_pipe.spec.library import Library
from krea_pipe.spec.problems import Problems
from krea_pipe.spec.schema import matrix_problem
from krea_pipe.template import is_template

Scalar: TypeAlias = str | int | float | bool | None

MAX_PART = 48


def build_axes(matrix: Mapping[str, Json], trail: Trail, variables: Mapping[str, Json], library: Library) -> list[Axis]:
    """Every axis of a matrix, in the order of the file; problems go to the library's collector."""
    builder = _AxisBuilder(variables, library)
    return [builder.axis(name, data, (*trail, name)) for name, data in matrix.items()]


def build_exclusions(rules: Iterable[Json], trail: Trail, axes: list[Axis], problems: Problems) -> list[Exclusion]:
    """The rules of `exclude`, each key resolved to the values of an axis that it matches."""
    by_name = {axis.name: axis for axis in axes}
    return [
        Exclusion(_matches(cast("dict[str, Json]", rule), (*trail, index), by_name, problems), (*trail, index))
        for index, rule in enumerate(rules)
    ]


def sets_field(name: str) -> bool:
    """Whether an axis of this name sets a request field."""
    return name in FIELD_NAMES or name.split(".")[0] in LISTS


def _matches(
    rule: Mapping[str, Json], trail: Trail, axes: Mapping[str, Axis], problems: Problems
) -> dict[str, frozenset[int]]:
    found = {}
    for name, wanted in rule.items():
        if name in axes:
            options = wanted if isinstance(wanted, list) else [wanted]
            if not options:
                problems.add("matches_nothing", f"an empty list matches no value of `{name}`", (*trail, name))
            found[name] = frozenset(
                index for one in options for index in _index_of(one, axes[name], (*trail, name), problems)
            )
        elif name in ("if", "allow_unused"):
            message, hint = reserved(name)
            problems.add_key("reserved_key", message, (*trail, name), hint)
        elif not problems.has_lost(name):
            message = f"this matrix has no axis `{name}`" if axes else "there is no matrix to exclude from"
            problems.add_key("unknown_axis", message, (*trail, name), suggestion(name, axes))
    return found


def _index_of(wanted: Json, axis: Axis, trail: Trail, problems: Problems) -> list[int]:
    found = [
        index
        for index, value in enumerate(axis.values)
        if value.part == wanted
        or (value.scalar == wanted and isinstance(value.scalar, bool) == isinstance(wanted, bool))
    ]
    if not found:
        message = f"the axis `{axis.name}` has no value {shown(wanted)}"
        hint = suggestion(str(wanted), (value.label for value in axis.values))
        if isinstance(wanted, (dict, list)):
            message = f"`{axis.name}` in a rule must be a value or a list of values, not {shown(wanted)}"
            hint = f"name rows by their ids: {{{axis.name}: {axis.values[0].part if axis.values else 'serum'}}}"
        problems.add("matches_nothing", message, trail, hint)
    return found


@dataclass(slots=True)
class _AxisBuilder:
    variables: Mapping[str, Json]
    library: Library

    def axis(self, name: str, data: Json, trail: Trail) -> Axis:
        self._check_name(name, trail)
        field = sets_field(name)
        items = self._items(name, data, trail)
        values = [self._value(name, item, (*trail, index), field=field) for index, item in enumerate(items)]
        return Axis(name, tuple(self._distinct(name, values)), field, trail)

    def _check_name(self, name: str, trail: Trail) -> None:
        problems = self.library.problems
        if name in RESERVED_AXES:
            message, hint = reserved(name, f"the axis name `{name}`")
            instead = "name the axis otherwise, or use references.NAME.strength" if name == "strength" else hint
            problems.add_key("reserved_key", message, trail, instead)
        if "." in name:
            kind, one, _ = name.split(".")
            if one not in self.library.names(kind) and one not in problems.lost:
                near = suggestion(one, self.library.names(kind))
                problems.add_key("unknown_name", f"nothing is called `{one}` under `{kind}:`", trail, near)

    def _items(self, name: str, data: Json, trail: Trail) -> list[Json]:
        if isinstance(data, str):
            data = self._rendered(data, trail)
            wrong = None if is_template(data) else matrix_problem(name, data)
            if wrong:
                self.library.problems.add(wrong.code, wrong.message, trail, wrong.hint)
            if wrong or isinstance(data, str):
                return []
        if isinstance(data, dict):
            values = _generated(data)
            self._check_values(name, values, trail)
            return list(values)
        return cast("list[Json]", data)

    def _check_values(self, name: str, values: list[int | float], trail: Trail) -> None:
        for value in values:
            try:
                if name in DEFAULTS:
                    check_field(name, value)
                elif "." in name:
                    check_strength(name.partition(".")[0], value)
            except ValueError as error:
                hint = "choose `from`, `to` and `steps` so that every value is allowed, or write a list"
                self.library.problems.add("invalid_value", str(error), trail, hint)
                return

    def _value(self, name: str, item: Json, trail: Trail, *, field: bool) -> AxisValue:
        if isinstance(item, dict):
            if field:
                hint = f"give `{name}` plain values, or name the axis otherwise and use `set:` in its rows"
                self.library.problems.add("row_in_field_axis", f"`{name}` sets a field and takes no rows", trail, hint)
            return self._row(item, trail)
        if isinstance(item, list) and name not in LISTS:
            hint = "write the values in one list; values that belong together make a row: {id: dawn, text: low light}"
            self.library.problems.add("wrong_type", f"a value of `{name}` is one value, not a list", trail, hint)
        if not field or (name != "prompt" and name not in LISTS):
            item = self._rendered(item, trail)
        if field and isinstance(item, float) and item.is_integer():
            item = int(item)  # 1 and 1.0 are one request, so they are one value
        sets = {name: self.library.field_value(name, item, trail)} if field else {}
        scalar = _shown(item) if isinstance(item, (list, dict)) else item
        return AxisValue(_part(name, scalar), scalar, _label(scalar), item, sets, trail)

    def _row(self, row: Mapping[str, Json], trail: Trail) -> AxisValue:
        own = cast("dict[str, Json]", row.get("set") or {})
        sets = {key: self.library.field_value(key, data, (*trail, "set", key)) for key, data in own.items()}
        for key in [key for key in row if key in FIELD_NAMES]:
            sets[key] = self.library.field_value(key, row[key], (*trail, key))
        raw = {"set", *FIELD_NAMES}
        data = {key: one if key in raw else self._rendered(one, (*trail, key)) for key, one in row.items()}
        identity = str(row["id"])
        return AxisValue(identity, identity, str(row.get("label", identity)), data, sets, trail)

    def _rendered(self, data: Json, trail: Trail) -> Json:
        """Values may use `vars`; what depends on other axes is rendered for each cell, in prompts and fields."""
        if isinstance(data, list):
            return [self._rendered(one, (*trail, index)) for index, one in enumerate(data)]
        if isinstance(data, dict):
            return {key: self._rendered(one, (*trail, key)) for key, one in data.items()}
        if not isinstance(data, str):
            return data
        try:
            return self.library.problems.rendering(data, self.variables)
        except TemplateProblem as error:
            problems, word = self.library.problems, error.word or ""
            if error.code != "undefined_variable" or not problems.has_lost(word):
                hint = error.hint or suggestion(word, self.variables) or "values of an axis may use `vars`"
                problems.add_word(error.code, str(error), trail, word=error.word, hint=hint)
            return data

    def _distinct(self, name: str, values: list[AxisValue]) -> list[AxisValue]:
        """The values, each with a part of its own; white space and case may be all that tells two apart."""
        parts: set[str] = set()
        said: set[str] = set()
        for position, value in enumerate(values):
            if repr(value.scalar) in said:
                message = f"the axis `{name}` has {shown(value.scalar)} twice"
                hint = "remove one: it would draw the same images again"
                self.library.problems.add("repeated_value", message, value.trail, hint)
            part = value.part
            while part in parts:
                part = f"{part}-{_digest(f'{part} {value.scalar}')}"
            values[position] = replace(value, part=part)
            parts.add(part)
            said.add(repr(value.scalar))
        return values


def _generated(data: Mapping[str, Json]) -> list[int | float]:
    """The values of `{count}` or `{from, to, steps}`, in decimal arithmetic, so that 0.1 + 0.2 is 0.3."""
    if "count" in data:
        return list(range(1, cast("int", data["count"]) + 1))
    first, last = Decimal(repr(data["from"])), Decimal(repr(data["to"]))
    steps = cast("int", data["steps"])
    values = [first + (last - first) * index / (steps - 1) for index in range(steps)]
    return [int(value) if value == value.to_integral() else float(round(value, 9)) for value in values]


def _part(name: str, scalar: Scalar) -> str:
    if name == "seed" and isinstance(scalar, int):
        return f"s{scalar}"
    if scalar is None:
        return "none"
    if isinstance(scalar, (bool, int, float)):
        return str(scalar).lower()
    part = slug(scalar)
    if len(part) > MAX_PART:
        return f"{part[:MAX_PART].rstrip('-.')}-{_digest(scalar)}"
    return part or (_digest(scalar) if scalar.strip() else "empty")


def _label(scalar: Scalar) -> str:
    return "none" if scalar is None else str(scalar).lower() if isinstance(scalar, bool) else str(scalar)


def _shown(item: "list[Json] | dict[str, Json]") -> str:
    return "+".join(str(one) for one in item) or "none"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
