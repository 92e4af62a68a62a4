"""Checks that need the whole file: names that nothing defines, and axes that nothing uses."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from krea_pipe.core.errors import Problem
from krea_pipe.core.fields import DEFAULTS, FIELD_NAMES, LIST_FIELDS, STRENGTHS
from krea_pipe.core.json_data import Json, leaves
from krea_pipe.core.near_names import near_word
from krea_pipe.pipeline.model import Axis, Stage, Value
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.axes import UPSTREAM
from krea_pipe.pipeline.spec.hints import nearest, suggestion
from krea_pipe.pipeline.spec.library import SOURCE_IMAGE, Library
from krea_pipe.pipeline.spec.problems import Problems, words_of
from krea_pipe.pipeline.spec.recipes import DELIVER
from krea_pipe.pipeline.template import TemplateProblem, is_template

_ROW_KEYS = ("id", "label", "note", "set", *FIELD_NAMES)
BUILT_IN = ("stage", "pipeline", "look", *DEFAULTS)
_NOT_VARIABLES = {
    **{name: f"`{name}` always refers to the cell's own {name}" for name in BUILT_IN},
    UPSTREAM: f"`{UPSTREAM}` refers to the upstream cell in templates",
    "env": "`env` contains the environment variables that `env:` declares",
}
_PATH = re.compile(r"[\w./-]+\.(?:txt|md|prompt|jinja2?|j2)", re.IGNORECASE)
_UNUSED_HINT = "use it, or remove it"
_NOT_AXES = ("stage", "pipeline", "env", UPSTREAM)
_MAX_STAGE_DEPTH = 200
"""Stages that are generated for each other."""
CELL = "cell"
"""In `out`, the cell's own axes as a path, unless an axis or variable has this name."""
OUT = "out"
"""In the path of a recipe, the path of the image, unless an axis or variable has this name."""
SOURCE_FIELDS = ("id", "prompt", "image", "axes", "seed", "variant", "aspect_ratio", "creativity")


def check_variables(variables: Iterable[str], stages: Iterable[Stage], problems: Problems) -> None:
    """Refuse variables and axes that would hide one another."""
    names = set(variables)
    for name in sorted(names & _NOT_VARIABLES.keys()):
        problems.add_key("reserved_name", _NOT_VARIABLES[name], ("vars", name), "rename it")
    for stage in stages:
        for axis in stage.all_axes:
            if axis.name in names and axis.name not in _NOT_VARIABLES:
                message = f"the axis `{axis.name}` hides the variable of the same name"
                given = problems.document.key_place(("vars", axis.name)).is_whole  # by `--set` or `--vars`
                hint = f"select values of the axis with `-k {axis.name}=…`" if given else "rename one of the two"
                problems.add_key("name_taken", message, axis.trail, hint)
            elif axis.name in _NOT_AXES and axis.name != UPSTREAM:
                message = f"`{axis.name}` is already defined in templates"
                problems.add_key("reserved_name", message, axis.trail, "rename it")


def check_stages(
    stages: Iterable[Stage], variables: Mapping[str, Json], library: Library, overrides: Mapping[str, Value]
) -> None:
    """Refuse stages without a prompt, with unknown template names, or with an axis that changes nothing."""
    fields: dict[str, Collection[str]] = {name: data for name, data in variables.items() if isinstance(data, dict)}
    for stage in stages:
        _check_stage(stage, _TemplateReader(stage, variables, fields, library.problems), library, overrides)


def _check_stage(stage: Stage, reader: "_TemplateReader", library: Library, overrides: Mapping[str, Value]) -> None:
    problems = library.problems
    values = [*_values_of(stage, library), *overrides.items()]
    _check_prompt(stage, values, library)
    _check_takes(stage, values, problems)
    _check_picture(values, problems)
    _check_strength(stage, values, problems)
    used = {one for name, value in values for one in reader.names(value, is_rule=name == "if")}
    used |= {name for matrix in stage.matrices for rule in matrix.exclude + matrix.patch for name in rule.matches}
    texts = [text for _, value in values for text in _texts(value)]
    for axis in stage.all_axes:
        reader.check_rows(axis, texts)
    in_use = {f"{kind}.{one}.strength" for kind, names in _named(values).items() for one in names}
    for axis in stage.axes:
        if {axis.name, axis.name.split(".")[0]} & {*problems.dropped, *_NOT_AXES} or not axis.values:
            continue  # a problem of its own was noted
        _check_use(axis, used, in_use, library)
    for axis in stage.fixed:
        if not axis.field and axis.name not in used and not any(value.sets for value in axis.values):
            near = nearest(axis.name, FIELD_NAMES)
            hint = f"did you mean `{near}`?" if near else f"use {{{{ {axis.name} }}}} in the prompt, or remove it"
            problems.add_key("unused_axis", f"nothing uses `{axis.name}` of `with`", axis.trail, hint)


