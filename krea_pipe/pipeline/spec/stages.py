"""The data of one stage becomes a `Stage`, with its rules fitted to the matrices that each can be about."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from krea_pipe.core.errors import InvalidInput
from krea_pipe.core.excerpts import shown
from krea_pipe.core.fields import FIELD_NAMES
from krea_pipe.core.json_data import Json, list_in, mapping_in
from krea_pipe.pipeline.editing.picks import Picks, read_picks
from krea_pipe.pipeline.model import Axis, AxisValue, Matrix, Rule, SourceStage, Stage, Value
from krea_pipe.pipeline.repo_paths import WILDCARD, Unusable, files_of, request_files
from krea_pipe.pipeline.sampling import Sample
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.axes import UPSTREAM, AxisBuilder
from krea_pipe.pipeline.spec.hints import form_of_key, suggestion
from krea_pipe.pipeline.spec.library import Library, ValueIndexes, value_indexes
from krea_pipe.pipeline.spec.problems import Problems

TAKE = "take"
MAX_STAGES = 500
MAX_MATRICES = 2_000
"""Of all stages, and cells of `include`."""
MAX_AXES = 100
"""Of one matrix, and of `with`."""
MAX_RULES = 3_000
MAX_FITTED = 50_000
"""Rules times matrices."""

_NOT_AXES = ("if", "allow_unused")
_WITH_SCOPE = "`with` is the same in every cell: it can use `vars` and the entries above it"


@dataclass(slots=True, eq=False)
class StageBuilder:
    """Builds one stage of a file from its data; `defaults` are the fields that all stages have."""

    variables: Mapping[str, Json]
    library: Library
    defaults: Mapping[str, Json]
    data: Mapping[str, Json]
    trail: Trail
    fixed: list[Axis] = field(default_factory=list)

    def stage(self, name: str) -> Stage:
        """The stage, as far as it makes sense."""
        self._read_fixed()
        varying, indexes = [*self._matrices()], ValueIndexes()
        exclude = self._rules("exclude", varying, indexes)
        matrices = [*varying, *self._included(varying, indexes)]
        exclude += [[] for _ in matrices[len(varying) :]]
        patch = self._rules("patch", matrices, indexes)
        fitted = zip(matrices, exclude, patch, strict=True)
        needs = self.data.get("needs") or []
        defaults = {} if "promote" in self.data else self.library.fields(self.defaults, ("defaults",))
        return Stage(
            name=name,
            fields=defaults | self._fields(),
            matrices=tuple(replace(one, exclude=tuple(out), patch=tuple(changed)) for one, out, changed in fitted),
            out=Value(self.data["out"], (*self.trail, "out")) if "out" in self.data else None,
            trail=self.trail,
            fixed=tuple(self.fixed),
            sample=_sample(mapping_in(self.data, "sample")),
            upstream=self._upstream(),
            needs=tuple(cast("list[str]", needs if isinstance(needs, list) else [needs])),
            unused_ok=frozenset(self._unused_ok()),
            defaults=defaults,
        )

    @property
    def _problems(self) -> Problems:
        return self.library.problems

    def _axis_builder(self, scope: str | None = None) -> AxisBuilder:
        """Builds axes whose values can read those of `with` and, in a chained stage, the upstream cell."""
        earlier = {axis.name for axis in self.fixed} | ({UPSTREAM} if "for_each" in self.data else set())
        builder = AxisBuilder(self.variables, self.library, earlier)
        return replace(builder, scope=scope) if scope else builder

    def _read_fixed(self) -> None:
        here: Trail = (*self.trail, "with")
        builder = self._axis_builder(_WITH_SCOPE)
        given = self._few_axes(mapping_in(self.data, "with"), here)
        self.library.refuse_both_names(given, here)
        for name, value in given.items():
            self.fixed.append(builder.single(name, value, (*here, name)))
            builder.earlier.add(name)

    def _matrices(self) -> Iterator[Matrix]:
        found, here = self.data.get("matrix") or {}, (*self.trail, "matrix")
        several = found if isinstance(found, list) else [found]
        if not self._few_matrices(len(several), here):
            return
        for index, one in enumerate(cast("list[dict[str, Json]]", several)):
            at: Trail = (*here, index) if isinstance(found, list) else here
            axes = self._axis_builder().matrix(self._few_axes(one, at), at)
            for axis in self.fixed:
                if any(own.name == axis.name for own in axes):
                    message = f"`{axis.name}` is set under both `with` and `matrix`"
                    self._problems.add_key("name_taken", message, axis.trail, "remove one of the two")
            yield Matrix((*axes, *self._takes(axes)), (), (), at)

    def _few_axes(self, data: Mapping[str, Json], trail: Trail) -> Mapping[str, Json]:
        if len(data) > MAX_AXES:
            message = f"a matrix can have at most {MAX_AXES} axes; this one has {len(data):,}"
            self._problems.add_key("too_many", message, trail, "put values that belong together into rows")
            return {}
        return data

    def _few_matrices(self, count: int, trail: Trail) -> bool:
        """Whether matrices, and cells of `include`, are not too many to be set up."""
        before = self.library.counts["matrices"]
        self.library.counts["matrices"] += count
        if before <= MAX_MATRICES < before + count:
            message = f"the stages have more than {MAX_MATRICES:,} matrices (each cell of `include` counts as one)"
            self._problems.add_key("too_many", message, trail, "use axes with several values")
        return before + count <= MAX_MATRICES

    def _takes(self, axes: Sequence[Axis]) -> Iterator[Axis]:
        if "takes" not in self.data:
            return
        here: Trail = (*self.trail, "takes")
        if any(axis.name == TAKE for axis in axes):
            message = f"`{TAKE}` is the axis that `takes` creates"
            self._problems.add_key("name_taken", message, here, "rename the other axis")
            return
        numbers = range(1, cast("int", self.data["takes"]) + 1)
        values = [AxisValue(f"t{n}", n, str(n), n, {TAKE: Value(n, here)}, (*here, n)) for n in numbers]
        yield Axis(TAKE, tuple(values), True, here)

    def _included(self, matrices: Sequence[Matrix], indexes: ValueIndexes) -> Iterator[Matrix]:
        by_names = {frozenset(_own_names(matrix)): matrix.axes for matrix in reversed(matrices)}
        entries = cast("list[dict[str, Json]]", list_in(self.data, "include"))
        for index, entry in enumerate(entries if self._few_matrices(len(entries), (*self.trail, "include")) else ()):
            here: Trail = (*self.trail, "include", index)
            axes = by_names.get(frozenset(entry))
            if axes is None:
                self._refuse_included(entry, matrices, here)
                continue
            builder, cell = self._axis_builder(), []
            for axis in axes:
                if axis.name not in entry:
                    cell.append(axis)  # all takes of the cell
                    continue
                known = value_indexes(entry[axis.name], axis.values, indexes)
                single = builder.single(axis.name, entry[axis.name], (*here, axis.name)) if not known else None
                cell.append(single or replace(axis, values=(axis.values[known[0]],)))
                builder.earlier.add(axis.name)
            yield Matrix(tuple(cell), (), (), here, is_included=True)

    def _refuse_included(self, entry: Mapping[str, Json], matrices: Sequence[Matrix], here: Trail) -> None:
        names = [_own_names(matrix) for matrix in matrices]
        known = {name for own in names for name in own}
        for key in entry:
            if key not in known and not self._problems.was_dropped(key):
                message = f"this matrix has no axis `{key}`" if known else "there is no matrix to add a cell to"
                self._problems.add_key("unknown_axis", message, (*here, key), suggestion(key, known))
        nearest_to = max(names, key=lambda own: len(own.keys() & entry.keys()), default={})
        missing = [f"`{name}`" for name in nearest_to if name not in entry]
        if {*entry} <= known and not any(self._problems.was_dropped(axis) for axis in ("matrix", *entry)):
            said = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            if not missing:
                said = "no matrix has all of these axes"
            message = f"a cell of `include` needs a value for each axis of a matrix, but {said}"
            hint = "for other axes, write a second matrix, in a list: `matrix: [{…}, {…}]`"
            self._problems.add("incomplete_cell", message, here, hint)

    def _rules(self, kind: str, matrices: Sequence[Matrix], indexes: ValueIndexes) -> list[list[Rule]]:
        fitter = _RuleFitter(matrices, self.library, "for_each" in self.data, indexes)
        return fitter.rules(kind, list_in(self.data, kind), (*self.trail, kind))

    def _fields(self) -> dict[str, Value]:
        if "promote" in self.data:  # what is not named here is the upstream request's
            for key in (key for key in self.data if key in FIELD_NAMES):
                hint = (
                    "remove it: the prompt comes from the upstream cell"
                    if key == "prompt"
                    else "move it under `promote:`"
                )
                message = f"`{key}` has no effect beside `promote`"
                self._problems.add_key("beside_promote", message, (*self.trail, key), hint)
            return self.library.fields(mapping_in(self.data, "promote"), (*self.trail, "promote"))
        own = {key: one for key, one in self.data.items() if key in FIELD_NAMES}
        return self.library.fields(own, self.trail)

    def _upstream(self) -> SourceStage | None:
        if "for_each" not in self.data:
            for key in ("picks", "promote"):
                if key in self.data:
                    hint = "specify the stage whose images it uses: `for_each: explore`"
                    self._problems.add_key("missing_key", f"`{key}` needs `for_each`", (*self.trail, key), hint)
            return None
        upstream = SourceStage(str(self.data["for_each"]), (*self.trail, "for_each"), promotes="promote" in self.data)
        given, at = self.data.get("picks"), (*self.trail, "picks")
        if given is None:
            return upstream
        said = given if isinstance(given, dict) else {"file": given}
        most, least = cast("int | None", said.get("max")), cast("int", said.get("min", 1))
        if most is not None and most < least:
            message = f"`max: {most}` is less than `min: {least}`"
            self._problems.add("invalid_value", message, (*at, "max"), "swap the two")
        name = str(said["file"])
        picks = self._picks(name, (*at, "file") if isinstance(given, dict) else at)
        return replace(upstream, file=self.library.folder / name, picks=picks, wants=(least, most))

    def _picks(self, text: str, at: Trail) -> Picks | None:
        library = self.library
        if WILDCARD.search(text):
            message = "`picks` must name one file, without wildcards"
            self._problems.add("invalid_value", message, at, form_of_key("picks"))
            return None
        if self._is_awaited(text):
            return None
        try:
            files_of(text, library.folder, library.root)  # refused unless it is inside
            return read_picks(self._problems.document.file.parent / text)
        except Unusable as error:
            self._problems.add(error.code, str(error), at, error.hint)
        except InvalidInput as error:
            self._problems.extend(error.problems)
        return None

    def _is_awaited(self, text: str) -> bool:
        """Whether a picks file could be there, and is not."""
        if text.startswith(("/", "~")):
            return False
        request_files(text, self.library.folder)
        try:
            file = (self.library.folder / text).resolve()
            return file.is_relative_to(self.library.root) and not file.exists()
        except (OSError, ValueError, RuntimeError):
            return False  # it is not a path, which is reported when the file is searched for

    def _unused_ok(self) -> Iterator[Trail]:
        """The trails of the rules that may match nothing."""
        for key in ("exclude", "patch"):
            for index, rule in enumerate(cast("list[dict[str, Json]]", list_in(self.data, key))):
                if rule.get("allow_unused") or mapping_in(rule, "when").get("allow_unused"):
                    yield (*self.trail, key, index)


def _sample(data: Mapping[str, Json]) -> Sample | None:
    if not data:
        return None
    method = cast('Literal["pairwise", "random", "first"]', data["method"])
    return Sample(method, cast("int | None", data.get("n")), cast("int", data.get("seed", 1)))


def _own_names(matrix: Matrix) -> dict[str, None]:
    """The names of a matrix's own axes, in their order."""
    return {axis.name: None for axis in matrix.axes if axis.name != TAKE}


