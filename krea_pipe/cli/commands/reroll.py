"""`krea-pipe reroll`: takes of cells with other seeds, and the seed of a take in the pipeline file."""

import difflib
import os
import shlex
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow, plan_files
from krea_pipe.app.execution import SendOptions, open_execution
from krea_pipe.app.plan_files import Forecast
from krea_pipe.app.reroll import Reroll, RerollRequest, Taken, prepare_reroll, take_seed
from krea_pipe.app.workspace import target_of
from krea_pipe.cli.messages import print_json, print_problems
from krea_pipe.cli.options import (
    LogFlags,
    OverFlags,
    UsdType,
    file_argument,
    json_option,
    local_option,
    log_options,
    max_cells_option,
    out_option,
    over_options,
    overrides,
)
from krea_pipe.cli.plan_json import plan_json
from krea_pipe.cli.plan_text import print_forecast
from krea_pipe.cli.run_notifications import RunNotifications
from krea_pipe.cli.run_output import listening, say_run, warner
from krea_pipe.cli.tables import counted
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.fields import MAX_SEED
from krea_pipe.core.settings import with_engine
from krea_pipe.matrix.rerolling import MAX_TAKES, Takes
from krea_pipe.planning.budget import Limits
from krea_pipe.store.home import open_home, open_other_homes
from krea_pipe.store.remote.remote import open_remote

_MAX_NAMED = 5


