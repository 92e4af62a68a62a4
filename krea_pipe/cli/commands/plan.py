"""`krea-pipe plan`: what a run would do, why, and what it would cost."""

import os
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow
from krea_pipe.cli.comparison import (
    Against,
    against_options,
    chosen_form,
    code_of,
    refuse_with_against,
    show_comparison,
)
from krea_pipe.cli.messages import print_json, print_problems, problem_json
from krea_pipe.cli.options import (
    FILE,
    Chosen,
    Money,
    Over,
    file_argument,
    json_option,
    local_option,
    max_cells_option,
    over_options,
    overrides,
    select_options,
    selection,
)
from krea_pipe.cli.plan_files import approval_of, plan_file_words, write_plan_file
from krea_pipe.cli.tables import print_table
from krea_pipe.cli.waiting import waiting_json, waiting_words
from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.settings import LOCAL, live_target
from krea_pipe.pipeline.model import Budget
from krea_pipe.pipeline.pricing import exact, usd
from krea_pipe.planning.budget import Limits, cap_of, check_budget, sum_within
from krea_pipe.planning.plan import Attach, Hold, Plan, Reuse, Step, Submit, Sum
from krea_pipe.store.home import open_home
from krea_pipe.store.space import open_space

SHOWN = 60
ACTIONS = {Reuse: "reuse", Attach: "attach", Submit: "new", Hold: "hold"}


class _Options(Over, Chosen, Against):
    """Options that say what is planned, and in which file the plan is kept."""

    out: Path | None


@click.command()
@file_argument
@local_option
@click.option("--max-cost", type=Money(), help="Show how far a run with this limit in US dollars would come.")
@click.option("--max-new", type=click.IntRange(min=0), help="Show how far a run with this limit would come.")
@click.option("--check", is_flag=True, help="Exit with 3 when a run would have something to do.")
@click.option("--all", "show_all", is_flag=True, help=f"List every request, not the first {SHOWN} that are not cached.")
@click.option("--out", type=FILE, help="Write the plan into this file; `krea-pipe run` with it carries out just that.")
@against_options
@over_options
@select_options
@max_cells_option
@json_option
def plan(
    file: Path,
    max_cost: Decimal | None,
    max_new: int | None,
    max_cells: int,
    *,
    local: bool,
    check: bool,
    show_all: bool,
    as_json: bool,
    **how: Unpack[_Options],
) -> int:
    """Show what a run of FILE would reuse, attach to and send, each with its reason, and the price.

    Needs no network and no key, and changes nothing.
    """
    form = chosen_form(how, as_json=as_json)
    if how["against"] is not None:
        given = {"--local": local, "--max-cost": max_cost is not None, "--max-new": max_new is not None}
        chosen = {"-k": bool(how["select"]), "--exclude": bool(how["exclude"]), "--only-failed": how["only_failed"]}
        refuse_with_against({**given, **chosen, "--out": how["out"] is not None})
        compared = show_comparison(file, how["against"], form, how, max_cells=max_cells, show_all=show_all)
        return code_of(compared) if check else 0
    loaded = flow.load(file, overrides(how))
    target = LOCAL if local else live_target(os.environ)
    limits = Limits(max_cost, max_new)
    options = flow.RunOptions(max_cells, limits, selection=selection(how))
    basis = flow.planned(loaded, open_space(open_home(os.environ, file), target.space), target, options)
    made = basis.plan
    cap = cap_of(loaded.pipeline.budget, limits)
    refusal = None if local else _refusal(made, loaded.pipeline.budget, limits)
    reach = made.total(Submit) if local else sum_within(made, limits)
    if form == "json":
        print_json(_json(made, loaded, cap, refusal, reach, kind=target.kind))
    else:
        print_problems(loaded.warnings, kind="warning")
        _print_tables(made, show_all=show_all, local=local)
        is_whole = reach.count == made.total(Submit).count
        click.echo(_sentence(made, cap if is_whole and not refusal else None, local=local))
        for one in made.waiting:
            click.echo(waiting_words(one, local=local))
        if refusal:
            click.echo(_refusal_words(refusal))
        elif not is_whole:
            click.echo(f"A run would send {reach.count} of them for {usd(reach.usd)}, and stop at the limit.")
    if how["out"] is not None:
        approval = approval_of(file, basis, reach.count, how, max_cells=max_cells, target=target)
        write_plan_file(how["out"], approval)
        if form != "json":
            click.echo(plan_file_words(how["out"], approval, is_refused=refusal is not None))
    if check:
        return ExitCode.WORK_PENDING if made.has_work else ExitCode.WAITING if made.waiting else ExitCode.DONE
    return 0


def _refusal(made: Plan, budget: Budget, limits: Limits) -> Problem | None:
    """Why a run would send nothing, in the run's own words."""
    try:
        check_budget(made, budget, limits)
    except KreaPipeError as error:
        return error.problems[0]
    return None


def _refusal_words(refusal: Problem) -> str:
    hint = f"\n  {click.style('hint', fg='cyan')}: {refusal.hint}" if refusal.hint else ""
    return f"{click.style('A run would refuse this', fg='red', bold=True)}: {refusal.message}{hint}"


