"""`krea-pipe explain`: where everything in one cell comes from, in words for a terminal of any width and as JSON."""

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Unpack

import click
from rich.console import Console

from krea_pipe.app import flow
from krea_pipe.app.lock_place import lock_of_run
from krea_pipe.app.workspace import open_workspace
from krea_pipe.cli.messages import as_one, place_json, print_json
from krea_pipe.cli.options import (
    OverFlags,
    file_argument,
    json_option,
    local_option,
    max_cells_option,
    over_options,
    overrides,
)
from krea_pipe.cli.plan_json import ACTIONS
from krea_pipe.cli.plan_text import COLUMNS
from krea_pipe.cli.streams import is_terminal
from krea_pipe.core.json_data import Json
from krea_pipe.core.money import exact
from krea_pipe.core.outcome import DIGEST
from krea_pipe.core.request import KEY_VERSION, ByDigest, ByKey, parse_source
from krea_pipe.core.word_diff import WordKind, WordPart, change_json
from krea_pipe.matrix.selecting import find_cell
from krea_pipe.pipeline.pricing import usd
from krea_pipe.pipeline.template import is_template
from krea_pipe.planning.change_reason import reason_parts
from krea_pipe.planning.explain import (
    Explanation,
    Ingredient,
    Last,
    Origin,
    PickedSource,
    Prompt,
    Traced,
    explain_cell,
)
from krea_pipe.planning.plan import Step, action_kind
from krea_pipe.store.home import open_other_homes

_MIN_VALUE_WIDTH = 24
MARGIN = "  "
TITLES = {"references": "Style references", "moodboards": "Moodboards", "styles": "Styles", "image": "Source image"}


@click.command()
@file_argument
@click.argument("cell")
@local_option
@over_options
@max_cells_option
@json_option
def explain(file: Path, cell: str, max_cells: int, *, local: bool, as_json: bool, **over: Unpack[OverFlags]) -> int:
    """Show where each value of a CELL of FILE comes from, how its key is computed, and what changed.

    CELL is an id, the end of an id, or a glob that matches exactly one id. Needs no network and no key.
    """
    above = overrides(over)
    loaded = flow.load_pipeline(file, above)
    workspace = open_workspace(os.environ, file, local=local, engine=loaded.pipeline.engine)
    lock = lock_of_run(file, None, above, frozen=False)
    options = flow.RunOptions(max_cells, lock=lock, homes=open_other_homes(os.environ, file))
    plan = flow.plan_run(loaded, workspace.space, workspace.target, options)
    found = find_cell((one for step in plan.steps for one in step.cells), cell, plan.waiting)
    explanation = explain_cell(loaded.pipeline, loaded.fingerprints, plan, found, workspace.space, above)
    if as_json:
        print_json(_json(explanation))
    else:
        console = Console()
        text = explanation_text(explanation, width=console.width if is_terminal(sys.stdout) else None, local=local)
        click.echo(text, color=False if os.environ.get("NO_COLOR") else None)
    return 0


def _json(one: Explanation) -> dict[str, object]:
    cell, step = one.cell, one.step
    return {
        "schema": "krea-pipe/explain@1",
        "cell": cell.id,
        "stage": cell.stage,
        "axes": dict(zip(cell.names, cell.axes, strict=True)),
        "out": cell.out,
        "action": ACTIONS[action_kind(step.action)],
        "reason": step.reason,
        **change_json(step.change),
        "price_usd": exact(step.price),
        "price_at": place_json(one.price_at),
        "same_request": list(one.shared),
        "fields": {traced.name: _traced_json(traced) for traced in one.fields},
        "prompt": {
            **_traced_json(one.prompt.template),
            "variables": {traced.name: _traced_json(traced) for traced in one.prompt.variables},
        },
        "ingredients": [
            {
                "kind": item.kind,
                "name": item.name or None,
                "label": item.label,
                "source": item.source,
                "at": place_json(item.at),
                "strength": _traced_json(item.strength),
            }
            for item in one.ingredients
        ],
        "upstream": _upstream_json(one),
        "key": {"sha256": step.key, "version": KEY_VERSION, "canonical": one.canonical},
        "last": _last_json(one.last, step.key) if one.last else None,
        "takes": list(one.takes),
    }


def _traced_json(traced: Traced) -> dict[str, object]:
    return {"value": traced.value, **_origin_json(traced.origin), "over": [_origin_json(one) for one in traced.over]}


def _origin_json(origin: Origin) -> dict[str, object]:
    return {"layer": origin.layer, "written": origin.written, "at": place_json(origin.at)}


def _upstream_json(one: Explanation) -> dict[str, object] | None:
    upstream = one.upstream
    if upstream is None:
        return None
    pick = upstream.pick
    picked = {"at": place_json(upstream.at), "stars": pick.stars, "note": pick.note} if pick else None
    return {"cell": upstream.id, "key": upstream.key, "pick": picked}


