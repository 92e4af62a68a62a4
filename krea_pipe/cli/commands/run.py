"""`krea-pipe run`: make the images that are not there yet, and a report."""

import os
import shlex
import sys
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow
from krea_pipe.cli.executor import Executor, How
from krea_pipe.cli.lock_options import lock_json, lock_options, lock_words
from krea_pipe.cli.log_options import log_options, voice_for
from krea_pipe.cli.messages import print_json, problem_json
from krea_pipe.cli.options import (
    Money,
    Number,
    file_argument,
    json_option,
    local_option,
    max_cells_option,
    out_folder,
    out_option,
    over_options,
    select_options,
    selection,
)
from krea_pipe.cli.pictures import shrink
from krea_pipe.cli.plan_files import asked
from krea_pipe.cli.run_notifications import RunNotifications
from krea_pipe.cli.stderr_log import StderrLog
from krea_pipe.cli.summary import annotate_cells, print_summary, print_troubles, summary_json
from krea_pipe.cli.waiting import waiting_json, waiting_words
from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.outcome import Ending
from krea_pipe.core.settings import Token, api_token
from krea_pipe.planning.budget import Limits
from krea_pipe.store.home import open_home

MAX_CONCURRENCY = 10_000
MAX_PARALLEL = 8

GOES_ON = (ExitCode.REFUSED, ExitCode.LIMIT_REACHED, ExitCode.INTERRUPTED)
"""Ends after which the same command goes on where this one stopped."""


@click.command()
@file_argument
@local_option
@out_option
@click.option("--max-cost", type=Money(), help="Spend no more than this many US dollars, then stop with exit code 5.")
@click.option(
    "--max-new", type=click.IntRange(min=0), help="Make no more new images than this, then stop with exit code 5."
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, MAX_CONCURRENCY),
    default=500,
    show_default=True,
    help="The most jobs that Krea may hold at once. How many the account takes is learned from its answers.",
)
@click.option(
    "--submit-parallel",
    type=click.IntRange(1, MAX_PARALLEL),
    default=1,
    show_default=True,
    help="How many requests may be on their way to Krea at once. More send faster, but a crash or a broken line "
    "can then leave as many of them without an answer, and none of those can be told from another.",
)
@click.option(
    "--uncertain",
    type=click.Choice(["hold", "adopt", "resubmit"]),
    default="hold",
    show_default=True,
    help="Requests that may have been paid but have no answer, and that Krea's list of jobs does not settle: leave "
    "them, take the job nearest in time, or pay again. resubmit also gives up images that cannot be fetched.",
)
@click.option(
    "--job-timeout",
    type=Number(min=0.1),
    help="Seconds after which a running job is given up and cancelled.  [default: 300 for Turbo, 600 for Medium, "
    "900 for Large]",
)
@click.option("--webhook-url", help="Ask Krea to tell this address when a job has ended.")
@click.option(
    "--webhook-listen",
    metavar="HOST:PORT",
    help="Be told of finished jobs here; with --webhook-url, that is how Krea reaches it.",
)
@log_options
@lock_options
@over_options
@select_options
@max_cells_option
@json_option
def run(file: Path, out: Path | None, max_cells: int, *, local: bool, as_json: bool, **how: Unpack[How]) -> int:
    """Make the images of FILE that are not there yet, and a report.

    What is stored is reused, what is in flight is waited for, the rest is sent. A live run needs a key
    (KREA_API_KEY) and a cap (`budget: {usd: …}` in the file, or --max-cost). Run it again after anything went
    wrong: nothing is paid twice. Two runs at once share the work. FILE may be a plan of `krea-pipe plan --out`: then
    just that is carried out, and nothing when the pipeline makes other requests by now.
    """
    with RunNotifications(how, file, voice_for(how)) as notifications:
        finished = _finished(file, out, max_cells, how, notifications, local=local, as_json=as_json)
        notifications.finished(finished)
        return _say(finished, notifications.stderr_log, as_json=as_json)


def _finished(
    file: Path,
    out: Path | None,
    max_cells: int,
    how: How,
    notifications: RunNotifications,
    *,
    local: bool,
    as_json: bool,
) -> flow.Finished:
    ask = asked(file, how, local=local, max_cells=max_cells)
    loaded = flow.load(ask.file, ask.overrides)
    if ask.over and not as_json:
        notifications.stderr_log.say("info", "plan_file", f"{file} is a plan of {ask.file} with {ask.over}")
    executor = Executor(ask.target, how, notifications, as_json=as_json)
    if not as_json or notifications.stderr_log.in_json:
        notifications.stderr_log.problems(loaded.warnings, "warning")
    finished = flow.run(
        loaded,
        open_home(os.environ, ask.file),
        ask.target,
        out=out_folder(out, loaded.pipeline.name, local=ask.is_local),
        options=flow.RunOptions(
            ask.max_cells,
            Limits(how["max_cost"], how["max_new"]),
            how["uncertain"] == "resubmit",
            selection(how),
            ask.lock,
            how["frozen"],
            ask.approval,
        ),
        find_token=lambda: Token("local") if ask.is_local else api_token(os.environ),
        execute=executor,
        shrink=shrink,
    )
    if not notifications.stderr_log.in_json:
        annotate_cells(finished.report, loaded.pipeline)
    return finished


def _say(finished: flow.Finished, stderr_log: StderrLog, *, as_json: bool) -> int:
    """Say how a run has ended: what it made on stdout, what is wrong on stderr; its exit code."""
    report, problems = finished.report, (*_problems(finished.ending), *finished.problems)
    is_told = not as_json or stderr_log.in_json
    if is_told:
        print_troubles(report, stderr_log)
    _print_end(finished, problems, quiet=stderr_log.quiet, as_json=as_json)
    if is_told:
        stderr_log.problems(problems)
        if finished.kept is not None and finished.kept.drifted and (stderr_log.quiet or stderr_log.in_json):
            stderr_log.say("error", "drifted", lock_words(finished)[-1], cells=list(finished.kept.drifted))
    cells = report.cells
    if is_told and report.exit_code in GOES_ON and cells.succeeded + cells.reused < cells.total:
        stderr_log.say("info", "to_go_on", f"To go on, with nothing paid twice: {_command()}")
    return report.exit_code


def _print_end(finished: flow.Finished, problems: tuple[Problem, ...], *, quiet: bool, as_json: bool) -> None:
    if as_json:
        error = {"error": problem_json(problems[0])} if problems else {}
        waiting = [waiting_json(one) for one in finished.waiting]
        more = {"waiting": waiting, "lock": lock_json(finished), **error}
        print_json({**summary_json(finished.report, finished.folder), **more})
        return
    if quiet:
        return
    print_summary(finished.report, finished.folder / "report.html")
    for word in lock_words(finished):
        click.echo(word)
    for one in finished.waiting:
        click.echo(waiting_words(one, local=finished.report.target.kind == "local"))


def _command() -> str:
    """The command that was given, as a shell takes it; whom it tells is a secret."""
    words = ["krea-pipe", *sys.argv[1:]]
    for number, word in enumerate(words):
        if word.startswith("--notify="):
            words[number] = "--notify=…"
        elif words[number - 1] == "--notify" and word != "desktop":
            words[number] = "…"
    return shlex.join(words)


def _problems(ending: Ending) -> tuple[Problem, ...]:
    """What ended a run before its end; what krea-pipe did not raise itself is a bug, and said as one."""
    if ending.error is None:
        return tuple(problem for problem in (ending.refusal or ending.limit,) if problem)
    if isinstance(ending.error, KreaPipeError):
        return ending.error.problems
    raise ending.error
