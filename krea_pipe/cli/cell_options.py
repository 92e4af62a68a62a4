"""The options that say which cells of a file are meant, and with which lock file they are compared."""

import os
from pathlib import Path
from typing import TypedDict

import click

from krea_pipe.cli.options import (
    FILE,
    Decorator,
    OverFlags,
    combined,
    json_option,
    max_cells_option,
    over_options,
)
from krea_pipe.matrix.selection import Selection, parse_selection
from krea_pipe.matrix.sharding import Shard, parse_shard
from krea_pipe.planning.lockfile import SUFFIX

shard_option = click.option(
    "--shard",
    metavar="NUMBER/TOTAL",
    help="Only the cells of one shard, as in 2/8. `auto` reads it from the variables of GitLab, SLURM or "
    "Kubernetes, or from KREA_PIPE_SHARD_INDEX (counted from 0) and KREA_PIPE_SHARDS; auto/8 also sets the number "
    "of shards.",
)


class SelectFlags(TypedDict):
    """Which cells of a file are meant."""

    select: tuple[str, ...]
    exclude: tuple[str, ...]
    only_failed: bool


class CellFlags(OverFlags, SelectFlags):
    """The overrides of the command line, the selected cells, and the maximum number of cells."""

    max_cells: int


select_options = combined(
    click.option(
        "-k",
        "--select",
        multiple=True,
        metavar="EXPR",
        help="Select cells by part of the id, stage:NAME, axis=value, check:NAME or status:failed; combine with and, "
        "or, not, *.",
    ),
    click.option("--exclude", multiple=True, metavar="EXPR", help="Leave out these cells; same syntax as -k."),
    click.option("--only-failed", is_flag=True, help="Select only failed cells; same as -k status:failed."),
)
cell_options = combined(over_options, select_options, max_cells_option, json_option)


def lock_option(text: str) -> Decorator:
    """The option that names another lock file; the text is for `--help`."""
    return click.option("--lock", type=FILE, callback=_lock_name, help=text)


def _lock_name(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """By its name `gc` and git know a lock file, on any branch."""
    if value is not None and not value.name.endswith(SUFFIX):
        raise click.BadParameter(f"the name of a lock file must end in {SUFFIX}")
    return value


def selection(flags: SelectFlags) -> Selection:
    """The options of `select_options` as a value.

    Raises:
        UsageError: an expression cannot be read.
    """
    return parse_selection(flags["select"], flags["exclude"], only_failed=flags["only_failed"])


def shard(text: str | None) -> Shard | None:
    """The option `--shard` as a value; the environment says which job of a CI or a cluster this is.

    Raises:
        UsageError: it names no shard.
    """
    return None if text is None else parse_shard(text, os.environ)
