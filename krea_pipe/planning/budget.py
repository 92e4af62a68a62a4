"""What a plan may cost: the file's budget, and how far the limits of the command line let a run come."""

from dataclasses import dataclass
from decimal import Decimal

from krea_pipe.core.errors import OverBudget, Problem, UsageError
from krea_pipe.pipeline.model import Budget
from krea_pipe.pipeline.pricing import usd
from krea_pipe.planning.plan import Hold, Plan, Step, Submit, Sum, in_order


@dataclass(frozen=True, slots=True)
class Limits:
    """What the command line says that a run may spend, in US dollars, and draw; a run stops there."""

    max_cost: Decimal | None = None
    max_new: int | None = None


def cap_of(budget: Budget, limits: Limits) -> Decimal | None:
    """The cap of a run in US dollars: the lower of the file's and the command line's.

    Args:
        budget: What the pipeline file allows.
        limits: What the command line allows.

    Returns:
        The cap; None when neither sets one.
    """
    found = [amount for amount in (budget.usd, limits.max_cost) if amount is not None]
    return min(found) if found else None


def max_new_of(budget: Budget, limits: Limits) -> int | None:
    """The most new images of a run: the lower of the file's and the command line's.

    Args:
        budget: What the pipeline file allows.
        limits: What the command line allows.

    Returns:
        The number; None when neither sets one.
    """
    found = [count for count in (budget.images, limits.max_new) if count is not None]
    return min(found) if found else None


def check_budget(plan: Plan, budget: Budget, limits: Limits) -> None:
    """Refuse a plan that may cost more than it should.

    The file's budget is for what the run would send; with `max_cost` or `max_new` that may be a part of the plan.

    Args:
        plan: What a run would do.
        budget: What the pipeline file allows.
        limits: What the command line allows.

    Raises:
        UsageError: There is something to pay and no cap.
        OverBudget: It costs more than the file's budget.
    """
    new = sum_within(plan, limits)
    held = sum((step.price for step in plan.steps if _is_open(step)), Decimal(0))
    if (new.count or held) and cap_of(budget, limits) is None:
        hint = f"add `budget: {{usd: {new.usd + held}}}` to the file, or --max-cost {new.usd + held}"
        raise UsageError(Problem("no_cap", f"{_images(new.count)} for {usd(new.usd)}, but no cap is set", hint=hint))
    if new.count and budget.usd is not None and new.usd + held > budget.usd:
        also = f" and {usd(held)} may already be spent" if held else ""
        message = (
            f"{_images(new.count)} cost {usd(new.usd)}{also}, above the cap of {usd(budget.usd)}; nothing was sent"
        )
        hint = "raise the cap, generate less, or generate a part with --max-cost or --max-new"
        raise OverBudget(Problem("over_budget", message, hint=hint))
    if budget.images is not None and new.count > budget.images:
        message = f"{_images(new.count)}, above the budget of {budget.images}; nothing was sent"
        raise OverBudget(
            Problem("over_budget", message, hint="raise `budget: images`, or generate a part with --max-new")
        )


def sum_within(plan: Plan, limits: Limits) -> Sum:
    """How far a run would come within the limits of the command line; what is held counts as spent.

    Args:
        plan: What a run would do.
        limits: What the command line allows.

    Returns:
        The new images that it would pay for, and their price.
    """
    count, spent = 0, sum((step.price for step in plan.steps if _is_open(step)), Decimal(0))
    held = spent
    for step in in_order(plan):
        if not isinstance(step.action, Submit):
            continue
        if limits.max_new is not None and count >= limits.max_new:
            break
        if limits.max_cost is not None and spent + step.price > limits.max_cost:
            break
        count, spent = count + 1, spent + step.price
    return Sum(count, spent - held)


def _is_open(step: Step) -> bool:
    return isinstance(step.action, Hold) and step.action.can_be_settled


def _images(count: int) -> str:
    return f"{count} new image" + ("" if count == 1 else "s")
