"""`krea-pipe expand`: the request matrix."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import click

from krea_pipe import flow
from krea_pipe.cli.messages import print_json, print_json_line, print_problems
from krea_pipe.cli.options import file_argument, json_option, max_cells_option
from krea_pipe.cli.tables import print_table
from krea_pipe.matrix import Cell
from krea_pipe.request import Key

SHOWN = 200


@click.command()
@file_argument
@click.option("--jsonl", is_flag=True, help="Print one request a line as JSON, streamed.")
@max_cells_option
@json_option
def expand(file: Path, max_cells: int, *, jsonl: bool, as_json: bool) -> int:
    """Show every request that FILE makes, in order.

    Needs no network and no key. A table shows the first 200; --jsonl streams them all.
    """
    loaded = flow.load(file)
    found = flow.cells(loaded, max_cells=max_cells)
    axes = {stage.name: [axis.name for axis in stage.axes] for stage in loaded.pipeline.stages}
    rows = (_row(cell, key, axes[cell.stage]) for cell, key in found)
    if jsonl:
        for row in rows:
            print_json_line(row)
    elif as_json:
        print_json({"schema": "krea-pipe/expand@1", "pipeline": loaded.pipeline.name, "cells": list(rows)})
    else:
        print_problems(loaded.warnings, kind="warning")
        _print_table(found)
    return 0


def _row(cell: Cell, key: Key, axes: list[str]) -> dict[str, object]:
    return {
        "id": cell.id,
        "stage": cell.stage,
        "axes": dict(zip(axes, cell.axes, strict=True)),
        "out": cell.out,
        "key": key,
        "request": cell.request.fields(),
    }


def _print_table(found: Iterator[tuple[Cell, Key]]) -> None:
    columns = ["cell", "variant", "ratio", "creativity", "seed", "refs", "prompt"]
    rows = [_columns(cell) for cell, _ in itertools.islice(found, SHOWN)]
    print_table(columns, rows, numbers=["seed", "refs"], long=["cell", "prompt"])
    rest = sum(1 for _ in found)
    if rest:
        click.echo(f"… and {rest:,} more; --jsonl prints them all")


def _columns(cell: Cell) -> list[str]:
    request = cell.request
    seed = "" if request.seed is None else str(request.seed)
    refs = str(len(request.references) or "")
    return [cell.id, request.variant, request.aspect_ratio, request.creativity, seed, refs, request.prompt]
