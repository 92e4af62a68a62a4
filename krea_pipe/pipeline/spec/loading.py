"""One file becomes one `Pipeline`: read, checked against the schema, built, and checked as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import cast

from krea_pipe.core.errors import InvalidInput, Problem
from krea_pipe.core.fields import NAMED_OR_USED, STAGE_KEYS
from krea_pipe.core.json_data import Json, mapping_in
from krea_pipe.core.problem_list import MAX_PROBLEMS
from krea_pipe.core.secret_kinds import is_secret_name
from krea_pipe.pipeline.model import Budget, Pipeline, Stage, Value
from krea_pipe.pipeline.nodes import Node
from krea_pipe.pipeline.references import CheckedDigests, Fingerprints, fingerprint_images
from krea_pipe.pipeline.repo_paths import reset_entry_budget
from krea_pipe.pipeline.source import Document, Trail, read_document
from krea_pipe.pipeline.spec.checks import (
    check_graph,
    check_stages,
    check_variables,
    path_warnings,
    strength_warnings,
    unused_warnings,
)
from krea_pipe.pipeline.spec.engine import prices_of, read_engine, rules_of
from krea_pipe.pipeline.spec.given_names import check_given_names, check_set_paths
from krea_pipe.pipeline.spec.hints import nearest
from krea_pipe.pipeline.spec.image_checks import ImageChecks, unused_check_warnings
from krea_pipe.pipeline.spec.library import Library
from krea_pipe.pipeline.spec.overlay import Overrides, apply_overrides, check_sets, parse_sets
from krea_pipe.pipeline.spec.prices import known_value_warnings, read_prices, user_prices
from krea_pipe.pipeline.spec.problems import Problems, check_secrets, masking_errors, with_texts
from krea_pipe.pipeline.spec.recipes import DELIVER, used_recipes
from krea_pipe.pipeline.spec.report_view import read_report_view
from krea_pipe.pipeline.spec.schema import allowed_values, top_keys
from krea_pipe.pipeline.spec.schema_check import find_problems, part_without
from krea_pipe.pipeline.spec.stages import MAX_STAGES, StageBuilder
from krea_pipe.pipeline.spec.text_files import with_text_files
from krea_pipe.pipeline.spec.used_files import is_library, with_used_files
from krea_pipe.pipeline.spec.variables import names_read, variable_warnings
from krea_pipe.pipeline.template import TemplateProblem, reset_budgets, slug

MAX_DEFINITIONS = 5_000
MAX_ENVIRONMENT_TEXT = 10_000
"""Characters of one variable of the environment."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline file and the images that it names."""

    pipeline: Pipeline
    fingerprints: Fingerprints
    of_cells: tuple[Problem, ...] = ()
    """Warnings that only making the cells shows."""

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Warnings about things that are allowed but probably unintended."""
        return (*self.pipeline.warnings, *self.fingerprints.warnings, *self.of_cells)


@dataclass(frozen=True, slots=True)
class Draft:
    """The valid part of a file, and its problems."""

    pipeline: Pipeline
    problems: Problems


def read_pipeline(
    file: Path,
    overrides: Overrides = Overrides(),  # noqa: B008 (frozen)
    checked: CheckedDigests | None = None,
    *,
    allow_library: bool = False,
    edited: bytes | None = None,
) -> Loaded:
    """Read a pipeline file and every image that it names.

    Args:
        file: the pipeline file.
        overrides: what the command line says over it.
        checked: the digests of images that need not be decoded, because they were; new ones are added.
        allow_library: accept a file without stages, whose definitions other files use.
        edited: read these bytes in place of those of the file, which an edit is going to replace.

    Raises:
        InvalidInput: with every problem of the file and of its images. UsageError: the overrides are wrong.
    """
    draft = draft_pipeline(file, overrides, edited)
    if is_library(draft.pipeline.document.data) and not allow_library:
        hint = f"set `prompt:` to a text, or use this file in others: `use: [{file.name}]`"
        draft.problems.add_key("no_prompt", "this file has only definitions for other files, and no prompt", (), hint)
    fingerprints = fingerprint_images(draft.pipeline, checked)
    draft.problems.extend(fingerprints.problems)
    draft.problems.check()
    return Loaded(draft.pipeline, fingerprints)


def draft_pipeline(
    file: Path,
    overrides: Overrides = Overrides(),  # noqa: B008 (frozen)
    edited: bytes | None = None,
) -> Draft:
    """Read one pipeline file; a draft with problems is only useful for finding more problems.

    Raises:
        InvalidInput: the file makes no sense at all. UsageError: the overrides make none.
    """
    reset_budgets()
    reset_entry_budget()
    with masking_errors():
        fields, others = parse_sets(overrides.sets)
        root = repository_root(file)
        own = with_text_files(with_used_files(read_document(file, edited=edited), root), root)
        defined = apply_overrides(own, Overrides(overrides.profiles), ())
        if isinstance(defined.data, dict):
            check_set_paths([*(name.split(".") for name in fields), *(path for path, _ in others)], defined.data)
        document = apply_overrides(own, overrides, others)
        check_sets(fields, allowed_values(document.data))
    problems = Problems(document)
    check_secrets(document.data, problems)  # first, because all problems are told without them
    problems.extend(document.problems)
    _check_sizes(document.data, problems)
    wrong = find_problems(document, document.data)
    problems.extend(finding.problem for finding in wrong)
    data, dropped = part_without(document, wrong) if wrong else (document.data, [])
    problems.note_dropped(dropped)
    if not isinstance(data, dict):
        raise InvalidInput(*problems.all())
    draft = Draft(_Builder(document, data, problems, overrides, fields).build(), problems)
    if document is not defined:
        names = [name for name in mapping_in(data, "vars") if name not in _variables_of(defined)]
        used = {*names_read(data), *names_read([node.data for node in fields.values()])}
        check_given_names(names, _variables_of(defined), used, problems)
    return draft


def _variables_of(document: Document) -> Mapping[str, Json]:
    return mapping_in(document.data, "vars") if isinstance(document.data, dict) else {}


class _Builder:
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
        self.is_over = bool(overrides.profiles or overrides.sets or overrides.var_files)
        self.environment = self._declared_environment(overrides.environment)
        self.variables = self._variables()
        self.engine = read_engine(data, problems, self.root)
        self.library = Library.of(data, problems, self.root, allowed_values(document.data), self.engine)
        self.checks = ImageChecks.of(data, problems, self.root)
        if self.engine is None:
            self.prices = read_prices(data, problems, user_prices(overrides.environment))
        else:
            self.prices = prices_of(self.engine)

    def build(self) -> Pipeline:
        unwritten = [node.data for node in self.fields.values()]
        name = str(self.data.get("name") or slug(self.document.file.stem) or "pipeline")
        stages, overrides = self._stages(name), self._overrides()
        check_variables(mapping_in(self.data, "vars"), stages, self.problems)
        check_stages(stages, self.variables, self.library, overrides)
        check_graph(stages, self.problems)
        report = read_report_view(mapping_in(self.data, "report"), stages, self.problems)
        own = mapping_in(self.data, "vars")
        used = {*names_read([self.data, *unwritten, *self.document.templates.texts.values()])}
        warnings = chain(
            strength_warnings(self.library, stages),
            path_warnings(self.library, stages),
            known_value_warnings(self.document, self.prices),
            *(
                ()
                if is_library(self.document.data)
                else (
                    unused_warnings(self.library, stages),
                    unused_check_warnings(self.checks, stages),
                    variable_warnings(self.document, own, used, stages),
                )
            ),
        )
        return Pipeline(
            document=self.document,
            name=name,
            description=str(self.data.get("description") or ""),
            root=self.root,
            variables=self.variables,
            budget=_budget(mapping_in(self.data, "budget")),
            prompts=self.library.prompts,
            references=self.library.references,
            moodboards=self.library.boards["moodboards"],
            styles=self.library.boards["styles"],
            looks=self.library.looks,
            stages=tuple(stages),
            warnings=tuple(islice(warnings, MAX_PROBLEMS)),
            overrides=overrides,
            prices=self.prices,
            report=report,
            engine=self.engine,
            rules=rules_of(self.engine, self.prices),
            is_over=self.is_over,
        )

    def _overrides(self) -> dict[str, Value]:
        """The fields of `--set`; what is wrong with them is in no file."""
        own = Problems(self.document)
        own.dropped = self.problems.dropped
        data = {name: node.data for name, node in self.fields.items()}
        check_secrets(data, own)
        fields = replace(self.library, problems=own).fields(data, ())
        self.problems.secret_lines |= own.secret_lines
        self.problems.extend(replace(one, at=None, message=f"--set: {one.message}") for one in own.found)
        return fields

    def _declared_environment(self, environment: Mapping[str, str]) -> dict[str, Json]:
        """The values of `env:` by name: from the environment, of which nothing else is read, or the defaults in the
        file.
        """
        found: dict[str, Json] = {}
        for name, default in mapping_in(self.data, "env").items():
            if name.startswith("KREA_"):
                hint = "templates cannot use keys and settings"
                self.problems.add_key("reserved_name", f"`{name}` cannot be declared", ("env", name), hint)
                continue
            if is_secret_name(name):
                hint = (
                    "prompts are sent to Krea, so they must not contain secrets; if the value is not secret, rename it"
                )
                message = f"`{name}` is a typical name for a secret, so it cannot be declared"
                self.problems.add_key("secret_name", message, ("env", name), hint)
                found[name] = ""
                continue
            value = environment.get(name, default)
            if value is None:
                hint = f"set it, or give a default: `env: {{{name}: autumn}}`"
                self.problems.add_key(
                    "missing_env", f"the environment variable `{name}` is not set", ("env", name), hint
                )
            elif isinstance(value, str) and len(value) > MAX_ENVIRONMENT_TEXT:
                self.problems.add_key("too_long", f"the environment variable `{name}` is too long", ("env", name))
            found[name] = "" if value is None else value
            if name in environment:
                hint = (
                    "it comes from the environment, and prompts are sent to Krea: do not declare variables that "
                    "contain keys"
                )
                check_secrets(value, self.problems, ("env", name), hint)
        return found

    def _variables(self) -> dict[str, Json]:
        known: dict[str, Json] = {"env": dict(self.environment)} if self.environment else {}

        def rendered(text: str, trail: Trail) -> Json:
            try:
                return self.problems.rendering(text, known)
            except TemplateProblem as error:
                if not self.problems.was_dropped(error.word or "?"):
                    hint = "a variable can use the ones above it" if error.code == "undefined_variable" else error.hint
                    self.problems.add(error.code, str(error), trail, hint, word=error.word)
                return text

        for name, data in mapping_in(self.data, "vars").items():
            known[name] = with_texts(self.document.spelled(("vars", name), data), ("vars", name), rendered)
        return known

    def _stages(self, name: str) -> list[Stage]:
        stages = mapping_in(self.data, "stages")
        if is_library(self.document.data):
            return []
        if not stages:
            # Stages that are all left out as wrong do not make the file one without stages.
            written = cast("dict[str, Json]", self.document.data)
            has_stages = any(nearest(key, top_keys()) == "stages" for key in written if key not in self.data)
            return [] if has_stages else [self._stage(name, self._shorthand(), ())]
        for key in self._shorthand():
            hint = "move it into a stage"
            message = f"`{key}` here is shorthand for a file with one stage, but this file has `stages:`"
            self.problems.add_key("shorthand_with_stages", message, (key,), hint)
        if len(stages) > MAX_STAGES:
            message = f"a pipeline can have at most {MAX_STAGES} stages; this one has {len(stages):,}"
            self.problems.add_key("too_many", message, ("stages",), "move some of them to another file")
            return []
        return [self._stage(own, mapping_in(stages, own), ("stages", own)) for own in stages]

    def _stage(self, name: str, data: Mapping[str, Json], trail: Trail) -> Stage:
        fields = mapping_in(self.data, "defaults").items()
        defaults = {key: one for key, one in fields if key not in ("checks", DELIVER)}
        builder = StageBuilder(self.variables, self.library, defaults, data, trail)
        holder, at = (data, trail) if DELIVER in data else (mapping_in(self.data, "defaults"), ("defaults",))
        deliver = tuple(used_recipes(holder, at, self.library.recipes, self.problems))
        return replace(builder.stage(name), checks=self.checks.of_stage(data, trail), deliver=deliver)

    def _shorthand(self) -> dict[str, Json]:
        lists = {key: self.data[key] for key in NAMED_OR_USED if key in self.data}
        own = {key: data for key, data in lists.items() if isinstance(data, list)}
        return {key: self.data[key] for key in STAGE_KEYS if key in self.data} | own


def _check_sizes(data: Json, problems: Problems) -> None:
    """Refuse a file with too many definitions to examine."""
    fields = data if isinstance(data, dict) else {}
    if len(fields) > MAX_DEFINITIONS:
        problems.add("too_many", f"a file can have at most {MAX_DEFINITIONS:,} keys; this one has {len(fields):,}", ())
        problems.check()
    for key, own in fields.items():
        if key != "vars" and isinstance(own, dict) and len(own) > MAX_DEFINITIONS:
            message = f"`{key}` has {len(own):,} definitions; the maximum is {MAX_DEFINITIONS:,}"
            problems.add_key("too_many", message, (key,), "move some of them to another file")
            problems.check()


def repository_root(file: Path) -> Path:
    """The folder that a pipeline's references must not leave: its git repository, or its own folder outside one."""
    folder = file.resolve().parent
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)


def _budget(found: dict[str, Json]) -> Budget:
    usd = Decimal(repr(found["usd"])) if "usd" in found else None
    return Budget(usd, int(cast("float", found["images"])) if "images" in found else None)
