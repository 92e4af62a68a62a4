"""The report that a command reads: all current cells of a pipeline, or a single run."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from krea_pipe.app.assembled import Assembled, assemble
from krea_pipe.app.run_argument import NamedPipeline, RunPlace, find_pipeline, resolve_run, run_of
from krea_pipe.cli.completing import complete_run
from krea_pipe.cli.options import OverFlags, combined, over_options, overrides
from krea_pipe.cli.summary import waiting_words
from krea_pipe.cli.tables import counted
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.report.folder import read_report, space_of
from krea_pipe.report.model import Report, Row
from krea_pipe.store.space import Space

_MOST_NAMED = 20


class SourceFlags(OverFlags):
    """Which report is read."""

    run: str | None
    local: bool


source_options = combined(
    click.argument("source", required=False, metavar="[PIPELINE|RUN]", shell_complete=complete_run),
    click.option(
        "--run",
        metavar="RUN",
        shell_complete=complete_run,
        help="Read a single run of PIPELINE; `latest` is its latest.",
    ),
    click.option(
        "--local", is_flag=True, help="Take the proofs of PIPELINE.  [default: only if it has no other image]"
    ),
    over_options,
)
"""The argument and the options of a command that reads a report."""


@dataclass(frozen=True, slots=True)
class ReportSource:
    """A report, the folder of it, the name space with its images, and what it was assembled from, None for a run."""

    report: Report
    folder: Path
    space: Space
    assembled: Assembled | None = None


def say_missing(found: Assembled | None, rows: Sequence[Row]) -> None:
    """Say on stderr which cells of an assembled report have no image, and what generates them.

    Args:
        found: the report; None for a run, of which nothing is said.
        rows: the cells that are wanted.
    """
    lacking = [row.id for row in rows if row.image is None]
    if found is None or not lacking:
        return
    more = f" and {len(lacking) - _MOST_NAMED:,} more" if len(lacking) > _MOST_NAMED else ""
    have = "has" if len(lacking) == 1 else "have"
    named = f"{', '.join(lacking[:_MOST_NAMED])}{more}"
    what = click.style("missing", fg="yellow", bold=True)
    click.echo(f"{what} {len(lacking):,} of {counted(len(rows), 'cell')} {have} no image: {named}", err=True)
    click.echo(f"  to generate: {found.command}", err=True)


def say_waiting(found: Assembled | None) -> None:
    """Say on stderr which stages have no cells yet, because they wait for picks."""
    if found is not None:
        local = found.report.target.kind == "local"
        for one in found.waiting:
            click.echo(waiting_words(one, local=local), err=True)


def assembled_json(found: Assembled | None) -> dict[str, object]:
    """The same for programs; nothing for a run."""
    if found is None:
        return {}
    missing, waiting = [row.id for row in found.missing], [one.stage for one in found.waiting]
    facts = {"file": found.report.pipeline.file, "cells": len(found.report.rows), "missing": missing}
    return {"assembled": {**facts, "waiting": waiting, "command": found.command if missing else None}}


def read_source(word: str | None, flags: SourceFlags) -> ReportSource:
    """The report that a command line means.

    Raises:
        UsageError: it means no report, or several. InvalidInput: the pipeline file is invalid. StateError: the store
            cannot be read.
    """
    pipeline = pipeline_of(word, flags)
    if pipeline is None:
        place = place_of(word, flags)
        report = read_report(place.folder)
        return ReportSource(report, place.folder, space_of(report, place.home))
    found = assemble(pipeline, overrides(flags), local=flags["local"])
    return ReportSource(found.report, found.folder, found.space, found)


def pipeline_of(word: str | None, flags: SourceFlags) -> NamedPipeline | None:
    """The pipeline whose current cells are meant; None for a run.

    Raises:
        UsageError: the word means nothing, or options for pipelines are combined with a run.
    """
    pipeline = None if word is None or flags["run"] is not None else find_pipeline(word, os.environ)
    if pipeline is None:
        names = {"--local": flags["local"], "--profile": flags["profiles"], "--set": flags["sets"]}
        given = [name for name, value in {**names, "--vars": flags["var_files"]}.items() if value]
        if given:
            hint = "specify the pipeline, or remove the option: a run is as it was"
            raise UsageError(Problem("usage", f"{given[0]} needs a pipeline file and no --run", hint=hint))
    return pipeline


def place_of(word: str | None, flags: SourceFlags, *, unfinished: bool = False) -> RunPlace:
    """The run that is meant.

    Raises:
        UsageError: there is no such run.
    """
    if flags["run"] is None:
        return resolve_run(word, os.environ, unfinished=unfinished)
    return run_of(word, flags["run"], os.environ, unfinished=unfinished)
