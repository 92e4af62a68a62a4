"""`krea-pipe doctor`: is everything in place."""

import os
from collections.abc import Sequence
from dataclasses import asdict

import click

from krea_pipe.app.maintenance.checkup import (
    Check,
    home_folder_checks,
    installation,
    key_check,
    proxy_check,
    target_check,
)
from krea_pipe.app.maintenance.reachable import look_at_krea
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import json_option
from krea_pipe.core.errors import StateError
from krea_pipe.core.settings import api_token, home_folder
from krea_pipe.store.home import open_home

REFUSED = 4
COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--offline", is_flag=True, help="Do not ask Krea.")
@json_option
def doctor(*, offline: bool, as_json: bool) -> int:
    """Check the installation, the home folder, the key and Krea, and say what to do.

    Asks Krea one question that is free, for the latest job, unless there is no key. Ends with 0, with 4 when Krea
    refused the key, with 1 for other problems; warnings are none.
    """
    found = [*installation(), *_home()]
    key, (api, target) = key_check(os.environ), target_check(os.environ)
    found += [key, api]
    refused = False
    if target is not None:
        proxy = proxy_check(os.environ, target)
        found.append(proxy)
        if not offline and key.state == proxy.state == "ok":
            asked, refused = look_at_krea(target, api_token(os.environ))
            found += asked
    code = REFUSED if refused else int(any(one.state == "problem" for one in found))
    if as_json:
        print_json({"schema": "krea-pipe/doctor@1", "ok": code == 0, "checks": [asdict(one) for one in found]})
    else:
        _print(found)
    return code


def _home() -> list[Check]:
    """How the home folder is, and why it would be refused."""
    found = list(home_folder_checks(home_folder(os.environ), os.environ))
    try:
        open_home(os.environ)
    except StateError as error:
        problem = error.problems[0]
        if all(one.state != "problem" for one in found):
            found.append(Check("home", "problem", problem.message, problem.hint or ""))
    return found


def _print(found: Sequence[Check]) -> None:
    wide = max(len(one.name) for one in found)
    for one in found:
        state = click.style(f"{one.state:<8}", fg=COLOURS[one.state], bold=one.state != "ok")
        click.echo(f"{state} {one.name:<{wide}}  {one.message}")
        if one.hint:
            click.echo(f"{'':9}{'':{wide}}  {click.style('hint', fg='cyan')}: {one.hint}")
