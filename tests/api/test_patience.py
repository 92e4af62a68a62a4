"""A call ends when its time is up, also when that is cut while it is under way."""

import asyncio

import pytest

from krea_pipe.api.failures import AnswerLost
from krea_pipe.api.patience import Patience


async def hang(patience):
    async with patience.limited():
        await asyncio.Event().wait()


def test_a_cut_ends_calls_that_are_under_way_and_later_ones():
    async def main():
        patience = Patience(3600)
        calls = [asyncio.create_task(hang(patience)) for _ in range(3)]
        await asyncio.sleep(0)
        patience.cut(0.01)
        calls.append(asyncio.create_task(hang(patience)))
        ends = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
        assert [type(end) for end in ends] == [AnswerLost] * 4

    asyncio.run(main())


def test_a_cut_gives_no_call_more_time_than_it_had():
    async def main():
        patience = Patience(0.01)
        call = asyncio.create_task(hang(patience))
        await asyncio.sleep(0)
        patience.cut(3600)
        with pytest.raises(AnswerLost):
            await asyncio.wait_for(call, 30)
        with pytest.raises(AnswerLost):
            await asyncio.wait_for(hang(patience), 30)

    asyncio.run(main())
