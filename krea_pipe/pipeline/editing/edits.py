"""Edits of a pipeline file that a person can review: the diff is what was added, and nothing else.

A stage at the top level is first written below `stages:`: the same cells, other lines.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from krea_pipe.core.contract import VARIANTS
from krea_pipe.core.errors import InvalidInput, Place, Problem, UsageError, whole_file
from krea_pipe.core.excerpts import LineIndex
from krea_pipe.core.fields import NAMED_OR_USED, STAGE_KEYS
from krea_pipe.core.json_data import Json
from krea_pipe.core.near_names import near_word
from krea_pipe.pipeline.editing.yaml_text import Layout, TextChange, flow_text, holds_data, split_mark, unsafe_edit
from krea_pipe.pipeline.nodes import build_nodes
from krea_pipe.pipeline.template import slug

_FILE = Path("pipeline.yaml")
_BEFORE_STYLES = ("version", "name", "description", "budget", "env", "vars", "defaults", "references", "moodboards")
_STYLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_STAGE_NAME = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?", re.ASCII)
_COMMENT_COLUMN = 34  # where the comments of stages are in the documentation


@dataclass(frozen=True, slots=True)
class Promotion:
    """A pipeline file with a stage more: its text, and the name of the stage."""

    text: str
    stage: str


def add_style(text: str, name: str, style_id: str, *, file: Path = _FILE) -> str:
    """Add a trained style under `styles:`.

    Args:
        text: the current text of the pipeline file.
        name: what stages will call the style.
        style_id: the id of the style at Krea.
        file: the file's name, for the places of problems.

    Returns:
        The new text, in which nothing else has changed.

    Raises:
        UsageError: the name is taken or cannot be one, or the file cannot be edited safely.
        InvalidInput: the text is not YAML.
    """
    mark, body = split_mark(text)
    edited = _EditedFile.of(body, file)
    if not _STYLE_NAME.fullmatch(name):
        hint = "use letters, digits and _, not starting with a digit, such as house_2"
        raise UsageError(Problem("bad_name", f"`{name}` is not a valid style name", hint=hint))
    styles = edited.data.get("styles")
    if isinstance(styles, list):
        message = "`styles:` in this file is a list: the styles of its only stage"
        hint = "move the list to `defaults: {styles: […]}`, so that styles can be named under `styles:`"
        raise UsageError(Problem("unsafe_edit", message, edited.place("styles"), hint))
    if isinstance(styles, dict) and name in styles:
        message = f"the style name `{name}` is taken"
        raise UsageError(Problem("name_taken", message, edited.place("styles", name), "choose another name"))
    return mark + edited.with_entry(_Entry("styles", name, {"id": style_id}), after=_BEFORE_STYLES)


def add_stage(
    text: str, stage: str, to: str, *, picks_file: str, name: str | None = None, file: Path = _FILE
) -> Promotion:
    """Add a stage that regenerates the picked cells of another stage with another variant.

    A file in shorthand gets its one stage written below `stages:` first, if that leaves every cell unchanged.

    Args:
        text: the current text of the pipeline file.
        stage: the stage whose cells were picked.
        to: the variant of the new stage.
        picks_file: the picks file, as the pipeline file names it.
        name: the name of the new stage; None makes one of the stage and the variant.
        file: the file's name, for the places of problems and for the name of an only stage.

    Returns:
        The new text, and the name of the new stage.

    Raises:
        UsageError: no such stage or variant, a name that cannot be one, or the file cannot be edited safely.
        InvalidInput: the text is not YAML.
    """
    mark, body = split_mark(text)
    if to not in VARIANTS:
        raise UsageError(Problem("unknown_variant", f"there is no variant `{to}`", hint=near_word(to, VARIANTS)))
    edited = _EditedFile.of(body, file)
    stages = edited.data.get("stages")
    known = list(stages) if isinstance(stages, dict) else [_only_stage(edited.data, file)]
    if stage not in known:
        raise UsageError(Problem("unknown_stage", f"there is no stage `{stage}`", hint=near_word(stage, known)))
    own = _free_name(name or f"{stage}-{to}", known, is_given=name is not None)
    data: dict[str, Json] = {"for_each": stage, "picks": picks_file, "promote": {"variant": to}}
    entry = _Entry("stages", own, data, f"promoted from {stage}")
    if not isinstance(stages, dict):
        edited = _EditedFile.of(with_stages(body, file), file)
    return Promotion(mark + edited.with_entry(entry), own)


def _free_name(wanted: str, known: Sequence[str], *, is_given: bool) -> str:
    if wanted in known:
        hint = "choose another with --name" if is_given else "to add another stage, use --name"
        raise UsageError(Problem("name_taken", f"a stage named `{wanted}` already exists", hint=hint))
    if not _STAGE_NAME.fullmatch(wanted):
        hint = "use up to 64 letters, digits, dots, _ and -, starting with a letter or digit"
        raise UsageError(Problem("bad_name", f"`{wanted}` is not a valid stage name", hint=hint))
    return wanted


@dataclass(frozen=True, slots=True)
class _Entry:
    """The text to add to one of a file's named sections; with a comment, each key has a separate line."""

    section: str
    name: str
    data: dict[str, Json]
    comment: str = ""

    @property
    def flow(self) -> str:
        """The entry as written between braces."""
        return flow_text({self.name: self.data}).removeprefix("{").removesuffix("}")

    def under(self, column: int, step: int) -> list[str]:
        """The lines of the entry, indented to a column, its keys by a step more."""
        head = f"{flow_text(self.name)}:"
        if not self.comment:
            return [" " * column + f"{head} {flow_text(self.data)}"]
        # Two blanks at least, as before any comment that follows code.
        lines = [f"{head:<{max(_COMMENT_COLUMN - step, len(head) + 2)}}# {self.comment}"]
        lines += [f"{' ' * step}{key}: {flow_text(value)}" for key, value in self.data.items()]
        return [" " * column + line for line in lines]


