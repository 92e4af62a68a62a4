"""The budget of one run; a price is reserved before its request is sent, so that two requests never share a cent.

A price is reserved before its request is sent, so that no two can share the last cent.
"""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.pipeline.pricing import usd
from krea_pipe.store.remote.bucket import RemoteFailed
from krea_pipe.store.remote.named_budget import NamedBudget


@dataclass(slots=True)
class BudgetLedger:
    """US dollars up to `cap` and images up to `most`, each None without a limit.

    What is reserved is spent once it may be billed, and is free again once it cannot. With a `named` budget, `cap` is
    what was taken from it until now.
    """

    cap: Decimal | None = None
    most: int | None = None
    spent: Decimal = Decimal(0)
    drawn: int = 0
    reserved: Decimal = Decimal(0)
    pending: int = 0
    is_shut: bool = False
    named: NamedBudget | None = None
    _growing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: "deque[tuple[Decimal, asyncio.Future[bool]]]" = field(default_factory=deque)

    async def reserve(self, price: Decimal) -> bool:
        """Set a price aside, in the order of coming; False when it does not fit, whatever becomes of the others."""
        if self.named is not None:
            await self._take_more(self.named, price)
        if self.is_shut:
            return False
        answer = None if self._waiting else self._try(price)
        if answer is not None:
            return answer
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((price, future))
        return await future

    def commit(self, price: Decimal) -> None:
        """Set a price aside that an earlier run may have spent. Its image is not new in this run."""
        self.reserved += price

    def keep(self, price: Decimal, *, is_new: bool = True) -> None:
        """Count a price as spent that was reserved, or committed when it is not new."""
        self.spent, self.drawn = self.spent + price, self.drawn + is_new
        self.release(price, is_new=is_new)

    def release(self, price: Decimal, *, is_new: bool = True) -> None:
        """Give a price back that was reserved, or committed when it is not new."""
        self.reserved, self.pending = self.reserved - price, self.pending - is_new
        while self._waiting:
            price, future = self._waiting[0]
            answer = False if future.done() else self._try(price)
            if answer is None:
                return
            self._waiting.popleft()
            if not future.done():
                future.set_result(answer)

    def limit(self) -> Problem:
        """Which limit was reached, in words."""
        if self.most is not None and self.drawn >= self.most:
            images = "1 new image was" if self.drawn == 1 else f"{self.drawn} new images were"
            message = f"{images} generated, the most that --max-new allows"
        elif self.named is not None:
            left = usd(self.named.total - self.named.taken)
            message = (
                f"{left} of the budget {self.named.name} of {usd(self.named.total)} is left, and the next image "
                "would exceed it"
            )
        else:
            cap = usd(self.cap if self.cap is not None else self.spent)
            message = f"{usd(self.spent)} of the cap of {cap} has been spent, and the next image would exceed it"
        return Problem("limit_reached", message, hint="rerun the command to continue; nothing is charged twice")

    def shut(self) -> None:
        """Give nothing more."""
        self.is_shut = True
        for _, future in self._waiting:
            if not future.done():
                future.set_result(False)
        self._waiting.clear()

    async def give_back(self) -> None:
        """Return the unspent amount to a named budget; if the store is down, this amount is lost to the budget."""
        if self.named is not None and self.cap is not None:
            unused, self.cap = self.cap - self.spent, self.spent
            with contextlib.suppress(RemoteFailed):
                await asyncio.to_thread(self.named.give_back, unused)

    async def _take_more(self, named: NamedBudget, price: Decimal) -> None:
        async with self._growing:
            taken = self.cap or Decimal(0)
            while not self.is_shut and self.spent + self.reserved + price > taken:
                try:
                    more = await asyncio.to_thread(named.take, price)
                except RemoteFailed as error:
                    hint = "rerun the command when the shared store answers"
                    problem = Problem("no_shared_store", f"the budget {named.name}: {error}", hint=hint)
                    raise StateError(problem) from error
                self.cap = taken = taken + more
                if not more:
                    return

    def _try(self, price: Decimal) -> bool | None:
        """True when a price fits, False when it never will, None when it may once others have failed."""
        if not self._fits(self.spent + price, self.drawn + 1):
            return False
        if not self._fits(self.spent + self.reserved + price, self.drawn + self.pending + 1):
            return None
        self.reserved, self.pending = self.reserved + price, self.pending + 1
        return True

    def _fits(self, dollars: Decimal, images: int) -> bool:
        return (self.cap is None or dollars <= self.cap) and (self.most is None or images <= self.most)
