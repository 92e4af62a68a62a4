"""`krea-pipe report`: render a finished run again."""

import os
from dataclasses import replace
from typing import Unpack

import click

from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import Chosen, json_option, select_options, selection
from krea_pipe.cli.summary import print_summary
from krea_pipe.images import thumbnail
from krea_pipe.report.folder import find_run, read_report, space_of, write_report
from krea_pipe.report.narrow import narrowed
from krea_pipe.settings import home_folder


@click.command()
@click.argument("run", required=False)
@select_options
@json_option
def report(run: str | None, *, as_json: bool, **chosen: Unpack[Chosen]) -> int:
    """Render the report of a finished run again.

    RUN is a run's id, the beginning of one, or its folder. Without it, the latest run is taken. A report of some
    cells goes into the folder `selected` beside the whole one.
    """
    which = selection(chosen)
    home = home_folder(os.environ)
    folder = find_run(home, run)
    found = read_report(folder)
    space = space_of(found, home)
    if not which.is_all:
        found, folder = replace(narrowed(found, which), base=f"../{found.base}"), folder / "selected"
    page = write_report(found, folder, space, thumbnail)
    if as_json:
        data = {"schema": "krea-pipe/report@1", "run_id": found.run_id, "exit_code": found.exit_code}
        print_json({**data, "report": str(folder / "report.json"), "page": str(page)})
    else:
        print_summary(found, page)
    return 0
