"""`krea-pipe explain`: where everything in one cell comes from."""

import os
import sys
from pathlib import Path
from typing import Unpack

import click
from rich.console import Console

from krea_pipe.app import flow
from krea_pipe.cli.colour import is_terminal
from krea_pipe.cli.commands.plan import ACTIONS
from krea_pipe.cli.explanation import explanation_text
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import (
    Over,
    file_argument,
    json_option,
    local_option,
    max_cells_option,
    over_options,
    overrides,
)
from krea_pipe.core.errors import Place
from krea_pipe.core.request import KEY_VERSION
from krea_pipe.core.settings import LOCAL, live_target
from krea_pipe.matrix.selecting import find_cell
from krea_pipe.pipeline.pricing import exact
from krea_pipe.planning.explain import Explanation, Last, Origin, Traced, explain_cell
from krea_pipe.store.home import open_home
from krea_pipe.store.space import open_space


@click.command()
@file_argument
@click.argument("cell")
@local_option
@over_options
@max_cells_option
@json_option
def explain(file: Path, cell: str, max_cells: int, *, local: bool, as_json: bool, **over: Unpack[Over]) -> int:
    """Show where each value of one CELL of FILE comes from, what its key is made of, and what changed.

    CELL is an id, the end of one, or a glob that one id alone fits. Needs no network and no key.
    """
    above = overrides(over)
    loaded = flow.load(file, above)
    target = LOCAL if local else live_target(os.environ)
    space = open_space(open_home(os.environ, file), target.space)
    plan = flow.plan(loaded, space, target, flow.RunOptions(max_cells))
    found = find_cell((one for step in plan.steps for one in step.cells), cell, plan.waiting)
    explanation = explain_cell(loaded.pipeline, loaded.fingerprints, plan, found, space, above)
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
        "action": ACTIONS[type(step.action)],
        "reason": step.reason,
        "price_usd": exact(step.price),
        "same_request": list(one.shared),
        "fields": {traced.name: _traced(traced) for traced in one.fields},
        "prompt": {
            **_traced(one.prompt.template),
            "variables": {traced.name: _traced(traced) for traced in one.prompt.variables},
        },
        "ingredients": [
            {
                "kind": item.kind,
                "name": item.name or None,
                "label": item.label,
                "source": item.source,
                "at": _place(item.at),
                "strength": _traced(item.strength),
            }
            for item in one.ingredients
        ],
        "upstream": _upstream(one),
        "key": {"sha256": step.key, "version": KEY_VERSION, "canonical": one.canonical},
        "last": _last(one.last, step.key) if one.last else None,
    }


def _traced(traced: Traced) -> dict[str, object]:
    return {"value": traced.value, **_origin(traced.origin), "over": [_origin(one) for one in traced.over]}


def _origin(origin: Origin) -> dict[str, object]:
    return {"layer": origin.layer, "written": origin.written, "at": _place(origin.at)}


def _place(at: Place | None) -> dict[str, object] | None:
    return {"file": str(at.path), "line": at.line, "column": at.column} if at else None


def _upstream(one: Explanation) -> dict[str, object] | None:
    upstream = one.upstream
    if upstream is None:
        return None
    pick = upstream.pick
    picked = {"at": _place(upstream.at), "stars": pick.stars, "note": pick.note} if pick else None
    return {"cell": upstream.id, "key": upstream.key, "pick": picked}


def _last(last: Last, key: str) -> dict[str, object]:
    return {
        "key": last.key,
        "is_this_request": last.key == key,
        "changes": last.changes or None,
        "finished_at": last.result.finished_at,
        "job_id": last.result.job_id,
        "sha256": last.result.sha256,
    }
