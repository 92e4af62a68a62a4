"""`krea-pipe watch`: the plan, the problems and the proofs of a pipeline after each save."""

import os
import socket
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow
from krea_pipe.app.file_events import check_watchfiles
from krea_pipe.app.picks import reviewer_name
from krea_pipe.app.watching import DrawnProofs, PipelineWatch, SavedState, Tell, WatchOrder, without_keys
from krea_pipe.cli.messages import print_json_line, print_problems, problem_json
from krea_pipe.cli.options import (
    OverFlags,
    file_argument,
    json_option,
    max_cells_option,
    over_options,
    seconds_option,
)
from krea_pipe.cli.page_server import announce_page, page_options
from krea_pipe.cli.plan_json import totals_json
from krea_pipe.cli.plan_text import print_changes, print_forecast
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.report.view.feed import RunFeed
from krea_pipe.report.view.server import listen, serve_feed
from krea_pipe.report.view.watched_report import WatchedReport

_MAX_CHANGES = 8
"""Changed cells that are listed after each save."""


class _Flags(OverFlags):
    """What to watch, and how to serve the page."""

    max_cells: int
    port: int
    hosts: frozenset[str]
    opens: bool | None
    by: str | None
    seconds: float | None


@click.command()
@file_argument
@page_options
@seconds_option
@over_options
@max_cells_option
@json_option
def watch(file: Path, *, as_json: bool, **flags: Unpack[_Flags]) -> int:
    """Show the plan, the price and the problems of FILE after each save, and proofs of its images on a page.

    The page follows the pipeline file and every file that it reads, and draws only what has changed. A file with
    problems leaves the last page as it is. Proofs come from the local Krea: nothing is sent to Krea, no key is used,
    and nothing is paid. Stop with Ctrl-C. Needs the extra `watch` (pip install 'krea-pipe[watch]').
    """
    check_watchfiles()
    environment = without_keys(os.environ)
    over = Overrides(flags["profiles"], flags["sets"], flags["var_files"], environment)
    order = WatchOrder(file, over, flow.RunOptions(max_cells=flags["max_cells"]))
    with listen(flags["port"]) as listener:
        watch = PipelineWatch(order, _teller(as_json=as_json))
        watch.begin()
        try:
            shown = _first(watch)
            if shown is not None:
                _serve(watch, RunFeed(shown), listener, order, flags, as_json=as_json)
        except KeyboardInterrupt:
            return 0  # before there was a page
        finally:
            watch.end()
    return 0


def _serve(
    watch: PipelineWatch, feed: RunFeed, listener: socket.socket, order: WatchOrder, flags: _Flags, *, as_json: bool
) -> None:
    """Serve the page until a signal."""
    watch.when_failed(feed.close)
    words = f"Watching {order.file} with the local Krea; nothing is paid. Stop with Ctrl-C."
    announce = partial(announce_page, words=words, opens=flags["opens"], as_json=as_json)
    name = reviewer_name(flags["by"], Path.cwd(), order.environment)
    serve_feed(feed, listener, announce, seconds=flags["seconds"], allowed=flags["hosts"], by=name)


def _first(watch: PipelineWatch) -> WatchedReport | None:
    """Wait for the first state without problems; None when reading it has failed."""
    shown = None
    while shown is None and not watch.has_failed:
        shown = watch.wait(0.1)
    return shown


def _teller(*, as_json: bool) -> Tell:
    """Prints what has happened."""

    def tell(news: SavedState | DrawnProofs) -> None:
        if as_json:
            print_json_line(_news_json(news))
            return
        match news:
            case SavedState(forecast=forecast, problems=problems, changes=changes):
                click.echo(click.style(f"\n{datetime.now().astimezone():%H:%M:%S}", dim=True))
                print_problems(problems)
                if forecast is not None:
                    print_changes(changes or (), most=_MAX_CHANGES, advice="")
                    print_forecast(forecast, most=0, local=False)
            case DrawnProofs(count=count, failures=failures):
                click.echo(f"{count:,} proof{'' if count == 1 else 's'} drawn")
                for identity, message in failures.items():
                    click.echo(f"{identity}: {message}", err=True)

    return tell


def _news_json(news: SavedState | DrawnProofs) -> Mapping[str, object]:
    match news:
        case SavedState(forecast=None, problems=problems):
            event: dict[str, object] = {"event": "problems", "problems": [problem_json(one) for one in problems]}
        case SavedState(forecast=forecast):
            assert forecast is not None
            event = {"event": "saved", "totals": totals_json(forecast.plan, None)}
        case DrawnProofs(count=count, failures=failures):
            event = {"event": "drawn", "proofs": count, "failures": dict(failures)}
    return {"schema": "krea-pipe/watch@1", **event}
