"""The options that several commands share, and the types of their values."""

import math
import os
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import click

from krea_pipe.matrix.matrix import MAX_CELLS
from krea_pipe.matrix.selection import Selection, parse_selection
from krea_pipe.pipeline.spec import Overrides

MOST = 1_000_000_000
DAY = 24 * 60 * 60

F = TypeVar("F", bound=Callable[..., Any])


class Money(click.ParamType[Decimal]):
    """An amount in US dollars."""

    name = "USD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Turn `3`, `0.50` or `$2` into a Decimal."""
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount in US dollars", param, ctx)
        if not amount.is_finite() or not 0 <= amount <= MOST:
            self.fail(f"{value!r} is not an amount that can be spent", param, ctx)
        return amount


class Number(click.FloatRange):
    """A finite number in a range: click lets `nan` pass every range, and `inf` one without an upper end."""

    name = "number"

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read what the user wrote, or take the default."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


FILE = click.Path(path_type=Path)

file_argument = click.argument("file", type=FILE)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else on stdout.")
seconds_option = click.option(
    "--seconds",
    type=Number(0, DAY),
    metavar="SECONDS",
    help="Stop after this time.  [default: never]",
)
max_cells_option = click.option(
    "--max-cells",
    type=click.IntRange(min=1),
    default=MAX_CELLS,
    show_default=True,
    help="Refuse a matrix with more cells.",
)
local_option = click.option(
    "--local", is_flag=True, help="Use the local Krea: it draws proofs, needs no key and spends nothing."
)
out_option = click.option(
    "--out",
    type=FILE,
    help="The folder for images.  [default: out/NAME, or proofs/NAME with --local]",
)


def out_folder(out: Path | None, name: str, *, local: bool) -> Path:
    """Where images go: proofs have a folder of their own, so that they never mix with real images."""
    return out if out is not None else Path("proofs" if local else "out") / name


class Over(TypedDict):
    """What the command line says over a file."""

    profiles: tuple[str, ...]
    sets: tuple[str, ...]
    var_files: tuple[Path, ...]


class Chosen(TypedDict):
    """Which cells of a file are meant."""

    select: tuple[str, ...]
    exclude: tuple[str, ...]
    only_failed: bool


def over_options(command: F) -> F:
    """The options that change a file without editing it."""
    profile = click.option(
        "--profile",
        "profiles",
        multiple=True,
        metavar="NAME",
        help="Merge this profile of the file's `profiles:` over it.",
    )
    sets = click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="PATH=VALUE",
        help="Set a value of the file, as in budget.usd=3, or a request field of every cell, as in variant=large.",
    )
    files = click.option("--vars", "var_files", multiple=True, type=FILE, help="Merge this YAML file over `vars:`.")
    return profile(sets(files(command)))


def select_options(command: F) -> F:
    """The options that choose cells."""
    select = click.option(
        "-k",
        "--select",
        multiple=True,
        metavar="EXPR",
        help="Only these cells: a part of the id, stage:NAME, axis=value, status:failed; with and, or, not, *.",
    )
    exclude = click.option("--exclude", multiple=True, metavar="EXPR", help="Not these cells.")
    failed = click.option("--only-failed", is_flag=True, help="Only cells that failed, as -k status:failed.")
    return select(exclude(failed(command)))


def overrides(over: Over) -> Overrides:
    """The options of `over_options` as a value; the environment is for what the file declares."""
    return Overrides(over["profiles"], over["sets"], over["var_files"], os.environ)


def selection(chosen: Chosen) -> Selection:
    """The options of `select_options` as a value.

    Raises:
        UsageError: an expression cannot be read.
    """
    return parse_selection(chosen["select"], chosen["exclude"], only_failed=chosen["only_failed"])
