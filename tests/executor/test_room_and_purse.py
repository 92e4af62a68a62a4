"""Room and purse through their own methods: orders of events that no single run would show."""

import asyncio
import random
from decimal import Decimal
from itertools import pairwise

import pytest

from krea_pipe.executor.budget_ledger import BudgetLedger
from krea_pipe.executor.capacity import AHEAD, ENOUGH, LAST_STEP, START, Capacity, JobSlot

CENT = Decimal("0.01")


async def settle():
    """Let every task go on until it waits for another."""
    for _ in range(20):
        await asyncio.sleep(0)


# --- the purse


async def spend(budget, rng, prices):
    """Requests that come, fail and succeed in any order; how many were sent, and what was billed for each."""
    sent, bills = [], []

    def check():
        assert budget.cap is None or budget.spent + budget.reserved <= budget.cap
        assert budget.most is None or budget.drawn + budget.pending <= budget.most
        assert min(budget.reserved, budget.pending, budget.spent) >= 0

    async def request(price):
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        if not await budget.reserve(price):
            return
        sent.append(price)
        check()
        for _ in range(rng.randrange(6)):
            await asyncio.sleep(0)
        if rng.random() < 0.5:
            bills.append(price)
            budget.keep(price)
        else:
            budget.release(price)
        check()

    await asyncio.wait_for(asyncio.gather(*map(request, prices)), 10)
    return sent, bills


@pytest.mark.parametrize("seed", range(60))
def test_no_order_of_events_spends_more_than_the_purse_holds(seed):
    rng = random.Random(seed)
    prices = [CENT * rng.choice([1, 3, 7]) for _ in range(rng.randrange(1, 40))]
    cap = rng.choice([None, CENT * rng.randrange(60)])
    most = rng.choice([None, rng.randrange(12)])
    budget = BudgetLedger(cap, most)
    sent, bills = asyncio.run(spend(budget, rng, prices))
    assert (budget.spent, budget.drawn) == (sum(bills, Decimal(0)), len(bills))
    assert (budget.reserved, budget.pending) == (0, 0)
    if cap is None and most is None:
        assert len(sent) == len(prices)


@pytest.mark.parametrize("seed", range(20))
def test_what_fails_makes_place_for_another_until_the_purse_is_full(seed):
    """With one price, exactly as many are billed as fit, when there are enough of them."""
    rng = random.Random(seed)
    most = rng.randrange(8)
    for budget in (BudgetLedger(CENT * most), BudgetLedger(None, most)):
        _, bills = asyncio.run(spend(budget, rng, [CENT] * 200))
        assert len(bills) == most


def test_a_price_that_never_fits_is_refused_at_once_and_one_that_may_fit_waits_in_its_turn():
    async def main():
        budget = BudgetLedger(CENT * 10)
        assert await budget.reserve(CENT * 8)
        large = asyncio.create_task(budget.reserve(CENT * 9))
        small = asyncio.create_task(budget.reserve(CENT))
        await settle()
        assert (large.done(), small.done()) == (False, False)
        budget.keep(CENT * 8)
        assert (await large, await small) == (False, True)
        assert not await budget.reserve(CENT * 3)

    asyncio.run(main())


def test_a_purse_that_is_shut_sends_those_who_wait_away():
    async def main():
        budget = BudgetLedger(CENT)
        assert await budget.reserve(CENT)
        waiting = asyncio.create_task(budget.reserve(CENT))
        await settle()
        budget.shut()
        assert not await waiting
        assert budget.reserved == CENT

    asyncio.run(main())


def test_one_who_waits_for_money_and_is_cancelled_takes_none():
    async def main():
        budget = BudgetLedger(CENT)
        assert await budget.reserve(CENT)
        gone, next_one = (asyncio.create_task(budget.reserve(CENT)) for _ in range(2))
        await settle()
        gone.cancel()
        await settle()
        budget.release(CENT)
        assert await next_one
        assert (budget.reserved, budget.pending) == (CENT, 1)

    asyncio.run(main())


# --- the room