@dataclass(slots=True, eq=False)
class _RuleFitter:
    """Fits rules to the axes of a stage's matrices."""

    matrices: Sequence[Matrix]
    library: Library
    chained: bool
    """Whether the stage uses cells of another one as sources, whose axes only an expression can name."""
    indexes: ValueIndexes
    named: list[dict[str, Axis]] = field(init=False)
    axes: dict[str, list[Axis]] = field(init=False)

    def __post_init__(self) -> None:
        self.named = [{axis.name: axis for axis in matrix.axes} for matrix in self.matrices]
        self.axes = {}
        for axis in (axis for matrix in self.matrices for axis in matrix.axes):
            self.axes.setdefault(axis.name, []).append(axis)

    def rules(self, kind: str, rules: Sequence[Json], trail: Trail) -> list[list[Rule]]:
        """The rules of `exclude` or `patch` for each matrix."""
        found: list[list[Rule]] = [[] for _ in self.matrices]
        for index, rule in enumerate(cast("Sequence[dict[str, Json]]", self._few(rules, trail))):
            here: Trail = (*trail, index)
            if kind == "patch":
                sets = self.library.fields(mapping_in(rule, "set"), (*here, "set"))
                self._fit(mapping_in(rule, "when"), (*here, "when"), Rule({}, None, here, sets), found)
            else:
                self._fit(rule, here, Rule({}, None, here), found)
        return found

    def _few(self, rules: Sequence[Json], trail: Trail) -> Sequence[Json]:
        """The rules, unless there are so many that matching each with each matrix takes too long."""
        if len(rules) > MAX_RULES:
            message = f"`{trail[-1]}` has {len(rules):,} rules; the maximum is {MAX_RULES:,}"
            hint = "a rule can name several values: {light: [dawn, noon]}"
        elif len(rules) * len(self.matrices) > MAX_FITTED:
            message = f"{len(rules):,} rules for {len(self.matrices):,} matrices are too many"
            hint = f"rules times matrices (each cell of `include` counts as one) can be at most {MAX_FITTED:,}"
        else:
            return rules
        self.library.problems.add_key("too_many_rules", message, trail, hint)
        return ()

    def _fit(self, when: Mapping[str, Json], at: Trail, rule: Rule, found: Sequence[list[Rule]]) -> None:
        condition = Value(_expression(when["if"]), (*at, "if")) if "if" in when else None
        keys = [key for key in when if key not in _NOT_AXES]
        if not keys and condition is None:
            hint = "name an axis, `surface: slate`, or write `if:` and an expression"
            self.library.problems.add("empty_value", "this rule does not say which cells it applies to", at, hint)
        self._check_axes(keys, at)
        for own, rules in zip(self.named, found, strict=True):
            if all(key in own for key in keys):
                matches = {key: self._indexes(when[key], own[key]) for key in keys}
                rules.append(replace(rule, matches=matches, condition=condition))
        for key in keys:
            self._check_values(key, when[key], (*at, key))

    def _check_axes(self, keys: Iterable[str], at: Trail) -> None:
        problems = self.library.problems
        known = self.axes
        for key in keys:
            if key not in known and not problems.was_dropped(key):
                message = f"this matrix has no axis `{key}`" if known else "there is no matrix for a rule"
                hint = suggestion(key, known)
                if self.chained and not (hint or "").startswith("did"):
                    hint = f'to test an axis of the source, use an expression: `if: "source.axes.{key} == …"`'
                problems.add_key("unknown_axis", message, (*at, key), hint)

    def _indexes(self, wanted: Json, axis: Axis) -> frozenset[int]:
        options = wanted if isinstance(wanted, list) else [wanted]
        return frozenset(index for one in options for index in value_indexes(one, axis.values, self.indexes))

    def _check_values(self, key: str, wanted: Json, at: Trail) -> None:
        """Refuse a value that no matrix has on that axis."""
        axes = self.axes.get(key, ())
        options = wanted if isinstance(wanted, list) else [wanted]
        if not axes:
            return
        if not options:
            self.library.problems.add("matches_nothing", f"an empty list matches no value of `{key}`", at)
        for one in options:
            if not any(value_indexes(one, axis.values, self.indexes) for axis in axes):
                self._refuse_value(key, one, axes, at)

    def _refuse_value(self, key: str, wanted: Json, axes: Sequence[Axis], at: Trail) -> None:
        values = [value for axis in axes for value in axis.values]
        message = f"the axis `{key}` has no value {shown(wanted)}"
        hint = suggestion(str(wanted), (value.label for value in values))
        if isinstance(wanted, (dict, list)):
            message = f"`{key}` in a rule must be a value or a list of values, not {shown(wanted)}"
            hint = f"name rows by their ids: {{{key}: {values[0].part if values else 'serum'}}}"
        elif any(value.is_dynamic and isinstance(value.data, str) for value in values):
            hint = f'its values depend on other axes: use an expression, `if: "{key} == ..."`'
        self.library.problems.add("matches_nothing", message, at, hint)


def _expression(text: Json) -> str:
    """An expression as a template that keeps its type; one in braces is unchanged."""
    said = str(text).strip()
    return said if said.startswith("{{") and said.endswith("}}") else f"{{{{ {said} }}}}"
