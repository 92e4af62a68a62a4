"""Edits of a pipeline file that a person can review: the diff is what was added, and nothing else."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.core.contract import VARIANTS
from krea_pipe.core.errors import InvalidInput, Place, Problem, UsageError
from krea_pipe.core.excerpts import Lines
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.editing.shorthand import only_stage, with_stages
from krea_pipe.pipeline.editing.yaml_entry import flow_text
from krea_pipe.pipeline.editing.yaml_spans import Change, Layout, says, split_mark, unsafe_edit
from krea_pipe.pipeline.nodes import build_nodes
from krea_pipe.pipeline.template import near_word

_FILE = Path("pipeline.yaml")
_BEFORE_STYLES = ("version", "name", "description", "budget", "env", "vars", "defaults", "references", "moodboards")
_STYLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_STAGE_NAME = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?", re.ASCII)
_COMMENT_COLUMN = 34  # where the comments of stages stand in the documentation


@dataclass(frozen=True, slots=True)
class Promotion:
    """A pipeline file with a stage more: its text, and the name of the stage."""

    text: str
    stage: str


def add_style(text: str, name: str, style_id: str, *, file: Path = _FILE) -> str:
    """The text of a pipeline file with a trained style under `styles:`; `file` is for the places of problems.

    Raises:
        UsageError: the name is taken or cannot be one, or the file cannot be edited safely.
        InvalidInput: the text is not YAML.
    """
    mark, body = split_mark(text)
    opened = _Opened.of(body, file)
    if not _STYLE_NAME.fullmatch(name):
        hint = "use letters, digits and _, such as house_2; the first is no digit"
        raise UsageError(Problem("bad_name", f"`{name}` cannot name a style", hint=hint))
    styles = opened.data.get("styles")
    if isinstance(styles, list):
        message = "`styles:` is a list here, the styles of the one stage"
        hint = "move the list to `defaults: {styles: […]}`, so that styles can be named under `styles:`"
        raise UsageError(Problem("unsafe_edit", message, opened.place("styles"), hint))
    if isinstance(styles, dict) and name in styles:
        message = f"the style name `{name}` is taken"
        raise UsageError(Problem("name_taken", message, opened.place("styles", name), "choose another name"))
    entry = _Entry("styles", name, {"id": style_id}, lambda _: [f"{flow_text(name)}: {flow_text({'id': style_id})}"])
    return mark + opened.grown(entry, after=_BEFORE_STYLES)


def promote(
    text: str, stage: str, to: str, *, picks_file: str, name: str | None = None, file: Path = _FILE
) -> Promotion:
    """A pipeline file with a stage more, which re-issues the picked cells of a stage on another variant.

    A file in shorthand gets its one stage written below `stages:` first, where that leaves every cell as it is.
    `file` names the stage of a file in shorthand without a name, and is for the places of problems.

    Raises:
        UsageError: no such stage or variant, a name that cannot be one, or the file cannot be edited safely.
        InvalidInput: the text is not YAML.
    """
    mark, body = split_mark(text)
    if to not in VARIANTS:
        raise UsageError(Problem("unknown_variant", f"there is no variant `{to}`", hint=near_word(to, VARIANTS)))
    opened = _Opened.of(body, file)
    stages = opened.data.get("stages")
    known = list(stages) if isinstance(stages, dict) else [only_stage(opened.data, file)]
    if stage not in known:
        raise UsageError(Problem("unknown_stage", f"there is no stage `{stage}`", hint=near_word(stage, known)))
    own = _free_name(name or f"{stage}-{to}", known, is_given=name is not None)
    entry = _promoted(own, stage, to, picks_file)
    if not isinstance(stages, dict):
        opened = _Opened.of(with_stages(body, file), file)
    return Promotion(mark + opened.grown(entry), own)


def _free_name(wanted: str, known: Sequence[str], *, is_given: bool) -> str:
    if wanted in known:
        hint = "choose another with --name" if is_given else "it is drawn with the others; another one needs --name"
        raise UsageError(Problem("name_taken", f"there is a stage `{wanted}` already", hint=hint))
    name = wanted
    if not _STAGE_NAME.fullmatch(name):
        hint = "use up to 64 letters, digits, dots, _ and -, beginning with a letter or digit"
        raise UsageError(Problem("bad_name", f"`{name}` cannot name a stage", hint=hint))
    return name


def _promoted(name: str, stage: str, to: str, picks_file: str) -> "_Entry":
    data: dict[str, Json] = {"for_each": stage, "picks": picks_file, "promote": {"variant": to}}

    def block(step: int) -> list[str]:
        head = f"{flow_text(name)}:"
        # Two blanks at least, as before any comment that follows code.
        comment = f"{head:<{max(_COMMENT_COLUMN - step, len(head) + 2)}}# promoted from {stage}"
        return [comment, *(f"{' ' * step}{key}: {flow_text(value)}" for key, value in data.items())]

    return _Entry("stages", name, data, block)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is added to one of a file's named sections: as data, and as lines for an indentation."""

    section: str
    name: str
    data: dict[str, Json]
    block: Callable[[int], list[str]]

    @property
    def flow(self) -> str:
        """The entry as it stands between braces."""
        return flow_text({self.name: self.data}).removeprefix("{").removesuffix("}")

    def under(self, column: int, step: int) -> list[str]:
        """The lines of the entry, indented."""
        return [" " * column + line for line in self.block(step)]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file that is about to be edited."""

    file: Path
    layout: Layout
    data: dict[str, Json]

    @classmethod
    def of(cls, text: str, file: Path) -> "_Opened":
        data = build_nodes(file, text).data
        if not isinstance(data, dict):
            raise InvalidInput(Problem("wrong_type", "a pipeline file is a mapping", Place(file, 1, 1)))
        return cls(file, Layout(text), data)

    def place(self, section: str, name: str | None = None) -> Place:
        """Where the value of a section stands, or the key of an entry of it."""
        part = self.layout.root.children[section]
        index = part.keys[name].start if name in part.keys else part.start
        return Lines(self.file, self.layout.text).place(index)

    def grown(self, entry: _Entry, *, after: Sequence[str] = ()) -> str:
        """The text with an entry more, which is all that has changed in its data.

        A section that is missing comes below those that are named, or below everything.

        Raises:
            UsageError: the file cannot be edited safely.
        """
        new = self.layout.changed(self._changes(entry, after))
        held = self.data.get(entry.section)
        section: dict[str, Json] = {**held} if isinstance(held, dict) else {}
        section[entry.name] = entry.data
        if not says(new, self.file, {**self.data, entry.section: section}):
            raise unsafe_edit(self.file, [f"{entry.section}:", *entry.under(2, 2)])
        return new

    def _changes(self, entry: _Entry, after: Sequence[str]) -> Sequence[Change]:
        layout = self.layout
        part = layout.root.children.get(entry.section)
        if part is None:
            return self._new_section(entry, after)
        if part.kind == "flow":
            return layout.in_flow(part, [entry.flow])
        if part.empty:
            column = layout.indent(layout.root) + layout.step
            return [layout.lines_at(layout.below(part.end, column), entry.under(column, layout.step))]
        if part.keys:
            column = layout.indent(part)
            lines = entry.under(column, layout.step)
            return [layout.lines_at(layout.below(part.end, column), lines, spaced=layout.spaced(part))]
        return []

    def _new_section(self, entry: _Entry, after: Sequence[str]) -> Sequence[Change]:
        layout, root = self.layout, self.layout.root
        if root.kind == "flow":
            return layout.in_flow(root, [f"{entry.section}: {{{entry.flow}}}"])
        order = list(root.keys)
        above = max((order.index(one) for one in after if one in root.keys), default=len(order) - 1)
        column, spaced = layout.indent(root), layout.spaced(root)
        if above + 1 < len(order):
            spaced = layout.blank_before(layout.above(root.keys[order[above + 1]].start))
        lines = [" " * column + f"{entry.section}:", *entry.under(column + layout.step, layout.step)]
        return [layout.lines_at(layout.below(root.children[order[above]].end, column), lines, spaced=spaced)]
