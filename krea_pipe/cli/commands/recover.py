"""`krea-pipe recover`: find in Krea's list what a lost journal knew."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow
from krea_pipe.cli.lazy import ERRAND, FIND_ORPHANS, PAIR, RECORD_RECOVERED, load
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import Number, Over, file_argument, json_option, max_cells_option, over_options, overrides
from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.settings import api_token, live_target
from krea_pipe.planning.plan import Hold, Submit
from krea_pipe.store.home import open_home
from krea_pipe.store.known import known_jobs
from krea_pipe.store.space import open_space


@click.command()
@file_argument
@click.option("--since", type=Number(0.01, 876_000), default=24.0, show_default=True, help="Look back so many hours.")
@click.option(
    "--in-order",
    is_flag=True,
    help="Pair jobs with requests in the order in which krea-pipe sends them. Krea's list shows no prompts: look at "
    "the images, which the report marks as adopted.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be paired, and write nothing.")
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
    **over: Unpack[Over],
) -> int:
    """Find jobs at Krea that no journal here knows, and give them to the requests of FILE that have no image.

    For a journal that was lost, as when CI has dropped its cache. A job is paired only when its pixel size fits one
    request alone, unless --in-order. The next run brings in what was paired.
    """
    loaded = flow.load(file, overrides(over))
    target = live_target(os.environ)
    space = open_space(open_home(os.environ, file), target.space)
    made = flow.plan(loaded, space, target, flow.RunOptions(max_cells))
    missing = [step for step in made.steps if isinstance(step.action, (Submit, Hold))]
    if space.presence.alive():
        raise StateError(
            Problem("run_in_progress", "a run goes on in this folder, and knows its jobs", hint="wait for it")
        )
    api_call = load(ERRAND)(space, target, api_token(os.environ), flow.new_run_id("recover", datetime.now(UTC)))
    orphans = load(FIND_ORPHANS)(api_call, known_jobs(space), timedelta(hours=since))
    pairs = load(PAIR)(orphans, missing, in_order=in_order)
    if not dry_run:
        load(RECORD_RECOVERED)(api_call, pairs, missing, made.pipeline)
    cells = {step.key: step.cells[0].id for step in missing}
    paired = {job.id: cells[key] for key, job in pairs.items()}
    rows = [
        {"job_id": one.job.id, "status": one.job.status, "size": one.size, "cell": paired.get(one.job.id)}
        for one in orphans
    ]
    if as_json:
        print_json({"schema": "krea-pipe/recover@1", "written": not dry_run, "missing": len(missing), "jobs": rows})
    else:
        _print(rows, len(missing), file, dry_run=dry_run)
    return 0


def _print(rows: list[dict[str, object]], missing: int, file: Path, *, dry_run: bool) -> None:
    for row in rows:
        click.echo(f"job {row['job_id']} ({row['status']}): {row['cell'] or 'not paired'}")
    count = sum(row["cell"] is not None for row in rows)
    click.echo(f"{len(rows)} unknown jobs, {missing} requests without an image, {count} paired.")
    if count and not dry_run:
        click.echo(f"Bring them in: krea-pipe run {file}")
    elif rows and not count:
        click.echo("Sizes alone do not tell which is which; --in-order pairs by the order of sending.")