def _check_prompt(stage: Stage, values: Iterable[tuple[str, Value]], library: Library) -> None:
    if any(name == "prompt" for name, _ in values) or library.problems.was_dropped("prompt") or stage.promotes:
        return
    hint = "set `prompt:` to a text" + (", or to a name under `prompts:`" if library.prompts else "")
    what = f"the stage `{stage.name}`" if stage.trail else "this pipeline"
    library.problems.add_key("no_prompt", f"{what} has no prompt", stage.trail, hint)


def _check_takes(stage: Stage, values: Iterable[tuple[str, Value]], problems: Problems) -> None:
    """Refuse takes of images with seeds: they would all be the same image."""
    trail = (*stage.trail, "takes")
    if not any(axis.trail == trail for axis in stage.axes) or problems.was_dropped("seed"):
        return
    seeds = [value for name, value in values if name == "seed"]
    message = "`takes` distinguishes images without a seed, but this stage has seeds"
    hint = "write `seed: null` beside it, or `matrix: {seed: {count: 4}}` for images with seeds"
    given = next((value for value in seeds if value.data is not None), None)
    if given is not None:
        problems.add("takes_with_seed", message, given.trail, hint)
    elif not seeds:
        problems.add_key("takes_with_seed", message, trail, hint)


def _check_picture(values: Iterable[tuple[str, Value]], problems: Problems) -> None:
    """Refuse the upstream picture where a text is meant."""
    for name, value in values:
        if name in ("prompt", "out", "path", "if") and isinstance(value.data, str) and SOURCE_IMAGE.search(value.data):
            hint = 'use it as `image:`, or as a reference: {image: "{{ source.image }}"}'
            message = "`source.image` is an image, but this is text"
            problems.add("not_text", message, value.trail, hint, word="source")


def _check_strength(stage: Stage, values: Iterable[tuple[str, Value]], problems: Problems) -> None:
    """Refuse the strength of a source image in a stage without one."""
    found = {name: value for name, value in values if name in ("image", "strength")}
    if "strength" in found and "image" not in found and not stage.promotes and not problems.was_dropped("image"):
        hint = (
            "set `image:` too; the strength of a reference belongs in its set, or in an axis references.NAME.strength"
        )
        message = "`strength` applies to the source image, but this stage has no `image`"
        problems.add_key("strength_without_image", message, found["strength"].trail, hint)


def _check_use(axis: Axis, used: Collection[str], in_use: Collection[str], library: Library) -> None:
    hint = None
    if axis.field and "." in axis.name:
        kind, name, _ = axis.name.split(".")
        is_dynamic = any("{{" in one for one in in_use)
        if axis.name not in in_use and not is_dynamic and name in library.names(kind):
            hint = f"use it with `{kind}: [{name}]` in the stage or under `defaults:`"
    elif not axis.field and axis.name not in used and not any(value.sets for value in axis.values):
        hint = f"use {{{{ {axis.name} }}}} in the prompt, or remove the axis"
    if hint is not None:
        message = f"nothing uses the axis `{axis.name}`, so it would multiply the bill and change nothing"
        library.problems.add_key("unused_axis", message, axis.trail, hint)


def _texts(value: Value) -> list[str]:
    return [one for one in (value.data if isinstance(value.data, list) else [value.data]) if isinstance(one, str)]


