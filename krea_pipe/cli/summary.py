"""A finished run in a few lines."""

from pathlib import Path

import click

from krea_pipe.cli.annotations import Annotation, Kind, annotate
from krea_pipe.cli.messages import as_one
from krea_pipe.cli.stderr_log import Level, StderrLog
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.pipeline.pricing import exact
from krea_pipe.report.build import prompt_place
from krea_pipe.report.model import Report, Row
from krea_pipe.report.words import adopted_cells, explanation, summary_sentence

SHOWN = 10


def print_troubles(report: Report, stderr_log: StderrLog) -> None:
    """Say which cells have no image and why, the first of them."""
    without = ("failed", "uncertain") if stderr_log.quiet else ("failed", "uncertain", "pending")
    troubled = [row for row in report.rows if row.status in without]
    for row in troubled[:SHOWN]:
        level: Level = "info" if row.status == "pending" else "error"
        code = row.error.code if row.error else None
        text, styled = f"{row.status} {row.id}: {as_one(explanation(row))}", _trouble(row)
        stderr_log.say(level, "cell", text, styled=styled, cell=row.id, status=row.status, code=code)
    if len(troubled) > SHOWN:
        rest = len(troubled) - SHOWN
        stderr_log.say("error", "cells", f"… and {rest} more, all of them in the report", more=rest)


def print_summary(report: Report, page: Path) -> None:
    """Print what happened, where the images are, and the report."""
    if report.target.kind == "local":
        click.echo("Local proofs: nothing was sent to Krea, nothing was spent.")
    click.echo(summary_sentence(report))
    if found := adopted_cells(report):
        click.echo(f"Adopted after a lost answer, so look whether they show what was asked for: {', '.join(found)}")
    click.echo(f"images  {report.out}")
    click.echo(f"report  {page}")


def annotate_cells(report: Report, pipeline: Pipeline) -> None:
    """Annotate each cell that failed, or may have been paid in vain, on the line that its prompt comes from."""
    annotate(_annotation(report, row, pipeline) for row in report.rows if row.status in ("failed", "uncertain"))


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
        "adopted": adopted_cells(report),
        "warnings": list(report.warnings),
        "report": str(folder / "report.json"),
        "page": str(folder / "report.html"),
    }


def _trouble(row: Row) -> str:
    what = click.style(row.status, fg="yellow" if row.status == "pending" else "red", bold=True)
    return f"{what} {row.id}: {as_one(explanation(row))}"


def _annotation(report: Report, row: Row, pipeline: Pipeline) -> Annotation:
    kind: Kind = "error" if row.status == "failed" else "warning"
    title = f"{row.status}: {row.error.code}" if row.error else row.status
    return Annotation(kind, title, f"{row.id}: {explanation(row)}", prompt_place(pipeline, report, row))
