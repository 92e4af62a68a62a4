"""The options that several commands share, and the types of their values."""

import math
import os
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, TypeVar

import click

from krea_pipe.core.errors import UsageError
from krea_pipe.core.user_paths import expanded_path
from krea_pipe.matrix.matrix import MAX_CELLS
from krea_pipe.pipeline.spec import Overrides

_MAX_USD = 1_000_000_000
DAY = 24 * 60 * 60
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

F = TypeVar("F", bound=Callable[..., Any])


class Decorator(Protocol):
    """Adds options to a command."""

    def __call__(self, command: F, /) -> F:
        """The command with the options."""


def combined(*decorators: Decorator) -> Decorator:
    """Several options as one decorator; `--help` lists them in this order."""

    def decorate(command: F, /) -> F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


class UsdType(click.ParamType[Decimal]):
    """An amount in US dollars."""

    name = "USD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Turn `3`, `0.50` or `$2` into a Decimal."""
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount in US dollars", param, ctx)
        if not amount.is_finite() or not 0 <= amount <= _MAX_USD:
            self.fail(f"{value!r} is not a valid amount of money", param, ctx)
        return amount


class Number(click.FloatRange):
    """A finite number in a range: click accepts `nan` in every range, and `inf` in one without an upper end."""

    name = "number"

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read what the user wrote, or take the default."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class Span(click.ParamType[timedelta]):
    """A length of time: `12h`, `30d`, `8w`."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Turn text into a time."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,4})([hdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is not a time like 12h, 30d or 8w", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


class PathType(click.Path):
    """A path in which `~` and `~USER` stand for the folder of a user, as in `--out=~/x`, which shells do not expand."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: "str | os.PathLike[str]", param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Turn what the user wrote into a path."""
        try:
            path = expanded_path(os.fspath(value), os.environ, "this path")
        except UsageError as error:
            self.fail(f"{error.problems[0].message} ({error.problems[0].hint})", param, ctx)
        return Path(os.fsdecode(super().convert(path, param, ctx)))


FILE = PathType()

file_argument = click.argument("file", type=FILE)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else to stdout.")
seconds_option = click.option(
    "--seconds",
    type=Number(0, DAY),
    metavar="SECONDS",
    help="Stop after this many seconds.  [default: never]",
)
max_cells_option = click.option(
    "--max-cells",
    type=click.IntRange(min=1),
    default=MAX_CELLS,
    show_default=True,
    help="Refuse a matrix with more cells than this.",
)
local_option = click.option(
    "--local", is_flag=True, help="Use the local Krea, which draws proofs, needs no key and costs nothing."
)
out_option = click.option(
    "-o",
    "--out",
    type=FILE,
    help="The folder for images.  [default: out/NAME in the working folder, or proofs/NAME with --local]",
)

replace_option = click.option(
    "--replace", "replace_fuller", is_flag=True, help="Also replace an earlier file that contains more images."
)
run_name_option = click.option(
    "--run-name",
    metavar="NAME",
    help="The name that all shards of a distributed run have in common in the shared store (KREA_PIPE_REMOTE), for "
    "`merge --remote`.  [default: KREA_PIPE_RUN_NAME, GITHUB_RUN_ID or CI_PIPELINE_ID]",
)
retry_rejected_option = click.option(
    "--retry-rejected",
    is_flag=True,
    help="Send requests again that Krea's moderation has rejected. By default, they are not sent until they change.",
)


class OverFlags(TypedDict):
    """The overrides that the command line gives."""

    profiles: tuple[str, ...]
    sets: tuple[str, ...]
    var_files: tuple[Path, ...]


class LogFlags(TypedDict):
    """Reports of a run to other programs and people, during the run and at its end."""

    quiet: bool
    verbose: bool
    log_format: Literal["text", "json"]
    events: Path | None
    notify: tuple[str, ...]


over_options = combined(
    click.option(
        "--profile",
        "profiles",
        multiple=True,
        metavar="NAME",
        help="Apply this profile from the file's `profiles:`.",
    ),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="PATH=VALUE",
        help="Set a value in the file, such as budget.usd=3, or a request field of every cell, such as variant=large.",
    ),
    click.option("--vars", "var_files", multiple=True, type=FILE, help="Merge this YAML file into `vars:`."),
)
log_options = combined(
    click.option("-q", "--quiet", is_flag=True, help="Print only errors, and the object of --json."),
    click.option("-v", "--verbose", is_flag=True, help="Also print each step of each request, as in --events."),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="The format of stderr: text, or JSON Lines for a log collector.",
    ),
    click.option("--events", type=FILE, help="Append every event of the run to this file, as JSON Lines."),
    click.option(
        "--notify",
        multiple=True,
        metavar="WHERE",
        help="Send a notification when a run that had work to do ends, or when a run fails: `desktop`, a webhook's "
        "https URL, or an apprise URL (slack://…, mailto://…; needs the extra `notify`).",
    ),
)


def overrides(flags: OverFlags) -> Overrides:
    """The options of `over_options` as a value; the environment is for what the file declares."""
    return Overrides(flags["profiles"], flags["sets"], flags["var_files"], os.environ)
