"""The data under `matrix:`, `axes:` and `with:` becomes axes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from krea_pipe.core.excerpts import shown
from krea_pipe.core.fields import (
    DEFAULTS,
    FIELD_NAMES,
    LIST_FIELDS,
    SINGULARS,
    UnknownValueError,
    check_field,
    check_strength,
)
from krea_pipe.core.json_data import Json, leaves, mapping_in
from krea_pipe.core.written import unspelled
from krea_pipe.pipeline.cell_ids import Scalar, label_of, part_of
from krea_pipe.pipeline.model import Axis, AxisValue, Value
from krea_pipe.pipeline.repo_paths import Unusable
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.generated import FilePlaces, generate, kind_of
from krea_pipe.pipeline.spec.hints import suggestion
from krea_pipe.pipeline.spec.library import Library, value_indexes
from krea_pipe.pipeline.spec.problems import Problems, check_secrets, with_texts
from krea_pipe.pipeline.spec.schema_check import matrix_problem
from krea_pipe.pipeline.template import TemplateProblem, is_template

UPSTREAM = "source"
_PLAIN = ("set", *FIELD_NAMES)
_SETS_NOTHING: Mapping[str, Value] = {}
"""One mapping for all values that set no field, because a count may give a value for each cell."""


def sets_list(name: str) -> bool:
    """Whether an axis of this name sets the references, moodboards or styles of a request."""
    return SINGULARS.get(name, name) in LIST_FIELDS


def sets_field(name: str) -> bool:
    """Whether an axis of this name sets a request field."""
    return name in FIELD_NAMES or name.split(".")[0] in LIST_FIELDS


@dataclass(slots=True, eq=False)
class AxisBuilder:
    """Builds axes; `earlier` are the names that a value may read besides variables. Problems go to the library."""

    variables: Mapping[str, Json]
    library: Library
    earlier: set[str] = field(default_factory=set)
    scope: str = "values of an axis may use `vars` and earlier axes"

    @property
    def _problems(self) -> Problems:
        return self.library.problems

    def matrix(self, data: Mapping[str, Json], trail: Trail) -> list[Axis]:
        """The axes of a matrix, in the order of the file; each may read those before it."""
        axes = []
        self.library.refuse_both_names(data, trail)
        for name, values in data.items():
            axes.append(self.axis(name, values, (*trail, name)))
            self.earlier.add(name)
        return axes

    def axis(self, name: str, data: Json, trail: Trail) -> Axis:
        """One axis."""
        self._check_name(name, trail)
        data = data if sets_field(name) else self._problems.document.spelled(trail, data)
        values = self._values(name, data, trail)
        self.library.count_values(len(values), trail)
        return Axis(name, tuple(self._distinct(name, values)), sets_field(name), trail)

    def single(self, name: str, data: Json, trail: Trail) -> Axis:
        """An axis of one value, as `with` and `include` have it."""
        data = data if sets_field(name) else self._problems.document.spelled(trail, data)
        shared = self._shared(name, data, trail) if not isinstance(data, (list, dict)) else None
        value = shared or self._value(name, data, trail)
        if "." in name:
            self._is_sound(name, data, trail)
        return Axis(name, (value,), sets_field(name), trail)

    def _check_name(self, name: str, trail: Trail) -> None:
        if name == UPSTREAM:
            message = f"`{name}` refers to the upstream cell in templates"
            self._problems.add_key("reserved_name", message, trail, "rename the axis")
        if "." in name:
            kind, one, _ = name.split(".")
            if one not in self.library.names(kind) and one not in self._problems.dropped:
                near = suggestion(one, self.library.names(kind))
                self._problems.add_key("unknown_name", f"`{kind}:` does not define `{one}`", trail, near)

    def _values(self, name: str, data: Json, trail: Trail) -> list[AxisValue]:
        if data == "all" and name in self.library.axes:
            return self._library(name)
        if data == "all" and name == "look" and self.library.looks:
            data = list(self.library.looks)
        if isinstance(data, str):
            data = self._rendered_list(name, data, trail)
        if isinstance(data, dict):
            return self._generated(name, data, trail)
        items = cast("list[Json]", data)
        return [self._item(name, item, (*trail, index)) for index, item in enumerate(items)]

    def _library(self, name: str) -> list[AxisValue]:
        memo, built = (name, frozenset(self.earlier)), self.library.built
        if memo not in built:
            # Its own values are no names of the library's axis: they make it.
            builder = AxisBuilder(self.variables, replace(self.library, axes={}), set(self.earlier))
            built[memo] = list(builder.axis(name, self.library.axes[name], ("axes", name)).values)
        return built[memo]

    def _item(self, name: str, item: Json, trail: Trail) -> AxisValue:
        shared = None if isinstance(item, (dict, list)) else self._shared(name, item, trail)
        if shared is None and not isinstance(item, (dict, list)):
            self._is_sound(name, item, trail)
        return shared or self._value(name, item, trail)

    def _shared(self, name: str, item: Scalar, trail: Trail) -> AxisValue | None:
        """The value of the library's axis that an item names, if there is such an axis."""
        if name not in self.library.axes or (isinstance(item, str) and is_template(item)):
            return None
        known, item = self._library(name), cast("Scalar", unspelled(item))
        found = [known[place] for place in value_indexes(item, known, self.library.indexes)]
        if not found and not self._problems.was_dropped(str(item)):
            message = f"the axis `{name}` under `axes:` has no value {shown(item)}"
            hint = suggestion(str(item), (value.part for value in known))
            self._problems.add("unknown_name", message, trail, hint)
        if not found and known:
            return replace(known[0], part=str(item), scalar=item, trail=trail)  # has the fields that templates read
        return found[0] if found else None

    def _rendered_list(self, name: str, data: str, trail: Trail) -> Json:
        if data == "all":
            hint = suggestion(name, self.library.axes) or "write its values as a list"
            what = f"`axes:` does not define `{name}`"
            if name == "look":
                what, hint = "no looks are defined", "define some: `looks: {plain: {}, warm: {intensity: 10}}`"
            if not self._problems.was_dropped(name) and not self._problems.was_dropped(f"{name}s"):
                self._problems.add("unknown_name", what, trail, hint)
            return []
        if self._reads_axes(data):
            hint = f"write a list of templates, as in `{name}: ['{{{{ product }}}} in the rain']`, or use `vars`"
            self._problems.add("axis_over_axis", "the values of an axis cannot depend on other axes", trail, hint)
            return []
        found = self._rendered(data, trail, whole=True)
        wrong = None if is_template(found) else matrix_problem(name, found, self.library.allowed)
        if wrong:
            self._problems.add(wrong.code, wrong.message, trail, wrong.hint)
        return [] if wrong or isinstance(found, str) else found

    def _generated(self, name: str, data: Mapping[str, Json], trail: Trail) -> list[AxisValue]:
        if sets_field(name) and ("csv" in data or "zip" in data):
            self._refuse_row(name, trail)
            return []
        kind, folder, root = kind_of(data), self._problems.document.folder(trail), self.library.root
        at: Trail = (*trail, kind) if kind else trail
        try:
            places = FilePlaces(folder, root, folder if sets_field(name) else self.library.folder)
            items, lines = generate(
                data, places, self.library.allowed, pictures=name == "references", field=sets_field(name)
            )
        except Unusable as error:
            self._problems.add(error.code, str(error), at, error.hint)
            return []
        if lines:
            self._problems.document.tables[trail] = (str(data["csv"]), lines)
        check_secrets(items, self._problems, trail)
        hint = "choose `from`, `to` and `steps` so that every value is allowed, or write a list"
        if not all(self._is_sound(name, item, at, "correct the file" if kind else hint) for item in items):
            return []
        # Each has a trail of its own, which leads to the place of all: a trail says which value of an axis one is.
        return [self._value(name, item, (*trail, index)) for index, item in enumerate(items)]

    def _value(self, name: str, item: Json, trail: Trail) -> AxisValue:
        field = sets_field(name)
        if isinstance(item, dict):
            if field:
                self._refuse_row(name, trail)
                return AxisValue("none", None, "none", None, {}, trail)
            return self._row(item, trail)
        if isinstance(item, list) and not sets_list(name):
            hint = (
                "write the values in one list; write values that belong together as a row: {id: dawn, text: low light}"
            )
            self._problems.add("wrong_type", f"a value of `{name}` must be a single value, not a list", trail, hint)
        if not field or (name != "prompt" and not sets_list(name)):
            item = self._rendered(item, trail)
        item = unspelled(item) if field else item
        if field and isinstance(item, float) and item.is_integer() and "." not in name and name != "strength":
            item = int(item)  # 1 and 1.0 are one request, so they are one value
        sets = {SINGULARS.get(name, name): self.library.field_value(name, item, trail)} if field else _SETS_NOTHING
        scalar = _joined(item) if isinstance(item, (list, dict)) else cast("Scalar", unspelled(item))
        dynamic = name != "prompt" and not sets_list(name) and self._reads_axes(item)
        label = label_of(scalar if isinstance(item, (list, dict)) else item)
        part = part_of(name, scalar)
        return AxisValue(label if label == part else part, scalar, label, item, sets, trail, dynamic)

    def _refuse_row(self, name: str, trail: Trail) -> None:
        hint = f"give `{name}` plain values, or rename the axis and use `set:` in its rows"
        self._problems.add("row_in_field_axis", f"`{name}` sets a field, so it cannot have rows", trail, hint)

    def _is_sound(self, name: str, item: Json, trail: Trail, hint: str | None = None) -> bool:
        """Whether a request can have a value, which is said here where the schema could not say it."""
        if not sets_field(name) or is_template(item):
            return True
        try:
            if name in DEFAULTS:
                check_field(name, item, self.library.allowed)
            elif "." in name:
                check_strength(name.partition(".")[0], item)
        except UnknownValueError as error:
            self._problems.add("invalid_value", str(error), trail, error.hint or hint)
            return False
        except ValueError as error:
            self._problems.add("invalid_value", str(error), trail, hint)
            return False
        return True

    def _row(self, row: Mapping[str, Json], trail: Trail) -> AxisValue:
        own, row = mapping_in(row, "set"), {key: unspelled(one) if key in _PLAIN else one for key, one in row.items()}
        sets = {
            SINGULARS.get(key, key): self.library.field_value(key, data, (*trail, "set", key))
            for key, data in own.items()
        }
        for key in [key for key in row if key in FIELD_NAMES]:
            sets[SINGULARS.get(key, key)] = self.library.field_value(key, row[key], (*trail, key))
        data = {key: one if key in _PLAIN else self._rendered(one, (*trail, key)) for key, one in row.items()}
        identity = str(row["id"])
        dynamic = any(self._reads_axes(text) for key, one in data.items() if key not in _PLAIN for text in leaves(one))
        return AxisValue(
            identity, identity, label_of(cast("Scalar", row.get("label", identity))), data, sets, trail, dynamic
        )

    def _reads_axes(self, text: Json) -> bool:
        return isinstance(text, str) and is_template(text) and bool(self._names(text) & self.earlier)

    def _names(self, text: str) -> frozenset[str]:
        try:
            return self._problems.compiled(text).names
        except TemplateProblem:
            return frozenset()

    def _rendered(self, data: Json, trail: Trail, *, whole: bool = False) -> Json:
        """Values may use `vars`; what reads earlier axes is rendered for each cell, as prompts and fields are.

        With `whole` it is all the values of an axis, which can use variables alone.
        """

        def rendered(text: str, at: Trail) -> Json:
            if self._reads_axes(text):
                return text
            try:
                return self._problems.rendering(text, self.variables)
            except TemplateProblem as error:
                word, known = error.word or "", {*self.variables, *(() if whole else self.earlier)}
                if error.code != "undefined_variable" or not self._problems.was_dropped(word):
                    is_unknown = error.code == "undefined_variable"
                    hint = error.hint or ((suggestion(word, known) or self.scope) if is_unknown else None)
                    self._problems.add(error.code, str(error), at, hint, word=error.word)
                return text

        return with_texts(data, trail, rendered)

    def _distinct(self, name: str, values: list[AxisValue]) -> list[AxisValue]:
        """The values, each with its part of an id, which does not depend on its neighbours, so that a list can grow."""
        known: dict[str, AxisValue] = {}
        for value in values:
            other = known.setdefault(value.part, value)
            if other is value:
                continue
            message = f"the axis `{name}` lists {shown(value.scalar)} twice"
            hint = "remove one: it would generate the same images twice"
            if repr(value.scalar) != repr(other.scalar):
                both = f"{shown(value.scalar)} and {shown(other.scalar)} of `{name}`"
                message = f"{both} would both become `{value.part}` in ids"
                hint = f"make them rows with their own ids: {{id: {value.part}-2, text: {shown(value.scalar)}}}"
            elif value.label != other.label:
                both = f"{other.label} and {value.label} of `{name}`"
                message = f"{both} are the same value and would both become `{value.part}` in ids"
                hint = f'quote both if they are text: "{other.label}" and "{value.label}"'
                if part_of(name, other.label) == part_of(name, value.label):
                    hint = f'make them rows with their own ids: {{id: {value.part}-2, text: "{value.label}"}}'
            self._problems.add("repeated_value", message, value.trail, hint)
        return values


def _joined(item: "list[Json] | dict[str, Json]") -> str:
    named = [str(next(iter(one.values()))) if isinstance(one, dict) and one else str(one) for one in item]
    return "+".join(named) or "none"
