"""`krea-pipe expand`: the request matrix."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import expansion
from krea_pipe.app.reading import load_pipeline
from krea_pipe.cli.cell_options import CellFlags, cell_options, selection
from krea_pipe.cli.messages import print_json, print_lines, print_problems
from krea_pipe.cli.options import file_argument, overrides
from krea_pipe.cli.tables import print_table
from krea_pipe.core.errors import Problem
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.matrix_parts import CellText

_MAX_ROWS = 200


@click.command()
@file_argument
@click.option("--jsonl", is_flag=True, help="Print the requests as JSON Lines, streamed.")
@cell_options
def expand(file: Path, *, jsonl: bool, as_json: bool, **flags: Unpack[CellFlags]) -> int:
    """List every request that FILE makes, in order.

    Needs no network and no key. A table shows the first 200; --jsonl streams them all.
    """
    loaded = load_pipeline(file, overrides(flags))
    max_cells, chosen = flags["max_cells"], selection(flags)
    if jsonl:
        print_lines(map(_line, expansion.texts(loaded, max_cells=max_cells, selection=chosen)))
        return 0
    warnings = list[Problem]()
    found = expansion.cells(loaded, max_cells=max_cells, selection=chosen, warnings=warnings)
    if as_json:
        rows = [_row(cell, key) for cell, key in found]
        print_json({"schema": "krea-pipe/expand@1", "pipeline": loaded.pipeline.name, "cells": rows})
    else:
        print_problems(loaded.warnings, kind="warning")
        _print_table(found)
        print_problems(warnings, kind="warning")
    return 0


def _line(cell: CellText) -> str:
    """A row as JSON; the axes and the request are JSON already."""
    identity, stage, axes, out, key, request = cell
    head = f'"id":{_word(identity)},"stage":{_word(stage)},"axes":{axes},"out":{_word(out)}'
    return f'{{{head},"key":"{key}","request":{request}}}'


_word = json.encoder.encode_basestring


def _row(cell: Cell, key: Key) -> dict[str, object]:
    return {
        "id": cell.id,
        "stage": cell.stage,
        "axes": dict(zip(cell.names, cell.axes, strict=True)),
        "out": cell.out,
        "key": key,
        "request": cell.request.fields(),
    }


def _print_table(found: Iterator[tuple[Cell, Key]]) -> None:
    columns = ["cell", "variant", "ratio", "creativity", "seed", "refs", "prompt"]
    rows = [_columns(cell) for cell, _ in itertools.islice(found, _MAX_ROWS)]
    print_table(columns, rows, numbers=["seed", "refs"], long=["cell", "prompt"])
    rest = sum(1 for _ in found)
    if rest:
        click.echo(f"… and {rest:,} more; --jsonl prints them all")


def _columns(cell: Cell) -> list[str]:
    request = cell.request
    seed = "" if request.seed is None else str(request.seed)
    refs = str(len(request.references) or "")
    return [cell.id, request.variant, request.aspect_ratio, request.creativity, seed, refs, request.prompt]
