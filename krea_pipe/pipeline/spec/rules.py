"""The rules of a stage, `exclude` and `patch`, each fitted to the matrices that it can be about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from krea_pipe.core.excerpts import shown
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.model import Axis, Rule, Value
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.hints import suggestion
from krea_pipe.pipeline.spec.library import Library
from krea_pipe.pipeline.spec.values import ValueIndexes, index_of

MAX_RULES = 3_000
MAX_FITTED = 50_000
"""Rules times matrices."""

NOT_AXES = ("if", "allow_unused")


@dataclass(slots=True)
class RuleBuilder:
    """Fits rules to the axes of a stage's matrices."""

    matrices: Sequence[Sequence[Axis]]
    library: Library
    chained: bool = False
    """Whether the stage has cells of another one as sources, whose axes only an expression can name."""
    indexes: ValueIndexes = field(default_factory=dict)
    named: list[dict[str, Axis]] = field(init=False)
    axes: dict[str, list[Axis]] = field(init=False)

    def __post_init__(self) -> None:
        self.named = [{axis.name: axis for axis in axes} for axes in self.matrices]
        self.axes = {}
        for axis in (axis for axes in self.matrices for axis in axes):
            self.axes.setdefault(axis.name, []).append(axis)

    def exclusions(self, rules: Sequence[Json], trail: Trail) -> list[list[Rule]]:
        """The rules of `exclude` for each matrix."""
        found: list[list[Rule]] = [[] for _ in self.matrices]
        for index, rule in enumerate(self._few(rules, trail)):
            self._fit(cast("dict[str, Json]", rule), (*trail, index), (*trail, index), {}, found)
        return found

    def patches(self, rules: Sequence[Json], trail: Trail) -> list[list[Rule]]:
        """The rules of `patch` for each matrix."""
        found: list[list[Rule]] = [[] for _ in self.matrices]
        for index, rule in enumerate(cast("Sequence[dict[str, Json]]", self._few(rules, trail))):
            here: Trail = (*trail, index)
            sets = self.library.fields(cast("dict[str, Json]", rule.get("set") or {}), (*here, "set"))
            self._fit(cast("dict[str, Json]", rule.get("when") or {}), (*here, "when"), here, sets, found)
        return found

    def _few(self, rules: Sequence[Json], trail: Trail) -> Sequence[Json]:
        """The rules, unless they are so many that fitting each to each matrix takes long."""
        problems = self.library.problems
        if len(rules) > MAX_RULES:
            message = f"`{trail[-1]}` holds {len(rules):,} rules; at most {MAX_RULES:,} may stand there"
            problems.add_key("too_many_rules", message, trail, "a rule may name several values: {light: [dawn, noon]}")
            return ()
        if len(rules) * len(self.matrices) > MAX_FITTED:
            message = f"{len(rules):,} rules for {len(self.matrices):,} matrices are more than can be looked at"
            hint = f"rules times matrices, each cell of `include` counted as one, may be {MAX_FITTED:,}"
            problems.add_key("too_many_rules", message, trail, hint)
            return ()
        return rules

    def _fit(
        self,
        rule: Mapping[str, Json],
        at: Trail,
        trail: Trail,
        sets: Mapping[str, Value],
        found: Sequence[list[Rule]],
    ) -> None:
        condition = Value(_expression(rule["if"]), (*at, "if")) if "if" in rule else None
        keys = [key for key in rule if key not in NOT_AXES]
        if not keys and condition is None:
            hint = "name an axis, `surface: slate`, or write `if:` and an expression"
            self.library.problems.add("empty_value", "this rule says of no cell that it is meant", at, hint)
        self._check_axes(keys, at)
        for own, rules in zip(self.named, found, strict=True):
            if not all(key in own for key in keys):
                continue
            matches = {key: self._indexes(rule[key], own[key]) for key in keys}
            rules.append(Rule(matches, condition, trail, sets))
        for key in keys:
            self._check_values(key, rule[key], (*at, key))

    def _check_axes(self, keys: Iterable[str], at: Trail) -> None:
        problems = self.library.problems
        known = self.axes
        for key in keys:
            if key not in known and not problems.has_lost(key):
                message = f"this matrix has no axis `{key}`" if known else "there is no matrix for a rule"
                hint = suggestion(key, known)
                if self.chained and not (hint or "").startswith("did"):
                    hint = f'an axis of the source stands in an expression: `if: "source.axes.{key} == …"`'
                problems.add_key("unknown_axis", message, (*at, key), hint)

    def _indexes(self, wanted: Json, axis: Axis) -> frozenset[int]:
        options = wanted if isinstance(wanted, list) else [wanted]
        return frozenset(index for one in options for index in index_of(one, axis.values, self.indexes))

    def _check_values(self, key: str, wanted: Json, at: Trail) -> None:
        """Refuse a value that no matrix has on that axis."""
        axes = self.axes.get(key, ())
        options = wanted if isinstance(wanted, list) else [wanted]
        if not axes:
            return
        if not options:
            self.library.problems.add("matches_nothing", f"an empty list matches no value of `{key}`", at)
        for one in options:
            if not any(index_of(one, axis.values, self.indexes) for axis in axes):
                self._no_value(key, one, axes, at)

    def _no_value(self, key: str, wanted: Json, axes: Sequence[Axis], at: Trail) -> None:
        values = [value for axis in axes for value in axis.values]
        message = f"the axis `{key}` has no value {shown(wanted)}"
        hint = suggestion(str(wanted), (value.label for value in values))
        if isinstance(wanted, (dict, list)):
            message = f"`{key}` in a rule must be a value or a list of values, not {shown(wanted)}"
            hint = f"name rows by their ids: {{{key}: {values[0].part if values else 'serum'}}}"
        elif any(value.is_dynamic and isinstance(value.data, str) for value in values):
            hint = f'its values read other axes: write an expression, `if: "{key} == ..."`'
        self.library.problems.add("matches_nothing", message, at, hint)


def _expression(text: Json) -> str:
    """An expression as a template that keeps its type; one in braces is taken as it is."""
    said = str(text).strip()
    return said if said.startswith("{{") and said.endswith("}}") else f"{{{{ {said} }}}}"
