"""`krea-pipe cancel`: cancel what is in flight."""

import os
from datetime import UTC, datetime

import click

from krea_pipe.app import flow
from krea_pipe.cli.lazy import CANCEL, ERRAND, load
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import json_option
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.settings import api_token, live_target
from krea_pipe.store.home import open_home
from krea_pipe.store.replay import InFlight, Replay
from krea_pipe.store.space import open_space

WORDS = {
    "cancelled": "cancelled, not billed",
    "ended": "has ended; `krea-pipe run` brings its image in",
    "goes on": "goes on: Krea does not cancel it any more",
    "unknown": "could not be read; see `krea-pipe status`",
}


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@json_option
def cancel(jobs: tuple[str, ...], *, as_json: bool) -> int:
    """Cancel jobs at Krea that no run has brought in: all of them, or those named by job id or by cell.

    What is cancelled in time is not billed, and is drawn by the next run of its file.
    """
    target = live_target(os.environ)
    space = open_space(open_home(os.environ), target.space)
    chosen = _chosen(space.journal.replay(), jobs, target.origin)
    ends: dict[str, str] = {}
    if chosen:
        api_call = load(ERRAND)(space, target, api_token(os.environ), flow.new_run_id("cancel", datetime.now(UTC)))
        ends = load(CANCEL)(api_call, chosen)
    if as_json:
        rows = [{"job_id": chosen[key].job_id, "cell": chosen[key].cell, "end": end} for key, end in ends.items()]
        print_json({"schema": "krea-pipe/cancel@1", "jobs": rows})
    else:
        for key, end in ends.items():
            click.echo(f"{chosen[key].cell or key[:12]} (job {chosen[key].job_id}): {WORDS[end]}")
        if not ends:
            click.echo(f"Nothing is in flight at {target.base}.")
    return 0 if all(end in ("cancelled", "ended") for end in ends.values()) else 1


def _chosen(journal: Replay, names: tuple[str, ...], origin: str) -> dict[str, InFlight]:
    here = {key: job for key, job in journal.in_flight.items() if job.origin == origin}
    if not names:
        return here
    known = {name for job in here.values() for name in (job.job_id, job.cell)}
    missing = [name for name in names if name not in known]
    if missing:
        hint = "`krea-pipe status` lists what is in flight"
        raise UsageError(Problem("unknown_job", f"no job in flight is called {missing[0]!r}", hint=hint))
    return {key: job for key, job in here.items() if job.job_id in names or job.cell in names}