@dataclass(frozen=True, slots=True)
class _EditedFile:
    """A file that is about to be edited."""

    file: Path
    layout: Layout
    data: dict[str, Json]

    @classmethod
    def of(cls, text: str, file: Path) -> "_EditedFile":
        data = build_nodes(file, text).data
        if not isinstance(data, dict):
            raise InvalidInput(Problem("wrong_type", "a pipeline file must be a mapping", whole_file(file)))
        return cls(file, Layout(text), data)

    def place(self, section: str, name: str | None = None) -> Place:
        """The place of the value of a section, or of the key of one of its entries."""
        part = self.layout.root.children[section]
        index = part.keys[name].start if name in part.keys else part.start
        return LineIndex(self.file, self.layout.text).place(index)

    def with_entry(self, entry: _Entry, *, after: Sequence[str] = ()) -> str:
        """The text with an entry more, which is all that has changed in its data.

        A section that is missing comes below those that are named, or below everything.

        Raises:
            UsageError: the file cannot be edited safely.
        """
        new = self.layout.changed(self._changes(entry, after))
        held = self.data.get(entry.section)
        section: dict[str, Json] = {**held} if isinstance(held, dict) else {}
        section[entry.name] = entry.data
        if not holds_data(new, self.file, {**self.data, entry.section: section}):
            raise unsafe_edit(self.file, [f"{entry.section}:", *entry.under(2, 2)])
        return new

    def _changes(self, entry: _Entry, after: Sequence[str]) -> Sequence[TextChange]:
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

    def _new_section(self, entry: _Entry, after: Sequence[str]) -> Sequence[TextChange]:
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


def _only_stage(data: dict[str, Json], file: Path) -> str:
    """The name of the one stage of a file in shorthand."""
    return str(data.get("name") or slug(file.stem) or "pipeline")


