"""Who may POST when, and what one look at Krea's list shows: turnstile, gate and window through their own methods."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from krea_pipe.executor.capacity import FairSemaphore, SubmitGate
from krea_pipe.executor.watch import Watched, choose_sight


async def settle():
    """Let every task go on until it waits for another."""
    for _ in range(20):
        await asyncio.sleep(0)


# --- the turnstile and the gate


@pytest.mark.parametrize("seed", range(20))
def test_a_turnstile_lets_in_as_many_as_fit_in_their_order_whoever_is_cancelled(seed):
    rng = random.Random(seed)
    size, inside, order, most = [rng.randrange(1, 5)], 0, [], 0

    async def pass_through(number, turnstile):
        nonlocal inside, most
        assert await turnstile.enter()
        inside, most = inside + 1, max(most, inside + 1)
        order.append(number)
        try:
            for _ in range(rng.randrange(5)):
                await asyncio.sleep(0)
        finally:
            inside -= 1
            turnstile.leave()

    async def main():
        turnstile = FairSemaphore(lambda: size[0])
        tasks = [asyncio.create_task(pass_through(number, turnstile)) for number in range(40)]
        for _ in range(15):
            await asyncio.sleep(0)
            rng.choice(tasks).cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert turnstile.inside == inside == 0

    asyncio.run(main())
    assert most <= size[0]
    assert order == sorted(order)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("seed", range(15))
def test_nobody_looks_around_while_a_post_is_under_way(width, seed):
    """Gates that are shut and opened at any moment, also in the same turn of the loop."""
    rng = random.Random(seed)
    under_way = looking = most = looks = 0

    async def rest():
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)

    async def post(submit_gate):
        nonlocal under_way, most
        await rest()
        async with submit_gate.passed():
            assert not looking
            under_way, most = under_way + 1, max(most, under_way + 1)
            await rest()
            assert not looking
            under_way -= 1

    async def look(submit_gate):
        nonlocal looking, looks
        await rest()
        submit_gate.shut()
        async with submit_gate.exclusive():
            assert (under_way, looking) == (0, 0)
            looking, looks = looking + 1, looks + 1
            await rest()
            assert under_way == 0
            looking -= 1
        submit_gate.open()

    async def main():
        submit_gate = SubmitGate(width)
        work = [post(submit_gate) for _ in range(60)] + [look(submit_gate) for _ in range(12)]
        rng.shuffle(work)
        await asyncio.wait_for(asyncio.gather(*work), 10)

    asyncio.run(main())
    assert (most, looks) == (width, 12)


def test_one_who_looks_in_the_turn_in_which_a_gate_is_opened_waits_for_the_post_that_it_let_through():
    async def main():
        submit_gate, now, events = SubmitGate(), asyncio.Event(), []

        async def post():
            async with submit_gate.passed():
                events.append("post")
                await settle()
                events.append("answer")

        async def look():
            await now.wait()
            submit_gate.shut()
            async with submit_gate.exclusive():
                events.append("look")
                await settle()
            submit_gate.open()

        submit_gate.shut()
        tasks = [asyncio.create_task(one) for one in (post(), look())]
        await settle()
        now.set()
        submit_gate.open()
        await asyncio.gather(*tasks)
        assert events == ["post", "answer", "look"]

    asyncio.run(main())


# --- the window on the list of jobs

DAWN = datetime(2026, 1, 1, tzinfo=UTC)


async def jobs_of(numbers):
    return [Watched(f"j{n}", DAWN + timedelta(seconds=n), 60.0, n, 0.0, 1.0, 0.0) for n in numbers]


def shown_by_krea(sight, count):
    """The numbers of the jobs that Krea's list shows for a look, were all of the account's jobs ours."""
    before = DAWN + timedelta(days=9) if sight.before is None else datetime.fromisoformat(sight.before)
    newest = min(count, int((before - DAWN).total_seconds()) - 1)
    return range(max(1, newest - sight.limit + 1), newest + 1)


@pytest.mark.parametrize("count", [1, 2, 899, 900, 901, 1800, 1801, 2500, 10_000])
def test_a_few_looks_show_every_job_and_none_asks_for_more_than_krea_gives(count):
    async def main():
        watched = await jobs_of(range(1, count + 1))
        pages, seen = -(-count // 900), set()
        for turn in range(2 * pages):
            sight = choose_sight(watched, count, turn)
            assert 0 < sight.limit <= 1000
            assert not sight.stragglers
            shown = shown_by_krea(sight, count)
            assert all(job.number in shown for job in sight.jobs)
            seen |= {job.number for job in sight.jobs}
            if turn % 2 == 0:
                assert sight.jobs[0].number == 1, "the oldest end first"
        assert seen == set(range(1, count + 1))

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(20))
def test_each_job_is_in_the_window_or_read_alone_whichever_have_ended(seed):
    rng = random.Random(seed)

    async def main():
        count = rng.randrange(1, 2500)
        left = sorted(rng.sample(range(1, count + 1), rng.randrange(1, count + 1)))
        watched = await jobs_of(left)
        seen = set()
        for turn in range(8):
            sight = choose_sight(watched, count, turn)
            assert sight.limit <= 1000
            assert not set(sight.jobs) & set(sight.stragglers)
            seen |= {*sight.jobs, *sight.stragglers}
            # What a window of 1,000 does not reach is seen to be missing there, and read alone.
            assert list(sight.jobs) == sorted(sight.jobs, key=lambda job: job.number)
        assert seen == set(watched)

    asyncio.run(main())


def test_one_old_job_that_all_others_have_overtaken_does_not_stretch_the_window():
    async def main():
        watched = await jobs_of([1, *range(2001, 2101)])
        sight = choose_sight(watched, 2100, 0)
        assert [job.number for job in sight.stragglers] == [1]
        assert [job.number for job in sight.jobs] == list(range(2001, 2101))
        assert sight.limit < 300
        alone = choose_sight(watched[:1], 2100, 1)
        assert (alone.jobs, list(alone.stragglers)) == ((), watched[:1])

    asyncio.run(main())


def test_a_job_whose_time_is_not_known_stretches_the_window_to_the_newest():
    async def main():
        watched = await jobs_of(range(1, 1001))
        watched[900].created_at = None
        sight = choose_sight(watched, 1000, 0)
        assert (sight.before, sight.limit) == (None, 1000)

    asyncio.run(main())
