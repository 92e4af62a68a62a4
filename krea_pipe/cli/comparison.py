"""What `krea-pipe plan --against REF` prints."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar

import click

from krea_pipe.cli.messages import print_json, print_problems, problem_json
from krea_pipe.cli.options import Over, overrides
from krea_pipe.cli.tables import print_table
from krea_pipe.cli.waiting import waiting_json, waiting_words
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.excerpts import writable
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.settings import live_target
from krea_pipe.pipeline.pricing import usd
from krea_pipe.report.compare.against import ComparisonInput, compare_with
from krea_pipe.report.compare.comparison import KINDS, CellChange, Comparison
from krea_pipe.report.compare.render import (
    KIND_WORDS,
    base_words,
    comparison_json,
    headline,
    problem_words,
    render,
    stored_words,
)
from krea_pipe.store.home import open_home
from krea_pipe.store.space import open_space

SHOWN = 60
NUMBERS = ("images", *KIND_WORDS.values(), "price")

F = TypeVar("F", bound=Callable[..., Any])
Form = Literal["text", "json", "markdown"]


class Against(TypedDict):
    """With which commit a plan is compared, and how that is printed."""

    against: str | None
    form: Form


def against_options(command: F) -> F:
    """The options that compare a pipeline with another commit."""
    against = click.option(
        "--against",
        metavar="REF",
        help="Say what changes from a commit: REF to the files as they are, A..B, or A...B from where B left A. "
        "Read from git as it is here, without fetching.",
    )
    form = click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json", "markdown"]),
        default="text",
        show_default=True,
        help="How to print; markdown, for a comment on a pull request, needs --against.",
    )
    return against(form(command))


def chosen_form(how: Against, *, as_json: bool) -> Form:
    """How to print.

    Raises:
        UsageError: the options contradict each other.
    """
    if as_json and how["form"] == "markdown":
        raise UsageError(Problem("bad_option", "--json and --format markdown exclude each other", hint="say one"))
    if how["form"] == "markdown" and how["against"] is None:
        hint = "add --against REF; a run has report.md"
        raise UsageError(Problem("bad_option", "--format markdown is for a comparison", hint=hint))
    return "json" if as_json else how["form"]


def refuse_with_against(given: Mapping[str, bool]) -> None:
    """Refuse options that say nothing about a comparison, by name and whether each was given.

    Raises:
        UsageError: one of them was.
    """
    for name, is_given in given.items():
        if is_given:
            hint = "leave it out: --against compares every image of both states, at the prices of Krea itself"
            raise UsageError(Problem("bad_option", f"{name} and --against exclude each other", hint=hint))


def show_comparison(file: Path, against: str, form: Form, over: Over, *, max_cells: int, show_all: bool) -> Comparison:
    """Compare a pipeline with its state at another commit, and print that."""
    space = open_space(open_home(os.environ, file), live_target(os.environ).space)
    made = compare_with(ComparisonInput(file, overrides(over), max_cells), against, space, os.environ)
    waiting = [waiting_words(one, local=False) for one in made.waiting]
    if form == "json":
        more = {"waiting": [waiting_json(one) for one in made.waiting]}
        print_json({**comparison_json(made), **more, "warnings": [problem_json(one) for one in made.warnings]})
    elif form == "markdown":
        click.echo(render(made, waiting), nl=False)
    else:
        print_problems(made.warnings, kind="warning")
        _print_tables(made, show_all=show_all)
        for words in filter(None, (headline(made), stored_words(made), f"{base_words(made)}.", *waiting)):
            click.echo(writable(words))
        if made.problem is not None:
            click.echo(writable(problem_words(made.problem)))
    return made


def code_of(made: Comparison) -> int:
    """The exit code of `--check`."""
    return ExitCode.WORK_PENDING if made.unpaid().count else ExitCode.WAITING if made.waiting else ExitCode.DONE


def _print_tables(made: Comparison, *, show_all: bool) -> None:
    rows = [row for row in made.rows if show_all or row.kind != "same"]
    if rows:
        shown = rows if show_all else rows[:SHOWN]
        columns = ["cell", "change", "reason", "price"]
        print_table(columns, [_columns(row) for row in shown], numbers=["price"], long=["cell", "reason"])
        if len(shown) < len(rows):
            click.echo(f"… and {len(rows) - len(shown):,} more; --all lists them")
        click.echo()
    print_table(["stage", *NUMBERS], list(_stage_rows(made)), numbers=NUMBERS, long=["stage"])
    click.echo()


def _columns(row: CellChange) -> list[str]:
    return [writable(row.id), KIND_WORDS[row.kind], writable(row.explanation), usd(row.price) if row.price else ""]


def _stage_rows(made: Comparison) -> Iterator[list[str]]:
    for stage in made.stages:
        yield [stage, *_counts(made, stage)]
    if len(made.stages) > 1:
        yield ["in all", *_counts(made, None)]


def _counts(made: Comparison, stage: str | None) -> list[str]:
    counts = [made.images(stage), *(made.count(kind, stage) for kind in KINDS)]
    return [*(f"{count:,}" for count in counts), usd(made.rendered(stage).usd)]
