"""A file whose one stage stands at its top level, written with `stages:` instead: the same cells, other lines."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, Place, Problem, UsageError
from krea_pipe.core.fields import LISTS, STAGE_KEYS
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.editing.yaml_entry import flow_text
from krea_pipe.pipeline.editing.yaml_spans import Change, Layout, says, split_mark
from krea_pipe.pipeline.nodes import build_nodes
from krea_pipe.pipeline.template import slug


def only_stage(data: dict[str, Json], file: Path) -> str:
    """The name of the one stage of a file in shorthand."""
    return str(data.get("name") or slug(file.stem) or "pipeline")


def with_stages(text: str, file: Path) -> str:
    """The text of a file in shorthand with its stage below `stages:`, each line as it was, but indented.

    Cells keep their ids, requests and paths. A file without `out:` is refused, because the path of an image is its
    cell's id, and begins with the stage's name only below `stages:`.

    Raises:
        UsageError: the file is not in shorthand, has no `out:`, or cannot be rewritten safely.
        InvalidInput: the text is not YAML.
    """
    mark, body = split_mark(text)
    data = build_nodes(file, body).data
    if not isinstance(data, dict):
        raise InvalidInput(Problem("wrong_type", "a pipeline file is a mapping", Place(file, 1, 1)))
    name, moved = only_stage(data, file), _stage_keys(data)
    if "out" not in moved:
        message = f"{file.name} has no `stages:`, and without `out:` its images would move to {name}/ with it"
        raise _refusal(message, name, moved, file, "write `out:`, or let them move")
    if _stage_keys_of_profiles(data):
        message = f"{file.name} has no `stages:`, and its profiles change the one stage at the top level"
        raise _refusal(message, name, moved, file, "change the profiles too")
    new = _rewritten(Layout(body), name, moved)
    wanted = {key: value for key, value in data.items() if key not in moved}
    if not says(new, file, {**wanted, "stages": {name: {key: data[key] for key in moved}}}):
        raise _refusal("the file cannot be edited safely", name, moved, file)
    return mark + new


def _stage_keys(data: dict[str, Json]) -> list[str]:
    """What belongs to the one stage, in the order of the file."""
    return [key for key, value in data.items() if key in STAGE_KEYS or (key in LISTS and isinstance(value, list))]


def _stage_keys_of_profiles(data: dict[str, Json]) -> bool:
    profiles = data.get("profiles")
    found = profiles.values() if isinstance(profiles, dict) else ()
    return any(_stage_keys(profile) for profile in found if isinstance(profile, dict))


def _refusal(message: str, name: str, moved: Sequence[str], file: Path, first: str = "") -> UsageError:
    lines = ["stages:", f"  {flow_text(name)}:", *(f"    {key}: …" for key in moved)]
    hint = "\n".join([f"{first}{'; ' * bool(first)}write the stage below `stages:` by hand:", *lines])
    return UsageError(Problem("unsafe_edit", message, Place(file, 1, 1), hint))


def _rewritten(layout: Layout, name: str, moved: Sequence[str]) -> str:
    """The text with all that is moved where the last of it stands."""
    if layout.root.kind != "block":
        return layout.text
    column, step = layout.indent(layout.root), layout.step
    margin = " " * (2 * step)
    runs = _runs(layout, moved)
    gathered = "".join(_indented(layout.text[start:end], margin) for start, end in runs)
    header = [" " * column + "stages:", " " * (column + step) + f"{flow_text(name)}:", ""]
    changes: list[Change] = [(start, end, "") for start, end in runs[:-1]]
    return layout.changed([*changes, (*runs[-1], layout.newline.join(header) + gathered)])


def _runs(layout: Layout, moved: Sequence[str]) -> list[tuple[int, int]]:
    """The spans of lines that are moved: keys that follow each other, with the comments above and below them."""
    keys = list(layout.root.keys)
    column = layout.indent(layout.root)
    ends = [layout.below(layout.root.children[key].end, column) for key in keys]
    # What stands above the first key is about the file.
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
