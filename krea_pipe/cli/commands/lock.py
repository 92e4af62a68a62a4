"""`krea-pipe check`, `accept` and `verify`: images that differ from the lock file."""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack, get_args

import click

from krea_pipe.app import flow, lock_files
from krea_pipe.app.pipeline_files import SUFFIXES
from krea_pipe.cli.cell_options import CellFlags, cell_options, lock_option, selection
from krea_pipe.cli.many_files import FileResult, exit_code_of_all, files_argument, refuse_one_folder, work_on
from krea_pipe.cli.options import FILE, combined, out_option, overrides
from krea_pipe.cli.tables import distance_words, print_table
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.planning.lock_check import LockState, Review

_MAX_ROWS = 40
DRAWN: dict[LockState, str] = {
    "accepted": "accepted",
    "changed": "differs from the accepted image",
    "new": "not in the lock file",
    "missing": "not generated",
}
ON_DISK: dict[LockState, str] = {
    "accepted": "as locked",
    "changed": "differs from the locked image",
    "new": "not in the lock file",
    "missing": "locked, but missing",
}


class _Flags(CellFlags):
    """Which cells are compared, and with which lock file."""

    lock: Path | None


_compare_options = combined(
    lock_option("The lock file; its name ends in .lock.jsonl.  [default: NAME.lock.jsonl beside FILE]"),
    cell_options,
)


def _run_options(flags: _Flags) -> flow.RunOptions:
    return flow.RunOptions(flags["max_cells"], selection=selection(flags), lock=flags["lock"])


@click.command()
@files_argument
@_compare_options
def check(files: tuple[Path, ...], *, as_json: bool, **flags: Unpack[_Flags]) -> int:
    """Compare the latest image of each cell of FILE with the lock file.

    FILE is a pipeline, a folder with pipelines, or a pattern; there can be several.

    Exit with 8 if an image is not accepted, or if a cell has no image to compare.

    A seed is best effort, so the same request can give a different image. The distance ranges from 0 (identical) to 1
    (black against white); below 0.01, two images look alike. `krea-pipe accept` accepts the latest images. Needs no
    network and no key.
    """
    return exit_code_of_all(work_on("check", files, lambda file: _checked(file, flags), as_json=as_json))


def _checked(file: Path, flags: _Flags) -> FileResult:
    found = lock_files.review_drawn(file, overrides(flags), _run_options(flags), os.environ)
    opened = [one for one in found.reviews if one.is_open]
    lacking = [one for one in found.reviews if one.state == "missing"]

    advice = []
    if lacking:
        cells = "1 cell has" if len(lacking) == 1 else f"{len(lacking):,} cells have"
        advice.append(f"{cells} no local image to compare. To generate the missing images: {_same_for('run')}")
    if opened:
        advice.append(f"To accept the latest images: {_same_for('accept')}")
    return FileResult(
        ExitCode.NOT_AS_LOCKED if opened or lacking else ExitCode.DONE,
        lambda: {"schema": "krea-pipe/check@1", "lock": str(found.lock), **_json(found.reviews)},
        lambda: _print(found, [*opened, *lacking], DRAWN),
        tuple(advice),
    )


def _same_for(command: str) -> str:
    """Another command with the file and the options of this one."""
    return shlex.join(["krea-pipe", command, *(word for word in sys.argv[1:] if word != "check")])


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="FILE... [CELL]...")
@_compare_options
def accept(words: tuple[str, ...], *, as_json: bool, **flags: Unpack[_Flags]) -> int:
    """Accept the latest images into the lock file of FILE: all that differ from it, or those of some cells.

    FILE is a pipeline, a folder with pipelines, or a pattern; there can be several. A CELL is an id or an expression
    as for -k. First review the images with `krea-pipe check` and `krea-pipe view`.
    """
    files, cells = _files_and_cells(words)
    options = _run_options({**flags, "select": (*flags["select"], *cells)})
    return exit_code_of_all(work_on("accept", files, lambda file: _accepted(file, flags, options), as_json=as_json))


def _files_and_cells(words: Sequence[str]) -> tuple[list[Path], Sequence[str]]:
    """The files, which come first, and the cells: a file has the suffix of a pipeline, or is a folder."""
    paths = [FILE.convert(word, None, None) for word in words]
    is_file = [not index or one.suffix.lower() in SUFFIXES or one.is_dir() for index, one in enumerate(paths)]
    count = is_file.index(False) if False in is_file else len(words)
    return paths[:count], words[count:]


