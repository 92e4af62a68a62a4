"""`krea-pipe doctor`: is everything in place."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal

import click

from krea_pipe.app.maintenance.check import Check
from krea_pipe.app.maintenance.checkup import check_up
from krea_pipe.app.probe import probe
from krea_pipe.app.probe_report import PROBE_REPORT, TEXT, keep_probe_report, report_of
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import UsdType, json_option
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.store.probe import PROBE

_STATE_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--offline", is_flag=True, help="Do not call Krea or the shared store.")
@click.option(
    "--probe",
    "probes",
    is_flag=True,
    help="Order up to five of the cheapest images to learn how Krea's job list, clocks and errors behave. This "
    "costs money.",
)
@click.option(
    "--max-cost",
    type=UsdType(),
    help="The most that --probe may spend, in US dollars, for example 0.10. Required with --probe.",
)
@json_option
def doctor(*, offline: bool, probes: bool, max_cost: Decimal | None, as_json: bool) -> int:
    """Check the installation, the home folder, the key and Krea, and suggest fixes.

    If a key is set, makes one free call to Krea, for the latest job. Exits with 0, with 4 if Krea refused the key, or
    with 1 for other problems; warnings do not count.

    It also checks the shared store (KREA_PIPE_REMOTE): the rights, the clock, and that only one of several writers can
    create an object. It deletes what it has written there; with KREA_PIPE_REMOTE_MODE=read it writes nothing.

    --probe orders images instead, through the journal like any run. It writes a report without secrets, which you can
    share, and the values that later runs start from.
    """
    if probes or max_cost is not None:
        return _probe(max_cost, probes=probes, offline=offline, as_json=as_json)
    found, is_refused = check_up(os.environ, offline=offline)
    code = ExitCode.REFUSED if is_refused else int(any(one.state == "problem" for one in found))
    if as_json:
        print_json({"schema": "krea-pipe/doctor@1", "ok": code == 0, "checks": [asdict(one) for one in found]})
    else:
        _print(found)
    return code


def _probe(max_cost: Decimal | None, *, probes: bool, offline: bool, as_json: bool) -> int:
    """Probe the API, write what was learnt, and print it.

    Raises:
        UsageError: the options contradict each other, or the limit is missing.
    """
    if not probes:
        raise UsageError(Problem("bad_option", "--max-cost needs --probe", hint="add --probe, or remove --max-cost"))
    if offline:
        raise UsageError(Problem("bad_option", "--probe and --offline cannot be combined", hint="use only one of them"))
    if max_cost is None:
        raise UsageError(Problem("no_cap", "--probe orders images, but no cap is set", hint="add --max-cost 0.10"))
    seen, home = probe(os.environ, max_cost, lambda text: click.echo(text, err=True))
    report = report_of(seen, datetime.now(UTC))
    folder = keep_probe_report(home, report)
    if as_json:
        values = str(home / PROBE) if report.is_worth_keeping else None
        print_json({**report.data, "report": str(folder / PROBE_REPORT), "values_file": values})
    else:
        click.echo(report.text, nl=False)
        kept = f"values saved in {home / PROBE}" if report.is_worth_keeping else "no values were saved"
        click.echo(f"report  {folder / PROBE_REPORT} and {folder / TEXT}, safe to share; {kept}")
    return report.exit_code


def _print(found: Sequence[Check]) -> None:
    wide = max(len(one.name) for one in found)
    for one in found:
        state = click.style(f"{one.state:<8}", fg=_STATE_COLOURS[one.state], bold=one.state != "ok")
        click.echo(f"{state} {one.name:<{wide}}  {one.message}")
        if one.hint:
            click.echo(f"{'':9}{'':{wide}}  {click.style('hint', fg='cyan')}: {one.hint}")
