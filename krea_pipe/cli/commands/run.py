"""`krea-pipe run`: make the images that are not there yet, and a report."""

import contextlib
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Literal

import click

from krea_pipe import flow
from krea_pipe.cli.lazy import EXECUTE, LOCAL_TRANSPORT, ORDER, PROGRESS_BAR, PROGRESS_LINES, load
from krea_pipe.cli.messages import print_json, print_problems, problem_json
from krea_pipe.cli.options import (
    Money,
    file_argument,
    json_option,
    local_option,
    max_cells_option,
    out_folder,
    out_option,
)
from krea_pipe.cli.summary import print_summary, summary_json
from krea_pipe.cli.tally import Tally, Watcher
from krea_pipe.errors import KreaPipeError, Problem
from krea_pipe.outcome import Ending, Outcome
from krea_pipe.plan import Attach, Submit
from krea_pipe.request import Key
from krea_pipe.settings import LOCAL, LOCAL_PACE, Target, Token, api_token, home_folder, live_pace, live_target

MAX_CONCURRENCY = 500


@click.command()
@file_argument
@local_option
@out_option
@click.option(
    "--max-cost", type=Money(), help="Send nothing if the new images cost more. The file's budget may be lower."
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, MAX_CONCURRENCY),
    default=8,
    show_default=True,
    help="How many requests may be under way at once.",
)
@click.option(
    "--uncertain",
    type=click.Choice(["hold", "resubmit"]),
    default="hold",
    show_default=True,
    help="Requests whose answer was lost, or whose image can not be fetched: leave them, or pay for them again.",
)
@max_cells_option
@json_option
def run(
    file: Path,
    out: Path | None,
    max_cost: Decimal | None,
    concurrency: int,
    uncertain: Literal["hold", "resubmit"],
    max_cells: int,
    *,
    local: bool,
    as_json: bool,
) -> int:
    """Make the images of FILE that are not there yet, and a report.

    What is stored is reused, what is in flight is waited for, the rest is sent. A live run needs a key
    (KREA_API_KEY) and a cap (`budget: {usd: …}` in the file, or --max-cost). Run it again after anything went
    wrong: nothing is paid twice.
    """
    loaded = flow.load(file)
    target = LOCAL if local else live_target(os.environ)
    if not as_json:
        print_problems(loaded.warnings, kind="warning")
    finished = flow.run(
        loaded,
        home_folder(os.environ, file),
        target,
        out=out_folder(out, loaded.pipeline.name, local=local),
        options=flow.RunOptions(max_cells, max_cost, uncertain == "resubmit"),
        find_token=lambda: Token("local") if local else api_token(os.environ),
        execute=_Executor(target, concurrency, quiet=as_json),
    )
    return _say(finished, as_json=as_json)


def _say(finished: flow.Finished, *, as_json: bool) -> int:
    code, problems = finished.report.exit_code, _problems(finished.ending)
    if as_json:
        error = {"error": problem_json(problems[0])} if problems else {}
        print_json({**summary_json(finished.report, finished.folder), **error})
        return code
    print_summary(finished.report, finished.folder / "report.html")
    print_problems(problems)
    if code in (4, 130):
        click.echo("Run the same command again to go on; nothing is paid twice.", err=True)
    return code


def _problems(ending: Ending) -> tuple[Problem, ...]:
    """What ended a run before its end; what krea-pipe did not raise itself is a bug, and said as one."""
    if ending.error is None:
        return (ending.refusal,) if ending.refusal else ()
    if isinstance(ending.error, KreaPipeError):
        return ending.error.problems
    raise ending.error


def _tell(message: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(message, err=True)


class _Executor:
    """Carries out a plan with the network code, which is loaded only now that there is something to do."""

    def __init__(self, target: Target, concurrency: int, *, quiet: bool) -> None:
        self.target, self.concurrency, self.quiet = target, concurrency, quiet
        self.pace = LOCAL_PACE if target.kind == "local" else live_pace(os.environ)

    def __call__(self, prepared: flow.Prepared, run_id: str) -> tuple[dict[Key, Outcome], Ending]:
        local = self.target.kind == "local"
        work = prepared.plan.total(Submit).count + prepared.plan.total(Attach).count
        tally = Tally(work, local)
        terminal = sys.stderr is not None and sys.stderr.isatty() and not self.quiet
        with load(PROGRESS_BAR if terminal else PROGRESS_LINES)(tally) as display:
            order = load(ORDER)(
                plan=prepared.plan,
                space=prepared.space,
                target=self.target,
                token=prepared.token,
                run_id=run_id,
                origin=f"local:{run_id}" if local else self.target.base,
                pace=self.pace,
                concurrency=self.concurrency,
                watch=Watcher(tally, display),
                deliver=prepared.delivery.deliver,
                tell=_tell,
                transport=load(LOCAL_TRANSPORT)() if local else None,
            )
            done: tuple[dict[Key, Outcome], Ending] = load(EXECUTE)(order)
        return done
