"""What a run would do, in words and tables: `plan` prints it once, `watch` after each save."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import click
from rich.text import Text

from krea_pipe.app.plan_files import Forecast, RecipeCounts
from krea_pipe.cli.commands.prices import price_words
from krea_pipe.cli.messages import print_problems
from krea_pipe.cli.summary import waiting_words
from krea_pipe.cli.tables import print_table, words_text
from krea_pipe.core.errors import Problem
from krea_pipe.core.json_data import writable
from krea_pipe.pipeline.pricing import usd, usd_range
from krea_pipe.planning.change_reason import reason_parts
from krea_pipe.planning.out_folder import in_the_way
from krea_pipe.planning.plan import Action, Attach, Fetch, Hold, Plan, Rejected, Reuse, Step, Submit, action_kind
from krea_pipe.report.compare.comparison import CellChange
from krea_pipe.report.compare.render import KIND_WORDS

MAX_ROWS = 60
COLUMNS: Mapping[type[Action], str] = {
    Submit: "new",
    Reuse: "cached",
    Attach: "waiting",
    Hold: "unresolved",
    Fetch: "fetch",
    Rejected: "rejected",
}
"""The actions in tables; the last one only where there is one."""


def print_forecast(forecast: Forecast, *, most: int | None, local: bool) -> None:
    """Print what a run would do.

    Args:
        forecast: the plan.
        most: how many of the requests that are not cached to list; None lists every request.
        local: leave out prices.
    """
    print_problems((*forecast.loaded.warnings, *forecast.problems), kind="warning")
    _print_tables(forecast.plan, most=most, local=local)
    cap = forecast.cap if forecast.is_whole and not forecast.refusal else None
    click.echo(plan_sentence(forecast.plan, cap, local=local))
    engine = forecast.target.engine
    if engine is not None:
        click.echo(f"Drawn by {engine.identity.words}, at {', '.join(engine.urls) or engine.device}.")
    for words in () if local else price_words(forecast.stated_prices):
        click.echo(words)
    if forecast.files.total:
        click.echo(_files_words(forecast.files))
    print_problems(in_the_way(forecast.in_the_way), kind="warning")
    for one in forecast.plan.waiting:
        click.echo(waiting_words(one, local=local))
    if forecast.refusal:
        click.echo(refusal_words(forecast.refusal))
    elif not forecast.is_whole:
        click.echo(
            f"A run would send {forecast.reach.count} of them for {usd(forecast.reach.usd)}, then stop at the limit."
        )


def _files_words(files: RecipeCounts) -> str:
    """How many files of recipes a run would deliver."""
    return f"Recipes: {files.to_make:,} of {files.total:,} file{'' if files.total == 1 else 's'} to deliver."


def refusal_words(refusal: Problem) -> str:
    """Why a run would send nothing."""
    hint = f"\n  {click.style('hint', fg='cyan')}: {refusal.hint}" if refusal.hint else ""
    return f"{click.style('A run would be refused', fg='red', bold=True)}: {refusal.message}{hint}"


def _print_tables(plan: Plan, *, most: int | None, local: bool) -> None:
    steps = [step for step in plan.steps if most is None or not isinstance(step.action, Reuse)]
    if steps and most != 0:
        shown = steps[:most]
        print_priced(["request", "action", "reason"], [_columns(step) for step in shown], local=local)
        if len(shown) < len(steps):
            click.echo(f"… and {len(steps) - len(shown):,} more; list them with --all")
        click.echo()
    print_priced(["stage", "images", *counted_actions(plan).values()], list(_stage_rows(plan)), local=local)
    click.echo()


def print_priced(columns: list[str], rows: Sequence[Sequence[str | Text]], *, local: bool) -> None:
    """Print a table whose rows end in a price, which the local Krea has none of."""
    if not local:
        columns = [*columns, "price"]
    rows = [row[: len(columns)] for row in rows]
    print_table(columns, rows, numbers=["images", *COLUMNS.values(), "price"], long=["request", "reason", "stage"])


def _columns(step: Step) -> list[str | Text]:
    more = f" (+{len(step.cells) - 1})" if len(step.cells) > 1 else ""
    reason = words_text(reason_parts(step.reason, step.change))
    return [step.cells[0].id + more, COLUMNS[action_kind(step.action)], reason, _price_of(step)]


def _price_of(step: Step) -> str:
    match step.action:
        case Submit() | Hold():
            return usd(step.price)
        case Fetch():
            return usd(Decimal(0))
        case Attach(was_stored=True):
            return usd_range(Decimal(0), step.price)
    return ""


def _stage_rows(plan: Plan) -> Iterator[list[str]]:
    stages = dict.fromkeys(cell.stage for step in plan.steps for cell in step.cells)
    for stage in stages:
        yield [stage, *plan_counts(plan, stage, counted_actions(plan))]
    if len(stages) > 1:
        yield ["total", *plan_counts(plan, None, counted_actions(plan))]


def counted_actions(plan: Plan) -> Mapping[type[Action], str]:
    """The actions to count in a table: rejected requests only if there are some."""
    return {kind: name for kind, name in COLUMNS.items() if kind is not Rejected or plan.total(Rejected).count}


def plan_counts(plan: Plan, stage: str | None, kinds: Iterable[type[Action]]) -> list[str]:
    """The images of a stage, or of all, the requests by what is done with them, and the price."""
    images = sum(stage in (None, cell.stage) for step in plan.steps for cell in step.cells)
    return [str(images), *(str(plan.total(action, stage).count) for action in kinds), _price_range(plan, stage)]


def _price_range(plan: Plan, stage: str | None) -> str:
    """The price of new images, and the maximum if Krea no longer has some images."""
    new = plan.total(Submit, stage).usd
    return usd_range(new, new + plan.in_doubt(stage).usd)


def plan_sentence(plan: Plan, cap: Decimal | None, *, local: bool) -> str:
    """The plan in one sentence, with its price and the cap in US dollars."""
    new, reuse, attach, hold = (plan.total(action) for action in (Submit, Reuse, Attach, Hold))
    parts = [_new_words(plan, local=local) if new.count else "Nothing new"]
    if reuse.count:
        parts.append(f"{reuse.count} cached" + ("" if local else f" ({usd(reuse.usd)} saved)"))
    parts += _fetch_words(plan)
    rejected = plan.total(Rejected).count
    if rejected:
        parts.append(f"{rejected} rejected by Krea before, not sent again")
    if attach.count:
        parts.append(f"{attach.count} waiting, already submitted")
    if hold.count:
        parts.append(f"{hold.count} held, possibly billed ({usd(hold.usd)})")
    if plan.uploads:
        images = "reference image" if len(plan.uploads) == 1 else "reference images"
        parts.append(f"uses {len(plan.uploads)} {images}" + ("" if local else ", uploaded if not yet in this account"))
    if new.count and cap is not None and not local:
        what = "the cap of" if plan.shard is None else "this shard's part of the cap,"
        parts.append(f"{'below' if new.usd < cap else 'exactly'} {what} {usd(cap)}")
    prefix = "" if plan.shard is None else f"Shard {plan.shard}. "
    return prefix + "; ".join(parts) + "."


def _fetch_words(plan: Plan) -> Iterator[str]:
    """The images that are free, and the price if Krea no longer has them."""
    doubt, nothing = plan.in_doubt(), usd(Decimal(0))
    copied = plan.total(Fetch).count - doubt.count
    if copied:
        yield f"{copied} fetched for {nothing}"
    if doubt.count:
        yield (
            f"{doubt.count} fetched from Krea for {usd_range(Decimal(0), doubt.usd)}, depending on whether it "
            "still has them"
        )


def _new_words(plan: Plan, *, local: bool) -> str:
    new = plan.total(Submit)
    if local:
        return f"New: {new.count}, free with the local Krea"
    prices = Counter(step.price for step in plan.steps if isinstance(step.action, Submit))
    terms = " + ".join(f"{count} × {usd(price)}" for price, count in sorted(prices.items()))
    return f"New: {terms} = {usd(new.usd)}"


def print_changes(changes: Sequence[CellChange], *, most: int | None, advice: str = "; list them with --all") -> None:
    """Print the cells that have changed, and an empty line if there are any.

    Args:
        changes: all cells with their changes.
        most: how many of those that have changed to print; None prints all cells, also those that have not.
        advice: how to see the others.
    """
    rows = [row for row in changes if most is None or row.kind != "same"]
    if not rows:
        return
    shown = rows[:most]
    columns = ["cell", "change", "reason", "price"]
    print_table(columns, [_change_columns(row) for row in shown], numbers=["price"], long=["cell", "reason"])
    if len(shown) < len(rows):
        click.echo(f"… and {len(rows) - len(shown):,} more{advice}")
    click.echo()


def _change_columns(row: CellChange) -> list[str | Text]:
    reason = words_text(row.explanation_parts)
    return [writable(row.id), KIND_WORDS[row.kind], reason, usd(row.price) if row.price else ""]
