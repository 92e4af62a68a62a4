"""`krea-pipe runs`: the runs of a home folder, newest first."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import click

from krea_pipe.app.run_argument import find_pipeline
from krea_pipe.cli.completing import complete_pipeline
from krea_pipe.cli.messages import print_json, print_problems
from krea_pipe.cli.options import Span, json_option
from krea_pipe.cli.streams import is_terminal
from krea_pipe.cli.summary import batch_summary_json
from krea_pipe.cli.tables import print_table
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.pipeline.pricing import usd
from krea_pipe.report.batch_page import BATCHES
from krea_pipe.report.folder import RECORD
from krea_pipe.report.model import Report
from krea_pipe.report.run_list import ListedRun, RunList, list_runs, with_progress
from krea_pipe.report.words import STATUS_WORDS
from krea_pipe.store.home import open_home

_NARROW = ("run", "images", "spent", "exit")
_WIDE = 160
"""Columns of a terminal that shows everything about a run."""
_STATES = {"ended": "finished", "running": "running", "cut_off": "interrupted"}


class Since(Span):
    """A length of time until now, or a date: `12h`, `30d`, `2026-11-30`."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Turn text into a time until now."""
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            return super().convert(value, param, ctx)
        return datetime.now(UTC) - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))


@click.command()
@click.argument("words", nargs=-1, metavar="[FILE|NAME]...", shell_complete=complete_pipeline)
@click.option(
    "--since", type=Since(), help="Only runs that started in this period (12h, 30d, 8w) or since a date (UTC)."
)
@click.option("--local", "kind", flag_value="local", default=None, help="Only runs of the local Krea.")
@click.option("--live", "kind", flag_value="live", default=None, help="Only runs at Krea.")
@click.option("--failed", is_flag=True, help="Only runs that were interrupted, or ended with another exit code than 0.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="N",
    help="The most runs; 0 lists all of them.",
)
@json_option
def runs(
    words: tuple[str, ...],
    since: timedelta | None,
    kind: Literal["live", "local"] | None,
    limit: int,
    *,
    failed: bool,
    as_json: bool,
) -> int:
    """List runs, the latest first: images by status, what was spent, the exit code and the report.

    FILE is a pipeline file and NAME the name of a pipeline; the default is every pipeline with runs in the home folder.
    Runs are listed in the order in which they began, whatever the clock said. Those that were interrupted are listed
    with the command that continues them. Needs no network and no key.
    """
    listed = _runs_of(words)
    print_problems(listed.problems, kind="warning")
    start = "" if since is None else (datetime.now(UTC) - since).isoformat()
    found = [run for run in listed.runs if _fits(run.report, start, kind) and (run.is_failed or not failed)]
    shown = [with_progress(run) for run in found[: limit or None]]
    if as_json:
        print_json({"schema": "krea-pipe/runs@1", "total": len(found), "runs": [_json(run) for run in shown]})
    else:
        _print(shown, len(found))
    return 0


def _runs_of(words: Sequence[str]) -> RunList:
    """The runs of the pipelines that were named, or of all.

    Raises:
        UsageError: a word names no pipeline.
    """
    if not words:
        return list_runs(open_home(os.environ))
    found: dict[Path, ListedRun] = {}
    for word in words:
        pipeline = find_pipeline(word, os.environ)
        if pipeline is None:
            hint = "specify a pipeline file or the name of a pipeline"
            raise UsageError(Problem("not_a_pipeline", f"{word} is not a pipeline", hint=hint))
        found |= {run.folder.absolute(): run for run in pipeline.runs}
    return RunList(tuple(_in_order(found)) if len(words) > 1 else tuple(found.values()))


def _in_order(found: dict[Path, ListedRun]) -> Iterator[ListedRun]:
    """Runs of several pipelines, in the order of each home folder."""
    for home in dict.fromkeys(run.home for run in found.values()):
        yield from (run for run in list_runs(home).runs if run.folder.absolute() in found)


def _fits(report: Report, start: str, kind: str | None) -> bool:
    return report.started_at >= start and kind in (None, report.target.kind)


def _command(run: ListedRun) -> str | None:
    """What continues an interrupted run."""
    local = " --local" if run.report.target.kind == "local" else ""
    return f"krea-pipe run {shlex.quote(run.file.as_posix())}{local}" if run.state == "cut_off" else None


def _json(run: ListedRun) -> dict[str, object]:
    report, is_ended = run.report, run.state == "ended"
    return {
        "run_id": run.id,
        "pipeline": report.pipeline.name,
        "file": run.file.as_posix(),
        "state": _STATES[run.state],
        "target": report.target.kind,
        "started_at": report.started_at,
        "finished_at": report.finished_at if is_ended else None,
        "exit_code": report.exit_code if is_ended else None,
        **batch_summary_json(report),
        "shard": report.shard,
        "merged": list(report.merged),
        "batch": run.batch or None,
        "report": str(run.folder / RECORD) if is_ended else None,
        "page": None if run.page is None else str(run.page),
        "continue": _command(run),
    }


def _print(shown: Sequence[ListedRun], total: int) -> None:
    if not shown:
        click.echo("No runs.")
        return
    rows = [_columns(run) for run in shown]
    columns = list(rows[0]) if _is_wide() else [*_NARROW]
    print_table(
        columns, ([row[name] for name in columns] for row in rows), numbers=["spent"], long=["images", "report"]
    )
    if total > len(shown):
        click.echo(f"… and {total - len(shown):,} more; list all of them with --limit 0")
    for batch, members in _batches(shown).items():
        names = ", ".join(run.report.pipeline.name for run in members)
        click.echo(f"batch of {names}: {members[0].home / BATCHES / batch / 'index.html'}")
    for run in shown:
        if command := _command(run):
            click.echo(f"{run.id} was interrupted; to continue: {command}")


def _is_wide() -> bool:
    return not is_terminal(sys.stdout) or shutil.get_terminal_size().columns >= _WIDE


def _columns(run: ListedRun) -> dict[str, str]:
    """The columns of a run; its id alone says when it began, and of which pipeline it is."""
    report = run.report
    counts = ((getattr(report.cells, status), word) for status, word in STATUS_WORDS.items())
    shard = f" (shard {report.shard})" if report.shard else " (merged)" if report.merged else ""
    return {
        "started (UTC)": report.started_at[:19].replace("T", " "),
        "pipeline": f"{report.pipeline.name}{shard}",
        "run": run.id,
        "images": ", ".join(f"{count:,} {word}" for count, word in counts if count),
        "spent": "local" if report.target.kind == "local" else usd(report.cost.spent_usd),
        "exit": str(report.exit_code) if run.state == "ended" else _STATES[run.state],
        "report": "" if run.page is None else str(run.page),
    }


def _batches(shown: Iterable[ListedRun]) -> dict[str, list[ListedRun]]:
    """The runs of each batch, in the order of its files."""
    found: dict[str, list[ListedRun]] = {}
    for run in shown:
        if run.batch:
            found.setdefault(run.batch, []).insert(0, run)
    return found
