"""One file becomes one `Pipeline`: read, checked against the schema, built, and checked as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import cast

from krea_pipe.core.errors import InvalidInput
from krea_pipe.core.fields import STAGE_KEYS
from krea_pipe.core.json_data import Json
from krea_pipe.core.problem_list import MAX_PROBLEMS
from krea_pipe.pipeline.model import Budget, Pipeline, Stage, Value
from krea_pipe.pipeline.nodes import Node
from krea_pipe.pipeline.repo_paths import start_looking
from krea_pipe.pipeline.source import Document, Trail, read_document
from krea_pipe.pipeline.spec.checks import check_stages, check_variables
from krea_pipe.pipeline.spec.environment import declared_environment
from krea_pipe.pipeline.spec.graph import check_graph
from krea_pipe.pipeline.spec.hints import nearest
from krea_pipe.pipeline.spec.library import Library
from krea_pipe.pipeline.spec.overlay import Overrides, assigned, overlaid
from krea_pipe.pipeline.spec.problems import Problems
from krea_pipe.pipeline.spec.schema import find_problems, sound_part, top_keys
from krea_pipe.pipeline.spec.secrets import check_secrets, unrepeated
from krea_pipe.pipeline.spec.stages import MAX_STAGES, StageBuilder
from krea_pipe.pipeline.spec.warnings import strength_warnings, unused_warnings
from krea_pipe.pipeline.template import TemplateProblem, slug, start_pipeline

MAX_DEFINITIONS = 5_000


@dataclass(frozen=True, slots=True)
class Draft:
    """What a file says, as far as it makes sense, and what is wrong with it."""

    pipeline: Pipeline
    problems: Problems


def draft_pipeline(file: Path, overrides: Overrides = Overrides()) -> Draft:  # noqa: B008 (frozen)
    """Read one pipeline file; a draft with problems is good for finding more of them, and for nothing else.

    Raises:
        InvalidInput: the file makes no sense at all. UsageError: what stands over it does not.
    """
    start_pipeline()
    start_looking()
    with unrepeated():
        fields, others = assigned(overrides.sets)
        document = overlaid(read_document(file), overrides, others)
    problems = Problems(document)
    check_secrets(document.data, problems)  # first, because all problems are told without them
    problems.extend(document.problems)
    _check_sizes(document.data, problems)
    wrong = find_problems(document, document.data)
    problems.extend(finding.problem for finding in wrong)
    data, dropped = sound_part(document, wrong) if wrong else (document.data, [])
    problems.lose(dropped)
    if not isinstance(data, dict):
        raise InvalidInput(*problems.all())
    return Draft(_Loader(document, data, problems, overrides, fields).load(), problems)


class _Loader:
    def __init__(
        self,
        document: Document,
        data: dict[str, Json],
        problems: Problems,
        overrides: Overrides,
        fields: Mapping[str, Node],
    ) -> None:
        self.document, self.data, self.problems, self.fields = document, data, problems, fields
        self.root = repository_root(document.file)
        self.environment = declared_environment(data, overrides.environment, problems)
        self.variables = self._variables()
        self.library = Library.of(data, problems, self.root)

    def load(self) -> Pipeline:
        name = str(self.data.get("name") or slug(self.document.file.stem) or "pipeline")
        stages, overrides = self._stages(name), self._overrides()
        check_variables(cast("dict[str, Json]", self.data.get("vars") or {}), stages, self.problems)
        check_stages(stages, self.variables, self.library, overrides)
        check_graph(stages, self.problems)
        boards = self.library.boards
        warnings = chain(strength_warnings(self.library, stages), unused_warnings(self.library, stages))
        return Pipeline(
            document=self.document,
            name=name,
            description=str(self.data.get("description") or ""),
            root=self.root,
            variables=self.variables,
            budget=_budget(self.data.get("budget")),
            prompts=self.library.prompts,
            references=self.library.references,
            moodboards=boards["moodboards"],
            styles=boards["styles"],
            looks=self.library.looks,
            stages=tuple(stages),
            warnings=tuple(islice(warnings, MAX_PROBLEMS)),
            overrides=overrides,
        )

    def _overrides(self) -> dict[str, Value]:
        """The fields of `--set`; what is wrong with them stands in no file."""
        own = Problems(self.document)
        own.lost = self.problems.lost
        data = {name: node.data for name, node in self.fields.items()}
        check_secrets(data, own)
        fields = replace(self.library, problems=own).fields(data, ())
        self.problems.secret_lines |= own.secret_lines
        self.problems.extend(replace(one, at=None, message=f"--set: {one.message}") for one in own.found)
        return fields

    def _variables(self) -> dict[str, Json]:
        rendered: dict[str, Json] = {"env": dict(self.environment)} if self.environment else {}
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
        builder = StageBuilder(self.variables, self.library, cast("dict[str, Json]", self.data.get("defaults") or {}))
        stages = cast("dict[str, dict[str, Json]]", self.data.get("stages") or {})
        if not stages:
            # Stages that are all left out as wrong do not make the file one without stages.
            written = cast("dict[str, Json]", self.document.data)
            staged = any(nearest(key, top_keys()) == "stages" for key in written if key not in self.data)
            return [] if staged else [builder.stage(name, self._shorthand(), ())]
        for key in self._shorthand():
            hint = "move it into a stage"
            message = f"`{key}` here is shorthand for a file with one stage, and this file has `stages:`"
            self.problems.add_key("shorthand_with_stages", message, (key,), hint)
        if len(stages) > MAX_STAGES:
            message = f"a pipeline has at most {MAX_STAGES} stages, and here are {len(stages):,}"
            self.problems.add_key("too_many", message, ("stages",), "put some of them into another file")
            return []
        return [builder.stage(own, data or {}, ("stages", own)) for own, data in stages.items()]

    def _shorthand(self) -> dict[str, Json]:
        lists = {key: self.data[key] for key in ("references", "moodboards", "styles") if key in self.data}
        own = {key: data for key, data in lists.items() if isinstance(data, list)}
        return {key: self.data[key] for key in STAGE_KEYS if key in self.data} | own


def _check_sizes(data: Json, problems: Problems) -> None:
    """Refuse a file that defines more than can be looked at."""
    fields = data if isinstance(data, dict) else {}
    if len(fields) > MAX_DEFINITIONS:
        problems.add("too_many", f"a file has at most {MAX_DEFINITIONS:,} keys, and here are {len(fields):,}", ())
        problems.check()
    for key, own in fields.items():
        if key != "vars" and isinstance(own, dict) and len(own) > MAX_DEFINITIONS:
            message = f"`{key}` holds {len(own):,} definitions; at most {MAX_DEFINITIONS:,} may stand there"
            problems.add_key("too_many", message, (key,), "put some of them into another file")
            problems.check()


def repository_root(file: Path) -> Path:
    """The folder that a pipeline's references may not leave: its git repository, or its own folder outside one."""
    folder = file.resolve().parent
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)


def _budget(data: Json) -> Budget:
    found = cast("dict[str, int | float]", data or {})
    usd = Decimal(repr(found["usd"])) if "usd" in found else None
    return Budget(usd, int(found["images"]) if "images" in found else None)