class _Seed(click.ParamType[str]):
    """A seed, or `none` for none."""

    name = "SEED"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept `51`, `s51` as in ids, or `none`."""
        text = str(value).removeprefix("s")
        if text != "none" and (not (text.isascii() and text.isdigit()) or int(text) > MAX_SEED):
            self.fail(f"{value!r} is not a seed from 0 to {MAX_SEED}", param, ctx)
        return text


class _Flags(OverFlags, LogFlags):
    """The options of a reroll."""

    local: bool
    out: Path | None
    max_cost: Decimal | None
    max_cells: int
    count: int


@click.command()
@file_argument
@click.argument("cells", nargs=-1, metavar="CELL...")
@click.option("--failed-checks", is_flag=True, help="Only cells whose image fails a check; without CELL, all of them.")
@click.option(
    "--count",
    type=click.IntRange(1, MAX_TAKES),
    default=4,
    show_default=True,
    help="How many new seeds to generate for each cell. A higher number later reuses the first ones.",
)
@click.option(
    "--take",
    type=_Seed(),
    help="Write this seed of CELL into FILE as a patch; the seed that CELL has without a patch removes it.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Show the takes and their price, and send nothing.")
@click.option("--dry-run", is_flag=True, help="With --take, show the change without writing it.")
@local_option
@out_option
@click.option(
    "--max-cost", type=UsdType(), help="Stop with exit code 5 before spending more than this many US dollars."
)
@log_options
@over_options
@max_cells_option
@json_option
def reroll(
    file: Path,
    cells: tuple[str, ...],
    *,
    failed_checks: bool,
    take: str | None,
    only_plan: bool,
    dry_run: bool,
    as_json: bool,
    **flags: Unpack[_Flags],
) -> int:
    """Generate CELL of FILE again with other seeds, and show the takes beside each other.

    CELL is an id, the end of an id, or an expression as for -k. The report has a row for each cell and a column for
    each seed. The images are below rerolls/ in the output folder; the pipeline and its lock file do not change.

    With --take, the seed of a take is written into FILE: as a patch that is about this cell alone. The image is paid
    already, so the next run only puts it into its place. Nothing is deleted: take the earlier seed to go back.
    """
    if not (cells or failed_checks):
        raise UsageError(Problem("bad_option", "no cell is named", hint="name one by its id, or use --failed-checks"))
    request = RerollRequest(file, cells, overrides(flags), flags["max_cells"], failed_checks)
    if take is None:
        if dry_run:
            raise UsageError(Problem("bad_option", "--dry-run needs --take", hint="use --plan to see the price"))
        prepared = prepare_reroll(request, flags["count"], os.environ, local=flags["local"])
        if only_plan:
            return _plan(prepared, request, flags, as_json=as_json)
        return _run(prepared, request, flags, as_json=as_json)
    if only_plan:
        raise UsageError(
            Problem("bad_option", "--take and --plan cannot be combined", hint="use --take with --dry-run")
        )
    seed = None if take == "none" else int(take)
    taken = take_seed(request, seed, os.environ, local=flags["local"], writes=not dry_run)
    if as_json:
        print_json(_taken_json(taken, file, is_written=not dry_run))
    else:
        _say_taken(taken, file, is_written=not dry_run, local=flags["local"])
    return 0


def _options(prepared: Reroll, flags: _Flags) -> flow.RunOptions:
    out = flow.out_folder(flags["out"], prepared.name, local=flags["local"])
    return flow.RunOptions(flags["max_cells"], Limits(flags["max_cost"]), out=out, cells=prepared.cells)


def _plan(prepared: Reroll, request: RerollRequest, flags: _Flags, *, as_json: bool) -> int:
    local = flags["local"]
    forecast: Forecast = plan_files.forecast_of(
        prepared.loaded, request.file, request.overrides, _options(prepared, flags), os.environ, local=local
    )
    if as_json:
        print_json({**plan_json(forecast), "takes": _takes_json(prepared)})
    else:
        print_forecast(forecast, most=None, local=local)
        _say_shortcomings(prepared)
    return 0


def _run(prepared: Reroll, request: RerollRequest, flags: _Flags, *, as_json: bool) -> int:
    file = request.file
    target = with_engine(target_of(os.environ, local=flags["local"]), prepared.loaded.pipeline.engine)
    with RunNotifications(flags, file) as notifications:
        stderr_log = notifications.stderr_log
        warn = warner(stderr_log, as_json=as_json)
        warn(prepared.loaded.warnings)
        options = _options(prepared, flags)
        assert options.out is not None
        remote = open_remote(os.environ, target, lambda one: warn([one]))
        finished = flow.run_pipeline(
            prepared.loaded,
            open_home(os.environ, file),
            open_execution(target, SendOptions(), os.environ),
            out=options.out,
            options=replace(options, remote=remote, homes=open_other_homes(os.environ, file)),
            listen=listening(notifications, is_local=flags["local"], as_json=as_json),
        )
        notifications.finished(finished)
        code = say_run(finished, stderr_log, as_json=as_json, more={"takes": _takes_json(prepared)})
        if not (as_json or stderr_log.quiet):
            _say_shortcomings(prepared)
            _say_next(prepared.takes, file, local=flags["local"])
        return code


def _say_shortcomings(prepared: Reroll) -> None:
    """Name the cells that have only new takes, and those without a seed of their own."""
    print_problems(prepared.skipped[:_MAX_NAMED], kind="warning")
    if prepared.unseen:
        more = f" and {len(prepared.unseen) - _MAX_NAMED} more" if len(prepared.unseen) > _MAX_NAMED else ""
        verb = "has" if len(prepared.unseen) == 1 else "have"
        message = f"{', '.join(prepared.unseen[:_MAX_NAMED])}{more} {verb} no image yet: only new takes are shown"
        print_problems([Problem("no_image", message)], kind="warning")


def _say_next(takes: tuple[Takes, ...], file: Path, *, local: bool) -> None:
    """Say how a take gets into the file."""
    more = " --local" if local else ""
    for one in takes[:_MAX_NAMED]:
        seeds = ", ".join(_word(seed) for seed in one.seeds if seed != one.cell.request.seed)
        click.echo(f"take    {_command(file, one.cell.id)}{more} --take SEED    SEED: {seeds}")
    if len(takes) > _MAX_NAMED:
        click.echo(f"        … and {counted(len(takes) - _MAX_NAMED, 'cell')} more, in the same way")


def _say_taken(taken: Taken, file: Path, *, is_written: bool, local: bool) -> None:
    if taken.before == taken.after:
        click.echo(f"{taken.cell} has the seed {_word(taken.seed)} already; {file} is unchanged.")
        return
    before, after = taken.before.splitlines(), taken.after.splitlines()
    for line in difflib.unified_diff(before, after, str(file), str(file), lineterm="", n=2):
        click.echo(line)
    if not is_written:
        return
    name, more = shlex.quote(str(file)), " --local" if local else ""
    if taken.is_stored:
        said = f"Its image is paid: `krea-pipe run {name}{more}` puts it into its place at no cost."
    else:
        said = f"Its image is not stored, so the next run pays for it: see `krea-pipe plan {name}{more}`."
    click.echo(f"{taken.cell} has the seed {_word(taken.seed)} now. {said}")
    click.echo(f"To go back: {_command(file, taken.cell)}{more} --take {_word(taken.former)}")
    if taken.following:
        count = counted(len(taken.following), "cell")
        click.echo(f"The next run generates {count} from it: {', '.join(taken.following[:_MAX_NAMED])}")
    if taken.same:
        names = ", ".join(taken.same[:_MAX_NAMED])
        problem = Problem("same_image", f"{taken.cell} now has the same request as {names}, so the same image")
        print_problems([problem], kind="warning")


def _command(file: Path, cell: str) -> str:
    return shlex.join(["krea-pipe", "reroll", str(file), cell])


def _word(seed: int | None) -> str:
    return "none" if seed is None else str(seed)


def _takes_json(prepared: Reroll) -> list[dict[str, object]]:
    return [
        {"cell": one.cell.id, "seed": one.cell.request.seed, "given": one.given, "takes": list(one.new)}
        for one in prepared.takes
    ]


def _taken_json(taken: Taken, file: Path, *, is_written: bool) -> dict[str, object]:
    return {
        "schema": "krea-pipe/reroll@1",
        "file": str(file),
        "cell": taken.cell,
        "seed": taken.seed,
        "former": taken.former,
        "given": taken.given,
        "written": is_written and taken.before != taken.after,
        "is_stored": taken.is_stored,
        "following": list(taken.following),
        "same": list(taken.same),
    }
