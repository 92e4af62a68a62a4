"""`krea-pipe merge`: one report, lock file and exit code from the runs of several shards."""

import os
from pathlib import Path

import click

from krea_pipe.app import flow
from krea_pipe.app.merge import Merged, merge_runs
from krea_pipe.app.run_argument import find_pipeline
from krea_pipe.app.run_name import NAME_VARIABLES, read_run_name
from krea_pipe.app.shared_runs import merge_shared
from krea_pipe.app.shared_store import shared_store
from krea_pipe.app.workspace import open_workspace
from krea_pipe.cli.cell_options import lock_option
from krea_pipe.cli.completing import complete_run
from krea_pipe.cli.merged_summary import merged_json, print_merged
from krea_pipe.cli.messages import print_json, print_problems
from krea_pipe.cli.options import json_option, out_option, run_name_option
from krea_pipe.cli.stderr_log import StderrLog
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.store.home import open_home

_AGAIN = "run that shard with the same name, and then this command again"


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=complete_run)
@out_option
@lock_option(
    "The lock file to write; its name ends in .lock.jsonl.  [default: the lock file of the runs, below the current "
    "folder]"
)
@click.option(
    "--remote",
    is_flag=True,
    help="Merge the runs that the shards have left in the shared store (KREA_PIPE_REMOTE), with its images. RUN is "
    "then the pipeline file; leave it out if all runs with the name are of one pipeline.",
)
@run_name_option
@json_option
def merge(
    runs: tuple[str, ...], *, out: Path | None, lock: Path | None, remote: bool, run_name: str | None, as_json: bool
) -> int:
    """Merge the runs of all shards: one report, JUnit file, lock file and exit code, with all images in one folder.

    RUN is the id or the folder of a run with --shard, or a folder that contains such folders, such as a downloaded
    artifact with .krea-pipe/runs and out/: of each such folder, the latest run of each shard is used. RUN can also be
    the file or the name of a pipeline, for the latest run of each of its shards in this home folder. The exit code is
    the worst one of the runs, and never 0 when cells are missing. Needs no key; only --remote needs the network.
    """
    if remote:
        merged = _merge_remote(runs, run_name, out, lock)
    else:
        _check(runs, run_name)
        home, words = _shards_of(runs)
        merged = merge_runs(home, words, out=out, lock=lock)
    if as_json:
        print_json(merged_json(merged))
    elif remote:
        print_merged(merged, StderrLog(), needs_images=True, missing_hint=_AGAIN)
    else:
        print_merged(merged, StderrLog())
    return merged.report.exit_code


def _shards_of(words: tuple[str, ...]) -> tuple[Path, list[str]]:
    """The home folder, and the runs and folders that are merged: of a pipeline, the latest run of each shard.

    Raises:
        UsageError: a word means nothing, or a pipeline without runs of shards.
    """
    home, found = None, list[str]()
    for word in words:
        pipeline = None if Path(word).is_dir() else find_pipeline(word, os.environ)
        if pipeline is None:
            found.append(word)
        else:
            home = home or pipeline.home
            found += [str(run.folder) for run in pipeline.latest_shards()]
    return home or open_home(os.environ), found


def _check(runs: tuple[str, ...], name: str | None) -> None:
    """Refuse what only `--remote` can do.

    Raises:
        UsageError: no run is named, or a name without `--remote`.
    """
    if name is not None:
        raise UsageError(Problem("bad_option", "--run-name needs --remote", hint="add --remote, or remove --run-name"))
    if not runs:
        hint = "name the runs or folders to merge, or add --remote to merge runs in the shared store"
        raise UsageError(Problem("no_runs", "no runs are named", hint=hint))


def _merge_remote(words: tuple[str, ...], text: str | None, out: Path | None, lock: Path | None) -> Merged:
    """Merge the runs in the shared store.

    Raises:
        UsageError: there is no name, or more than one file.
    """
    if len(words) > 1:
        hint = "merge the runs of one pipeline at a time"
        raise UsageError(Problem("bad_option", "--remote takes one pipeline file", hint=hint))
    name = read_run_name(text, os.environ)
    if not name:
        hint = f"give the shards and this command the same --run-name, or set {NAME_VARIABLES[0]} for all of them"
        raise UsageError(Problem("no_run_name", "the runs to merge are not named", hint=hint))
    file = Path(words[0]) if words else None
    pipeline = None if file is None else flow.load_pipeline(file, Overrides(environment=os.environ)).pipeline
    place = open_workspace(os.environ, file, engine=None if pipeline is None else pipeline.engine)
    with shared_store(os.environ, place.target, lambda one: print_problems([one], kind="warning")) as store:
        own = None if pipeline is None else pipeline.name
        return merge_shared(store, place.home, place.space, name, own, out=out, lock=lock)
