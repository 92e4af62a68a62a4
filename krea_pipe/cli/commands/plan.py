"""`krea-pipe plan`: what a run would do, why, and what it would cost; or what changes from a commit."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Literal, Unpack

import click

from krea_pipe.app import flow, plan_files
from krea_pipe.app.lock_place import lock_of_run
from krea_pipe.app.pipeline_files import is_one_file
from krea_pipe.app.plan_files import Forecast
from krea_pipe.app.workspace import open_workspace
from krea_pipe.cli.cell_options import CellFlags, cell_options, selection, shard, shard_option
from krea_pipe.cli.many_files import (
    FileEnd,
    FileResult,
    ends_of,
    exit_code_of_all,
    files_argument,
    files_json,
    refuse_one_folder,
    work_on,
)
from krea_pipe.cli.messages import print_json, print_problems, problem_json
from krea_pipe.cli.options import FILE, UsdType, combined, local_option, overrides, retry_rejected_option
from krea_pipe.cli.plan_json import plan_json, totals_json
from krea_pipe.cli.plan_text import (
    MAX_ROWS,
    counted_actions,
    plan_counts,
    plan_sentence,
    print_changes,
    print_forecast,
    print_priced,
    refusal_words,
)
from krea_pipe.cli.summary import waiting_json, waiting_words
from krea_pipe.cli.tables import print_table
from krea_pipe.core.cycle_search import rare_full_searches
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.json_data import writable
from krea_pipe.core.money import exact
from krea_pipe.core.request import Key
from krea_pipe.pipeline.pricing import usd, usd_range
from krea_pipe.planning.budget import Limits, sum_within
from krea_pipe.planning.joint_plan import joint_plan
from krea_pipe.planning.plan import Submit
from krea_pipe.planning.plan_file import PlanFile
from krea_pipe.report.compare.against import ComparisonInput, compare_with
from krea_pipe.report.compare.comparison import CHANGE_KINDS, Comparison, FetchKind
from krea_pipe.report.compare.render import (
    KIND_WORDS,
    base_words,
    comparison_json,
    headline,
    problem_words,
    render_comparison,
    stored_words,
)
from krea_pipe.store.home import open_other_homes
from krea_pipe.store.known import Known

COUNTS = ("images", *KIND_WORDS.values(), "price")

_PlanFormat = Literal["text", "json", "markdown"]


class _Flags(CellFlags):
    """What to plan, or which commit to compare with, and where to write the result."""

    max_cost: Decimal | None
    max_new: int | None
    local: bool
    show_all: bool
    out: Path | None
    against: str | None
    shard: str | None
    retry_rejected: bool
    form: _PlanFormat


_against_options = combined(
    click.option(
        "--against",
        metavar="REF",
        help="Show what changes since a commit: REF compares with the working files, A..B two commits, A...B the "
        "merge base with B. Reads the local git repository; never fetches.",
    ),
    click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json", "markdown"]),
        default="text",
        show_default=True,
        help="The output format; markdown, for pull request comments, needs --against.",
    ),
)


@click.command()
@files_argument
@local_option
@click.option("--max-cost", type=UsdType(), help="Show how far a run with this limit in US dollars would get.")
@click.option("--max-new", type=click.IntRange(min=0), help="Show how far a run with this limit would get.")
@click.option("--check", is_flag=True, help="Exit with 3 if a run would have work to do, or would keep a changed file.")
@click.option(
    "--all", "show_all", is_flag=True, help=f"List every request, not only the first {MAX_ROWS} that are not cached."
)
@click.option(
    "-o", "--out", type=FILE, help="Write the plan to this file; `krea-pipe run` on it executes exactly this plan."
)
@shard_option
@retry_rejected_option
@_against_options
@cell_options
@rare_full_searches()
def plan(files: tuple[Path, ...], *, check: bool, as_json: bool, **flags: Unpack[_Flags]) -> int:
    """Show what a run of FILE would do for each request and why, and the price.

    FILE is a pipeline, a folder with pipelines, or a pattern. Several pipelines have one total, in which a request that
    they share counts once. Needs no network and no key, and changes nothing.
    """
    form = _form(flags, as_json=as_json)
    against = flags["against"]
    if against is not None:
        ends = work_on(
            *("plan", files, lambda file: _compared(file, against, flags, form)),
            as_json=form == "json",
            with_names=form != "markdown",
        )
    elif is_one_file(files):
        ends = work_on("plan", files, lambda file: _planned(file, flags), as_json=form == "json")
    else:
        ends = _plan_all(files, flags, as_json=form == "json")
    code = exit_code_of_all(ends)
    is_wrong = code not in (ExitCode.DONE, ExitCode.WORK_PENDING, ExitCode.WAITING)
    return code if check or is_wrong else ExitCode.DONE


def _form(flags: _Flags, *, as_json: bool) -> _PlanFormat:
    """How to print.

    Raises:
        UsageError: the options contradict each other.
    """
    if as_json and flags["form"] == "markdown":
        raise UsageError(
            Problem("bad_option", "--json and --format markdown cannot be combined", hint="use only one of them")
        )
    if flags["form"] == "markdown" and flags["against"] is None:
        hint = "add --against REF; for a run, see its report.md"
        raise UsageError(Problem("bad_option", "--format markdown needs a comparison", hint=hint))
    return "json" if as_json else flags["form"]


def _planned(file: Path, flags: _Flags) -> FileResult:
    """Plan a run, and write the plan file that was asked for; the exit code is that of `--check`."""
    forecast, out = _forecast(file, flags), flags["out"]
    approval = None if out is None else plan_files.write_plan_file(out, forecast)

    def show() -> None:
        print_forecast(forecast, most=None if flags["show_all"] else MAX_ROWS, local=flags["local"])
        if out is not None and approval is not None:
            click.echo(_plan_file_words(out, approval, is_refused=forecast.refusal is not None))

    return FileResult(_code(forecast), lambda: plan_json(forecast), show)


def _forecast(file: Path, flags: _Flags) -> Forecast:
    limits = Limits(flags["max_cost"], flags["max_new"])
    chosen = shard(flags["shard"])
    if chosen is not None and flags["out"] is not None:
        hint = f"write the plan without --shard, and run each shard of it: krea-pipe run PLANFILE --shard {chosen}"
        raise UsageError(Problem("bad_option", "--shard and --out cannot be combined", hint=hint))
    options = flow.RunOptions(flags["max_cells"], limits, selection=selection(flags), shard=chosen)
    options = replace(options, retry_rejected=flags["retry_rejected"])
    return plan_files.forecast(file, overrides(flags), options, os.environ, local=flags["local"])


def _code(forecast: Forecast) -> ExitCode:
    if forecast.plan.has_work or forecast.in_the_way:
        return ExitCode.WORK_PENDING
    return ExitCode.WAITING if forecast.plan.waiting else ExitCode.DONE


def _plan_all(arguments: Sequence[Path], flags: _Flags, *, as_json: bool) -> Sequence[FileEnd]:
    """Plan several pipelines, and print a line for each and their total."""
    refuse_one_folder(arguments, flags["out"])
    forecasts = list[Forecast]()

    def work(file: Path) -> FileResult:
        forecasts.append(forecast := _forecast(file, flags))
        return FileResult(_code(forecast), lambda: plan_json(forecast), lambda: None)

    ends = ends_of(arguments, work)
    whole = joint_plan([one.plan for one in forecasts])
    reach = sum_within(whole, Limits(flags["max_cost"], flags["max_new"]))
    if as_json:
        sent = {"requests": reach.count, "usd": exact(reach.usd)}
        print_json(files_json("plan", ends, {"totals": totals_json(whole, None), "reach": sent}))
        return ends
    for forecast in forecasts:
        print_problems((*forecast.loaded.warnings, *forecast.problems), kind="warning")
    kinds = counted_actions(whole)
    rows = [[str(one.file), *plan_counts(one.plan, None, kinds)] for one in forecasts]
    total = ["total", *plan_counts(whole, None, kinds)]
    print_priced(["file", "images", *kinds.values()], [*rows, total], local=flags["local"])
    click.echo()
    click.echo(plan_sentence(whole, None, local=flags["local"]))
    for end in ends:
        print_problems(end.problems)
    for forecast in forecasts:
        if forecast.refusal:
            click.echo(f"{forecast.file}: {refusal_words(forecast.refusal)}")
    if not flags["local"] and reach.count < whole.total(Submit).count:
        click.echo(f"A run would send {reach.count} of them for {usd(reach.usd)}, then stop at the limit.")
    return ends


def _plan_file_words(path: Path, approval: PlanFile, *, is_refused: bool) -> str:
    """The sentence about a plan file."""
    if is_refused:
        return f"plan    {path}: a run refuses this plan."
    if not approval.sends and not approval.fetches:
        return f"plan    {path}: `krea-pipe run {path}` sends nothing."
    price = "" if approval.is_local else f" for {usd(approval.price_usd)}"
    if approval.fetches:
        return _fetching_words(path, approval)
    count = "this request" if len(approval.sends) == 1 else f"these {len(approval.sends)} requests"
    return f"plan    {path}: `krea-pipe run {path}` sends only {count}{price}."


def _fetching_words(path: Path, approval: PlanFile) -> str:
    """The sentence about a plan file that may send requests for images that Krea no longer has."""
    sent, doubtful = len(approval.sends), len(approval.fetches)
    price = usd_range(approval.price_usd, approval.at_most_usd)
    if sent:
        sends = f"only {sent} request{'' if sent == 1 else 's'}, and up to {doubtful} more for"
    else:
        sends = f"at most {doubtful} request{'' if doubtful == 1 else 's'}, for"
    return f"plan    {path}: `krea-pipe run {path}` sends {sends} images that Krea no longer has, for {price}."


def _compared(file: Path, against: str, flags: _Flags, form: _PlanFormat) -> FileResult:
    """Compare a pipeline with its state at another commit; the exit code is that of `--check`.

    Raises:
        UsageError: an option says nothing about a comparison.
    """
    _refuse_with_against(
        {
            "--local": flags["local"],
            "--max-cost": flags["max_cost"] is not None,
            "--max-new": flags["max_new"] is not None,
            "-k": bool(flags["select"]),
            "--exclude": bool(flags["exclude"]),
            "--only-failed": flags["only_failed"],
            "--out": flags["out"] is not None,
            "--shard": flags["shard"] is not None,
            "--retry-rejected": flags["retry_rejected"],
        }
    )
    workspace, over = open_workspace(os.environ, file), overrides(flags)
    lock = lock_of_run(file, None, over, frozen=False)
    options = flow.RunOptions(lock=lock, homes=open_other_homes(os.environ, file))

    def find_fetched(loaded: flow.Loaded, found: Sequence[flow.KeyedCell], known: Known) -> Mapping[Key, FetchKind]:
        return flow.fetch_kinds(loaded, found, known, workspace.space, workspace.target, options)

    subject = ComparisonInput(file, over, flags["max_cells"])
    comparison = compare_with(subject, against, workspace.space, os.environ, find_fetched)
    waiting = [waiting_words(one, local=False) for one in comparison.waiting]

    def document() -> dict[str, object]:
        more = {"waiting": [waiting_json(one) for one in comparison.waiting]}
        warnings = [problem_json(one) for one in comparison.warnings]
        return {**comparison_json(comparison), **more, "warnings": warnings}

    def show() -> None:
        if form == "markdown":
            click.echo(render_comparison(comparison, waiting), nl=False)
            return
        print_problems(comparison.warnings, kind="warning")
        _print_changes(comparison, show_all=flags["show_all"])
        said = (headline(comparison), stored_words(comparison), f"{base_words(comparison)}.", *waiting)
        for words in filter(None, said):
            click.echo(writable(words))
        if comparison.problem is not None:
            click.echo(writable(problem_words(comparison.problem)))

    code = ExitCode.WAITING if comparison.waiting else ExitCode.DONE
    return FileResult(ExitCode.WORK_PENDING if comparison.unpaid().count else code, document, show)


def _refuse_with_against(given: Mapping[str, bool]) -> None:
    """Refuse options that say nothing about a comparison, by name and whether each was given.

    Raises:
        UsageError: one of them was.
    """
    for name, is_given in given.items():
        if is_given:
            hint = "remove it: --against compares all images of both states at Krea's own prices"
            raise UsageError(Problem("bad_option", f"{name} and --against cannot be combined", hint=hint))


def _print_changes(comparison: Comparison, *, show_all: bool) -> None:
    print_changes(comparison.rows, most=None if show_all else MAX_ROWS)
    print_table(["stage", *COUNTS], list(_change_rows(comparison)), numbers=COUNTS, long=["stage"])
    click.echo()


def _change_rows(comparison: Comparison) -> Iterator[list[str]]:
    for stage in comparison.stages:
        yield [stage, *_change_counts(comparison, stage)]
    if len(comparison.stages) > 1:
        yield ["total", *_change_counts(comparison, None)]


def _change_counts(comparison: Comparison, stage: str | None) -> list[str]:
    counts = [comparison.images(stage), *(comparison.count(kind, stage) for kind in CHANGE_KINDS)]
    return [*(f"{count:,}" for count in counts), usd(comparison.rendered(stage).usd)]
