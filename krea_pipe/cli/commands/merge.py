"""`krea-pipe merge`: one report, lock file and exit code from the runs of several shards."""

import os
from pathlib import Path

import click

from krea_pipe.app.merge import merge_runs
from krea_pipe.cli.completing import complete_run
from krea_pipe.cli.merged_summary import merged_json, print_merged
from krea_pipe.cli.messages import StderrLog, print_json
from krea_pipe.cli.options import json_option, lock_option, out_option
from krea_pipe.store.home import open_home


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
        print_json(merged_json(merged))
    else:
        print_merged(merged, StderrLog())
    return merged.report.exit_code
