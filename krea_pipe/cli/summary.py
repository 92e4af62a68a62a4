"""A finished run in a few lines."""

from pathlib import Path

import click

from krea_pipe.pricing import exact
from krea_pipe.report.model import Report, Row
from krea_pipe.report.words import adopted, sentence, why, writable

SHOWN = 10


def print_summary(report: Report, page: Path) -> None:
    """Print what happened, the first failures, where the images are, and the report."""
    troubled = [row for row in report.rows if row.status not in ("succeeded", "reused")]
    for row in troubled[:SHOWN]:
        click.echo(_trouble(row), err=True)
    if len(troubled) > SHOWN:
        click.echo(f"… and {len(troubled) - SHOWN} more, all of them in the report", err=True)
    if report.target.kind == "local":
        click.echo("Local proofs: nothing was sent to Krea, nothing was spent.")
    click.echo(sentence(report))
    if found := adopted(report):
        click.echo(f"Adopted after a lost answer, so look whether they show what was asked for: {', '.join(found)}")
    click.echo(f"images  {report.out}")
    click.echo(f"report  {page}")


def summary_json(report: Report, folder: Path) -> dict[str, object]:
    """A finished run as the one object that `run --json` prints."""
    cells, cost = report.cells, report.cost
    return {
        "schema": "krea-pipe/run@1",
        "run_id": report.run_id,
        "exit_code": report.exit_code,
        "target": report.target.kind,
        "cells": {
            "total": cells.total,
            "succeeded": cells.succeeded,
            "failed": cells.failed,
            "reused": cells.reused,
            "uncertain": cells.uncertain,
            "pending": cells.pending,
        },
        "cost": {
            "spent_usd": exact(cost.spent_usd),
            "saved_usd": exact(cost.saved_usd),
            "uncertain_usd": exact(cost.uncertain_usd),
            "in_flight_usd": exact(cost.in_flight_usd),
        },
        "adopted": adopted(report),
        "warnings": list(report.warnings),
        "report": str(folder / "report.json"),
        "page": str(folder / "report.html"),
    }


def _trouble(row: Row) -> str:
    what = click.style(row.status, fg="yellow" if row.status == "pending" else "red", bold=True)
    return f"{what} {row.id}: {writable(why(row))}"
