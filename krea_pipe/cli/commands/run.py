"""`krea-pipe run`: generate the missing images, and write a report."""

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow
from krea_pipe.app.batch import Batch, BatchFile, run_batch
from krea_pipe.app.execution import Listen, Listeners, RunWork, open_execution
from krea_pipe.app.pipeline_files import is_one_file, pipeline_files
from krea_pipe.app.plan_files import run_request
from krea_pipe.app.shared_runs import read_run_name
from krea_pipe.app.workspace import target_of
from krea_pipe.cli.ci_log import is_read_by_a_host
from krea_pipe.cli.many_files import file_json, files_argument, joint_json, refuse_one_folder
from krea_pipe.cli.messages import StderrLog, print_json, problem_json
from krea_pipe.cli.options import (
    Number,
    UsdType,
    cell_options,
    local_option,
    lock_option,
    log_options,
    out_option,
    overrides,
    retry_rejected_option,
    run_name_option,
    selection,
    shard,
    shard_option,
)
from krea_pipe.cli.progress import Display, LineProgress, ProgressObserver, ProgressState
from krea_pipe.cli.run_flags import (
    GOES_ON,
    RunFlags,
    changed_files,
    check_allow_render,
    check_budget_name,
    check_prune,
    check_run_name,
    cluster_options,
    send_options,
)
from krea_pipe.cli.run_notifications import RunNotifications
from krea_pipe.cli.streams import can_move
from krea_pipe.cli.summary import (
    annotate_cells,
    batch_summary_json,
    delivered_json,
    delivered_words,
    fetched_json,
    fetched_words,
    lock_json,
    lock_words,
    print_summary,
    print_troubles,
    pruned_json,
    pruned_words,
    summary_json,
    waiting_json,
    waiting_words,
)
from krea_pipe.core.errors import KreaPipeError, Problem, UsageError
from krea_pipe.core.exit_codes import worst
from krea_pipe.core.outcome import Ending
from krea_pipe.core.settings import Target, with_engine
from krea_pipe.matrix.sharding import Shard
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.planning.budget import Limits
from krea_pipe.report.words import notices, summary_sentence
from krea_pipe.store.home import open_home, open_other_homes
from krea_pipe.store.remote.remote import Remote, open_remote

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
    no cost, and the rest is submitted. A live run needs a key (KREA_API_KEY) and a cap (`budget: {usd: …}` in the file,
    or --max-cost). If anything goes wrong, rerun the command: nothing is charged twice. Two concurrent runs share the
    work. FILE may also be a plan from `krea-pipe plan --out`: exactly that plan is executed, or nothing if the
    pipeline's requests have changed since. With --on ray, the shards run on the machines of a Ray cluster.
    """
    check_allow_render(flags)
    check_prune(flags)
    if not is_one_file(files):
        return _run_batch(files, flags, as_json=as_json)
    (file,) = files
    if _uses_cluster(flags):
        from krea_pipe.cli.distributed import run_distributed  # noqa: PLC0415 (a cluster, which other runs do without)

        return run_distributed(file, flags, as_json=as_json)
    with RunNotifications(flags, file) as notifications:
        finished = _run(file, flags, notifications, as_json=as_json)
        notifications.finished(finished)
        return say_run(finished, notifications.stderr_log, as_json=as_json)


def _uses_cluster(flags: RunFlags) -> bool:
    return any(flags[name] is not None for name in ("cluster", "shards", "ray_address"))


def _run_batch(arguments: Sequence[Path], flags: RunFlags, *, as_json: bool) -> int:
    """Run several pipelines together.

    Raises:
        UsageError: an option is for one pipeline.
    """
    refuse_one_folder(arguments, flags["out"])
    for name, is_given in (("--lock", flags["lock"] is not None), ("--on", _uses_cluster(flags))):
        if is_given:
            raise UsageError(Problem("bad_option", f"{name} is for one file", hint="run each file by itself"))
    files = pipeline_files(arguments)
    with RunNotifications(flags, Path(f"{len(files)} pipelines")) as notifications:
        notifications.shard = chosen = shard(flags["shard"])
        target = target_of(os.environ, local=flags["local"])
        stderr_log = notifications.stderr_log
        warn = warner(stderr_log, as_json=as_json)
        remote = _open_remote(flags, target, chosen, warn)
        pipelines = dict[Path, Pipeline]()

        def read(file: Path) -> BatchFile:
            request = run_request(file, overrides(flags), _run_options(flags, chosen), os.environ, local=flags["local"])
            if request.approval is not None:
                raise UsageError(Problem("bad_option", f"{file} is a plan, which is run by itself"))
            loaded = flow.load_pipeline(request.file, request.overrides)
            warn(loaded.warnings)
            pipelines[file] = loaded.pipeline
            homes = open_other_homes(os.environ, file)
            drawn = with_engine(target, loaded.pipeline.engine)
            own = remote if drawn is target else _open_remote(flags, drawn, chosen, warn)
            options = replace(_run_options(flags, chosen), lock=request.lock, remote=own, homes=homes)
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


def _open_remote(
    flags: RunFlags, target: Target, chosen: Shard | None, warn: Callable[[Iterable[Problem]], None]
) -> Remote | None:
    """The shared store, if it can keep what the names of the run need.

    Raises:
        UsageError: it cannot.
    """
    remote = open_remote(os.environ, target, lambda one: warn([one]), has_claims=not flags["without_claims"])
    check_budget_name(flags["budget_name"], remote)
    check_run_name(flags["run_name"], chosen, remote)
    return remote


def warner(stderr_log: StderrLog, *, as_json: bool) -> Callable[[Iterable[Problem]], None]:
    """Prints warnings, unless only JSON is printed."""

    def warn(problems: Iterable[Problem]) -> None:
        if not as_json or stderr_log.in_json:
            stderr_log.problems(problems, "warning")

    return warn


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
        _tell_end(batch.ending, stderr_log)
        stderr_log.say("info", "to_go_on", f"To continue (nothing is charged twice): {_command()}")
    return code


def _batch_json(batch: Batch, code: int) -> dict[str, object]:
    """A batch as one object: each file as `run` says it alone, and all together."""
    files = [
        file_json(end.file, end.code, end.finished and _run_json(end.finished), end.problems) for end in batch.ends
    ]
    whole = {} if batch.report is None else batch_summary_json(batch.report)
    return joint_json("run", code, files, {**whole, "page": batch.page and str(batch.page)})


def _run(file: Path, flags: RunFlags, notifications: RunNotifications, *, as_json: bool) -> flow.FinishedRun:
    """Make the images, and show how far the run has come meanwhile."""
    stderr_log = notifications.stderr_log
    notifications.shard = chosen = shard(flags["shard"])
    options = _run_options(flags, chosen)
    request = run_request(file, overrides(flags), options, os.environ, local=flags["local"])
    loaded = flow.load_pipeline(request.file, request.overrides)
    if request.over and not as_json:
        stderr_log.say("info", "plan_file", f"{file} is a plan of {request.file} with {request.over}")
    target = with_engine(request.target, loaded.pipeline.engine)
    execution = open_execution(target, send_options(flags), os.environ)
    warn = warner(stderr_log, as_json=as_json)
    warn(loaded.warnings)
    is_local = target.kind == "local"
    remote = _open_remote(flags, target, chosen, warn)
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


def listening(notifications: RunNotifications, *, is_local: bool, as_json: bool) -> Listen:
    """Shows how far a run has come, and reports its events."""
    stderr_log = notifications.stderr_log
    moves = not (as_json or stderr_log.quiet or stderr_log.in_json) and can_move()

    @contextmanager
    def listen(work: RunWork, run_id: str) -> Iterator[Listeners]:
        state = ProgressState(work.calls, is_local)
        observe = notifications.begun(work, run_id)
        with _display(state, stderr_log, moves=moves) as display:
            watch = notifications.watched(ProgressObserver(state, display))
            yield Listeners(watch, lambda message: stderr_log.say("info", "stopping", message), observe)

    return listen


def _run_options(flags: RunFlags, chosen: Shard | None) -> flow.RunOptions:
    return flow.RunOptions(
        max_cells=flags["max_cells"],
        limits=Limits(flags["max_cost"], flags["max_new"], is_named=flags["budget_name"] is not None),
        resubmit=flags["uncertain"] == "resubmit",
        retry_rejected=flags["retry_rejected"],
        selection=selection(flags),
        lock=flags["lock"],
        frozen=flags["frozen"],
        allow_render=flags["allow_render"],
        changed=changed_files(flags),
        allow_commands=flags["allow_commands"],
        shard=chosen,
        prunes=flags["prune"],
        run_name=read_run_name(flags["run_name"], os.environ) if chosen is not None else "",
    )


def _display(state: ProgressState, stderr_log: StderrLog, *, moves: bool) -> AbstractContextManager[Display]:
    """A bar where lines may be written over again, else lines."""
    if not moves:
        return LineProgress(state, stderr_log)
    from krea_pipe.cli.bar import Bar  # noqa: PLC0415 (rich, which other runs do without)

    return Bar(state)


def say_run(
    finished: flow.FinishedRun,
    stderr_log: StderrLog,
    *,
    as_json: bool,
    in_batch: bool = False,
    more: Mapping[str, object] | None = None,
) -> int:
    """Say how a run has ended: what it made on stdout, what is wrong on stderr; its exit code.

    With JSON, `more` is part of the object.
    """
    report, problems = finished.report, (*(() if in_batch else _problems(finished.ending)), *finished.problems)
    is_told = not as_json or stderr_log.in_json
    if is_told:
        fetched = finished.fetched.problems if finished.fetched else ()
        stderr_log.problems((*fetched, *finished.warnings, *finished.ending.warnings), "warning")
        print_troubles(report, stderr_log)
    if not in_batch:
        if as_json:
            error = {"error": problem_json(problems[0])} if problems else {}
            print_json({**_run_json(finished), **(more or {}), **error})
        elif not stderr_log.quiet:
            print_summary(
                report, finished.folder / "report.html", finished.folder / report.base, is_earlier=finished.is_earlier
            )
            _print_notes(finished)
    elif not (as_json or stderr_log.quiet):
        _print_in_batch(finished)
    if is_told:
        _tell_end(finished.ending, stderr_log)
        stderr_log.problems(finished.problems)
        if finished.kept is not None and finished.kept.drifted and (stderr_log.quiet or stderr_log.in_json):
            stderr_log.say("error", "drifted", lock_words(finished)[-1], cells=list(finished.kept.drifted))
    cells = report.cells
    if in_batch:
        return report.exit_code
    if is_told and report.exit_code in GOES_ON and cells.succeeded + cells.reused < cells.total:
        stderr_log.say("info", "to_go_on", f"To continue (nothing is charged twice): {_command()}")
    return report.exit_code


def _print_in_batch(finished: flow.FinishedRun) -> None:
    """Print what happened to one pipeline of a batch."""
    click.echo("\n".join([summary_sentence(finished.report), *notices(finished.report)]))
    _print_notes(finished)
    click.echo(f"report  {finished.folder / 'report.html'}")


def _print_notes(finished: flow.FinishedRun) -> None:
    for word in (*fetched_words(finished), *delivered_words(finished), *pruned_words(finished), *lock_words(finished)):
        click.echo(word)
    for one in finished.waiting:
        click.echo(waiting_words(one, local=finished.report.target.kind == "local"))


def _run_json(finished: flow.FinishedRun) -> dict[str, object]:
    """A finished run as one object."""
    waiting = [waiting_json(one) for one in finished.waiting]
    more: dict[str, object] = {"waiting": waiting, "lock": lock_json(finished), "fetched": fetched_json(finished)}
    return {
        **summary_json(finished.report, finished.folder),
        **more,
        **delivered_json(finished),
        **pruned_json(finished),
    }


def _command() -> str:
    """The given command, quoted for a shell, without the secret address of --notify."""
    words = ["krea-pipe", *sys.argv[1:]]
    for number, word in enumerate(words):
        if word.startswith("--notify="):
            words[number] = "--notify=…"
        elif words[number - 1] == "--notify" and word != "desktop":
            words[number] = "…"
    return shlex.join(words)


def _tell_end(ending: Ending, stderr_log: StderrLog) -> None:
    """Say what has ended a run early; a limit is the user's own, so that nothing went wrong."""
    problems = _problems(ending)
    if problems == (ending.limit,):
        stderr_log.shortcomings(problems)
    else:
        stderr_log.problems(problems)


def _problems(ending: Ending) -> tuple[Problem, ...]:
    """The error that ended a run early; an error that krea-pipe did not raise itself is reported as a bug."""
    if ending.error is None:
        return tuple(problem for problem in (ending.refusal or ending.limit,) if problem)
    if isinstance(ending.error, KreaPipeError):
        return ending.error.problems
    raise ending.error
