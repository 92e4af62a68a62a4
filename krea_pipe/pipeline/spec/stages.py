"""The data of one stage becomes a `Stage`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from krea_pipe.core.errors import InvalidInput
from krea_pipe.core.fields import FIELD_NAMES
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.editing.picks import Picks, read_picks
from krea_pipe.pipeline.model import Axis, AxisValue, Matrix, Stage, Upstream, Value
from krea_pipe.pipeline.repo_paths import WILDCARD, Unusable, ask_for, files_of
from krea_pipe.pipeline.sampling import Sample
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.axes import UPSTREAM, AxisBuilder
from krea_pipe.pipeline.spec.forms import form_of_key
from krea_pipe.pipeline.spec.hints import suggestion
from krea_pipe.pipeline.spec.library import Library
from krea_pipe.pipeline.spec.rules import RuleBuilder
from krea_pipe.pipeline.spec.values import ValueIndexes, index_of

TAKE = "take"
MAX_STAGES = 500
MAX_MATRICES = 2_000
MAX_AXES = 100
"""Of one matrix, and of `with`."""


@dataclass(slots=True)
class StageBuilder:
    """Builds stages of one file; `defaults` are the fields that all of them have."""

    variables: Mapping[str, Json]
    library: Library
    defaults: Mapping[str, Json]
    matrices: int = 0
    """Of all stages so far, and cells of `include`."""

    def stage(self, name: str, data: Mapping[str, Json], trail: Trail) -> Stage:
        """One stage, as far as it makes sense."""
        fixed = self._fixed(data, trail)
        varying = [*self._matrices(data, trail, fixed)]
        chained = "for_each" in data
        indexes: ValueIndexes = {}
        rules = RuleBuilder(varying, self.library, chained, indexes)
        exclude = rules.exclusions(cast("list[Json]", data.get("exclude") or []), (*trail, "exclude"))
        included = [*self._included(data, trail, varying, fixed, indexes)]
        patched = RuleBuilder([*varying, *included], self.library, chained, indexes)
        patch = patched.patches(cast("list[Json]", data.get("patch") or []), (*trail, "patch"))
        heres = [
            (*trail, "matrix", *([i] if isinstance(data.get("matrix"), list) else [])) for i in range(len(varying))
        ]
        matrices = [Matrix(tuple(axes), tuple(exclude[i]), tuple(patch[i]), heres[i]) for i, axes in enumerate(varying)]
        matrices += [
            Matrix(tuple(axes), (), tuple(patch[len(varying) + i]), (*trail, "include", i), is_included=True)
            for i, axes in enumerate(included)
        ]
        defaults = {} if "promote" in data else self.library.fields(self.defaults, ("defaults",))
        return Stage(
            name=name,
            fields={**defaults, **self._fields(data, trail)},
            matrices=tuple(matrices),
            out=Value(data["out"], (*trail, "out")) if "out" in data else None,
            trail=trail,
            fixed=tuple(fixed),
            sample=_sample(data.get("sample")),
            upstream=self._upstream(data, trail),
            needs=tuple(cast("list[str]", _listed(data.get("needs")))),
            unused_ok=frozenset(_forgiven(data, trail)),
            defaults=defaults,
        )

    def _fixed(self, data: Mapping[str, Json], trail: Trail) -> list[Axis]:
        scope = "`with` is the same in every cell: it may use `vars`, and what stands above it"
        builder, found = AxisBuilder(self.variables, self.library, _upstream_name(data), scope), []
        given = self._few_axes(cast("dict[str, Json]", data.get("with") or {}), (*trail, "with"))
        self.library.refuse_both_names(given, (*trail, "with"))
        for name, value in given.items():
            found.append(builder.single(name, value, (*trail, "with", name)))
            builder.earlier.add(name)
        return found

    def _matrices(self, data: Mapping[str, Json], trail: Trail, fixed: Sequence[Axis]) -> Iterator[list[Axis]]:
        found = data.get("matrix") or {}
        several = found if isinstance(found, list) else [found]
        if not self._few(len(several), (*trail, "matrix")):
            return
        for index, one in enumerate(cast("list[dict[str, Json]]", several)):
            here: Trail = (*trail, "matrix", index) if isinstance(found, list) else (*trail, "matrix")
            builder = AxisBuilder(self.variables, self.library, {axis.name for axis in fixed} | _upstream_name(data))
            axes = builder.matrix(self._few_axes(one, here), here)
            self._refuse_both(axes, fixed)
            yield [*axes, *self._takes(data, trail, axes)]

    def _few_axes(self, data: Mapping[str, Json], trail: Trail) -> Mapping[str, Json]:
        if len(data) > MAX_AXES:
            message = f"a matrix has at most {MAX_AXES} axes, and here are {len(data):,}"
            self.library.problems.add_key("too_many", message, trail, "put values that belong together into rows")
            return {}
        return data

    def _few(self, count: int, trail: Trail) -> bool:
        """Whether matrices, and cells of `include`, are not too many to be set up."""
        before = self.matrices
        self.matrices += count
        if before <= MAX_MATRICES < self.matrices:
            message = f"the stages have more than {MAX_MATRICES:,} matrices, each cell of `include` counted as one"
            self.library.problems.add_key("too_many", message, trail, "write axes with several values")
        return self.matrices <= MAX_MATRICES

    def _refuse_both(self, axes: Sequence[Axis], fixed: Sequence[Axis]) -> None:
        for axis in fixed:
            if any(one.name == axis.name for one in axes):
                message = f"`{axis.name}` stands under `with` and under `matrix`"
                self.library.problems.add_key("name_taken", message, axis.trail, "remove one of the two")

    def _takes(self, data: Mapping[str, Json], trail: Trail, axes: Sequence[Axis]) -> Iterator[Axis]:
        if "takes" not in data:
            return
        here: Trail = (*trail, "takes")
        if any(axis.name == TAKE for axis in axes):
            problems = self.library.problems
            problems.add_key("name_taken", f"`{TAKE}` is the axis that `takes` makes", here, "rename the other axis")
            return
        numbers = range(1, cast("int", data["takes"]) + 1)
        values = [AxisValue(f"t{n}", n, str(n), n, {TAKE: Value(n, here)}, (*here, n)) for n in numbers]
        yield Axis(TAKE, tuple(values), True, here)

    def _included(
        self,
        data: Mapping[str, Json],
        trail: Trail,
        matrices: Sequence[Sequence[Axis]],
        fixed: Sequence[Axis],
        indexes: ValueIndexes,
    ) -> Iterator[list[Axis]]:
        by_names = {frozenset(_named(axes)): axes for axes in reversed(matrices)}
        entries = cast("list[dict[str, Json]]", data.get("include") or [])
        for index, entry in enumerate(entries if self._few(len(entries), (*trail, "include")) else ()):
            here: Trail = (*trail, "include", index)
            axes = by_names.get(frozenset(entry))
            if axes is None:
                self._refuse_included(entry, matrices, here)
                continue
            builder = AxisBuilder(self.variables, self.library, {axis.name for axis in fixed} | _upstream_name(data))
            cell = []
            for axis in axes:
                if axis.name not in entry:
                    cell.append(axis)  # all takes of the cell
                    continue
                known = index_of(entry[axis.name], axis.values, indexes)
                single = builder.single(axis.name, entry[axis.name], (*here, axis.name)) if not known else None
                cell.append(single or replace(axis, values=(axis.values[known[0]],)))
                builder.earlier.add(axis.name)
            yield cell

    def _refuse_included(self, entry: Mapping[str, Json], matrices: Sequence[Sequence[Axis]], here: Trail) -> None:
        problems = self.library.problems
        known = {name for axes in matrices for name in _named(axes)}
        for key in entry:
            if key not in known and not problems.has_lost(key):
                message = f"this matrix has no axis `{key}`" if known else "there is no matrix to add a cell to"
                problems.add_key("unknown_axis", message, (*here, key), suggestion(key, known))
        nearest_to = max(matrices, key=lambda axes: len(_named(axes) & set(entry)), default=())
        missing = [f"`{axis.name}`" for axis in nearest_to if axis.name not in {*entry, TAKE}]
        lost = any(problems.has_lost(axis) for axis in ("matrix", *entry))
        if set(entry) <= known and not lost:
            said = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            if not missing:
                said = "these stand in no one matrix together"
            message = f"a cell of `include` has a value for each axis of a matrix, and {said}"
            hint = "a matrix with other axes is a second one, in a list: `matrix: [{…}, {…}]`"
            problems.add("incomplete_cell", message, here, hint)

    def _fields(self, data: Mapping[str, Json], trail: Trail) -> dict[str, Value]:
        library = self.library
        if "promote" in data:  # what is not named here is the upstream request's
            for key in (key for key in data if key in FIELD_NAMES):
                hint = "remove it: the prompt is the upstream one's" if key == "prompt" else "move it under `promote:`"
                message = f"`{key}` changes nothing beside `promote`"
                library.problems.add_key("beside_promote", message, (*trail, key), hint)
            return library.fields(cast("dict[str, Json]", data["promote"]), (*trail, "promote"))
        own = {key: one for key, one in data.items() if key in FIELD_NAMES}
        return library.fields(own, trail)

    def _upstream(self, data: Mapping[str, Json], trail: Trail) -> Upstream | None:
        if "for_each" not in data:
            for key in ("picks", "promote"):
                if key in data:
                    hint = "name the stage whose images it is about: `for_each: explore`"
                    self.library.problems.add_key("missing_key", f"`{key}` needs `for_each`", (*trail, key), hint)
            return None
        upstream = Upstream(str(data["for_each"]), (*trail, "for_each"), promotes="promote" in data)
        given = data.get("picks")
        if given is None:
            return upstream
        said = given if isinstance(given, dict) else {"file": given}
        at: Trail = (*trail, "picks", "file") if isinstance(given, dict) else (*trail, "picks")
        most = cast("int | None", said.get("max"))
        least = cast("int", said.get("min", 1))
        if most is not None and most < least:
            message = f"at most {most} picks are fewer than at least {least}"
            self.library.problems.add("invalid_value", message, (*trail, "picks", "max"), "swap the two")
        file = self.library.folder / str(said["file"])
        return replace(upstream, file=file, picks=self._picks(str(said["file"]), at), wants=(least, most))

    def _picks(self, text: str, at: Trail) -> Picks | None:
        problems, library = self.library.problems, self.library
        if WILDCARD.search(text):
            problems.add("invalid_value", "`picks` names one file, without wildcards", at, form_of_key("picks"))
            return None
        if self._is_awaited(text):
            return None
        try:
            files_of(text, library.folder, library.root)  # refused unless it is inside
            return read_picks(problems.document.file.parent / text)
        except Unusable as error:
            problems.add(error.code, str(error), at, error.hint)
        except InvalidInput as error:
            problems.extend(error.problems)
        return None

    def _is_awaited(self, text: str) -> bool:
        """Whether a picks file could be there, and is not."""
        if text.startswith(("/", "~")):
            return False
        ask_for(text, self.library.folder)
        try:
            file = (self.library.folder / text).resolve()
            return file.is_relative_to(self.library.root) and not file.exists()
        except (OSError, ValueError, RuntimeError):
            return False  # it is no path at all, which is said when it is looked for


def _sample(data: Json) -> Sample | None:
    if not isinstance(data, dict):
        return None
    method = cast('Literal["pairwise", "random", "first"]', data["method"])
    return Sample(method, cast("int | None", data.get("n")), cast("int", data.get("seed", 1)))


def _upstream_name(data: Mapping[str, Json]) -> set[str]:
    """The name of the upstream cell, where a stage has one."""
    return {UPSTREAM} if "for_each" in data else set()


def _named(axes: Sequence[Axis]) -> set[str]:
    """The names of a matrix's own axes."""
    return {axis.name for axis in axes if axis.name != TAKE}


def _listed(data: Json) -> list[Json]:
    return data if isinstance(data, list) else [] if data is None else [data]


def _forgiven(data: Mapping[str, Json], trail: Trail) -> Iterator[Trail]:
    """The trails of the rules that may match nothing."""
    for key in ("exclude", "patch"):
        for index, rule in enumerate(cast("list[dict[str, Json]]", data.get(key) or [])):
            when = rule.get("when")
            if rule.get("allow_unused") or (isinstance(when, dict) and when.get("allow_unused")):
                yield (*trail, key, index)
