"""The budget of a plan: that of the file, and how far the limits of the command line let a run get."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Decimal

from krea_pipe.core.errors import OverBudget, Problem, UsageError
from krea_pipe.core.outcome import Failure
from krea_pipe.core.request import Key
from krea_pipe.matrix.sharding import Shard
from krea_pipe.pipeline.model import Budget
from krea_pipe.pipeline.pricing import usd
from krea_pipe.planning.plan import Hold, Plan, Step, Submit, Sum, in_order

_THOUSANDTH = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the command line: US dollars and new images; a run stops when it reaches one.

    `is_named` says that the cap is a named budget, which several runs share.
    """

    max_cost: Decimal | None = None
    max_new: int | None = None
    is_named: bool = False

    def of_all(self, shards: int) -> "Limits":
        """The limits for all shards together, if each of them has these limits.

        Args:
            shards: How many shards there are.

        Returns:
            The limits of all of them.
        """
        usd_of_all = self.max_cost if self.max_cost is None or self.is_named else self.max_cost * shards
        return Limits(usd_of_all, None if self.max_new is None else self.max_new * shards)

    def for_price(self, *, bills: bool) -> "Limits":
        """The limits of a run whose images may cost nothing, which needs no cap.

        Args:
            bills: Whether images cost something.

        Returns:
            The same limits, or without a cap and a price a cap of nothing.
        """
        return self if bills or self.max_cost is not None else replace(self, max_cost=Decimal(0))


def shards_of(plan: Plan) -> int:
    """The number of shards of which a run is one.

    Args:
        plan: What the run would do.

    Returns:
        1 for a run that is no shard.
    """
    return 1 if plan.shard is None else plan.shard.total


def share_of(budget: Budget, plan: Plan, whole: Plan, limits: Limits) -> Budget:
    """The part of a file's budget for one shard: the price of its own plan, and an equal part of the remaining budget.

    The shares of all shards add up to no more than the budget. A named budget is not divided: the shards share it.

    Args:
        budget: What the pipeline file allows.
        plan: What the shard would do.
        whole: What all shards would do, as this one sees it.
        limits: What the command line allows.

    Returns:
        The share in US dollars and images; the budget itself when the run is no shard.
    """
    if plan.shard is None:
        return budget
    share, images, total = budget.usd, budget.images, plan.shard.total
    if share is not None and not limits.is_named:
        own, all_of_them = _price_of(plan), _price_of(whole)
        rest = share - all_of_them
        share = _part(share, plan.shard) if rest < 0 else own + _part(rest, plan.shard)
    if images is not None:
        left = images - whole.total(Submit).count
        before = plan.shard.number - 1
        own_count, rest_count = (0, images) if left < 0 else (plan.total(Submit).count, left)
        images = own_count + rest_count * (before + 1) // total - rest_count * before // total
    return Budget(share, images)


def _part(amount: Decimal, shard: Shard) -> Decimal:
    """The equal part of an amount for one shard, in thousandths of a US dollar; all parts add up to the amount."""
    ends = (amount * number / shard.total for number in (shard.number - 1, shard.number))
    start, end = (one.quantize(_THOUSANDTH, ROUND_DOWN) for one in ends)
    return end - start


def _price_of(plan: Plan) -> Decimal:
    return plan.total(Submit).usd + sum((step.price for step in plan.steps if _is_open(step)), Decimal(0))


ALLOW_RENDER = "add --allow-render to generate it at its price"
NOT_ALLOWED = "render_not_allowed"
"""The code of a cell that a frozen run would have to pay for."""


@dataclass(frozen=True, slots=True)
class Permission:
    """The requests that a run may pay for.

    `refusal` is the reason why it may pay for nothing, if any; `approved` are the requests that a plan file names, None
    for all. `refused` has the reasons why it must not pay for some.
    """

    refusal: Failure | None = None
    approved: Container[Key] | None = None
    refused: Mapping[Key, Failure] = field(default_factory=dict)

    def refusal_of(self, key: Key) -> Failure | None:
        """Why a request must not be sent.

        Args:
            key: Its key.

        Returns:
            The failure of its cells; None when it may be sent.
        """
        if key in self.refused:
            return self.refused[key]
        if self.refusal is None and self.approved is not None and key not in self.approved:
            message = "the plan file does not allow paying for it; create a new plan file"
            return Failure("not_planned", message, "local")
        return self.refusal


FROZEN = Failure(NOT_ALLOWED, f"`run --frozen` does not pay; {ALLOW_RENDER}", "local")
NO_CAP = Failure("no_cap", "no cap is set, so nothing is paid; add `budget:` to the file, or --max-cost", "local")


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


def check_budget(plan: Plan, whole: Plan, budget: Budget, limits: Limits) -> None:
    """Refuse a plan that may cost more than it should.

    The file's budget is for what the run would send; with `max_cost` or `max_new` that may be a part of the plan. It is
    for all shards together, and those limits are for each of them.

    Args:
        plan: What a run would do.
        whole: What all shards would do; `plan` itself when the run is no shard.
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
    prefix = ""
    if plan.shard is not None:
        prefix, new = f"in all {plan.shard.total} shards, ", sum_within(whole, limits.of_all(shards_of(plan)))
        held = sum((step.price for step in whole.steps if _is_open(step)), Decimal(0))
    if new.count and budget.usd is not None and new.usd + held > budget.usd:
        also = f" and {usd(held)} may already be spent" if held else ""
        above = f"above the cap of {usd(budget.usd)}; nothing was sent"
        message = f"{prefix}{_images(new.count)} cost {usd(new.usd)}{also}, {above}"
        hint = "raise the cap, generate less, or generate a part with --max-cost or --max-new"
        raise OverBudget(Problem("over_budget", message, hint=hint))
    if budget.images is not None and new.count > budget.images:
        message = f"{prefix}{_images(new.count)}, above the budget of {budget.images}; nothing was sent"
        raise OverBudget(
            Problem("over_budget", message, hint="raise `budget: images`, or generate a part with --max-new")
        )


def sum_within(plan: Plan, limits: Limits) -> Sum:
    """How far a run would get within the limits of the command line; held requests count as spent.

    Args:
        plan: What a run would do.
        limits: What the command line allows.

    Returns:
        The new images that it would pay for, and their price.
    """
    if limits.max_new is None and limits.max_cost is None:
        return plan.total(Submit)
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
