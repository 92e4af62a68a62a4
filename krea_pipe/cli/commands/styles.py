"""`krea-pipe styles`: list trained styles, and train one."""

import contextlib
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app.styles import RESERVED, StyleTerms, TrainedStyle, styles_of_account, train_style, write_style
from krea_pipe.cli.messages import error_json, print_json, print_problems
from krea_pipe.cli.options import Number, UsdType, file_argument, json_option, local_option, over_options
from krea_pipe.cli.tables import print_table
from krea_pipe.core.errors import Problem
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.money import exact_text
from krea_pipe.core.outcome import Failure
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.planning.training import MODELS, MOST_STEPS, STYLE_KINDS
from krea_pipe.store.request_state import Trained

FILTERS = ("user", "all", "community", "krea", "shared", "unapproved", "editor", "gallery", "public")
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
EXIT_CODES = {"interrupted": ExitCode.INTERRUPTED, "still_training": ExitCode.WORK_PENDING}
HINTS = {
    "interrupted": "rerun the command to continue; nothing is charged twice",
    "still_training": "rerun the command to keep waiting, or run `krea-pipe cancel` to cancel it",
    "not_shown": "rerun the command later; `--again` gives up this training and pays for another",
}


@click.group(invoke_without_command=True, subcommand_metavar="[COMMAND] [ARGS]...")
@click.pass_context
def styles(ctx: click.Context) -> None:
    """List trained styles, or train a style.

    A style is trained once and then referenced by its id under `styles:` of a pipeline. It belongs to the API user of
    the key until it is shared with the workspace; styles trained in Krea's app are not visible before that.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@styles.command("list", short_help="List the styles that this key may use.")
@click.option(
    "--filter",
    "which",
    type=click.Choice(FILTERS),
    default="user",
    show_default=True,
    help="Which of Krea's styles to list: `user` for those of this key, `all` to include those published by others.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=200, show_default=True, help="List at most this many.")
@local_option
@json_option
def list_(which: str, limit: int, *, local: bool, as_json: bool) -> int:
    """List the styles that this key may use."""
    page = styles_of_account(os.environ, which, limit, local=local)
    if as_json:
        found = [asdict(one) for one in page.styles]
        print_json({"schema": "krea-pipe/styles@1", "filter": which, "more": page.next is not None, "styles": found})
        return 0
    rows = [[one.id, one.title, ", ".join(one.models), one.owner, one.created_at[:10]] for one in page.styles]
    if rows:
        print_table(["id", "title", "models", "owner", "created"], rows, long=["title"])
    else:
        click.echo(f"No styles (--filter {which}).")
    if page.next is not None:
        click.echo(f"… and more; list them with --limit {10 * limit}", err=True)
    return 0


@styles.command(short_help="Train a style from a set of reference images.")
@file_argument
@click.argument("references")
@click.option("--name", required=True, help="The style's name, at Krea and under `styles:`.")
@click.option(
    "--model",
    type=click.Choice(MODELS),
    default="k2",
    show_default=True,
    help="The base model: k2 is Medium, k2-large is Large.",
)
@click.option(
    "--type",
    "kind",
    type=click.Choice(STYLE_KINDS),
    default="Style",
    show_default=True,
    help="What the images have in common.",
)
@click.option("--trigger", metavar="WORD", help="A word that invokes the style in prompts.")
@click.option(
    "--steps", type=click.IntRange(1, MOST_STEPS), help="The maximum number of training steps.  [default: Krea chooses]"
)
@click.option(
    "--max-cost",
    type=UsdType(),
    help="What the training may cost in US dollars. Required, because Krea publishes no price; the journal records "
    "this amount. Krea does not enforce it.",
)
@click.option(
    "--wait",
    type=Number(min=0),
    default=7200.0,
    show_default=True,
    help="Stop waiting after this many seconds; the training continues at Krea.",
)
@click.option(
    "--again",
    is_flag=True,
    help="Train and pay again, even if the style was trained before or a lost answer may have started the training.",
)
@click.option("--write", is_flag=True, help="Add the style's id to FILE, under `styles:`.")
@over_options
@local_option
@json_option
def train(
    file: Path,
    references: str,
    profiles: tuple[str, ...],
    sets: tuple[str, ...],
    var_files: tuple[Path, ...],
    *,
    local: bool,
    as_json: bool,
    **terms: Unpack[StyleTerms],
) -> int:
    """Train a style from the images of REFERENCES, a set under `references:` of FILE.

    It takes five or more images of one style. If the journal already has a training with the same images and options,
    its result is reused or its job is awaited: nothing is charged twice. At the end, the lines for `styles:` are
    printed; --write adds them to FILE.

    Krea's documentation does not state the cost of a training. Set a limit with --max-cost; a `budget:` in FILE applies
    too. Failed and cancelled trainings are not billed.
    """
    trained = train_style(
        file,
        references,
        Overrides(profiles, sets, var_files, os.environ),
        terms,
        os.environ,
        local=local,
        warn=lambda loaded: None if as_json else print_problems(loaded.fingerprints.warnings, kind="warning"),
        tell=_tell,
    )
    end = trained.end
    if isinstance(end, Failure):
        return _say_failure(end, as_json=as_json)
    if not as_json:  # before the file is touched: what was paid for must not get lost
        click.echo(f"Style {end.style_id} {'is trained' if end.is_new else 'was trained before; nothing was charged'}.")
    _say(end, trained, is_written=write_style(trained, end.style_id), as_json=as_json)
    return 0


def _tell(message: str) -> None:
    with contextlib.suppress(OSError):  # the reader has gone, and the training continues
        click.echo(message, err=True)


def _say_failure(failure: Failure, *, as_json: bool) -> int:
    code = EXIT_CODES.get(failure.code, 1)
    problem = Problem(failure.code, failure.message, hint=HINTS.get(failure.code))
    if as_json:
        print_json(error_json((problem,), code))
    else:
        print_problems([problem])
    return code


def _say(end: Trained, trained: TrainedStyle, *, is_written: bool, as_json: bool) -> None:
    style_id, file, training = end.style_id, trained.file, trained.training
    quoted = style_id if PLAIN.fullmatch(style_id) and style_id.lower() not in RESERVED else f'"{style_id}"'
    lines = f"styles:\n  {training.name}: {{id: {quoted}}}\n"
    if as_json:
        facts = {"style_id": style_id, "job_id": end.job_id, "name": training.name, "model": training.model}
        cost = {"target": trained.target.kind, "trained": end.is_new, "counted_usd": exact_text(end.usd)}
        written = {"key": training.key, "yaml": lines, "written": str(file) if is_written else None}
        print_json({"schema": "krea-pipe/style@1", **facts, **cost, **written})
        return
    if is_written:
        click.echo(f"Written to {file}.")
    else:
        click.echo(f"For {file} (or let --write do it):\n\n{lines}", nl=False)
