"""Several replicas of an engine draw as one, and one that is lost costs no image."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from drawings import engine_spec, image_of
from engine_server import DEADLINE, engine_process, served_engine

from krea_pipe.api.engine import DrawFailed
from krea_pipe.api.fleet import Fleet, open_image_servers
from krea_pipe.api.openai_images import open_image_server
from krea_pipe.core.errors import KreaPipeError


class Pauses:
    """Waits that end when the test says so, or at once; they are recorded."""

    def __init__(self, *, are_short=True):
        self.seconds: list[float] = []
        self.are_short, self.ends = are_short, asyncio.Event()

    async def __call__(self, seconds):
        self.seconds.append(seconds)
        await (asyncio.sleep(0) if self.are_short else self.ends.wait())


@asynccontextmanager
async def fleet_of(*urls, parallel=1, pauses=None, warnings=None):
    """A fleet of servers of vLLM-Omni, whose pauses take no time."""
    async with open_image_servers(
        engine_spec("vllm-omni", urls=urls, parallel=parallel), None, [].append if warnings is None else warnings.append
    ) as fleet:
        fleet.sleep = pauses or Pauses()
        yield fleet


def run(main):
    return asyncio.run(asyncio.wait_for(main(), DEADLINE))


@pytest.fixture
def pair():
    with served_engine("vllm-omni") as one, served_engine("vllm-omni") as other:
        yield one, other


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def test_images_go_to_the_replica_with_the_least_to_do(pair):
    one, other = pair
    one.fault("hold", times=None)

    async def main():
        async with fleet_of(one.url, other.url, parallel=2) as fleet:
            held = asyncio.create_task(fleet.draw(image_of("first")))
            await until(lambda: one.drawing == 1)
            for number in range(4):
                await fleet.draw(image_of(f"{number}"))
            one.is_released = True
            await held

    run(main)
    assert [len(engine.asked) for engine in pair] == [1, 4]


def test_equal_replicas_share_the_work_and_none_draws_more_than_its_places(pair):
    async def main():
        async with fleet_of(*(engine.url for engine in pair), parallel=2) as fleet:
            await asyncio.gather(*(fleet.draw(image_of(f"{number}")) for number in range(20)))

    run(main)
    assert sum(len(engine.asked) for engine in pair) == 20
    assert all(len(engine.asked) >= 5 and engine.most_drawing <= 2 for engine in pair)


def test_what_a_killed_replica_was_drawing_is_drawn_by_another_at_once():
    with engine_process("vllm-omni") as doomed, served_engine("vllm-omni") as good:
        warnings = []

        async def main():
            async with fleet_of(doomed.url, good.url, pauses=Pauses(are_short=False), warnings=warnings) as fleet:
                drawing = asyncio.create_task(fleet.draw(image_of("a lamp [hold]")))
                assert await asyncio.to_thread(doomed.next_drawing) == "a lamp [hold]"
                good.holds = False
                await asyncio.to_thread(doomed.kill)
                data = await drawing
                assert data == await fleet.draw(image_of("a lamp [hold]"))

        run(main)
    assert [body["prompt"] for body in good.asked] == ["a lamp [hold]"] * 2
    [warning] = warnings
    assert warning.code == "replica_lost"
    assert doomed.url in warning.message


def test_a_replica_that_fails_at_several_images_at_once_is_lost_once():
    with engine_process("vllm-omni") as doomed, served_engine("vllm-omni") as good:
        warnings, pauses = [], Pauses(are_short=False)
        good.holds = False

        async def main():
            async with fleet_of(doomed.url, good.url, parallel=3, pauses=pauses, warnings=warnings) as fleet:
                tasks = [asyncio.create_task(fleet.draw(image_of(f"{number} [hold]"))) for number in range(6)]
                for _ in range(3):
                    await asyncio.to_thread(doomed.next_drawing)
                await asyncio.to_thread(doomed.kill)
                await asyncio.gather(*tasks)

        run(main)
    assert len(good.asked) == 6
    assert pauses.seconds == [1.0]
    assert len(warnings) == 1


def test_a_replica_that_started_again_is_used_again():
    with engine_process("vllm-omni") as first, served_engine("vllm-omni") as good:
        pauses, port = Pauses(are_short=False), int(first.url.rpartition(":")[2].partition("/")[0])
        good.holds = False

        async def main():
            async with fleet_of(first.url, good.url, pauses=pauses) as fleet:
                drawing = asyncio.create_task(fleet.draw(image_of("a lamp [hold]")))
                await asyncio.to_thread(first.next_drawing)
                await asyncio.to_thread(first.kill)
                await drawing
                with engine_process("vllm-omni", port) as second:
                    pauses.ends.set()
                    good.fault("hold", times=None)
                    tasks = [asyncio.create_task(fleet.draw(image_of(f"{number}"))) for number in range(3)]
                    seen = {await asyncio.to_thread(second.next_drawing) for _ in range(2)}
                    good.is_released = True
                    await asyncio.gather(*tasks)
                    return seen

        assert len(run(main)) == 2
    assert pauses.seconds == [1.0]


def test_pauses_grow_while_a_replica_stays_away_and_images_fail_when_all_do(pair):
    with served_engine("vllm-omni") as gone:
        pass
    pauses = Pauses()

    async def main():
        async with fleet_of(gone.url, pauses=pauses) as fleet:
            await fleet.draw(image_of())

    with pytest.raises(DrawFailed) as raised:
        run(main)
    assert (raised.value.failure.code, raised.value.failure.kind) == ("engine_lost", "transient")
    assert pauses.seconds[:8] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_one_image_that_each_replica_fails_at_fails_alone(pair):
    for engine in pair:
        engine.fault("500", text="poison", times=None)

    async def main():
        async with fleet_of(*(engine.url for engine in pair), parallel=2) as fleet:
            tasks = (fleet.draw(image_of(text)) for text in ("1", "2", "poison", "3", "4", "5"))
            return await asyncio.gather(*tasks, return_exceptions=True)

    results = run(main)
    assert [type(one) for one in results] == [bytes, bytes, DrawFailed, bytes, bytes, bytes]
    assert results[2].failure.kind == "transient"
    assert sum(body["prompt"] == "poison" for engine in pair for body in engine.asked) == 3


def test_an_image_whose_fault_it_is_itself_is_not_drawn_elsewhere(pair):
    pair[0].fault("oom")

    async def main():
        async with fleet_of(*(engine.url for engine in pair)) as fleet:
            with pytest.raises(DrawFailed) as raised:
                await fleet.draw(image_of("too much"))
            await asyncio.gather(*(fleet.draw(image_of(f"{number}")) for number in range(4)))
            return raised.value

    assert run(main).failure.code == "out_of_memory"
    assert [body["prompt"] for engine in pair for body in engine.asked].count("too much") == 1


def test_a_check_takes_the_good_replicas_and_tells_of_the_others(pair):
    one, other = pair
    other.model = "acme/Other-1"
    warnings = []

    async def main():
        async with fleet_of(one.url, other.url, warnings=warnings, pauses=Pauses(are_short=False)) as fleet:
            await fleet.check()
            await asyncio.gather(*(fleet.draw(image_of(f"{number}")) for number in range(4)))

    run(main)
    assert [len(engine.asked) for engine in pair] == [4, 0]
    [warning] = warnings
    assert "acme/Other-1" in warning.message


def test_a_check_fails_with_the_reasons_of_all_when_none_is_good(pair):
    for number, engine in enumerate(pair):
        engine.model = f"acme/Other-{number}"

    async def main():
        async with fleet_of(*(engine.url for engine in pair)) as fleet:
            await fleet.check()

    with pytest.raises(KreaPipeError) as raised:
        run(main)
    assert [problem.code for problem in raised.value.problems] == ["engine_model", "engine_model"]


def test_a_fleet_can_be_of_any_backends(pair):
    async def main():
        spec = engine_spec("vllm-omni")
        async with open_image_server(spec, pair[0].url) as one, open_image_server(spec, pair[1].url) as other:
            return await Fleet({"one": one, "other": other}, 1, print).draw(image_of())

    assert run(main)


def test_images_that_are_given_up_leave_their_places(pair):
    one, _ = pair
    one.fault("hold", times=1)

    async def main():
        async with fleet_of(one.url) as fleet:
            held = asyncio.create_task(fleet.draw(image_of("held")))
            await until(lambda: one.drawing == 1)
            held.cancel()
            await asyncio.gather(held, return_exceptions=True)
            assert await fleet.draw(image_of("next"))
            one.is_released = True

    run(main)


def test_a_prompt_that_is_cut_for_certain_is_told_once(pair):
    warnings = []

    async def main():
        async with fleet_of(pair[0].url, warnings=warnings) as fleet:
            await fleet.draw(image_of("lamp " * 507))
            assert warnings == []
            for number in range(3):
                await fleet.draw(image_of(f"{number} " + "lamp " * 507))

    run(main)
    [warning] = warnings
    assert warning.code == "prompt_cut"
    assert "508 tokens or more" in warning.message
