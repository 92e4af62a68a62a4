"""One file becomes one `Pipeline`: read, checked against the schema, built, and checked as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import cast

from krea_pipe.errors import InvalidInput
from krea_pipe.nodes import Json
from krea_pipe.pipeline import Budget, Pipeline, Stage, Value
from krea_pipe.sandbox import TemplateProblem, slug, start_pipeline
from krea_pipe.source import Document, Trail, read_document
from krea_pipe.spec.axes import build_axes, build_exclusions
from krea_pipe.spec.checks import (
    check_secrets,
    check_stage,
    check_variables,
    strength_warnings,
    unused_warnings,
)
from krea_pipe.spec.library import Library
from krea_pipe.spec.problems import Problems
from krea_pipe.spec.schema import find_problems, sound_part

_SHORTHAND = ("prompt", "matrix", "exclude", "out")
_NOT_FIELDS = {"matrix", "exclude", "out"}


@dataclass(frozen=True, slots=True)
class Draft:
    """What a file says, as far as it makes sense, and what is wrong with it."""

    pipeline: Pipeline
    problems: Problems


def draft_pipeline(file: Path) -> Draft:
    """Read one pipeline file; a draft with problems is good for finding more of them, and for nothing else.

    Raises:
        InvalidInput: the file makes no sense at all.
    """
    start_pipeline()
    document = read_document(file)
    wrong = find_problems(document, document.data)
    problems = Problems(document, [*document.problems, *(finding.problem for finding in wrong)])
    check_secrets(document.data, problems)
    data, dropped = sound_part(document, wrong) if wrong else (document.data, [])
    problems.lose(dropped)
    if not isinstance(data, dict):
        raise InvalidInput(*problems.all())
    return Draft(_Loader(document, data, problems).load(), problems)


class _Loader:
    def __init__(self, document: Document, data: dict[str, Json], problems: Problems) -> None:
        self.document, self.data, self.problems = document, data, problems
        self.variables = self._variables()
        self.library = Library.of(data, problems)

    def load(self) -> Pipeline:
        name = str(self.data.get("name") or slug(self.document.file.stem) or "pipeline")
        stages = self._stages(name)
        check_variables(self.variables, stages, self.problems)
        for stage in stages:
            check_stage(stage, self.variables, self.library)
        boards = self.library.boards
        return Pipeline(
            document=self.document,
            name=name,
            description=str(self.data.get("description") or ""),
            root=repository_root(self.document.file),
            variables=self.variables,
            budget=_budget(self.data.get("budget")),
            prompts=self.library.prompts,
            references=self.library.references,
            moodboards=boards["moodboards"],
            styles=boards["styles"],
            stages=tuple(stages),
            warnings=(*strength_warnings(self.library, stages), *unused_warnings(self.library, stages)),
        )

    def _variables(self) -> dict[str, Json]:
        rendered: dict[str, Json] = {}
        for name, data in cast("dict[str, Json]", self.data.get("vars") or {}).items():
            rendered[name] = self._rendered(data, ("vars", name), rendered)
        return rendered

    def _rendered(self, data: Json, trail: Trail, known: Mapping[str, Json]) -> Json:
        if isinstance(data, list):
            return [self._rendered(one, (*trail, index), known) for index, one in enumerate(data)]
        if isinstance(data, dict):
            return {key: self._rendered(one, (*trail, key), known) for key, one in data.items()}
        if not isinstance(data, str):
            return data
        try:
            return self.problems.rendering(data, known)
        except TemplateProblem as error:
            if not self.problems.has_lost(error.word or "?"):
                hint = "a variable may use the ones above it" if error.code == "undefined_variable" else error.hint
                self.problems.add_word(error.code, str(error), trail, word=error.word, hint=hint)
            return data

    def _stages(self, name: str) -> list[Stage]:
        stages = cast("dict[str, dict[str, Json]]", self.data.get("stages") or {})
        if not stages:
            # Stages that are all left out as wrong do not make the file one without stages.
            staged = self.problems.has_lost("stages") or "stages" in cast("dict[str, Json]", self.document.data)
            return [] if staged else [self._stage(name, self._shorthand(), ())]
        for key in self._shorthand():
            hint = "move it into a stage"
            message = f"`{key}` here is shorthand for a file with one stage, and this file has `stages:`"
            self.problems.add_key("shorthand_with_stages", message, (key,), hint)
        return [self._stage(own, data or {}, ("stages", own)) for own, data in stages.items()]

    def _shorthand(self) -> dict[str, Json]:
        lists = {key: self.data[key] for key in ("references", "moodboards", "styles") if key in self.data}
        own = {key: data for key, data in lists.items() if isinstance(data, list)}
        return {key: self.data[key] for key in _SHORTHAND if key in self.data} | own

    def _stage(self, name: str, data: dict[str, Json], trail: Trail) -> Stage:
        matrix = cast("dict[str, Json]", data.get("matrix") or {})
        axes = build_axes(matrix, (*trail, "matrix"), self.variables, self.library)
        rules = cast("list[Json]", data.get("exclude") or [])
        exclude = build_exclusions(rules, (*trail, "exclude"), axes, self.problems)
        out = Value(data["out"], (*trail, "out")) if "out" in data else None
        return Stage(name, self._fields(data, trail), tuple(axes), tuple(exclude), out, trail)

    def _fields(self, data: Mapping[str, Json], trail: Trail) -> dict[str, Value]:
        fields = {
            key: self.library.field_value(key, one, ("defaults", key))
            for key, one in cast("dict[str, Json]", self.data.get("defaults") or {}).items()
        }
        for key, one in data.items():
            if key not in _NOT_FIELDS:
                fields[key] = self.library.field_value(key, one, (*trail, key))
        return fields


def repository_root(file: Path) -> Path:
    """The folder that a pipeline's references may not leave: its git repository, or its own folder outside one."""
    folder = file.resolve().parent
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)


def _budget(data: Json) -> Budget:
    found = cast("dict[str, int | float]", data or {})
    usd = Decimal(repr(found["usd"])) if "usd" in found else None
    return Budget(usd, int(found["images"]) if "images" in found else None)
