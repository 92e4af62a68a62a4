"""A call ends when its time is up, also when that is cut while it is under way."""

import asyncio

import pytest

from krea_pipe.api.client import CallTimeLimit
from krea_pipe.api.failures import AnswerLost


async def hang(time_limit):
    async with time_limit.limited():
        await asyncio.Event().wait()


def test_a_cut_ends_calls_that_are_under_way_and_later_ones():
    async def main():
        time_limit = CallTimeLimit(3600)
        calls = [asyncio.create_task(hang(time_limit)) for _ in range(3)]
        await asyncio.sleep(0)
        time_limit.cut(0.01)
        calls.append(asyncio.create_task(hang(time_limit)))
        ends = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
        assert [type(end) for end in ends] == [AnswerLost] * 4

    asyncio.run(main())


def test_a_cut_gives_no_call_more_time_than_it_had():
    async def main():
        time_limit = CallTimeLimit(0.01)
        call = asyncio.create_task(hang(time_limit))
        await asyncio.sleep(0)
        time_limit.cut(3600)
        with pytest.raises(AnswerLost):
            await asyncio.wait_for(call, 30)
        with pytest.raises(AnswerLost):
            await asyncio.wait_for(hang(time_limit), 30)

    asyncio.run(main())
