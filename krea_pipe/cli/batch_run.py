"""`krea-pipe run` for several pipelines."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from krea_pipe.app import flow
from krea_pipe.app.batch import Batch, BatchFile, run_batch
from krea_pipe.app.execution import open_execution
from krea_pipe.app.pipeline_files import pipeline_files
from krea_pipe.app.plan_files import run_request
from krea_pipe.app.workspace import target_of
from krea_pipe.cli.cell_options import shard
from krea_pipe.cli.many_files import file_json, joint_json, refuse_one_folder
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import overrides
from krea_pipe.cli.run_flags import (
    GOES_ON,
    RunFlags,
    send_options,
    uses_cluster,
)
from krea_pipe.cli.run_notifications import RunNotifications
from krea_pipe.cli.run_output import (
    listening,
    open_run_remote,
    run_json,
    run_options,
    say_run,
    tell_end,
    this_command,
    warner,
)
from krea_pipe.cli.summary import (
    annotate_cells,
    batch_summary_json,
)
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.exit_codes import worst
from krea_pipe.core.settings import with_engine
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.planning.budget import Limits
from krea_pipe.report.words import summary_sentence
from krea_pipe.store.home import open_home, open_other_homes


def run_files(arguments: Sequence[Path], flags: RunFlags, *, as_json: bool) -> int:
    """Run several pipelines together.

    Raises:
        UsageError: an option is for one pipeline.
    """
    refuse_one_folder(arguments, flags["out"])
    for name, is_given in (("--lock", flags["lock"] is not None), ("--on", uses_cluster(flags))):
        if is_given:
            raise UsageError(Problem("bad_option", f"{name} is for one file", hint="run each file by itself"))
    files = pipeline_files(arguments)
    with RunNotifications(flags, Path(f"{len(files)} pipelines")) as notifications:
        notifications.shard = chosen = shard(flags["shard"])
        target = target_of(os.environ, local=flags["local"])
        stderr_log = notifications.stderr_log
        warn = warner(stderr_log, as_json=as_json)
        remote = open_run_remote(flags, target, chosen, warn)
        pipelines = dict[Path, Pipeline]()

        def read(file: Path) -> BatchFile:
            request = run_request(file, overrides(flags), run_options(flags, chosen), os.environ, local=flags["local"])
            if request.approval is not None:
                raise UsageError(Problem("bad_option", f"{file} is a plan, which is run by itself"))
            loaded = flow.load_pipeline(request.file, request.overrides)
            warn(loaded.warnings)
            pipelines[file] = loaded.pipeline
            homes = open_other_homes(os.environ, file)
            drawn = with_engine(target, loaded.pipeline.engine)
            own = remote if drawn is target else open_run_remote(flags, drawn, chosen, warn)
            options = replace(run_options(flags, chosen), lock=request.lock, remote=own, homes=homes)
            out = flow.out_folder(None, loaded.pipeline.name, local=target.kind == "local")
            return BatchFile(file, loaded, open_home(os.environ, file), out, options)

        limits = Limits(flags["max_cost"], flags["max_new"], is_named=flags["budget_name"] is not None)
        execution = open_execution(target, send_options(flags), os.environ)
        listen = listening(notifications, is_local=target.kind == "local", as_json=as_json)
        batch = run_batch(files, read, execution, limits, listen)
        for end in batch.ends:
            if end.finished is not None and not stderr_log.in_json:
                annotate_cells(end.finished.report, pipelines[end.file])
        return _say_batch(batch, notifications, as_json=as_json)


def _say_batch(batch: Batch, notifications: RunNotifications, *, as_json: bool) -> int:
    """Say how each pipeline of a batch has ended, and all together; the worst exit code."""
    stderr_log = notifications.stderr_log
    is_told = not as_json or stderr_log.in_json
    if batch.report is not None:
        notifications.finished_batch(batch.report, batch.ending)
    for end in batch.ends:
        if not as_json and not stderr_log.quiet:
            click.echo(click.style(str(end.file), bold=True))
        if is_told:
            stderr_log.problems(end.problems)
        if end.finished is not None:
            say_run(end.finished, stderr_log, as_json=as_json, in_batch=True)
    code = worst(end.code for end in batch.ends)
    if as_json:
        print_json(_batch_json(batch, code))
    elif batch.report is not None and not stderr_log.quiet:
        count = len(batch.ends)
        click.echo(f"\n{count} pipeline{'' if count == 1 else 's'}: {summary_sentence(batch.report)}")
        click.echo(f"batch   {batch.page}")
    if is_told and code in GOES_ON:
        tell_end(batch.ending, stderr_log)
        stderr_log.say("info", "to_go_on", f"To continue (nothing is charged twice): {this_command()}")
    return code


def _batch_json(batch: Batch, code: int) -> dict[str, object]:
    """A batch as one object: each file as `run` says it alone, and all together."""
    files = [file_json(end.file, end.code, end.finished and run_json(end.finished), end.problems) for end in batch.ends]
    whole = {} if batch.report is None else batch_summary_json(batch.report)
    return joint_json("run", code, files, {**whole, "page": batch.page and str(batch.page)})
