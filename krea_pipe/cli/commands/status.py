"""`krea-pipe status`: what Krea has of ours, by the journal."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click

from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import json_option
from krea_pipe.cli.tables import print_table
from krea_pipe.core.settings import live_target
from krea_pipe.store.home import open_home
from krea_pipe.store.replay import InFlight, Replay
from krea_pipe.store.space import open_space


@dataclass(frozen=True, slots=True)
class Work:
    """A request that Krea has, or may have: `state` is `in flight`, `not fetched`,
    `not shown`, `being sent` or `answer lost`."""

    state: str
    cell: str
    key: str
    job_id: str | None
    since: str
    usd: str
    run: str
    is_waited_for: bool


@click.command()
@json_option
def status(*, as_json: bool) -> int:
    """List what is in flight: jobs that Krea has and no run has brought in, and requests without an answer.

    Needs no network and no key. `krea-pipe run` brings in what belongs to its file, `krea-pipe cancel` cancels.
    """
    target = live_target(os.environ)
    space = open_space(open_home(os.environ), target.space)
    alive = space.presence.alive()
    works = list(_works(space.journal.replay(), alive, target.origin))
    if as_json:
        rows = [asdict(work) for work in works]
        print_json({"schema": "krea-pipe/status@1", "base": target.base, "runs": sorted(alive), "in_flight": rows})
    elif not works:
        click.echo(f"Nothing is in flight at {target.base}.")
    else:
        _print(works)
    return 0


def _works(journal: Replay, alive: frozenset[str], origin: str) -> Iterator[Work]:
    posts = {key: post for key, post in {**journal.lost, **journal.open}.items() if post.origin == origin}
    jobs = {key: job for key, job in journal.in_flight.items() if job.origin == origin and key not in posts}
    for key, job in jobs.items():
        yield Work(_state(job), job.cell, key, job.job_id, job.created_at or job.t, job.usd, job.run, job.run in alive)
    for key, post in posts.items():
        state = "being sent" if post.run in alive else "answer lost"
        yield Work(state, post.cell, key, None, post.after, post.usd, post.run, post.run in alive)


def _state(job: InFlight) -> str:
    if job.unfetched:
        return "not fetched"
    return "not shown" if job.unseen else "in flight"


def _print(works: list[Work]) -> None:
    rows = [
        [
            work.state,
            work.cell or work.key[:12],
            work.job_id or "",
            work.since[:19].replace("T", " "),
            f"${work.usd}",
            _who(work),
        ]
        for work in works
    ]
    print_table(["state", "cell", "job", "since (UTC)", "price", "run"], rows, numbers=["price"], long=["cell"])


def _who(work: Work) -> str:
    return f"{work.run} (running)" if work.is_waited_for else work.run
