"""One file becomes one `Pipeline`: read, checked against the schema, built, and checked as a whole."""

import copy
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import cast

from krea_pipe.errors import Problem
from krea_pipe.nodes import Json
from krea_pipe.pipeline import Budget, Pipeline, Stage, Value
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
from krea_pipe.spec.schema import schema_problems
from krea_pipe.template import TemplateProblem, compile_template, slug

_SHORTHAND = ("prompt", "matrix", "exclude", "out")
_NOT_FIELDS = {"prompt", "matrix", "exclude", "out"}


def load_pipeline(file: Path) -> Pipeline:
    """Read one pipeline file.

    Raises:
        InvalidInput: with every problem that the file has.
    """
    document = read_document(file)
    wrong = schema_problems(document)
    data = _without(document, wrong) if wrong else document.data
    problems = Problems(document, list(wrong))
    if data is None:
        problems.raise_any()
    pipeline = _Loader(document, cast("dict[str, Json]", data), problems).load()
    problems.raise_any()
    return pipeline


def _without(document: Document, wrong: list[Problem]) -> Json:
    """The data less the wrong keys, so that the rest can be checked too; None where that can not be done."""
    data = copy.deepcopy(document.data)
    bad = {(problem.at.line, problem.at.column) for problem in wrong if problem.at}
    removed = _prune(document, data, (), bad)
    return data if removed == len(bad) else None


def _prune(document: Document, data: Json, trail: Trail, bad: set[tuple[int, int]]) -> int:
    removed = 0
    for key in list(data) if isinstance(data, dict) else ():
        here = (*trail, key)
        spots = {(at.line, at.column) for at in (document.key_place(here), document.place(here))}
        if spots & bad:
            del cast("dict[str, Json]", data)[key]
            removed += 1
        else:
            removed += _prune(document, cast("dict[str, Json]", data)[key], here, bad)
    return removed


class _Loader:
    def __init__(self, document: Document, data: dict[str, Json], problems: Problems) -> None:
        self.document, self.data, self.problems = document, data, problems
        self.variables = self._variables()
        self.library = Library.of(data, problems)

    def load(self) -> Pipeline:
        name = str(self.data.get("name") or slug(self.document.file.stem) or "pipeline")
        stages = self._stages(name)
        check_secrets(self.data, self.problems)
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
            warnings=(*strength_warnings(self.library), *unused_warnings(self.library, stages)),
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
            return compile_template(data).render(known)
        except TemplateProblem as error:
            hint = "a variable may use the ones above it"
            self.problems.add_word(error.code, str(error), trail, word=error.word, hint=hint)
            return data

    def _stages(self, name: str) -> list[Stage]:
        stages = cast("dict[str, dict[str, Json]]", self.data.get("stages") or {})
        if not stages:
            return [self._stage(name, self._shorthand(), ())]
        for key in [key for key in _SHORTHAND if key in self.data]:
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
            if key not in _NOT_FIELDS or key == "prompt":
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
