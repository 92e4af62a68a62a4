"""`krea-pipe status`, `cancel` and `recover`: jobs at Krea that no run has collected."""

import os
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow, jobs
from krea_pipe.app.workspace import open_workspace
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import (
    Number,
    OverFlags,
    file_argument,
    json_option,
    max_cells_option,
    over_options,
    overrides,
)
from krea_pipe.cli.tables import print_table

_ENDINGS = {
    "cancelled": "cancelled, not billed",
    "ended": "has ended; `krea-pipe run` collects its image",
    "goes on": "still running: Krea can no longer cancel it",
    "unknown": "could not be read; see `krea-pipe status`",
}


@click.command()
@json_option
def status(*, as_json: bool) -> int:
    """List what is in flight: jobs at Krea that no run has collected, and requests without an answer.

    Needs no network and no key. `krea-pipe run` collects the jobs of its file; `krea-pipe cancel` cancels jobs.
    """
    workspace = open_workspace(os.environ)
    works, alive = jobs.works_in_flight(workspace)
    base = workspace.target.base
    if as_json:
        rows = [asdict(work) for work in works]
        print_json({"schema": "krea-pipe/status@1", "base": base, "runs": sorted(alive), "in_flight": rows})
    elif not works:
        click.echo(f"Nothing is in flight at {base}.")
    else:
        columns = ["state", "cell", "job", "since (UTC)", "price", "run"]
        print_table(columns, [_columns(work) for work in works], numbers=["price"], long=["cell"])
    return 0


def _columns(work: jobs.Work) -> list[str]:
    run = f"{work.run} (running)" if work.is_waited_for else work.run
    since = work.since[:19].replace("T", " ")
    return [work.state, work.cell or work.key[:12], work.job_id or "", since, f"${work.usd}", run]


@click.command()
@click.argument("names", nargs=-1, metavar="[JOB]...")
@json_option
def cancel(names: tuple[str, ...], *, as_json: bool) -> int:
    """Cancel jobs at Krea that no run has collected: all of them, or those named by job id or cell.

    A job cancelled in time is not billed; the next run of its file generates its image.
    """
    workspace = open_workspace(os.environ)
    found = jobs.cancel_account_jobs(workspace, names, os.environ)
    if as_json:
        rows = [{"job_id": one.job.job_id, "cell": one.job.cell, "end": one.end} for one in found]
        print_json({"schema": "krea-pipe/cancel@1", "jobs": rows})
    else:
        for one in found:
            click.echo(f"{one.job.cell or one.key[:12]} (job {one.job.job_id}): {_ENDINGS[one.end]}")
        if not found:
            click.echo(f"Nothing is in flight at {workspace.target.base}.")
    return 0 if all(one.end in ("cancelled", "ended") for one in found) else 1


@click.command()
@file_argument
@click.option(
    "--since", type=Number(0.01, 876_000), default=24.0, show_default=True, help="How many hours to look back."
)
@click.option(
    "--in-order",
    is_flag=True,
    help="Pair jobs with requests in the order in which krea-pipe sends them. Krea's list does not show prompts, so "
    "check the images, which the report marks as adopted.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be paired without writing anything.")
@over_options
@max_cells_option
@json_option
def recover(
    file: Path,
    since: float,
    max_cells: int,
    *,
    in_order: bool,
    dry_run: bool,
    as_json: bool,
    **over: Unpack[OverFlags],
) -> int:
    """Find jobs at Krea that are missing from the journal, and assign them to requests of FILE without an image.

    Use this after losing a journal, for example when CI has dropped its cache. Without --in-order, a job is paired only
    if its pixel size fits exactly one request. The next run collects the paired jobs.
    """
    loaded = flow.load_pipeline(file, overrides(over))
    workspace = open_workspace(os.environ, file)
    plan = flow.plan_run(loaded, workspace.space, workspace.target, flow.RunOptions(max_cells))
    age = timedelta(hours=since)
    found, missing = jobs.recover_account_jobs(
        workspace, plan, os.environ, since=age, in_order=in_order, writes=not dry_run
    )
    if as_json:
        rows = [asdict(one) for one in found]
        print_json({"schema": "krea-pipe/recover@1", "written": not dry_run, "missing": missing, "jobs": rows})
        return 0
    for one in found:
        click.echo(f"job {one.job_id} ({one.status}): {one.cell or 'not paired'}")
    count = sum(one.cell is not None for one in found)
    click.echo(f"{len(found)} unknown jobs, {missing} requests without an image, {count} paired.")
    if count and not dry_run:
        click.echo(f"To collect them: krea-pipe run {file}")
    elif found and not count:
        click.echo("Sizes alone cannot identify the jobs; --in-order pairs them in the order of sending.")
    return 0
