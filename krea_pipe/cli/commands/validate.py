"""`krea-pipe validate`: read pipeline files and say what is wrong with them."""

import os
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow
from krea_pipe.cli.messages import print_json, print_problems, problem_json
from krea_pipe.cli.options import FILE, Over, json_option, max_cells_option, over_options, overrides
from krea_pipe.core.errors import InvalidInput, Place, Problem, UsageError
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.pipeline.staged import Candidate, Index, find_pipelines, inputs_of, may_be_read, read_index
from krea_pipe.report.model import seen_from


@dataclass(frozen=True, slots=True)
class _Checked:
    file: Path
    cells: int
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    inputs: frozenset[Path] = frozenset()


@click.command()
@click.argument("files", nargs=-1, metavar="FILE...", type=FILE)
@click.option(
    "--staged",
    is_flag=True,
    help="Check what a commit is about: staged pipelines, and those that read a staged or deleted file; "
    "all of the repository when nothing is staged. FILE is then a folder or file to look for pipelines in.",
)
@over_options
@max_cells_option
@json_option
def validate(files: tuple[Path, ...], max_cells: int, *, staged: bool, as_json: bool, **over: Unpack[Over]) -> int:
    """Check pipeline files.

    Reads each FILE and the images that it names, makes every request, and reports all problems at once, each as
    file:line:column. Needs no network and no key.
    """
    if not files and not staged:
        raise click.UsageError("Missing argument 'FILE...'.")
    said = overrides(over)
    checked = list(_staged(files, said, max_cells) if staged else (_check(file, said, max_cells) for file in files))
    if as_json:
        print_json({"schema": "krea-pipe/validate@1", "files": [_json(one) for one in checked]})
    else:
        for one in checked:
            _print(one)
    return 2 if any(one.problems for one in checked) else 0


def _staged(folders: Sequence[Path], over: Overrides, max_cells: int) -> Iterator[_Checked]:
    """Check the pipelines that a commit is about; what is valid and has nothing to do with it is passed over."""
    index = read_index(Path.cwd(), os.environ)
    _check_folders(folders, index)
    pipelines = [one for one in find_pipelines(index) if _is_in(one.file, folders)]
    others = index.staged - {one.name for one in pipelines}
    variables = {file.resolve() for file in over.var_files}
    everywhere = not index.staged or any((index.top / name).resolve() in variables for name in others)
    reaches_others = everywhere or any(may_be_read(name, pipelines) for name in others)
    for one in pipelines:
        if one.name in index.staged or reaches_others:
            checked = _without(_check(Path(seen_from(Path.cwd(), one.file)), over, max_cells), index)
            if everywhere or checked.problems or one.name in index.staged or _reads(one, checked, others, index):
                yield checked


def _without(checked: _Checked, index: Index) -> _Checked:
    """What was found, and each file that the pipeline reads and the commit removes, though it still lies there."""
    gone = [name for name in sorted(index.deleted) if (index.top / name).resolve() in checked.inputs]
    if not gone:
        return checked
    hint = f"keep it, or take it out of {checked.file}"
    problems = [
        Problem("reference_missing", f"{name} is deleted by this commit", Place(checked.file, 1, 1), hint)
        for name in gone
    ]
    return replace(checked, problems=(*checked.problems, *problems))


def _check_folders(folders: Sequence[Path], index: Index) -> None:
    """Refuse what is neither there nor known to git: a slip of the pen would turn the check off."""
    known = [index.top / name for name in (*index.yaml_names, *index.staged)]
    for folder in folders:
        if not os.path.exists(folder) and not any(  # noqa: PTH110 (Path raises when a name is too long)
            one.is_relative_to(folder.resolve()) for one in known
        ):
            raise UsageError(Problem("no_such_file", f"there is no {folder} here", hint="name a folder or a file"))


def _is_in(file: Path, folders: Sequence[Path]) -> bool:
    return not folders or any(file.resolve().is_relative_to(folder.resolve()) for folder in folders)


def _reads(pipeline: Candidate, checked: _Checked, names: Set[str], index: Index) -> bool:
    """Whether a pipeline reads one of these files, or would if it were there."""
    return any(pipeline.names(name) or (index.top / name).resolve() in checked.inputs for name in names)


def _check(file: Path, over: Overrides, max_cells: int) -> _Checked:
    try:
        loaded = flow.load(file, over)
        count = sum(1 for _ in flow.cells(loaded, max_cells=max_cells))
    except InvalidInput as error:
        return _Checked(file, 0, error.problems)
    inputs = frozenset(inputs_of(loaded.pipeline, loaded.fingerprints))
    return _Checked(file, count, warnings=loaded.warnings, inputs=inputs)


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
