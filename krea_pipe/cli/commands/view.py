"""`krea-pipe view`: view a run in the browser, during and after the run."""

import os
from functools import partial
from pathlib import Path

import click

from krea_pipe.app.picks import reviewer_name
from krea_pipe.cli.completing import run_argument
from krea_pipe.cli.options import json_option, seconds_option
from krea_pipe.cli.page_server import announce_page, page_options
from krea_pipe.report.folder import find_run
from krea_pipe.report.view.server import listen, serve_run
from krea_pipe.store.home import open_home


@click.command()
@run_argument
@page_options
@seconds_option
@json_option
def view(
    run: str | None,
    port: int,
    hosts: frozenset[str],
    by: str | None,
    *,
    opens: bool | None,
    seconds: float | None,
    as_json: bool,
) -> int:
    """Serve the report of a run to the browser on this machine, even while the run is in progress.

    RUN is a run id, the start of a run id, or a run folder. The default is the latest run; the page then also follows
    later runs of its pipeline. Stars, rejections and notes made on the page are saved to the picks files immediately,
    with your name.

    The URL contains a token and works only on this machine, until you press Ctrl-C. Anyone with the URL can see the run
    and change its picks.
    """
    home = open_home(os.environ)
    folder = find_run(home, run, unfinished=True)
    announce = partial(_announce, opens=opens, as_json=as_json)
    name = reviewer_name(by, Path.cwd(), os.environ)
    with listen(port) as listener:
        serve_run(home, folder, listener, announce, seconds=seconds, allowed=hosts, by=name, follow=run is None)
    return 0


def _announce(url: str, run_id: str, *, opens: bool | None, as_json: bool) -> None:
    announce_page(url, run_id, f"Showing {run_id}; stop with Ctrl-C.", opens=opens, as_json=as_json)
