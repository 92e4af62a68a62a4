"""`krea-pipe report`: render a finished run again."""

import os

import click

from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import json_option
from krea_pipe.cli.summary import print_summary
from krea_pipe.images import thumbnail
from krea_pipe.report.folder import find_run, read_report, space_of, write_report
from krea_pipe.settings import home_folder


@click.command()
@click.argument("run", required=False)
@json_option
def report(run: str | None, *, as_json: bool) -> int:
    """Render the report of a finished run again.

    RUN is a run's id, the beginning of one, or its folder. Without it, the latest run is taken.
    """
    home = home_folder(os.environ)
    folder = find_run(home, run)
    found = read_report(folder)
    page = write_report(found, folder, space_of(found, home), thumbnail)
    if as_json:
        data = {"schema": "krea-pipe/report@1", "run_id": found.run_id, "exit_code": found.exit_code}
        print_json({**data, "report": str(folder / "report.json"), "page": str(page)})
    else:
        print_summary(found, page)
    return 0
