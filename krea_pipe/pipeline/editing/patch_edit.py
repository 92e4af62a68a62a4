"""Writes the seed of one cell into `patch:` of a pipeline file: one rule more, another seed in it, or one rule less."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from krea_pipe.core.errors import InvalidInput, Problem, whole_file
from krea_pipe.core.json_data import Json
from krea_pipe.core.request import canonical_json
from krea_pipe.pipeline.editing.yaml_text import (
    Layout,
    TextChange,
    YamlValue,
    flow_text,
    holds_data,
    split_mark,
    unsafe_edit,
)
from krea_pipe.pipeline.nodes import build_nodes
from krea_pipe.pipeline.source import Trail

_KEY = "patch"
_REST_OF_LINE = re.compile(r"[ \t]*(,?)[ \t]*(?=\r?\n|\Z)")
_ABOVE = ("prompt", "matrix", "with", "takes", "exclude", "include")
"""The keys of a stage below which `patch` is written."""


@dataclass(frozen=True, slots=True)
class SeedPatch:
    """A rule for one cell that sets its seed; None takes the rule out."""

    stage: Trail
    when: Mapping[str, Json]
    seed: int | None

    @property
    def rule(self) -> dict[str, Json]:
        """The rule as data."""
        return {"when": dict(self.when), "set": {"seed": self.seed}}


def patch_seed(text: str, patch: SeedPatch, file: Path) -> str:
    """Write the seed of a cell into a pipeline file.

    A rule with the same `when` that sets only the seed gets another seed. A new rule is the last one, because a later
    rule overrides an earlier one.

    Args:
        text: the current text of the pipeline file.
        patch: the rule.
        file: the file's name, for the places of problems.

    Returns:
        The new text, in which nothing else has changed.

    Raises:
        UsageError: the file cannot be edited safely. InvalidInput: the text is not YAML.
    """
    mark, body = split_mark(text)
    data = build_nodes(file, body).data
    stage = _at(data, patch.stage)
    if not isinstance(stage, dict):
        raise InvalidInput(Problem("wrong_type", "a pipeline file must be a mapping", whole_file(file)))
    held = stage.get(_KEY)
    rules: list[Json] = list(held) if isinstance(held, list) else []
    place = next((index for index, rule in enumerate(rules) if _is_own(rule, patch)), None)
    if place is None and patch.seed is None:
        return text
    edit = _Edit(Layout(body), patch)
    new = edit.layout.changed(edit.changes(place, len(rules)))
    if not holds_data(new, file, _with_rules(data, patch, _changed(rules, place, patch))):
        raise unsafe_edit(file, _by_hand(patch))
    return mark + new


def _by_hand(patch: SeedPatch) -> list[str]:
    where = f" of the stage `{patch.stage[-1]}`" if patch.stage else ""
    if patch.seed is None:
        return [f"remove from `patch:`{where}: - {{when: {flow_text(dict(patch.when))}, set: {{seed: …}}}}"]
    return [f"add to `patch:`{where}: - {flow_text(patch.rule)}"]


def _at(data: Json, trail: Trail) -> Json:
    for step in trail:
        data = data.get(str(step)) if isinstance(data, dict) else None
    return data


def _is_own(rule: Json, patch: SeedPatch) -> bool:
    """Whether a rule has the same `when`, and sets only the seed."""
    if not isinstance(rule, dict) or rule.keys() != {"when", "set"}:
        return False
    is_same = canonical_json(rule["when"]) == canonical_json(dict(patch.when))  # 1 is not true
    return is_same and isinstance(rule["set"], dict) and rule["set"].keys() == {"seed"}


def _changed(rules: Sequence[Json], place: int | None, patch: SeedPatch) -> list[Json]:
    changed = [*rules]
    if place is None:
        changed.append(patch.rule)
    elif patch.seed is None:
        del changed[place]
    else:
        changed[place] = patch.rule
    return changed


def _with_rules(data: Json, patch: SeedPatch, rules: list[Json]) -> Json:
    """The data of the file with other rules in one stage."""

    def inner(part: Json, trail: Trail) -> Json:
        fields = {**cast("dict[str, Json]", part)}
        if trail:
            fields[str(trail[0])] = inner(fields[str(trail[0])], trail[1:])
        elif rules:
            fields[_KEY] = rules
        else:
            fields.pop(_KEY, None)
        return fields

    return inner(data, patch.stage)


@dataclass(frozen=True, slots=True)
class _Edit:
    """The changes of a text that write one rule."""

    layout: Layout
    patch: SeedPatch

    @property
    def stage(self) -> YamlValue:
        """The mapping of the stage."""
        part = self.layout.root
        for step in self.patch.stage:
            part = part.children[step]
        return part

    def changes(self, place: int | None, count: int) -> Sequence[TextChange]:
        """The changes, given the place of the rule among the rules that there are, if it is there."""
        rules = self.stage.children.get(_KEY)
        if rules is None:
            return self._first_rule()
        if place is None:
            return self._one_more(rules)
        if self.patch.seed is None:
            return self._without(self.stage, _KEY) if count == 1 else self._without(rules, place)
        seed = rules.children[place].children["set"].children["seed"]
        return [(seed.start, seed.end, str(self.patch.seed))]

    def _one_more(self, rules: YamlValue) -> Sequence[TextChange]:
        layout, rule = self.layout, flow_text(self.patch.rule)
        if rules.kind == "flow":
            return layout.in_flow(rules, [rule])
        if rules.empty:
            column = layout.column(self.stage.keys[_KEY].start) + layout.step
            return [layout.lines_at(layout.below(rules.end, column), [f"{' ' * column}- {rule}"])]
        if not rules.children:
            return []
        column = layout.column(layout.dash(rules.children[0]))
        return [layout.lines_at(layout.below(rules.end, column), [f"{' ' * column}- {rule}"])]

    def _first_rule(self) -> Sequence[TextChange]:
        layout, stage, rule = self.layout, self.stage, flow_text(self.patch.rule)
        if stage.kind == "flow":
            return layout.in_flow(stage, [f"{_KEY}: [{rule}]"])
        order = list(stage.keys)
        above = max((order.index(one) for one in _ABOVE if one in stage.keys), default=len(order) - 1)
        column = layout.indent(stage)
        lines = [f"{' ' * column}{_KEY}:", f"{' ' * (column + layout.step)}- {rule}"]
        return [layout.lines_at(layout.below(stage.children[order[above]].end, column), lines)]

    def _without(self, parent: YamlValue, name: str | int) -> Sequence[TextChange]:
        """The changes that take an entry or item out, with its lines, or with the comma beside it."""
        layout, names = self.layout, list(parent.children)
        place, part = names.index(name), parent.children[name]
        begin = parent.keys[str(name)].start if parent.keys else part.start
        if parent.kind == "block":
            start = layout.line_start(begin if parent.keys else layout.dash(part))
            return [(start, layout.line_after(part.end), "")]
        before = parent.children[names[place - 1]].end if place else begin
        own_line = _REST_OF_LINE.match(layout.text, part.end)
        if place and own_line and not layout.text[layout.line_start(begin) : begin].strip():
            # A comma after the last entry was there before; one after the entry above it came with it.
            comma = layout.text[before] == "," and not own_line[1]
            line = (layout.line_start(begin), layout.line_after(part.end), "")
            return [(before, before + 1, ""), line] if comma else [line]
        if place:
            return [(before, part.end, "")]
        if len(names) == 1:
            return [(begin, part.end, "")]
        after = parent.keys[str(names[1])] if parent.keys else parent.children[names[1]]
        return [(begin, after.start, "")]
