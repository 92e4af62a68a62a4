"""Checking the pipeline files that a commit affects."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from krea_pipe.app.validation import Checked, check_file
from krea_pipe.core.errors import Problem, UsageError, whole_file
from krea_pipe.core.relative_path import seen_from
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.pipeline.staged import Candidate, Index, find_pipelines, may_be_read, read_index


def check_staged(folders: Sequence[Path], overrides: Overrides, max_cells: int) -> Iterator[Checked]:
    """Check the pipelines that a commit affects.

    Args:
        folders: folders and files in which pipelines are searched for; none means the whole repository.
        overrides: settings that override each file; its environment is also for git.
        max_cells: refuse a matrix with more cells.

    Yields:
        What was found in each of them, one after another.

    Raises:
        UsageError: there is no repository here, or nothing of a name.
    """
    index = read_index(Path.cwd(), overrides.environment)
    _check_folders(folders, index)
    pipelines = [one for one in find_pipelines(index) if _is_in(one.file, folders)]
    others = index.staged - {one.name for one in pipelines}
    variables = {file.resolve() for file in overrides.var_files}
    everywhere = not index.staged or any((index.top / name).resolve() in variables for name in others)
    reaches_others = everywhere or any(may_be_read(name, pipelines) for name in index.staged)
    for one in pipelines:
        if one.name in index.staged or reaches_others:
            checked = _without(check_file(Path(seen_from(Path.cwd(), one.file)), overrides, max_cells), index)
            if everywhere or checked.problems or one.name in index.staged or _reads(one, checked, index):
                yield checked
    for name in sorted(others & set(index.yaml_names)):
        file = index.top / name
        if _is_in(file, folders) and file.resolve() not in variables and not any(one.names(name) for one in pipelines):
            yield Checked(Path(seen_from(Path.cwd(), file)), 0, is_skipped=True)


def _without(checked: Checked, index: Index) -> Checked:
    """The result, and each file that the pipeline reads and the commit removes, even if it is still on disk."""
    gone = [name for name in sorted(index.deleted) if (index.top / name).resolve() in checked.inputs]
    if not gone:
        return checked
    hint = f"keep it, or remove it from {checked.file}"
    problems = [
        Problem("reference_missing", f"{name} is deleted by this commit", whole_file(checked.file), hint)
        for name in gone
    ]
    return replace(checked, problems=(*checked.problems, *problems))


def _check_folders(folders: Sequence[Path], index: Index) -> None:
    """Refuse a path that neither exists nor is known to git: a typo would turn the check off."""
    known = [index.top / name for name in (*index.yaml_names, *index.staged)]
    for folder in folders:
        if not os.path.exists(folder) and not any(  # noqa: PTH110 (Path raises when a name is too long)
            one.is_relative_to(folder.resolve()) for one in known
        ):
            raise UsageError(Problem("no_such_file", f"{folder} does not exist", hint="specify a folder or a file"))


def _is_in(file: Path, folders: Sequence[Path]) -> bool:
    return not folders or any(file.resolve().is_relative_to(folder.resolve()) for folder in folders)


def _reads(pipeline: Candidate, checked: Checked, index: Index) -> bool:
    """Whether a pipeline reads one of the staged files, or would if it were there."""
    return any(pipeline.names(name) or (index.top / name).resolve() in checked.inputs for name in index.staged)
