"""A merged run in a few lines: its cells, what is missing, and its lock file; in words and as JSON."""

import click

from krea_pipe.app.merge import Merged
from krea_pipe.cli.stderr_log import StderrLog
from krea_pipe.cli.summary import print_summary, print_troubles, summary_json
from krea_pipe.core.errors import Problem

_SHOWN = 5
_RUN_SHARD = "run that shard, or add its run to the command"
_KEEP = "keep the output folder in the artifacts, beside .krea-pipe/runs"
_AGAIN = "rerun the command to continue; nothing is charged twice"


def print_merged(
    merged: Merged, stderr_log: StderrLog, *, needs_images: bool = False, missing_hint: str = _RUN_SHARD
) -> None:
    """Print what happened in all runs, and say what is missing; an image that is not here may be a failure."""
    print_troubles(merged.report, stderr_log)
    stderr_log.problems(_missing(merged, missing_hint))
    stderr_log.problems(merged.problems)
    hint = _AGAIN if needs_images else _KEEP
    stderr_log.problems(_absent(merged, hint), "error" if needs_images else "warning")
    if stderr_log.quiet:
        return
    print_summary(merged.report, merged.folder / "report.html", merged.folder / merged.report.base)
    if merged.lock is not None:
        click.echo(f"lock    {merged.lock}")


def _missing(merged: Merged, hint: str) -> list[Problem]:
    return [Problem("shard_missing", str(one), hint=hint) for one in merged.missing]


def _absent(merged: Merged, hint: str) -> list[Problem]:
    if not merged.absent:
        return []
    named = f"{', '.join(merged.absent[:_SHOWN])}{' …' if len(merged.absent) > _SHOWN else ''}"
    count = "1 image is" if len(merged.absent) == 1 else f"{len(merged.absent)} images are"
    return [Problem("images_absent", f"{count} missing from the merged runs: {named}", hint=hint)]


def merged_json(merged: Merged) -> dict[str, object]:
    """The same for programs."""
    missing = [{"shard": one.shard, "came": one.came, "cells": list(one.cells)} for one in merged.missing]
    return {
        **summary_json(merged.report, merged.folder),
        "schema": "krea-pipe/merge@1",
        "merged": list(merged.report.merged),
        "missing": missing,
        "images_absent": list(merged.absent),
        "lock": None if merged.lock is None else str(merged.lock),
        "in_the_way": [str(one) for one in merged.problems],
    }
