"""One cap for many runs: `budgets/NAME/0001` and on say which run has taken or returned how much.

A run spends only what it has taken, and creating the next number is the only way to take anything. So the cap holds for
any number of runs; what a killed run had taken and not spent is not returned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.money import exact
from krea_pipe.pipeline.pricing import usd
from krea_pipe.store.remote.numbered_log import LoggedEvent, NumberedLog

BUDGETS = "budgets"
SLICES = 200
"""The approximate number of slices into which a budget is divided."""


@dataclass(slots=True)
class NamedBudget:
    """A budget that several runs share.

    Its methods call the store, and belong to one thread at a time.

    Args:
        log: the numbered events of the store.
        name: the name of the budget.
        run: the run that takes from it.
        total: what all runs together may spend, in US dollars.
    """

    log: NumberedLog
    name: str
    run: str
    total: Decimal
    taken: Decimal = field(default=Decimal(0), init=False)
    number: int = field(default=0, init=False)

    def take(self, price: Decimal) -> Decimal:
        """Take a slice that covers a price.

        Args:
            price: the price of the next request, in US dollars.

        Returns:
            How much was taken, in US dollars; 0 when the price does not fit into what is left.

        Raises:
            RemoteFailed: the store could not be asked.
            UsageError: the budget was made with another cap.
            StateError: what the store says of it cannot be believed.
        """
        while True:
            self._read()
            left = self.total - self.taken
            if price > left:
                return Decimal(0)
            amount = max(price, min(left, price * (self.total / SLICES / price).to_integral_value()))
            if self._append(amount):
                return amount

    def give_back(self, amount: Decimal) -> None:
        """Return what was taken and not spent.

        Args:
            amount: how much, in US dollars.

        Raises:
            RemoteFailed: the store could not be asked.
            UsageError, StateError: as for `take`.
        """
        while amount > 0 and not self._append(-amount):
            self._read()

    def _append(self, amount: Decimal) -> bool:
        event: dict[str, Json] = {"run": self.run, "cap": exact(self.total), "taken": exact(amount)}
        if not self.log.append(self._prefix, self.number + 1, event):
            return False
        self.number, self.taken = self.number + 1, self.taken + amount
        return True

    def _read(self) -> None:
        for event in self.log.read_after(self._prefix, self.number):
            self._take_in(event)

    def _take_in(self, event: LoggedEvent) -> None:
        cap, taken = self._amounts(event)
        if cap != self.total:
            message = f"the budget {self.name} has a cap of {usd(cap)}, but this run has {usd(self.total)}"
            hint = "give all runs the same cap, or use a budget with another name"
            raise UsageError(Problem("budget_differs", message, hint=hint))
        self.number, self.taken = event.number, self.taken + taken

    def _amounts(self, event: LoggedEvent) -> tuple[Decimal, Decimal]:
        data: Mapping[str, Json] = event.data or {}
        try:
            cap, taken = Decimal(str(data["cap"])), Decimal(str(data["taken"]))
            if cap.is_finite() and taken.is_finite():
                return cap, taken
        except (KeyError, InvalidOperation):
            pass
        reason = event.reason or f"{self._prefix}/{event.number:04} is not an entry of a budget"
        hint = "use a budget with another name"
        raise StateError(Problem("bad_budget", f"the budget {self.name} cannot be used: {reason}", hint=hint))

    @property
    def _prefix(self) -> str:
        return f"{BUDGETS}/{self.name}"
