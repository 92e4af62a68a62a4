"""`krea-pipe run`: generate the missing images, and write a report."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow
from krea_pipe.app.execution import open_execution
from krea_pipe.app.pipeline_files import is_one_file
from krea_pipe.app.plan_files import run_request
from krea_pipe.cli.cell_options import cell_options, lock_option, shard, shard_option
from krea_pipe.cli.ci_log import is_read_by_a_host
from krea_pipe.cli.many_files import files_argument
from krea_pipe.cli.options import (
    Number,
    UsdType,
    local_option,
    log_options,
    out_option,
    overrides,
    retry_rejected_option,
    run_name_option,
)
from krea_pipe.cli.run_flags import (
    RunFlags,
    check_allow_render,
    check_prune,
    cluster_options,
    send_options,
    uses_cluster,
)
from krea_pipe.cli.run_notifications import RunNotifications
from krea_pipe.cli.run_output import listening, open_run_remote, run_options, say_run, warner
from krea_pipe.cli.summary import (
    annotate_cells,
)
from krea_pipe.core.settings import with_engine
from krea_pipe.store.home import open_home, open_other_homes

MAX_CONCURRENCY = 10_000
MAX_PARALLEL = 8


@click.command()
@files_argument
@local_option
@out_option
@click.option(
    "--max-cost", type=UsdType(), help="Stop with exit code 5 before spending more than this many US dollars."
)
@click.option("--max-new", type=click.IntRange(min=0), help="Stop with exit code 5 after this many new images.")
@shard_option
@run_name_option
@click.option(
    "-j",
    "--concurrency",
    type=click.IntRange(1, MAX_CONCURRENCY),
    default=500,
    show_default=True,
    help="The most jobs to have at Krea at once. The account's own limit is learned from Krea's answers.",
)
@click.option(
    "--submit-parallel",
    type=click.IntRange(1, MAX_PARALLEL),
    default=1,
    show_default=True,
    help="How many requests may be on their way to Krea at once. Higher values send faster, but a crash or a broken "
    "connection can leave that many requests without an answer, and their jobs cannot be told apart.",
)
@click.option(
    "--uncertain",
    type=click.Choice(["hold", "adopt", "resubmit"]),
    default="hold",
    show_default=True,
    help="What to do with requests that have no answer, may have been billed, and cannot be resolved from Krea's "
    "list of jobs: leave them, adopt the job nearest in time, or pay again. resubmit also pays again for images "
    "that cannot be fetched or that Krea no longer has.",
)
@retry_rejected_option
@click.option(
    "--job-timeout",
    type=Number(min=0.1),
    help="Cancel a running job after this many seconds.  [default: 300 for Turbo, 600 for Medium, 900 for Large]",
)
@click.option("--webhook-url", help="Ask Krea to call this URL when a job has ended.")
@click.option(
    "--webhook-listen",
    metavar="HOST:PORT",
    help="Listen for Krea's webhooks on this address; --webhook-url is the public URL that leads to it.",
)
@log_options
@lock_option(
    "The lock file that a live run updates; its name ends in .lock.jsonl.  [default: NAME.lock.jsonl beside FILE; "
    "none with --profile, --set or --vars, because they change the cells]"
)
@click.option(
    "--frozen",
    is_flag=True,
    help="Deliver only what is in the lock file, pay for nothing, and do not change the file. Exit with 8: before "
    "anything is sent if a cell is not in it, after the run if an image differs or would have to be paid for.",
)
@click.option(
    "--allow-render", is_flag=True, help="With --frozen, pay for images that have no free source, within the cap."
)
@click.option(
    "--overwrite-changed",
    is_flag=True,
    help="Replace files in the output folder that someone has changed or added. By default, they are kept.",
)
@click.option(
    "--keep-both",
    is_flag=True,
    help="Keep such files and write the images beside them, as NAME.krea-pipe.png; later runs do the same.",
)
@click.option(
    "--prune",
    is_flag=True,
    help="At the end, list and remove the files in the output folder that krea-pipe delivered for FILE and that no "
    "cell produces any longer. Changed files and files of others stay.",
)
@click.option(
    "--budget-name",
    metavar="NAME",
    help="Use the cap (--max-cost, or `budget: {usd: …}`) as a budget with this name in the shared store "
    "(KREA_PIPE_REMOTE), shared by all runs that use the name.",
)
@cluster_options
@click.option(
    "--without-claims",
    is_flag=True,
    help="Pay without claiming requests in the shared store (KREA_PIPE_REMOTE), for example while it is down.",
)
@click.option(
    "--allow-commands",
    is_flag=True,
    help="Let checks with `measure: command` run the commands of FILE on this machine. Without it, a file with such "
    "checks is refused before anything is sent.",
)
@cell_options
def run(files: tuple[Path, ...], *, as_json: bool, **flags: Unpack[RunFlags]) -> int:
    """Generate only the missing images of FILE, and write a report.

    FILE is a pipeline, a folder with pipelines, or a pattern. Several pipelines are sent as one run: --max-cost,
    --max-new and --concurrency are for all of them, an error in one does not stop the others, and a page links their
    reports.

    Cached images are reused, running jobs are awaited, accepted or paid images that are missing locally are fetched at
    no cost, and the rest is submitted. A run at Krea needs a key (KREA_API_KEY) and a cap (`budget: {usd: …}` in the
    file, or --max-cost). If anything goes wrong, rerun the command: nothing is charged twice. Two concurrent runs share
    the work. FILE may also be a plan from `krea-pipe plan --out`: exactly that plan is executed, or nothing if the
    pipeline's requests have changed since. With --on ray, the shards run on the machines of a Ray cluster.
    """
    check_allow_render(flags)
    check_prune(flags)
    if not is_one_file(files):
        from krea_pipe.cli.batch_run import run_files  # noqa: PLC0415 (a batch, which one file does without)

        return run_files(files, flags, as_json=as_json)
    (file,) = files
    if uses_cluster(flags):
        from krea_pipe.cli.distributed import run_distributed  # noqa: PLC0415 (a cluster, which other runs do without)

        return run_distributed(file, flags, as_json=as_json)
    with RunNotifications(flags, file) as notifications:
        finished = _run(file, flags, notifications, as_json=as_json)
        notifications.finished(finished)
        return say_run(finished, notifications.stderr_log, as_json=as_json)


def _run(file: Path, flags: RunFlags, notifications: RunNotifications, *, as_json: bool) -> flow.FinishedRun:
    """Make the images, and show how far the run has come meanwhile."""
    stderr_log = notifications.stderr_log
    notifications.shard = chosen = shard(flags["shard"])
    options = run_options(flags, chosen)
    request = run_request(file, overrides(flags), options, os.environ, local=flags["local"])
    loaded = flow.load_pipeline(request.file, request.overrides)
    if request.over and not as_json:
        stderr_log.say("info", "plan_file", f"{file} is a plan of {request.file} with {request.over}")
    target = with_engine(request.target, loaded.pipeline.engine)
    execution = open_execution(target, send_options(flags), os.environ)
    warn = warner(stderr_log, as_json=as_json)
    warn(loaded.warnings)
    is_local = target.kind == "local"
    remote = open_run_remote(flags, target, chosen, warn)
    finished = flow.run_pipeline(
        loaded,
        open_home(os.environ, request.file),
        execution,
        out=flow.out_folder(flags["out"], loaded.pipeline.name, local=is_local),
        options=replace(
            options,
            max_cells=request.max_cells,
            lock=request.lock,
            approval=request.approval,
            remote=remote,
            homes=open_other_homes(os.environ, request.file),
            names_last_report=not is_read_by_a_host(os.environ),
        ),
        listen=listening(notifications, is_local=is_local, as_json=as_json),
    )
    if not stderr_log.in_json:
        annotate_cells(finished.report, loaded.pipeline)
    return finished