def _accepted(file: Path, flags: _Flags, options: flow.RunOptions) -> FileResult:
    lock, taken = lock_files.accept_drawn(file, overrides(flags), options, os.environ)

    def show() -> None:
        for one in taken[:_MAX_ROWS]:
            click.echo(f"accepted {one}")
        if len(taken) > _MAX_ROWS:
            click.echo(f"… and {len(taken) - _MAX_ROWS} more")
        click.echo(f"{lock}: {len(taken)} accepted." if taken else f"{lock}: nothing to accept.")

    document: dict[str, object] = {"schema": "krea-pipe/accept@1", "lock": str(lock), "accepted": taken}
    return FileResult(ExitCode.DONE, lambda: document, show)


@click.command()
@files_argument
@out_option
@click.option(
    "--strict",
    is_flag=True,
    help="Also list the files in the output folder that krea-pipe delivered and that no cell produces any longer, and "
    "exit with 8 if there are any. `krea-pipe run --prune` removes them.",
)
@_compare_options
def verify(files: tuple[Path, ...], out: Path | None, *, strict: bool, as_json: bool, **flags: Unpack[_Flags]) -> int:
    """Compare the images in FILE's output folder with the lock file; exit with 8 if an image is missing or differs.

    FILE is a pipeline, a folder with pipelines, or a pattern; there can be several.

    The output folder is in the working folder, as for `krea-pipe run`. Images are compared by the bytes that
    Krea sent; the metadata that krea-pipe adds to a PNG is ignored. Needs no store, no network and no key.
    """
    refuse_one_folder(files, out)
    return exit_code_of_all(
        work_on("verify", files, lambda file: _verified(file, out, flags, strict=strict), as_json=as_json)
    )


def _verified(file: Path, out: Path | None, flags: _Flags, *, strict: bool) -> FileResult:
    found = lock_files.review_delivered(file, overrides(flags), _run_options(flags), out)
    wrong = [one for one in found.reviews if one.state != "accepted"]
    left = lock_files.stale_files_of(file, overrides(flags), _run_options(flags), out, os.environ) if strict else ()

    def show() -> None:
        _print(found, wrong, ON_DISK)
        if found.out is not None and any(one.state == "missing" for one in wrong):
            click.echo(f"Looked in {found.out.absolute()}; use --out for another folder.")
        _print_stale(found, left)

    head = {"schema": "krea-pipe/verify@1", "lock": str(found.lock), "out": str(found.out)}
    more = {"stale": list(left)} if strict else {}
    advice = (f"To remove what no cell produces: {_prune_command()}",) if left else ()
    code = ExitCode.NOT_AS_LOCKED if wrong or left else ExitCode.DONE
    return FileResult(code, lambda: {**head, **_json(found.reviews), **more}, show, advice)


def _print_stale(found: lock_files.Reviewed, left: Sequence[str]) -> None:
    """List the files that no cell produces."""
    for path in left[:_MAX_ROWS]:
        click.echo(f"no cell produces {(found.out or Path()) / path}")
    if len(left) > _MAX_ROWS:
        click.echo(f"… and {len(left) - _MAX_ROWS:,} more; --json lists them")


def _prune_command() -> str:
    """The run with the files and the options of this command that removes stale files."""
    words = [word for word in sys.argv[1:] if word not in ("verify", "--strict", "--json")]
    return shlex.join(["krea-pipe", "run", *words, "--prune"])


def _print(found: lock_files.Reviewed, opened: Sequence[Review], words: Mapping[LockState, str]) -> None:
    """Print the cells to review, most different first, and the number of cells of each kind."""
    if opened:
        most = sorted(opened, key=lambda one: -2.0 if one.distance is None else -one.distance)
        rows = [[distance_words(one.distance), one.id, words[one.state]] for one in most[:_MAX_ROWS]]
        print_table(["distance", "cell", "image"], rows, numbers=["distance"], long=["cell"])
    if len(opened) > _MAX_ROWS:
        click.echo(f"… and {len(opened) - _MAX_ROWS} more; --json lists them")
    counts = Counter(one.state for one in found.reviews)
    said = ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])
    click.echo(f"{found.lock}: {said}.")


def _json(found: Sequence[Review]) -> dict[str, object]:
    counts = Counter(one.state for one in found)
    cells = [
        {
            "id": one.id,
            "state": one.state,
            "locked_sha256": one.line and one.line.sha256,
            "sha256": one.sha256,
            "distance": one.distance,
        }
        for one in found
    ]
    return {"counts": {state: counts[state] for state in get_args(LockState)}, "cells": cells}
