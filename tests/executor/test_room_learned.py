"""How many jobs an account takes is learned from its 429s, of which some are only a moment's."""

import asyncio
import random

import pytest

from krea_pipe.executor.capacity import ENOUGH, LAST_STEP, START, Capacity, JobSlot


async def take(capacity):
    """Have Krea take one more job."""
    place = JobSlot(capacity)
    assert await place.take()
    place.fill()
    capacity.accept()
    return place


async def flow(capacity, jobs, takes, rng, *, runs):
    """Send jobs through a Krea that takes one beside so many, or not, and runs some; they end at any moment.

    For each request the room's limit, how many jobs Krea had, and whether it took this one.
    """
    ends, seen = [], []

    async def bring():
        place, end = JobSlot(capacity), asyncio.Event()
        while not place.is_filled:
            await place.take()
            if capacity.is_crowded:
                place.give_back()
                continue
            seen.append((capacity.limit, len(ends), takes(len(ends))))
            if seen[-1][-1]:
                place.fill()
                capacity.accept()
                ends.append(end)
            elif capacity.refuse():
                place.give_back()
            await asyncio.sleep(0)
        await end.wait()
        place.give_back(ended=True)

    tasks = [asyncio.create_task(bring()) for _ in range(jobs)]
    while not all(task.done() for task in tasks):
        for _ in range(rng.randrange(6)):
            await asyncio.sleep(0)
        capacity.learn(min(len(ends), runs))
        if ends:
            ends.pop(rng.randrange(len(ends))).set()
    return seen


def test_a_single_429_anywhere_leaves_the_room_as_it_was():
    async def main():
        capacity = Capacity(500)
        for _ in range(START):
            assert not capacity.refuse()
            await take(capacity)
            assert (capacity.limit, capacity.refused_at, capacity.is_crowded) == (START, None, False)

    asyncio.run(main())


def test_two_429s_at_each_step_leave_the_room_as_it_was_and_three_halve_it():
    async def main():
        capacity = Capacity(500)
        for _ in range(START - 1):
            await take(capacity)
            assert [capacity.refuse() for _ in range(ENOUGH - 1)] == [False] * (ENOUGH - 1)
        assert capacity.limit == START
        assert capacity.refuse()
        assert capacity.limit == (START - 1) / 2

    asyncio.run(main())


def test_429s_after_which_more_jobs_were_taken_than_before_do_not_add_up():
    async def main():
        capacity = Capacity(500)
        await take(capacity)
        for _ in range(10 * ENOUGH):
            assert [capacity.refuse() for _ in range(ENOUGH - 1)] == [False] * (ENOUGH - 1)
            (await take(capacity)).give_back(ended=True)

    asyncio.run(main())


def test_an_account_that_has_become_smaller_is_believed_after_some_429s_and_not_at_once():
    async def main():
        capacity = Capacity(500)
        held = [await take(capacity) for _ in range(40)]
        for place in held[20:]:
            place.give_back(ended=True)
        halved = [capacity.refuse() for _ in range(10)]
        assert halved[:ENOUGH] == [False] * ENOUGH
        assert any(halved)
        assert capacity.limit == 10

    asyncio.run(main())


@pytest.mark.parametrize("most", [1, 2, 5, 30, 100])
def test_what_an_account_takes_is_learned_and_held_with_few_429s(most):
    rng = random.Random(most)
    seen = asyncio.run(flow(Capacity(500), 800, lambda held: held < most, rng, runs=most))
    late = seen[len(seen) // 4 :]
    assert sum(takes for _, _, takes in seen) == 800
    assert sum(not takes for _, _, takes in late) < 3 * sum(takes for _, _, takes in late)
    assert max(limit for limit, _, _ in late) < most + 4 * LAST_STEP
    assert sum(held for _, held, _ in late) / len(late) > most * 0.75 - 1


def test_429s_that_are_only_a_moments_do_not_keep_the_room_small():
    def limits(seed):
        rng, capacity = random.Random(seed), Capacity(500)
        seen = asyncio.run(flow(capacity, 300, lambda _: rng.random() > 0.1, rng, runs=20))
        assert capacity.limit >= START, seed
        return [limit for limit, _, _ in seen]

    found = [limit for seed in range(30) for limit in limits(seed)]
    assert sum(limit < START for limit in found) < len(found) / 20
