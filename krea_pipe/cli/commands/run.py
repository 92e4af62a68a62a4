"""`krea-pipe run`: make the images that are not there yet, and a report."""

import os
import shlex
import sys
from pathlib import Path
from typing import Unpack

import click

from krea_pipe import flow
from krea_pipe.cli.executor import Executor, How
from krea_pipe.cli.messages import print_json, print_problems, problem_json
from krea_pipe.cli.options import (
    Money,
    file_argument,
    json_option,
    local_option,
    max_cells_option,
    out_folder,
    out_option,
    over_options,
    overrides,
    select_options,
    selection,
)
from krea_pipe.cli.pictures import shrink
from krea_pipe.cli.summary import print_summary, summary_json
from krea_pipe.cli.waiting import waiting_json, waiting_words
from krea_pipe.errors import KreaPipeError, Problem
from krea_pipe.outcome import Ending
from krea_pipe.settings import LOCAL, Token, api_token, home_folder, live_target
from krea_pipe.spending import Limits

MAX_CONCURRENCY = 10_000
MAX_PARALLEL = 8


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
    "them, take the job nearest in time, or pay again. resubmit also gives up images that can not be fetched.",
)
@click.option(
    "--job-timeout",
    type=click.FloatRange(min=0.1),
    help="Seconds after which a running job is given up and cancelled.  [default: 300 for Turbo, 600 for Medium, "
    "900 for Large]",
)
@click.option("--webhook-url", help="Ask Krea to tell this address when a job has ended.")
@click.option(
    "--webhook-listen",
    metavar="HOST:PORT",
    help="Be told of finished jobs here; with --webhook-url, that is how Krea reaches it.",
)
@over_options
@select_options
@max_cells_option
@json_option
def run(file: Path, out: Path | None, max_cells: int, *, local: bool, as_json: bool, **how: Unpack[How]) -> int:
    """Make the images of FILE that are not there yet, and a report.

    What is stored is reused, what is in flight is waited for, the rest is sent. A live run needs a key
    (KREA_API_KEY) and a cap (`budget: {usd: …}` in the file, or --max-cost). Run it again after anything went
    wrong: nothing is paid twice. Two runs at once share the work.
    """
    loaded = flow.load(file, overrides(how))
    target = LOCAL if local else live_target(os.environ)
    executor = Executor(target, how, quiet=as_json)
    if not as_json:
        print_problems(loaded.warnings, kind="warning")
    finished = flow.run(
        loaded,
        home_folder(os.environ, file),
        target,
        out=out_folder(out, loaded.pipeline.name, local=local),
        options=flow.RunOptions(
            max_cells, Limits(how["max_cost"], how["max_new"]), how["uncertain"] == "resubmit", selection(how)
        ),
        find_token=lambda: Token("local") if local else api_token(os.environ),
        execute=executor,
        shrink=shrink,
    )
    return _say(finished, as_json=as_json)


def _say(finished: flow.Finished, *, as_json: bool) -> int:
    code, problems = finished.report.exit_code, _problems(finished.ending)
    if as_json:
        error = {"error": problem_json(problems[0])} if problems else {}
        waiting = [waiting_json(one) for one in finished.waiting]
        print_json({**summary_json(finished.report, finished.folder), "waiting": waiting, **error})
        return code
    print_summary(finished.report, finished.folder / "report.html")
    for one in finished.waiting:
        click.echo(waiting_words(one, local=finished.report.target.kind == "local"))
    print_problems(problems)
    cells = finished.report.cells
    if code in (4, 5, 130) and cells.succeeded + cells.reused < cells.total:
        click.echo(f"To go on, with nothing paid twice: {_command()}", err=True)
    return code


def _command() -> str:
    """The command that was given, as a shell takes it."""
    return shlex.join(["krea-pipe", *sys.argv[1:]])


def _problems(ending: Ending) -> tuple[Problem, ...]:
    """What ended a run before its end; what krea-pipe did not raise itself is a bug, and said as one."""
    if ending.error is None:
        return tuple(problem for problem in (ending.refusal or ending.limit,) if problem)
    if isinstance(ending.error, KreaPipeError):
        return ending.error.problems
    raise ending.error
