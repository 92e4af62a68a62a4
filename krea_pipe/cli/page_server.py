"""Options and messages of the commands that serve a page to the browser on this machine."""

import os
import re
import sys
import threading
import webbrowser
from collections.abc import Mapping
from types import MappingProxyType

import click

from krea_pipe.cli.messages import print_json_line
from krea_pipe.cli.options import combined

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def _host(text: str) -> str:
    """A host as a request names it; a wildcard would admit every site that a browser visits."""
    if not _HOST.fullmatch(text):
        raise click.BadParameter(f"{text!r} is not a host: write NAME or NAME:PORT, as in localhost:9000")
    return text.lower()


page_options = combined(
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=0,
        show_default=True,
        help="The port to listen on; 0 picks a free port.",
    ),
    click.option(
        "--allow-host",
        "hosts",
        multiple=True,
        metavar="HOST",
        callback=lambda _, __, value: frozenset(map(_host, value)),
        help="Also answer to this host, as NAME or NAME:PORT: the address that the browser shows when a port is "
        "forwarded to this machine. Can be repeated.",
    ),
    click.option(
        "--open/--no-open", "opens", default=None, help="Open the page in a browser.  [default: on a terminal]"
    ),
    click.option(
        "--as", "by", metavar="NAME", help="Your name, for decisions on the page.  [default: git's user.name]"
    ),
)


def announce_page(
    url: str,
    run_id: str,
    words: str,
    *,
    opens: bool | None,
    as_json: bool,
    more: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Print where the page is immediately, because the caller may wait for this line.

    Args:
        url: the page.
        run_id: the run that it shows.
        words: what people are told about it.
        opens: open it in a browser; None opens it where somebody sits.
        as_json: print one JSON object.
        more: other fields of that object.
    """
    if as_json:
        print_json_line({"schema": "krea-pipe/view@1", "url": url, "run_id": run_id, **more})
    else:
        click.echo(url)
        click.echo(words, err=True)
    if opens if opens is not None else not as_json and _has_reader():
        # In a separate thread, because opening some browsers blocks.
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _has_reader() -> bool:
    """Whether somebody sits there, before a screen that can show the page."""
    has_screen = sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return has_screen and sys.stdout.isatty() and not os.environ.get("CI")
