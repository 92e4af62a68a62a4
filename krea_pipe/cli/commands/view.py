"""`krea-pipe view`: view a run in the browser, during and after the run."""

import os
import re
import sys
import threading
import webbrowser
from functools import partial
from pathlib import Path

import click

from krea_pipe.app.picks import reviewer_name
from krea_pipe.cli.completing import run_argument
from krea_pipe.cli.messages import print_json_line
from krea_pipe.cli.options import json_option, seconds_option
from krea_pipe.report.folder import find_run
from krea_pipe.report.view.server import listen, serve_run
from krea_pipe.store.home import open_home

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


@click.command()
@run_argument
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="The port to listen on; 0 picks a free port.",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="HOST",
    callback=lambda _, __, value: frozenset(map(_host, value)),
    help="Also answer to this host, as NAME or NAME:PORT: the address that the browser shows when a port is "
    "forwarded to this machine. Can be repeated.",
)
@click.option("--open/--no-open", "opens", default=None, help="Open the page in a browser.  [default: on a terminal]")
@click.option("--as", "by", metavar="NAME", help="Your name, for decisions on the page.  [default: git's user.name]")
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


def _host(text: str) -> str:
    """A host as a request names it; a wildcard would admit every site that a browser visits."""
    if not _HOST.fullmatch(text):
        raise click.BadParameter(f"{text!r} is not a host: write NAME or NAME:PORT, as in localhost:9000")
    return text.lower()


def _announce(url: str, run_id: str, *, opens: bool | None, as_json: bool) -> None:
    """Print where the page is immediately, because the caller may wait for this line."""
    if as_json:
        print_json_line({"schema": "krea-pipe/view@1", "url": url, "run_id": run_id})
    else:
        click.echo(url)
        click.echo(f"Showing {run_id}; stop with Ctrl-C.", err=True)
    if opens if opens is not None else not as_json and _has_reader():
        # In a separate thread, because opening some browsers blocks.
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _has_reader() -> bool:
    """Whether somebody sits there, before a screen that can show the page."""
    has_screen = sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return has_screen and sys.stdout.isatty() and not os.environ.get("CI")
