"""`krea-pipe merge`: one report, lock file and exit code from the runs of several shards."""

import os
from pathlib import Path

import click

from krea_pipe.app.merge import Merged, merge_runs
from krea_pipe.cli.completing import complete_run
from krea_pipe.cli.messages import StderrLog, print_json
from krea_pipe.cli.options import json_option, lock_option, out_option
from krea_pipe.cli.summary import print_summary, print_troubles, summary_json
from krea_pipe.core.errors import Problem
from krea_pipe.store.home import open_home

_SHOWN = 5


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_run)
@out_option
@lock_option(
    "The lock file to write; its name ends in .lock.jsonl.  [default: the lock file of the runs, below the current "
    "folder]"
)
@json_option
def merge(runs: tuple[str, ...], *, out: Path | None, lock: Path | None, as_json: bool) -> int:
    """Merge the runs of all shards: one report, JUnit file, lock file and exit code, with all images in one folder.

    RUN is the id or the folder of a run with --shard, or a folder that contains such folders, such as a downloaded
    artifact with .krea-pipe/runs and out/: of each such folder, the latest run of each shard is used. The exit code is
    the worst one of the runs, and never 0 when cells are missing. Needs no network and no key.
    """
    merged = merge_runs(open_home(os.environ), runs, out=out, lock=lock)
    if as_json:
        print_json({**summary_json(merged.report, merged.folder), **_more_json(merged)})
        return merged.report.exit_code
    stderr_log = StderrLog()
    print_troubles(merged.report, stderr_log)
    stderr_log.problems(_missing(merged))
    stderr_log.problems(merged.problems)
    stderr_log.problems(_absent(merged), "warning")
    print_summary(merged.report, merged.folder / "report.html", merged.folder / merged.report.base)
    if merged.lock is not None:
        click.echo(f"lock    {merged.lock}")
    return merged.report.exit_code


def _missing(merged: Merged) -> list[Problem]:
    hint = "run that shard, or add its run to the command"
    return [Problem("shard_missing", str(one), hint=hint) for one in merged.missing]


def _absent(merged: Merged) -> list[Problem]:
    if not merged.absent:
        return []
    named = f"{', '.join(merged.absent[:_SHOWN])}{' …' if len(merged.absent) > _SHOWN else ''}"
    count = "1 image is" if len(merged.absent) == 1 else f"{len(merged.absent)} images are"
    hint = "keep the output folder in the artifacts, beside .krea-pipe/runs"
    return [Problem("images_absent", f"{count} missing from the merged runs: {named}", hint=hint)]


def _more_json(merged: Merged) -> dict[str, object]:
    missing = [{"shard": one.shard, "came": one.came, "cells": list(one.cells)} for one in merged.missing]
    return {
        "schema": "krea-pipe/merge@1",
        "merged": list(merged.report.merged),
        "missing": missing,
        "images_absent": list(merged.absent),
        "lock": None if merged.lock is None else str(merged.lock),
        "in_the_way": [str(one) for one in merged.problems],
    }
