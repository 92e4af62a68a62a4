"""The options of lock files, and what commands say of them."""

from pathlib import Path
from typing import TypedDict

import click

from krea_pipe.app.run_pipeline import Finished
from krea_pipe.cli.options import FILE, F, Over
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.planning.lockfile import SUFFIX, lock_path


class Lock(TypedDict):
    """Which lock file, and whether only what it has may be drawn."""

    lock: Path | None
    frozen: bool


def _lock_name(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """By its name `gc` and git know a lock file, on any branch."""
    if value is not None and not value.name.endswith(SUFFIX):
        raise click.BadParameter(f"the name of a lock file ends in {SUFFIX}")
    return value


def lock_option(command: F) -> F:
    """The option that names another lock file."""
    text = "The lock file, a name in .lock.jsonl.  [default: NAME.lock.jsonl beside FILE]"
    return click.option("--lock", type=FILE, callback=_lock_name, help=text)(command)


def lock_options(command: F) -> F:
    """The options of a run that concern the lock file."""
    frozen = click.option(
        "--frozen",
        is_flag=True,
        help="Draw only what the lock file has, and leave it as it is: exit with 8, before anything is sent, when a "
        "cell is not in it, and after the run when an image is another one.",
    )
    lock = click.option(
        "--lock",
        type=FILE,
        callback=_lock_name,
        help="The lock file that a live run keeps, a name in .lock.jsonl.  [default: NAME.lock.jsonl beside FILE; none "
        "with --profile, --set or --vars, which change the cells]",
    )
    return lock(frozen(command))


def lock_of(file: Path, lock: Path | None, over: Over) -> Path:
    """The lock file that is meant.

    Raises:
        UsageError: the command line changes the cells, which then do not belong into that of the file.
    """
    if lock is None and _changes(over):
        message = "with --profile, --set or --vars the cells are not those of the file's own lock file"
        raise UsageError(Problem("needs_lock", message, hint="name the one that the run was given with --lock FILE"))
    return lock or lock_path(file)


def run_lock(file: Path, how: Lock, over: Over) -> Path | None:
    """The lock file of a run: cells that the command line changes do not belong into that of the file."""
    return how["lock"] if how["lock"] or (_changes(over) and not how["frozen"]) else lock_path(file)


def _changes(over: Over) -> bool:
    return bool(over["profiles"] or over["sets"] or over["var_files"])


def lock_words(finished: Finished) -> list[str]:
    """What a run has to say of its lock file."""
    found = finished.kept
    if found is None:
        return []
    words = [f"lock    {found.lock.file}"] if found.changes else []
    if found.drifted:
        what = "1 image is not the one" if len(found.drifted) == 1 else f"{len(found.drifted)} images are not those"
        look = f"krea-pipe check {finished.report.pipeline.file}"
        words.append(f"{what} in {found.lock.file.name}; how far off: {look}")
    return words


def lock_json(finished: Finished) -> dict[str, object] | None:
    """The same for programs."""
    found = finished.kept
    if found is None:
        return None
    return {"file": str(found.lock.file), "changes": found.changes, "drifted": list(found.drifted)}