class _TemplateReader:
    """Reads the templates of a stage: which names they use, and which of them are missing.

    Names are variables, which are those of all stages, with the fields of those that have some, axes, and what each
    stage has.
    """

    def __init__(
        self, stage: Stage, variables: Mapping[str, Json], fields: Mapping[str, Collection[str]], problems: Problems
    ) -> None:
        self.variables, self.problems = variables, problems
        self.axes = {axis.name: axis for axis in stage.all_axes}
        self.is_chained = stage.upstream is not None
        self.fields = {**fields, UPSTREAM: SOURCE_FIELDS} if self.is_chained else fields
        self.own = {*BUILT_IN, *self.axes, *((UPSTREAM,) if self.is_chained else ())}
        # A rule decides what a request is, so it cannot read its fields.
        self.in_rules = self.own - ({*DEFAULTS, "look"} - self.axes.keys())
        self.keys: dict[str, Counter[str]] = {}
        """For each axis, how many of its values have a field."""
        self.said: set[tuple[str, str]] = set()

    def names(self, value: Value, *, is_rule: bool = False) -> Iterator[str]:
        """The names that a value uses; for a wrong name, also the one that was probably meant."""
        for text in _texts(value):
            if "{" in text:
                yield from self._names_in(text, value.trail, is_rule=is_rule)

    def _names_in(self, text: str, trail: Trail, *, is_rule: bool) -> Iterator[str]:
        try:
            template = self.problems.compiled(text)
        except TemplateProblem as error:
            message, hint = str(error), error.hint
            if is_rule and error.code == "template_syntax" and error.word is None:
                message, hint = "this expression is not valid", "write it like `surface == 'slate' and seed > 2`"
            self.problems.add(error.code, message, trail, hint, word=error.word)
            yield from words_of(text)
            return
        own = self.in_rules if is_rule else self.own | self._path_names(trail)
        for name in sorted(template.required - own - self.variables.keys()):
            yield from self._undefined(name, trail)
        for name, one in sorted(template.fields):
            if name in self.axes:
                self._check_field(self.axes[name], one, trail)
            elif one not in self.fields.get(name, (one,)) and not self.problems.was_dropped(one):
                hint = suggestion(one, self.fields[name])
                self.problems.add("undefined_variable", f"`{name}` has no `{one}`", trail, hint, word=one)
        yield from template.names

    @staticmethod
    def _path_names(trail: Trail) -> set[str]:
        """The names that a template of a path has besides those of others."""
        if DELIVER in trail[:-1]:
            return {CELL, OUT}
        return {CELL} if trail[-1:] == ("out",) else set()

    def _undefined(self, name: str, trail: Trail) -> Iterator[str]:
        if self.problems.was_dropped(name):
            return
        near = nearest(name, chain(self.axes, self.variables)) or nearest(name, BUILT_IN)
        elsewhere = "define it under `vars:`, or as an axis under `matrix:`"
        if self.is_chained:
            elsewhere = f"for an axis of the upstream cell, write {{{{ source.axes.{name} }}}}"
        hint = f"did you mean `{near}`?" if near else elsewhere
        if name in ("vars", "matrix", "axes", "with"):
            found = re.search(rf"\b{name}\.(\w+)", str(self.problems.document.value(trail)))
            hint = f"write the bare name: {{{{ {found[1] if found else 'subject'} }}}}"
        if name == UPSTREAM:
            hint = "it refers to the upstream cell of a stage with `for_each:`"
        if name == "env":
            hint = "declare the environment variable: `env: {SEASON: autumn}`"
        if name in BUILT_IN:
            hint = "a rule can read axes, variables and `source`, but no other request fields"
        near = None if name in ("vars", "matrix", "axes", "with") else near
        message = f"the template uses `{name}`, which is not defined"
        self.problems.add("undefined_variable", message, trail, hint, word=name)
        if near:
            yield near

    def check_rows(self, axis: Axis, texts: Collection[str]) -> None:
        """Refuse a row's key that nothing reads and that is nearly a request field's name: it would set nothing."""
        near: dict[str, str | None] = dict.fromkeys(_ROW_KEYS)
        for value in axis.values:
            for key in value.data if isinstance(value.data, dict) else ():
                if key not in near:
                    meant = nearest(key, FIELD_NAMES, most=2 if len(key) > 5 else 1)
                    near[key] = None if meant and any(key in text for text in texts) else meant
                if meant := near[key]:
                    message = f"`{key}` of `{value.label}` sets nothing, and no template reads it"
                    self.problems.add_key("misspelt_field", message, (*value.trail, key), f"did you mean `{meant}`?")

    def _check_field(self, axis: Axis, field: str, trail: Trail) -> None:
        """Refuse `axis.field` where a value of the axis has no such field."""
        if axis.name not in self.keys:
            own = (value.data for value in axis.values if isinstance(value.data, dict))
            self.keys[axis.name] = Counter(chain.from_iterable(own))
        if self.keys[axis.name][field] == len(axis.values):
            return
        rows = [value.data for value in axis.values if isinstance(value.data, dict)]
        without = [value for value in axis.values if not isinstance(value.data, dict) or field not in value.data]
        if not rows:
            message = f"the values of `{axis.name}` are plain and have no field `{field}`"
            others = f", {field}: …" if field != "id" else ""
            hint = f"write {{{{ {axis.name} }}}}, or make them rows: {{id: …{others}}}"
            self.problems.add("undefined_variable", message, trail, hint, word=field)
        elif len(without) == len(axis.values):
            known = list(dict.fromkeys(key for row in rows for key in row))
            joined = next((key for key in known if field in re.split(r"\s*[|:]\s*", key)), None)
            hint = near_word(field, known) if joined is None else _delimiter_hint(joined)
            message = f"no row of `{axis.name}` has a field `{field}`"
            self.problems.add("undefined_variable", message, trail, hint, word=field)
        if len(without) == len(axis.values) or (axis.name, field) in self.said:
            return
        self.said.add((axis.name, field))
        for value in without:
            near = nearest(field, value.data) if isinstance(value.data, dict) else None
            hint = f"did you mean `{field}` instead of `{near}`?" if near else f"add `{field}:`, as in the other rows"
            message = f"the value `{value.label}` of `{axis.name}` has no field `{field}`, which a template uses"
            self.problems.add("missing_field", message, value.trail, hint)


