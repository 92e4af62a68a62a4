"""The options that say what is told of a run while it goes on and at its end, and to whom."""

from pathlib import Path
from typing import Literal, TypedDict

import click

from krea_pipe.cli.options import FILE, F
from krea_pipe.cli.stderr_log import StderrLog


class Told(TypedDict):
    """Who is told what of a run."""

    quiet: bool
    log_format: Literal["text", "json"]
    events: Path | None
    notify: tuple[str, ...]


def log_options(command: F) -> F:
    """The options of a run that concern its log."""
    quiet = click.option(
        "-q", "--quiet", is_flag=True, help="Print nothing but errors; with --json, its object as well."
    )
    form = click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="What stderr holds: words, or a JSON object a line for a log collector.",
    )
    events = click.option(
        "--events", type=FILE, help="Append every step of the run to this file, a JSON object a line."
    )
    notify = click.option(
        "--notify",
        multiple=True,
        metavar="WHERE",
        help="Tell of the end of a run that had something to do, or failed: `desktop`, a webhook's https address, or "
        "a URL that apprise knows (slack://…, mailto://…; needs the extra `notify`).",
    )
    return quiet(form(events(notify(command))))


def voice_for(told: Told) -> StderrLog:
    """How the command speaks."""
    return StderrLog(told["quiet"], told["log_format"] == "json")