def _print_tables(made: Plan, *, show_all: bool, local: bool) -> None:
    steps = [step for step in made.steps if show_all or not isinstance(step.action, Reuse)]
    if steps:
        shown = steps if show_all else steps[:SHOWN]
        _print_priced(["request", "action", "reason"], [_columns(step) for step in shown], local=local)
        if len(shown) < len(steps):
            click.echo(f"… and {len(steps) - len(shown):,} more; --all lists them")
        click.echo()
    _print_priced(["stage", "images", *ACTIONS.values()], list(_stage_rows(made)), local=local)
    click.echo()


def _print_priced(columns: list[str], rows: list[list[str]], *, local: bool) -> None:
    """Print a table whose rows end in a price, which the local Krea has none of."""
    if not local:
        columns = [*columns, "price"]
    rows = [row[: len(columns)] for row in rows]
    print_table(columns, rows, numbers=["images", *ACTIONS.values(), "price"], long=["request", "reason", "stage"])


def _columns(step: Step) -> list[str]:
    more = f" (+{len(step.cells) - 1})" if len(step.cells) > 1 else ""
    price = usd(step.price) if isinstance(step.action, (Submit, Hold)) else ""
    return [step.cells[0].id + more, ACTIONS[type(step.action)], step.reason, price]


def _stage_rows(made: Plan) -> Iterator[list[str]]:
    images = Counter(cell.stage for step in made.steps for cell in step.cells)
    for stage, count in images.items():
        counts = [str(made.total(action, stage).count) for action in ACTIONS]
        yield [stage, str(count), *counts, usd(made.total(Submit, stage).usd)]
    if len(images) > 1:
        counts = [str(made.total(action).count) for action in ACTIONS]
        yield ["in all", str(images.total()), *counts, usd(made.total(Submit).usd)]


def _sentence(made: Plan, cap: Decimal | None, *, local: bool) -> str:
    new, reuse, attach, hold = (made.total(action) for action in (Submit, Reuse, Attach, Hold))
    parts = [_new_words(made, local=local) if new.count else "Nothing new"]
    if reuse.count:
        parts.append(f"{reuse.count} cached" + ("" if local else f" ({usd(reuse.usd)} saved)"))
    if attach.count:
        parts.append(f"{attach.count} in flight, already sent")
    if hold.count:
        parts.append(f"{hold.count} held, possibly billed ({usd(hold.usd)})")
    if made.uploads:
        images = "reference image" if len(made.uploads) == 1 else "reference images"
        parts.append(f"uses {len(made.uploads)} {images}" + ("" if local else ", uploaded if this account has not"))
    if new.count and cap is not None and not local:
        parts.append(f"{'below' if new.usd < cap else 'exactly'} the cap of {usd(cap)}")
    return "; ".join(parts) + "."


def _new_words(made: Plan, *, local: bool) -> str:
    new = made.total(Submit)
    if local:
        return f"New: {new.count}, free: the local Krea spends nothing"
    prices = Counter(step.price for step in made.steps if isinstance(step.action, Submit))
    terms = " + ".join(f"{count} × {usd(price)}" for price, count in sorted(prices.items()))
    return f"New: {terms} = {usd(new.usd)}"


def _json(
    made: Plan, loaded: flow.Loaded, cap: Decimal | None, refusal: Problem | None, reach: Sum, *, kind: str
) -> dict[str, object]:
    stages = [stage.name for stage in loaded.pipeline.stages]
    return {
        "schema": "krea-pipe/plan@1",
        "pipeline": made.pipeline,
        "target": kind,
        "has_work": made.has_work,
        "cap_usd": None if cap is None else exact(cap),
        "budget_images": loaded.pipeline.budget.images,
        "verdict": _verdict(refusal) if kind == "live" else None,
        "reach": {"requests": reach.count, "usd": exact(reach.usd)},
        "totals": _totals(made, None),
        "stages": [{"name": name, **_totals(made, name)} for name in stages],
        "uploads": [{"source": image.source, "label": image.label} for image in made.uploads],
        "waiting": [waiting_json(one) for one in made.waiting],
        "warnings": [problem_json(one) for one in loaded.warnings],
        "cells": [row for step in made.steps for row in _cells(step)],
    }


def _verdict(refusal: Problem | None) -> dict[str, object]:
    if refusal is None:
        return {"ok": True, "code": None, "message": None}
    return {"ok": False, "code": refusal.code, "message": refusal.message}


def _totals(made: Plan, stage: str | None) -> dict[str, object]:
    sums = {name: made.total(action, stage) for action, name in ACTIONS.items()}
    return {name: {"requests": one.count, "usd": exact(one.usd)} for name, one in sums.items()}


def _cells(step: Step) -> Iterator[dict[str, object]]:
    for index, cell in enumerate(step.cells):
        yield {
            "id": cell.id,
            "stage": cell.stage,
            "key": step.key,
            "action": ACTIONS[type(step.action)],
            "reason": f"same request as {step.cells[0].id}" if index else step.reason,
            "price_usd": "0" if index else exact(step.price),
        }