def _last_json(last: Last, key: str) -> dict[str, object]:
    return {
        "key": last.key,
        "is_this_request": last.key == key,
        "changes": last.changes or None,
        **change_json(last.change),
        "finished_at": last.result.finished_at,
        "job_id": last.result.job_id,
        "sha256": last.result.sha256,
    }


def explanation_text(one: Explanation, *, width: int | None, local: bool) -> str:
    """Everything about one cell; `width` is how many characters a line may have, None for any number."""
    sections = [
        [click.style(one.cell.id, bold=True), *_pairs(_facts(one, local=local), width)],
        [_title("Request"), *_rows(one.fields, width)],
        [_title("Prompt"), *_prompt(one.prompt, width)],
        *([_title(title), *_ingredients(one.ingredients, kind, width)] for kind, title in TITLES.items()),
        [_title("Generated for"), *(_pairs(_upstream(one.upstream), width) if one.upstream else ())],
        [_title("Key"), *_key(one, width)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if len(lines) > 1)


def _title(text: str) -> str:
    return click.style(text, bold=True)


def _facts(one: Explanation, *, local: bool) -> Iterator[tuple[str, str]]:
    step = one.step
    yield "image", f"{one.cell.out}, below the output folder"
    yield "price", "free with the local Krea" if local else _price_words(one)
    yield "plan", f"{COLUMNS[action_kind(step.action)]}: {_reason(step)}" if step.reason != "new" else "new"
    if one.shared:
        more = f" and {len(one.shared) - 1} more" if len(one.shared) > 1 else ""
        yield "shared", f"paid once, shared with {one.shared[0]}{more}: same request"
    if one.takes:
        yield "takes", f"seeds {', '.join(map(str, one.takes))}; `krea-pipe reroll` shows them, --take SEED takes one"
    yield "made", _drawn(one.last, step.key) if one.last else "never under this id"


def _price_words(one: Explanation) -> str:
    at = one.price_at
    return f"{usd(one.step.price)}, by {at}" if at else usd(one.step.price)


def _reason(step: Step) -> str:
    return _styled_words(reason_parts(step.reason, step.change))


def _drawn(last: Last, key: str) -> str:
    when = last.result.finished_at[:19].replace("T", " ")
    changes = _styled_words(reason_parts(last.changes, last.change)) or "the key version changed"
    since = "this same request" if last.key == key else f"since then: {changes}"
    return f"{when} UTC, job {last.result.job_id}; {since}"


def _prompt(prompt: Prompt, width: int | None) -> Iterator[str]:
    template = prompt.template
    yield from _pairs([("template", _words(template.origin))], width)
    if isinstance(template.origin.written, str):
        yield from _wrapped(template.origin.written, MARGIN * 2, width)
    for lower in template.over:
        yield from _pairs([("over", f"{_words(lower)}: {_shown(lower.written)}")], width, faint=True)
    if prompt.variables:
        yield f"{MARGIN}variables"
        yield from _rows(prompt.variables, width, MARGIN * 2)
    yield f"{MARGIN}result"
    yield from _wrapped(prompt.text, MARGIN * 2, width)


def _ingredients(found: Sequence[Ingredient], kind: str, width: int | None) -> Iterator[str]:
    """The things of a kind under what defines them, because images of one set share all but their bytes."""
    kept = [one for one in found if one.kind == kind]
    for (name, at, strength), group in groupby(kept, lambda one: (one.name, one.at, one.strength)):
        unnamed = "written inline" if at else "from the upstream request"
        yield from _wrapped(f"{name or unnamed}, {at}" if at else unnamed, MARGIN, width)
        yield from _stacked(strength, width, MARGIN * 2)
        for one in group:
            said = one.label if one.source == one.label else f"{one.label}, {_short(one.source)}"
            yield from _wrapped(said, MARGIN * 2, width)


def _short(text: str) -> str:
    """A text, or the start of a digest, which is enough to compare by eye."""
    match parse_source(text):
        case ByDigest(digest) | ByKey(digest) if DIGEST.fullmatch(digest):
            return f"{text.removesuffix(digest)}{digest[:12]}…"
    return text


def _upstream(one: PickedSource) -> Iterator[tuple[str, str]]:
    yield "cell", one.id
    yield "key", one.key
    if one.pick is not None:
        stars = f", {'★' * one.pick.stars}" if one.pick.stars else ""
        yield "picked", f"{one.at}{stars}"
        if one.pick.note:
            yield "note", one.pick.note


def _key(one: Explanation, width: int | None) -> Iterator[str]:
    yield f"{MARGIN}{one.step.key}"
    said = f"is the SHA-256 of key version {KEY_VERSION} and this request, as JSON with sorted keys and no spaces:"
    yield from _wrapped(said, MARGIN, width)
    request = sorted(one.cell.request.fields().items())
    for index, (name, value) in enumerate(request):
        comma = "," if index + 1 < len(request) else ""
        start = f"{MARGIN}{'{' if index == 0 else ' '}{json.dumps(name)}: "
        text = json.dumps(value, ensure_ascii=False, sort_keys=True)
        if isinstance(value, list):
            text = "[\n" + ",\n".join(f"{MARGIN}   {json.dumps(item, ensure_ascii=False)}" for item in value) + "]"
        yield f"{start}{text}{comma or '}'}"


def _rows(found: Iterable[Traced], width: int | None, margin: str = MARGIN) -> Iterator[str]:
    """Values with their layers and places, in columns where most of them fit, else below each other."""
    traced = list(found)
    rows = [row for one in traced for row in _columns(one)]
    sizes = [max(len(row[column]) for row in rows) for column in range(4)]
    if width is not None:
        capacity = width - len(margin) - 6 - sizes[0] - sizes[2] - sizes[3]
        fitting = [len(row[1]) for row in rows if len(row[1]) <= capacity]
        if 2 * len(fitting) < len(rows):
            for one in traced:
                yield from _stacked(one, width, margin)
            return
        sizes[1] = max(fitting)
    for row in rows:
        for line in _row(row, sizes, margin, width):
            yield line if row[0] else click.style(line, dim=True)


def _row(row: Sequence[str], sizes: Sequence[int], margin: str, width: int | None) -> Iterator[str]:
    """One row in columns; a value that is too long is on separate lines."""
    cells = list(row)
    if len(cells[1]) > sizes[1]:
        yield from _pairs([(cells[0].ljust(sizes[0]), cells[1])], width, margin)
        cells[:2] = "", ""
    yield margin + "  ".join(word.ljust(size) for word, size in zip(cells, sizes, strict=True)).rstrip()


def _columns(one: Traced) -> Iterator[tuple[str, str, str, str]]:
    yield one.name, _value(one), one.origin.layer, str(one.origin.at or "")
    for lower in one.over:
        yield "", f"over {_shown(lower.written)}", lower.layer, str(lower.at or "")


def _stacked(one: Traced, width: int | None, margin: str) -> Iterator[str]:
    yield from _wrapped(f"{one.name} = {_value(one)}", margin, width)
    yield from _wrapped(_words(one.origin), margin + MARGIN, width)
    for lower in one.over:
        yield from (click.style(line, dim=True) for line in _wrapped(_over(lower), margin + MARGIN, width))


def _value(one: Traced) -> str:
    """A value, and how it is written where that is a template."""
    written = f", as {one.origin.written}" if is_template(one.origin.written) else ""
    return f"{_short(_shown(one.value))}{written}"


def _over(lower: Origin) -> str:
    return f"over {_shown(lower.written)}, {_words(lower)}"


def _words(origin: Origin) -> str:
    return f"{origin.layer}, {origin.at}" if origin.at else origin.layer


def _shown(value: Json) -> str:
    """A value as people write it: names with commas, nothing as `none`."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case list() if all(isinstance(item, str | None) for item in value):
            return ", ".join("inline" if item is None else str(item) for item in value) or "none"
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
    return str(value)


def _pairs(
    pairs: Iterable[tuple[str, str]], width: int | None, margin: str = MARGIN, *, faint: bool = False
) -> Iterator[str]:
    """Aligned pairs of a name and a text; long texts continue on the next line."""
    found = list(pairs)
    size = max((len(name) for name, _ in found), default=0)
    for name, text in found:
        first, *rest = [*_wrapped(text, margin + " " * (size + 2), width)] or [margin]
        lines = [margin + name.ljust(size + 2) + first[len(margin) + size + 2 :], *rest]
        yield from (click.style(line, dim=True) for line in lines) if faint or not name else lines


def _wrapped(text: str, margin: str, width: int | None) -> Iterator[str]:
    """Text in lines that fit, ids and paths in one piece."""
    if width is None:
        yield margin + " ".join(text.split())
        return
    capacity = max(width, len(margin) + _MIN_VALUE_WIDTH)
    yield from textwrap.wrap(
        text, capacity, initial_indent=margin, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )


def _styled_words(parts: Iterable[WordPart]) -> str:
    """The parts of a change on one line: `wet [-slate-]{+oak+}`, in colours where click keeps them."""
    colours: dict[WordKind, str | None] = {"same": None, "removed": "red", "added": "green"}
    return "".join(click.style(as_one(part.marked), fg=colours[part.kind]) for part in parts if part.text)
