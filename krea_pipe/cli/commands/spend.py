"""`krea-pipe spend`: what was paid to Krea."""

import os
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import click

from krea_pipe.app.spend import SPEND_GROUPS, Group, Spend, SpendQuery, SpendSum, add_up_spend
from krea_pipe.cli.messages import print_json, print_problems
from krea_pipe.cli.options import FILE, json_option
from krea_pipe.cli.tables import counted, print_table
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.money import exact
from krea_pipe.pipeline.pricing import usd
from krea_pipe.report.csv_table import csv_text
from krea_pipe.store.atomic import write_atomically

_NUMBERS = ("jobs", "paid", "uncertain", "in flight")


class DayType(click.ParamType[date]):
    """A day, or the first or last day of a month."""

    name = "date"

    def __init__(self, *, is_end: bool) -> None:
        self.is_end = is_end

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read `2026-11-30`, or `2026-11` for a month."""
        text = str(value)
        try:
            if len(text) != len("2026-11"):
                return date.fromisoformat(text)
            first = date.fromisoformat(f"{text}-01")
        except ValueError:
            self.fail(f"{text!r} is not a day like 2026-11-30, or a month like 2026-11", param, ctx)
        return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1) if self.is_end else first


@click.command()
@click.option(
    "--by",
    type=click.Choice(SPEND_GROUPS),
    multiple=True,
    default=("month",),
    show_default=True,
    help="Add up by this; can be repeated.",
)
@click.option("--since", type=DayType(is_end=False), metavar="DATE", help="From this day (UTC) or month on.")
@click.option("--until", type=DayType(is_end=True), metavar="DATE", help="Until the end of this day (UTC) or month.")
@click.option(
    "--home",
    "homes",
    type=FILE,
    multiple=True,
    metavar="FOLDER",
    help="Also read the journal of this home folder (.krea-pipe); can be repeated.",
)
@click.option("--no-store", is_flag=True, help="Do not read the shared store (KREA_PIPE_REMOTE).")
@click.option("--csv", type=click.Path(allow_dash=True), metavar="FILE", help="Write a CSV file; - is stdout.")
@json_option
def spend(
    *,
    by: tuple[Group, ...],
    since: date | None,
    until: date | None,
    homes: tuple[Path, ...],
    no_store: bool,
    csv: str | None,
    as_json: bool,
) -> int:
    """Show what was paid to Krea, by month, pipeline, stage, variant, person or home.

    The amounts come from the journals of this machine and from the shared store, if KREA_PIPE_REMOTE names one; a job
    that several of them know counts once. Completed jobs are paid, failed and cancelled ones are not billed.
    `uncertain` is what Krea may have billed without an answer, `in flight` what is not finished; neither is part of
    `paid`. A person is the name that git had when the job was submitted. Needs no key.
    """
    if as_json and csv == "-":
        raise UsageError(Problem("bad_option", "--json and --csv - both print to stdout", hint="use --csv FILE"))
    query = SpendQuery(tuple(dict.fromkeys(by)), str(since) if since else None, str(until) if until else None)
    found = add_up_spend(query, homes, os.environ, _warn, with_store=not no_store)
    if csv == "-":
        click.echo(_csv(found), nl=False)
    elif csv is not None:
        write_atomically(Path(csv), _csv(found).encode(), durable=False)
    if as_json:
        print_json(_json(found))
    elif csv != "-":
        _print(found)
    return 0


def _warn(problem: Problem) -> None:
    print_problems([problem], kind="warning")


def _print(found: Spend) -> None:
    if not found.rows:
        click.echo(f"Nothing was paid to {found.base}{_period(found.query)}.")
        return
    rows = [[*names, *_amounts(one)] for names, one in found.rows.items()]
    if len(rows) > 1:
        rows.append(["total", *("" for _ in found.query.by[1:]), *_amounts(found.total)])
    print_table([*found.query.by, *_NUMBERS], rows, numbers=_NUMBERS, long=found.query.by)
    for line in _notes(found):
        click.echo(line)


def _notes(found: Spend) -> Iterable[str]:
    total = found.total
    if total.uncertain:
        requests = counted(total.uncertain, "request")
        yield f"Krea may have billed {requests} whose outcome is unknown ({usd(total.uncertain_usd)}); see `status`."
    if total.trainings_usd:
        amount = usd(total.trainings_usd)
        yield f"{amount} of it is for trainings, counted at the agreed limit because Krea does not publish their price."


def _period(query: SpendQuery) -> str:
    words = [f"{name} {day}" for name, day in (("since", query.since), ("until", query.until)) if day]
    return "".join(f" {one}" for one in words)


def _amounts(one: SpendSum) -> list[str]:
    uncertain = usd(one.uncertain_usd) if one.uncertain else ""
    return [f"{one.paid:,}", usd(one.paid_usd), uncertain, usd(one.in_flight_usd) if one.in_flight else ""]


def _json(found: Spend) -> dict[str, object]:
    query = found.query
    return {
        "schema": "krea-pipe/spend@1",
        "base": found.base,
        "homes": list(found.homes),
        "store": found.store,
        "since": query.since,
        "until": query.until,
        "by": list(query.by),
        "rows": [{**dict(zip(query.by, names, strict=True)), **_sum_json(one)} for names, one in found.rows.items()],
        "total": _sum_json(found.total),
    }


def _sum_json(one: SpendSum) -> dict[str, object]:
    return {
        "paid": one.paid,
        "paid_usd": exact(one.paid_usd),
        "trainings_usd": exact(one.trainings_usd),
        "uncertain": one.uncertain,
        "uncertain_usd": exact(one.uncertain_usd),
        "in_flight": one.in_flight,
        "in_flight_usd": exact(one.in_flight_usd),
        "not_billed": one.not_billed,
    }


def _csv(found: Spend) -> str:
    lines = [[*names, *_sum_json(one).values()] for names, one in found.rows.items()]
    return csv_text([*found.query.by, *_sum_json(found.total)], lines)