def _delimiter_hint(header: str) -> str:
    """What to do about a table whose first line was read as a single name."""
    return f'if `{header}` is several columns, set the separator: `delimiter: "{"|" if "|" in header else ":"}"`'


def _values_of(stage: Stage, library: Library) -> Iterator[tuple[str, Value]]:
    """Every value of a stage, with the name of what it sets."""
    own = [*stage.fields.items(), *_of_axes(stage)]
    own += [one for matrix in stage.matrices for rule in matrix.patch for one in rule.sets.items()]
    looks = _looks_of(own)
    for name, look in library.looks.items():
        if name in looks or any(is_template(one) for one in looks):
            own += look.fields.items()
    yield from own
    for kind, names in _named(own).items():
        sets = (library.references[name] for name in names if kind == "references" and name in library.references)
        yield from (("images", image) for one in sets for image in one.images)
        strengths = (library.names(kind)[name].strength for name in names if name in library.names(kind))
        yield from (("strength of a list", strength) for strength in strengths if strength)
    for rule in (rule for matrix in stage.matrices for rule in matrix.exclude + matrix.patch):
        if rule.condition is not None:
            yield "if", rule.condition
    if stage.out is not None:
        yield "out", stage.out
    yield from (("path", one.path) for one in stage.deliver if one.path is not None)


def _named(values: Iterable[tuple[str, Value]]) -> dict[str, set[str]]:
    """The names of references, moodboards and styles that some values use."""
    used = {kind: set[str]() for kind in LIST_FIELDS}
    for name, value in values:
        if name in LIST_FIELDS and isinstance(value.data, list):
            used[name].update(str(one) for one in value.data)
    return used


def _looks_of(values: Iterable[tuple[str, Value]]) -> set[str]:
    """The names of looks that some values use."""
    return {str(value.data) for name, value in values if name == "look" and value.data is not None}


def _of_axes(stage: Stage) -> Iterator[tuple[str, Value]]:
    for axis in stage.all_axes:
        for value in axis.values:
            yield from value.sets.items()
            if value.is_dynamic and not value.sets:
                yield axis.name, Value(list(leaves(value.data)), value.trail)


def strength_warnings(library: Library, stages: Iterable[Stage]) -> Iterator[Problem]:
    """Warn about strengths that only Krea's older guides allow, in definitions and in axes."""
    found = [(kind, item.strength) for kind in LIST_FIELDS for item in library.names(kind).values() if item.strength]
    for axis in (axis for stage in stages for axis in stage.all_axes if "." in axis.name):
        sets = (value.sets for value in axis.values if axis.name in value.sets)
        found += [(axis.name.partition(".")[0], own[axis.name]) for own in sets]
    for kind, strength in found:
        low, high = STRENGTHS[kind].sure
        if isinstance(strength.data, (int, float)) and not low <= strength.data <= high:
            at = library.problems.document.place(strength.trail)
            message = f"the strength {strength.data:g} of {kind} is outside the range {low:g} to {high:g}"
            yield Problem("unsure_strength", message, at, "only Krea's older guides allow it; Krea may refuse it")


