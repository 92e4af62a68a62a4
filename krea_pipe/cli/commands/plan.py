"""`krea-pipe plan`: what a run would do, why, and what it would cost."""

import os
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import click

from krea_pipe import flow
from krea_pipe.cli.messages import print_json, print_problems, problem_json
from krea_pipe.cli.options import Money, file_argument, json_option, local_option, max_cells_option
from krea_pipe.cli.tables import print_table
from krea_pipe.plan import Attach, Hold, Plan, Reuse, Step, Submit
from krea_pipe.pricing import exact, usd
from krea_pipe.settings import LOCAL, home_folder, live_target
from krea_pipe.store.space import open_space

SHOWN = 60
ACTIONS = {Reuse: "reuse", Attach: "attach", Submit: "new", Hold: "hold"}
PENDING = 3


@click.command()
@file_argument
@local_option
@click.option("--max-cost", type=Money(), help="Show whether a run would stay below this cap in US dollars.")
@click.option("--check", is_flag=True, help="Exit with 3 when a run would have something to do.")
@click.option("--all", "show_all", is_flag=True, help=f"List every request, not the first {SHOWN} that are not cached.")
@max_cells_option
@json_option
def plan(
    file: Path,
    max_cost: Decimal | None,
    max_cells: int,
    *,
    local: bool,
    check: bool,
    show_all: bool,
    as_json: bool,
) -> int:
    """Show what a run of FILE would reuse, attach to and send, each with its reason, and the price.

    Needs no network and no key, and changes nothing.
    """
    loaded = flow.load(file)
    target = LOCAL if local else live_target(os.environ)
    made = flow.plan(loaded, open_space(home_folder(os.environ), target.space), target, max_cells=max_cells)
    cap = flow.cap_of(loaded.pipeline.budget, max_cost)
    if as_json:
        print_json(_json(made, loaded, cap, kind=target.kind))
    else:
        print_problems(loaded.warnings, kind="warning")
        _print(made, cap, show_all=show_all, local=local)
    return PENDING if check and made.has_work else 0


def _print(made: Plan, cap: Decimal | None, *, show_all: bool, local: bool) -> None:
    steps = [step for step in made.steps if show_all or not isinstance(step.action, Reuse)]
    if steps:
        shown = steps if show_all else steps[:SHOWN]
        print_table(["request", "action", "reason", "price"], [_columns(step) for step in shown], numbers=["price"])
        if len(shown) < len(steps):
            click.echo(f"… and {len(steps) - len(shown):,} more; --all lists them")
        click.echo()
    print_table(
        ["stage", "images", *ACTIONS.values(), "price"], _stage_rows(made), numbers=[*ACTIONS.values(), "price"]
    )
    click.echo()
    click.echo(_sentence(made, cap, local=local))


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
    prices = Counter(step.price for step in made.steps if isinstance(step.action, Submit))
    terms = " + ".join(f"{count} × {usd(price)}" for price, count in sorted(prices.items()))
    parts = [f"New: {terms} = {usd(new.usd)}" if new.count else "Nothing new"]
    if reuse.count:
        parts.append(f"{reuse.count} cached ({usd(reuse.usd)} saved)")
    if attach.count:
        parts.append(f"{attach.count} in flight, already sent")
    if hold.count:
        parts.append(f"{hold.count} held, possibly billed ({usd(hold.usd)})")
    if made.uploads:
        parts.append(f"{len(made.uploads)} reference image{'' if len(made.uploads) == 1 else 's'} to upload once")
    if local:
        parts.append("all of it free: the local Krea spends nothing")
    elif new.count:
        parts.append(_cap_words(new.usd, cap))
    return "; ".join(parts) + "."


def _cap_words(new: Decimal, cap: Decimal | None) -> str:
    if cap is None:
        return "no cap is set, and a live run needs one: `budget: {usd: …}` or --max-cost"
    return f"below the cap of {usd(cap)}" if new <= cap else f"ABOVE the cap of {usd(cap)}: a run would send nothing"


def _json(made: Plan, loaded: flow.Loaded, cap: Decimal | None, *, kind: str) -> dict[str, object]:
    stages = [stage.name for stage in loaded.pipeline.stages]
    return {
        "schema": "krea-pipe/plan@1",
        "pipeline": made.pipeline,
        "target": kind,
        "has_work": made.has_work,
        "cap_usd": None if cap is None else exact(cap),
        "totals": _totals(made, None),
        "stages": [{"name": name, **_totals(made, name)} for name in stages],
        "uploads": [{"source": image.source, "label": image.label} for image in made.uploads],
        "warnings": [problem_json(one) for one in loaded.warnings],
        "cells": [row for step in made.steps for row in _cells(step)],
    }


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