async def filled(capacity, count):
    semaphore = [JobSlot(capacity) for _ in range(count)]
    tasks = [asyncio.create_task(place.take()) for place in semaphore]
    await settle()
    held = [place for place in semaphore if place.is_held]
    for place in held:
        taken_in(capacity, place)
    return held, tasks


def taken_in(capacity, place):
    """Krea takes a request."""
    place.fill()
    capacity.accept()


def believed(capacity):
    """Refuse until the room believes it; how often that was."""
    return next(number for number in range(1, 20) if capacity.refuse())


def test_the_third_429_halves_the_room_and_ends_let_it_grow_to_where_it_was_and_slowly_beyond():
    async def main():
        capacity = Capacity(500)
        held, waiting = await filled(capacity, START + 10)
        assert len(held) == START
        assert believed(capacity) == ENOUGH
        assert capacity.limit == START / 2
        assert capacity.is_crowded
        limits = [capacity.limit]
        while held:
            held.pop().give_back(ended=True)
            limits.append(capacity.limit)
        steps = [after - before for before, after in pairwise(limits)]
        back = int(START / 2 / 2)
        assert steps[:back] == [2] * back
        assert limits[back] == START
        beyond = steps[back:]
        assert beyond[0] < 1
        assert beyond == sorted(beyond)
        assert beyond[-1] <= LAST_STEP
        for task in waiting:
            task.cancel()

    asyncio.run(main())


def test_a_room_never_shrinks_below_one_and_never_grows_above_the_users_limit():
    async def main():
        capacity = Capacity(3)
        held, waiting = await filled(capacity, 9)
        assert len(held) == 3
        capacity.learn(1000)
        await settle()
        assert capacity.semaphore.inside == 3
        for _ in range(9 * ENOUGH):
            capacity.refuse()
        assert capacity.limit >= 1
        while any(not task.done() for task in waiting):
            held.pop().give_back(ended=True) if held else None
            await settle()
            assert capacity.semaphore.inside <= 3
            held += [JobSlot(capacity, is_held=True)] * (capacity.semaphore.inside - len(held))

    asyncio.run(main())


def test_a_room_keeps_ahead_of_what_krea_runs_until_krea_says_that_it_is_full():
    async def main():
        capacity = Capacity(10_000)
        _, waiting = await filled(capacity, 400)
        capacity.learn(100)
        await settle()
        assert capacity.semaphore.inside == 2 * 100 + AHEAD
        capacity.learn(10)
        assert capacity.limit == 2 * 100 + AHEAD
        believed(capacity)
        at = capacity.limit
        capacity.learn(1000)
        assert capacity.limit == at
        for task in waiting:
            task.cancel()

    asyncio.run(main())


def test_what_krea_has_when_it_refuses_counts_and_not_what_waits_to_be_sent():
    async def main():
        capacity = Capacity(500)
        semaphore = [JobSlot(capacity) for _ in range(20)]
        for place in semaphore:
            await place.take()
        for place in semaphore[:6]:
            place.fill()
        believed(capacity)
        assert (capacity.limit, capacity.is_crowded) == (3, True)
        for place in semaphore[6:]:
            place.give_back()
        assert (capacity.semaphore.inside, capacity.filled, capacity.is_crowded) == (6, 6, True)
        for place in semaphore[:4]:
            place.give_back(ended=True)
        assert (capacity.filled, capacity.is_crowded) == (2, False)

    asyncio.run(main())


def test_a_room_rests_for_the_longest_time_that_krea_asks_for():
    now = [100.0]
    capacity = Capacity(5, time=lambda: now[0])
    assert capacity.rest == 0
    capacity.refuse(7)
    capacity.refuse(3)
    assert capacity.rest == 7
    now[0] += 6
    assert capacity.rest == 1
    now[0] += 6
    assert capacity.rest == 0


def test_a_place_is_taken_and_given_back_once():
    async def main():
        capacity = Capacity(5)
        place = JobSlot(capacity)
        assert await place.take()
        assert await place.take()
        place.take_at_once()
        assert (capacity.semaphore.inside, capacity.filled) == (1, 1)
        place.give_back()
        place.give_back(ended=True)
        assert (capacity.semaphore.inside, capacity.filled) == (0, 0)

    asyncio.run(main())