def unused_warnings(library: Library, stages: Sequence[Stage]) -> Iterator[Problem]:
    """Warn about what is defined by name, and used by no stage: nothing of it would be sent."""
    values = [value for stage in stages for value in _values_of(stage, library)]
    lists = _named(values)
    is_dynamic = any("{{" in name for names in lists.values() for name in names)
    axes = {axis.name for stage in stages for axis in stage.all_axes}
    used: list[tuple[str, Mapping[str, object], set[str]]] = [
        (kind, library.names(kind), lists[kind]) for kind in LIST_FIELDS if not is_dynamic
    ]
    recipes = {str(recipe.trail[1]) for stage in stages for recipe in stage.deliver if recipe.trail[0] == DELIVER}
    used += [("looks", library.looks, _looks_of(values)), ("axes", library.axes, axes)]
    for kind, defined, names in (*used, (DELIVER, library.recipes, recipes)):
        for name in defined:
            if library.problems.document.is_used((kind, name)):
                continue  # other pipelines may use it
            if name not in names and (kind in LIST_FIELDS or not any("{{" in one for one in names)):
                trail = library.names(kind)[name].trail if kind in LIST_FIELDS else (kind, name)
                at = library.problems.document.key_place(trail)
                hint = (
                    f"use it with `defaults: {{{kind}: [{name}]}}` or in a stage"
                    if kind in LIST_FIELDS
                    else f"use it in a stage: `deliver: [{name}]`"
                    if kind == DELIVER
                    else _UNUSED_HINT
                )
                yield Problem("unused_definition", f"no stage uses `{name}` of `{kind}:`", at, hint)


def path_warnings(library: Library, stages: Sequence[Stage]) -> Iterator[Problem]:
    """Warn about prompts that look like the path of a file."""
    prompts = (value for stage in stages for name, value in _values_of(stage, library) if name == "prompt")
    for trail, text in {value.trail: str(value.data) for value in prompts}.items():
        if _PATH.fullmatch(text):
            at = library.problems.document.place(trail)
            hint = f"to use the contents of the file, write `prompt: {{file: {text}}}`"
            yield Problem("prompt_is_path", "this prompt is a path, which would be sent as text", at, hint)


def check_graph(stages: Sequence[Stage], problems: Problems) -> None:
    """Refuse stages that nothing defines, circles, and picks of another stage."""
    known = {stage.name: stage for stage in stages}
    circles = set[frozenset[str]]()
    for stage in stages:
        for name, trail in _edges(stage):
            if name not in known and not problems.was_dropped(name):
                hint = suggestion(name, [one for one in known if one != stage.name])
                problems.add("unknown_stage", f"there is no stage `{name}`", trail, hint)
        if _depth(stage, known) > _MAX_STAGE_DEPTH:
            message = f"more than {_MAX_STAGE_DEPTH} stages are chained with `for_each`"
            problems.add("too_many", message, (*stage.trail, "for_each"), "remove `for_each` from some of them")
        circle = _circle(stage, known)
        if circle and frozenset(circle) not in circles:
            circles.add(frozenset(circle))
            trail = next(trail for name, trail in _edges(stage) if name == circle[1])
            message = f"the stages depend on each other: {' → '.join(circle)}"
            problems.add("stage_cycle", message, trail, "a stage cannot depend on stages that depend on it")
        picks = stage.upstream.picks if stage.upstream else None
        if stage.upstream and picks and picks.is_of_others(stage.upstream.stage, known):
            said = f"contains picks of {picks.stages_said}, but this stage uses `{stage.upstream.stage}`"
            message = f"{picks.document.file.name} {said}"
            problems.add("other_stage", message, (*stage.trail, "picks"), "specify the picks file of that stage")


def _depth(stage: Stage, known: Mapping[str, Stage]) -> int:
    """The length of the chain of stages before a stage, up to the limit; cycles are reported elsewhere."""
    seen = {stage.name}
    while len(seen) <= _MAX_STAGE_DEPTH + 1 and stage.upstream and stage.upstream.stage in known.keys() - seen:
        stage = known[stage.upstream.stage]
        seen.add(stage.name)
    return len(seen) - 1


def _edges(stage: Stage) -> list[tuple[str, Trail]]:
    """The stages that a stage waits for, and where it says so."""
    upstream = [(stage.upstream.stage, stage.upstream.trail)] if stage.upstream else []
    return upstream + [(name, (*stage.trail, "needs", index)) for index, name in enumerate(stage.needs)]


def _circle(start: Stage, known: Mapping[str, Stage]) -> list[str] | None:
    """A way from a stage back to itself, if there is one."""
    waiting, seen = [[start.name]], {start.name}
    while waiting:
        path = waiting.pop()
        for name, _ in _edges(known[path[-1]]):
            if name == start.name:
                return [*path, name]
            if name in known and name not in seen:
                seen.add(name)
                waiting.append([*path, name])
    return None
