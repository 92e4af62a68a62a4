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
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import (
    CellFlags,
    cell_options,
    combined,
    file_argument,
    lock_option,
    out_option,
    overrides,
    selection,
)
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
@file_argument
@_compare_options
def check(file: Path, *, as_json: bool, **flags: Unpack[_Flags]) -> int:
    """Compare the latest image of each cell of FILE with the lock file.

    Exit with 8 if an image is not accepted, or if a cell has no image to compare.

    A seed is best effort, so the same request can give a different image. The distance ranges from 0 (identical) to 1
    (black against white); below 0.01, two images look alike. `krea-pipe accept` accepts the latest images. Needs no
    network and no key.
    """
    found = lock_files.review_drawn(file, overrides(flags), _run_options(flags), os.environ)
    opened = [one for one in found.reviews if one.is_open]
    lacking = [one for one in found.reviews if one.state == "missing"]
    if as_json:
        print_json({"schema": "krea-pipe/check@1", "lock": str(found.lock), **_json(found.reviews)})
    else:
        _print(found, [*opened, *lacking], DRAWN)
        if lacking:
            cells = "1 cell has" if len(lacking) == 1 else f"{len(lacking):,} cells have"
            click.echo(f"{cells} no local image to compare. To generate the missing images: {_same_for('run')}")
        if opened:
            click.echo(f"To accept the latest images: {_same_for('accept')}")
    return ExitCode.NOT_AS_LOCKED if opened or lacking else 0


def _same_for(command: str) -> str:
    """Another command with the file and the options of this one."""
    return shlex.join(["krea-pipe", command, *(word for word in sys.argv[1:] if word != "check")])


@click.command()
@file_argument
@click.argument("cells", nargs=-1, metavar="[CELL]...")
@_compare_options
def accept(file: Path, cells: tuple[str, ...], *, as_json: bool, **flags: Unpack[_Flags]) -> int:
    """Accept the latest images into the lock file of FILE: all that differ from it, or those of some cells.

    A CELL is an id or an expression as for -k. First review the images with `krea-pipe check` and `krea-pipe view`.
    """
    options = _run_options({**flags, "select": (*flags["select"], *cells)})
    lock, taken = lock_files.accept_drawn(file, overrides(flags), options, os.environ)
    if as_json:
        print_json({"schema": "krea-pipe/accept@1", "lock": str(lock), "accepted": taken})
        return 0
    for one in taken[:_MAX_ROWS]:
        click.echo(f"accepted {one}")
    if len(taken) > _MAX_ROWS:
        click.echo(f"… and {len(taken) - _MAX_ROWS} more")
    click.echo(f"{lock}: {len(taken)} accepted." if taken else f"{lock}: nothing to accept.")
    return 0


@click.command()
@file_argument
@out_option
@_compare_options
def verify(file: Path, out: Path | None, *, as_json: bool, **flags: Unpack[_Flags]) -> int:
    """Compare the images in FILE's output folder with the lock file; exit with 8 if an image is missing or differs.

    The output folder is in the working folder, as for `krea-pipe run`. Images are compared by the bytes that
    Krea sent; the metadata that krea-pipe adds to a PNG is ignored. Needs no store, no network and no key.
    """
    found = lock_files.review_delivered(file, overrides(flags), _run_options(flags), out)
    wrong = [one for one in found.reviews if one.state != "accepted"]
    if as_json:
        head = {"schema": "krea-pipe/verify@1", "lock": str(found.lock), "out": str(found.out)}
        print_json({**head, **_json(found.reviews)})
    else:
        _print(found, wrong, ON_DISK)
        if found.out is not None and any(one.state == "missing" for one in wrong):
            click.echo(f"Looked in {found.out.absolute()}; use --out for another folder.")
    return ExitCode.NOT_AS_LOCKED if wrong else 0


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
