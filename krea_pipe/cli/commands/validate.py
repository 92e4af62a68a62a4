"""`krea-pipe validate`: read pipeline files and say what is wrong with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from krea_pipe import flow
from krea_pipe.cli.messages import print_json, print_problems, problem_json
from krea_pipe.cli.options import FILE, Over, json_option, max_cells_option, over_options, overrides
from krea_pipe.errors import InvalidInput, Problem
from krea_pipe.spec import Overrides


@dataclass(frozen=True, slots=True)
class _Checked:
    file: Path
    cells: int
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=FILE)
@over_options
@max_cells_option
@json_option
def validate(files: tuple[Path, ...], max_cells: int, *, as_json: bool, **over: Unpack[Over]) -> int:
    """Check pipeline files.

    Reads each FILE and the images that it names, makes every request, and reports all problems at once, each as
    file:line:column. Needs no network and no key.
    """
    checked = [_check(file, overrides(over), max_cells) for file in files]
    if as_json:
        print_json({"schema": "krea-pipe/validate@1", "files": [_json(one) for one in checked]})
    else:
        for one in checked:
            _print(one)
    return 2 if any(one.problems for one in checked) else 0


def _check(file: Path, over: Overrides, max_cells: int) -> _Checked:
    try:
        loaded = flow.load(file, over)
        count = sum(1 for _ in flow.cells(loaded, max_cells=max_cells))
    except InvalidInput as error:
        return _Checked(file, 0, error.problems)
    return _Checked(file, count, warnings=loaded.warnings)


def _print(checked: _Checked) -> None:
    print_problems(checked.problems)
    print_problems(checked.warnings, kind="warning")
    if not checked.problems:
        click.echo(f"{checked.file}: valid, {checked.cells:,} image{'' if checked.cells == 1 else 's'}")


def _json(checked: _Checked) -> dict[str, object]:
    return {
        "file": str(checked.file),
        "valid": not checked.problems,
        "cells": checked.cells,
        "problems": [problem_json(one) for one in checked.problems],
        "warnings": [problem_json(one) for one in checked.warnings],
    }