def with_stages(text: str, file: Path) -> str:
    """The text of a file in shorthand with its stage moved below `stages:` and indented, otherwise unchanged.

    Cells keep their ids, requests and paths. A file without `out:` gets one, because the path of an image is its cell's
    id, and begins with the stage's name only below `stages:`.

    Raises:
        UsageError: the file is not in shorthand, or cannot be rewritten safely.
        InvalidInput: the text is not YAML.
    """
    mark, body = split_mark(text)
    edited = _EditedFile.of(body, file)
    data, name, moved = edited.data, _only_stage(edited.data, file), _stage_keys(edited.data)
    if "out" not in moved:
        if edited.layout.root.kind != "block" or not moved or _has_key(data, "cell"):
            message = f"{file.name} has no `stages:`, so without `out:` this edit would move its images to {name}/"
            raise _refusal(message, name, moved, file, "add `out:`, or accept the move")
        return mark + with_stages(_with_out(edited.layout, moved[-1]), file)
    profiles = data.get("profiles")
    found = profiles.values() if isinstance(profiles, dict) else ()
    if any(_stage_keys(profile) for profile in found if isinstance(profile, dict)):
        message = f"{file.name} has no `stages:`, and its profiles change its only stage, at the top level"
        raise _refusal(message, name, moved, file, "change the profiles too")
    new = _with_stage_moved(edited.layout, name, moved)
    wanted = {key: value for key, value in data.items() if key not in moved}
    if not holds_data(new, file, {**wanted, "stages": {name: {key: data[key] for key in moved}}}):
        raise _refusal("the file cannot be edited safely", name, moved, file)
    return mark + new


def _with_out(layout: Layout, last: str) -> str:
    """The text with an `out:` below one of its keys that leaves every image where it is."""
    column = layout.indent(layout.root)
    place = layout.below(layout.root.children[last].end, column)
    return layout.changed([layout.lines_at(place, [" " * column + 'out: "{{ cell }}"'])])


def _has_key(data: Json, name: str) -> bool:
    """Whether a mapping anywhere in the data has a key, which may be a variable or an axis."""
    if isinstance(data, dict):
        return name in data or any(_has_key(one, name) for one in data.values())
    return isinstance(data, list) and any(_has_key(one, name) for one in data)


def _stage_keys(data: dict[str, Json]) -> list[str]:
    """The keys that belong to the single stage, in the order of the file."""
    return [
        key for key, value in data.items() if key in STAGE_KEYS or (key in NAMED_OR_USED and isinstance(value, list))
    ]


def _refusal(message: str, name: str, moved: Sequence[str], file: Path, first: str = "") -> UsageError:
    lines = ["stages:", f"  {flow_text(name)}:", *(f"    {key}: …" for key in moved)]
    hint = "\n".join([f"{first}{'; ' * bool(first)}write the stage below `stages:` by hand:", *lines])
    return UsageError(Problem("unsafe_edit", message, whole_file(file), hint))


def _with_stage_moved(layout: Layout, name: str, moved: Sequence[str]) -> str:
    """The text with all that is moved to the place of its last part."""
    if layout.root.kind != "block":
        return layout.text
    column, step = layout.indent(layout.root), layout.step
    margin = " " * (2 * step)
    runs = _runs(layout, moved)
    gathered = "".join(_indented(layout.text[start:end], margin) for start, end in runs)
    header = [" " * column + "stages:", " " * (column + step) + f"{flow_text(name)}:", ""]
    changes: list[TextChange] = [(start, end, "") for start, end in runs[:-1]]
    return layout.changed([*changes, (*runs[-1], layout.newline.join(header) + gathered)])


def _runs(layout: Layout, moved: Sequence[str]) -> list[tuple[int, int]]:
    """The spans of lines that are moved: keys that follow each other, with the comments above and below them."""
    keys = list(layout.root.keys)
    column = layout.indent(layout.root)
    ends = [layout.below(layout.root.children[key].end, column) for key in keys]
    # What is above the first key is about the file.
    starts = [layout.line_start(layout.root.keys[keys[0]].start)]
    starts += [max(layout.above(layout.root.keys[key].start), end) for key, end in zip(keys[1:], ends, strict=False)]
    runs = []
    for together, group in groupby(range(len(keys)), lambda index: keys[index] in moved):
        indexes = list(group)
        if together:
            following = indexes[-1] + 1
            runs.append((starts[indexes[0]], starts[following] if following < len(keys) else ends[-1]))
    last = keys.index(moved[-1])
    return [*runs[:-1], (runs[-1][0], ends[last])]


def _indented(text: str, margin: str) -> str:
    return "\n".join(margin + line if line.strip("\r") else line for line in text.split("\n"))
