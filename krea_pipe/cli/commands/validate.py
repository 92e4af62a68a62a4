"""`krea-pipe validate`: read pipeline files and say what is wrong with them."""

from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app.pipeline_files import is_one_file, pipeline_files
from krea_pipe.app.validation import Checked, check_file
from krea_pipe.cli.messages import print_json, print_problems, problem_json
from krea_pipe.cli.options import FILE, OverFlags, json_option, max_cells_option, over_options, overrides
from krea_pipe.core.exit_codes import ExitCode


@click.command()
@click.argument("files", nargs=-1, metavar="FILE...", type=FILE)
@click.option(
    "--staged",
    is_flag=True,
    help="Check what a commit affects: staged pipelines, and those that read a staged or deleted file; every "
    "pipeline of the repository if nothing is staged. FILE then limits the search to a folder or file.",
)
@over_options
@max_cells_option
@json_option
def validate(files: tuple[Path, ...], max_cells: int, *, staged: bool, as_json: bool, **over: Unpack[OverFlags]) -> int:
    """Check pipeline files.

    FILE is a pipeline, a folder with pipelines, or a pattern. Reads each FILE and its images, builds every request, and
    reports all problems at once, each as file:line:column. Needs no network and no key.
    """
    if not files and not staged:
        raise click.UsageError("Missing argument 'FILE...'.")
    said = overrides(over)
    if staged:
        from krea_pipe.app.staged_files import check_staged  # noqa: PLC0415

        checked = list(check_staged(files, said, max_cells))
    else:
        named = files if is_one_file(files) else pipeline_files(files, with_libraries=True)
        checked = [check_file(file, said, max_cells) for file in named]
    if as_json:
        print_json({"schema": "krea-pipe/validate@1", "files": [_json(one) for one in checked]})
    else:
        for one in checked:
            _print(one)
    return ExitCode.INVALID if any(one.problems for one in checked) else ExitCode.DONE


def _print(checked: Checked) -> None:
    print_problems(checked.problems)
    print_problems(checked.warnings, kind="warning")
    if checked.is_skipped:
        click.echo(f"{checked.file}: skipped, because it is not a pipeline")
    elif checked.is_library:
        click.echo(f"{checked.file}: valid, definitions for other files")
    elif not checked.problems:
        click.echo(f"{checked.file}: valid, {checked.cells:,} image{'' if checked.cells == 1 else 's'}")


def _json(checked: Checked) -> dict[str, object]:
    return {
        "file": str(checked.file),
        "valid": not checked.problems and not checked.is_skipped,
        "skipped": checked.is_skipped,
        "library": checked.is_library,
        "cells": checked.cells,
        "problems": [problem_json(one) for one in checked.problems],
        "warnings": [problem_json(one) for one in checked.warnings],
    }
