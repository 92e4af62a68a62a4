"""What `run` and its kin share: their options as values, their progress, and what they print at the end."""

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import click

from krea_pipe.app import flow
from krea_pipe.app.execution import Listen, Listeners, RunWork
from krea_pipe.app.run_name import read_run_name
from krea_pipe.cli.cell_options import selection
from krea_pipe.cli.messages import print_json, problem_json
from krea_pipe.cli.progress import Display, LineProgress, ProgressObserver, ProgressState
from krea_pipe.cli.run_flags import (
    GOES_ON,
    RunFlags,
    changed_files,
    check_budget_name,
    check_run_name,
)
from krea_pipe.cli.run_notifications import RunNotifications
from krea_pipe.cli.stderr_log import StderrLog
from krea_pipe.cli.streams import can_move
from krea_pipe.cli.summary import (
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
from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.core.outcome import Ending
from krea_pipe.core.settings import Target
from krea_pipe.matrix.sharding import Shard
from krea_pipe.planning.budget import Limits
from krea_pipe.report.words import notices, summary_sentence
from krea_pipe.store.remote.remote import Remote, open_remote


def open_run_remote(
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


def run_options(flags: RunFlags, chosen: Shard | None) -> flow.RunOptions:
    """The options of a run as a value."""
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
            print_json({**run_json(finished), **(more or {}), **error})
        elif not stderr_log.quiet:
            print_summary(
                report, finished.folder / "report.html", finished.folder / report.base, is_earlier=finished.is_earlier
            )
            _print_notes(finished)
    elif not (as_json or stderr_log.quiet):
        _print_in_batch(finished)
    if is_told:
        tell_end(finished.ending, stderr_log)
        stderr_log.problems(finished.problems)
        if finished.kept is not None and finished.kept.drifted and (stderr_log.quiet or stderr_log.in_json):
            stderr_log.say("error", "drifted", lock_words(finished)[-1], cells=list(finished.kept.drifted))
    cells = report.cells
    if in_batch:
        return report.exit_code
    if is_told and report.exit_code in GOES_ON and cells.succeeded + cells.reused < cells.total:
        stderr_log.say("info", "to_go_on", f"To continue (nothing is charged twice): {this_command()}")
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


def run_json(finished: flow.FinishedRun) -> dict[str, object]:
    """A finished run as one object."""
    waiting = [waiting_json(one) for one in finished.waiting]
    more: dict[str, object] = {"waiting": waiting, "lock": lock_json(finished), "fetched": fetched_json(finished)}
    return {
        **summary_json(finished.report, finished.folder),
        **more,
        **delivered_json(finished),
        **pruned_json(finished),
    }


def this_command() -> str:
    """The given command, quoted for a shell, without the secret address of --notify."""
    words = ["krea-pipe", *sys.argv[1:]]
    for number, word in enumerate(words):
        if word.startswith("--notify="):
            words[number] = "--notify=…"
        elif words[number - 1] == "--notify" and word != "desktop":
            words[number] = "…"
    return shlex.join(words)


def tell_end(ending: Ending, stderr_log: StderrLog) -> None:
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
