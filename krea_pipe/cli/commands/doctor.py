"""`krea-pipe doctor`: is everything in place."""

import os
from collections.abc import Sequence
from dataclasses import asdict

import click

from krea_pipe.app.maintenance.checkup import Check, check_up
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import json_option
from krea_pipe.core.exit_codes import ExitCode

_STATE_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--offline", is_flag=True, help="Do not ask Krea.")
@json_option
def doctor(*, offline: bool, as_json: bool) -> int:
    """Check the installation, the home folder, the key and Krea, and say what to do.

    Asks Krea one question that is free, for the latest job, unless there is no key. Ends with 0, with 4 when Krea
    refused the key, with 1 for other problems; warnings are none.
    """
    found, is_refused = check_up(os.environ, offline=offline)
    code = ExitCode.REFUSED if is_refused else int(any(one.state == "problem" for one in found))
    if as_json:
        print_json({"schema": "krea-pipe/doctor@1", "ok": code == 0, "checks": [asdict(one) for one in found]})
    else:
        _print(found)
    return code


def _print(found: Sequence[Check]) -> None:
    wide = max(len(one.name) for one in found)
    for one in found:
        state = click.style(f"{one.state:<8}", fg=_STATE_COLOURS[one.state], bold=one.state != "ok")
        click.echo(f"{state} {one.name:<{wide}}  {one.message}")
        if one.hint:
            click.echo(f"{'':9}{'':{wide}}  {click.style('hint', fg='cyan')}: {one.hint}")
