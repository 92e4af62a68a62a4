"""`krea-pipe view`: view a run in the browser, during and after the run."""

import os
from functools import partial
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app.assembled import Assembled, Reassembly, assemble
from krea_pipe.app.picks import reviewer_name
from krea_pipe.app.run_argument import NamedPipeline
from krea_pipe.cli.options import json_option, overrides, seconds_option
from krea_pipe.cli.page_server import announce_page, page_options
from krea_pipe.cli.report_source import (
    SourceFlags,
    assembled_json,
    pipeline_of,
    place_of,
    say_missing,
    say_waiting,
    source_options,
)
from krea_pipe.report.progress import LaterReports, Reruns
from krea_pipe.report.view.server import listen, serve_run


@click.command()
@source_options
@page_options
@seconds_option
@json_option
def view(
    source: str | None,
    port: int,
    hosts: frozenset[str],
    by: str | None,
    *,
    opens: bool | None,
    seconds: float | None,
    as_json: bool,
    **flags: Unpack[SourceFlags],
) -> int:
    """Serve a report to the browser on this machine: of a pipeline, or of a run, even while it is in progress.

    PIPELINE is a pipeline file or the name of a pipeline: the page has its current cells, each with its stored image,
    whichever run generated it, and follows changes of the file and the store. RUN is a run id, the start of a run id,
    or a run folder. The default is the latest run; the page then also follows later runs of its pipeline. Stars,
    rejections and notes made on the page are saved to the picks files immediately, with your name.

    The URL contains a token and works only on this machine, until you press Ctrl-C. Anyone with the URL can see the
    report and change its picks.
    """
    pipeline = pipeline_of(source, flags)
    found: Assembled | None = None
    later: LaterReports | None = None
    if pipeline is None:
        place = place_of(source, flags, unfinished=True)
        home, folder = place.home, place.folder
        later = Reruns(home) if source is None and flags["run"] is None else None
    else:
        found = assemble(pipeline, overrides(flags), local=flags["local"])
        home, folder = pipeline.home, found.write()
        later = Reassembly(pipeline, overrides(flags), flags["local"], found)
        if not as_json:
            _say_assembled(pipeline, found)
    announce = partial(_announce, opens=opens, as_json=as_json, found=found)
    name = reviewer_name(by, Path.cwd(), os.environ)
    with listen(port) as listener:
        serve_run(home, folder, listener, announce, seconds=seconds, allowed=hosts, by=name, later=later)
    return 0


def _say_assembled(pipeline: NamedPipeline, found: Assembled) -> None:
    """Say which cells have no image, and how to follow a run that is in progress."""
    say_missing(found, found.report.rows)
    say_waiting(found)
    running = next((run.id for run in pipeline.runs if run.state == "running"), None)
    if running is not None:
        click.echo(f"{running} is in progress; to follow it: krea-pipe view {running}", err=True)


def _announce(url: str, run_id: str, *, opens: bool | None, as_json: bool, found: Assembled | None) -> None:
    words = f"Showing {run_id}; stop with Ctrl-C."
    announce_page(url, run_id, words, opens=opens, as_json=as_json, more=assembled_json(found))
