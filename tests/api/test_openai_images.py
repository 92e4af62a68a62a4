"""A server with OpenAI's image API is asked for exactly what is wanted, and nothing else is taken for it."""

import asyncio
import io

import pytest
from drawings import engine_spec, image_of, lora
from engine_server import DEADLINE, MODEL, engine_process, served_engine, zlib_level
from PIL import Image

from krea_pipe.api.engine import DrawFailed
from krea_pipe.api.openai_images import open_image_server
from krea_pipe.core.errors import KreaPipeError, UsageError
from krea_pipe.core.settings import Token

DIALECTS = ("vllm-omni", "sglang")


@pytest.fixture(params=DIALECTS)
def engine(request):
    with served_engine(request.param) as engine:
        yield engine


@pytest.fixture
def vllm():
    with served_engine("vllm-omni") as engine:
        yield engine


@pytest.fixture
def sglang():
    with served_engine("sglang") as engine:
        yield engine


def with_server(engine, act, *, key=None, **options):
    """What `act` returns for a client of the engine."""

    async def main():
        async with open_image_server(engine_spec(engine.dialect, **options), engine.url, key) as server:
            return await asyncio.wait_for(act(server), DEADLINE)

    return asyncio.run(main())


def drawn(engine, *drawings, **options):
    """The pictures, drawn one after the other."""

    async def act(server):
        return [await server.draw(one) for one in drawings]

    return with_server(engine, act, **options)


def failed(engine, drawing, **options) -> DrawFailed:
    with pytest.raises(DrawFailed) as raised:
        drawn(engine, drawing, **options)
    return raised.value


def problem(engine, **options):
    with pytest.raises(KreaPipeError) as raised:
        with_server(engine, lambda server: server.check(), **options)
    [found] = raised.value.problems
    return found


def test_all_that_decides_the_pixels_is_sent_to_vllm_omni(vllm):
    drawn(vllm, image_of("a lamp", seed=0, steps=28, guidance=4.5, negative="fog"))
    assert vllm.asked == [
        {
            "model": MODEL,
            "prompt": "a lamp",
            "negative_prompt": "fog",
            "n": 1,
            "size": "64x48",
            "seed": 0,
            "num_inference_steps": 28,
            "guidance_scale": 4.5,
            "response_format": "b64_json",
            "output_format": "png",
            "output_compression": 88,
        }
    ]


def test_sglang_gets_the_guidance_of_its_own_convention(sglang):
    drawn(sglang, image_of(guidance=0.0), image_of(guidance=3.5))
    assert [body["guidance_scale"] for body in sglang.asked] == [1.0, 4.5]


def test_a_seed_of_0_and_no_guidance_are_sent_and_not_left_to_defaults(engine):
    first, again, other = drawn(engine, image_of(seed=0), image_of(seed=0), image_of(seed=42))
    assert first == again
    assert first != other
    assert all(body["seed"] in (0, 42) and "guidance_scale" in body for body in engine.asked)


def test_both_servers_compress_their_png_fast(engine):
    drawn(engine, image_of())
    assert zlib_level(engine.dialect, engine.asked[0]["output_compression"]) == 1


def test_an_image_is_a_png_of_the_size_that_was_asked(engine):
    [data] = drawn(engine, image_of(size=(96, 80)))
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("PNG", (96, 80))


def test_noise_is_generated_on_the_processor_where_the_engine_says_so(vllm):
    drawn(vllm, image_of(), noise="cpu")
    assert vllm.asked[0]["generator_device"] == "cpu"


def test_a_size_that_is_rounded_up_is_a_failure_and_names_both(vllm):
    error = failed(vllm, image_of(size=(70, 90)))
    assert (error.failure.code, error.failure.kind, error.is_replica) == ("wrong_size", "wrong_size", False)
    assert error.failure.message == "the engine drew 80 x 96 pixels and not 70 x 90"


@pytest.mark.parametrize(
    ("fault", "code", "kind", "is_replica"),
    [
        ("500", "engine_failed", "transient", True),
        ("503", "engine_failed", "transient", True),
        ("oom", "out_of_memory", "failed", False),
        ("jpeg", "not_png", "failed", False),
        ("wrong-size", "wrong_size", "wrong_size", False),
        ("black", "black_image", "failed", False),
        ("html", "engine_answer", "failed", True),
        ("empty", "engine_answer", "failed", True),
        ("half", "damaged_image", "failed", False),
        ("huge", "engine_answer_lost", "transient", True),
        ("foreign-url", "engine_answer", "failed", True),
    ],
)
def test_each_fault_of_a_server_is_a_failure_of_its_own_kind(engine, fault, code, kind, is_replica):
    engine.fault(fault)
    error = failed(engine, image_of())
    assert (error.failure.code, error.failure.kind, error.is_replica) == (code, kind, is_replica)
    assert "\n" not in error.failure.message
    drawn(engine, image_of())  # the next image is drawn


def test_the_words_of_a_server_are_in_the_failure(vllm):
    vllm.fault("500")
    assert "500 the engine has a bug" in failed(vllm, image_of()).failure.message


def test_what_a_server_refuses_is_not_tried_elsewhere(vllm):
    error = failed(vllm, image_of(guidance=30.0))
    assert (error.failure.code, error.failure.kind, error.is_replica) == ("engine_refused", "refused", False)
    assert "guidance_scale" in error.failure.message


def test_an_image_behind_a_bare_path_is_fetched_from_the_server_itself(engine):
    plain = drawn(engine, image_of())
    engine.fault("url")
    assert drawn(engine, image_of()) == plain


def test_an_image_that_takes_too_long_is_a_failure_of_the_replica(engine):
    engine.fault("hold")
    error = failed(engine, image_of(), seconds=0.2)
    assert (error.failure.code, error.failure.kind, error.is_replica) == ("engine_timeout", "transient", True)
    engine.is_released = True


def test_a_server_that_is_killed_while_it_draws_is_a_failure_of_the_replica():
    with engine_process("vllm-omni") as replica:

        async def main():
            async with open_image_server(engine_spec("vllm-omni"), replica.url) as server:
                task = asyncio.create_task(server.draw(image_of("a lamp [hold]")))
                assert await asyncio.to_thread(replica.next_drawing) == "a lamp [hold]"
                await asyncio.to_thread(replica.kill)
                await asyncio.wait_for(task, DEADLINE)

        with pytest.raises(DrawFailed) as raised:
            asyncio.run(main())
    assert raised.value.is_replica
    assert raised.value.failure.code == "engine_answer_lost"


# --- the key


def test_the_key_is_sent_and_never_said():
    with served_engine("vllm-omni", key="secret-of-the-house") as engine:
        with_server(engine, lambda server: server.check(), key=Token("secret-of-the-house"))
        assert "secret-of-the-house" not in str(problem(engine, key=Token("another-secret")))
        drawn(engine, image_of(), key=Token("secret-of-the-house"))
        assert engine.headers[-1]["authorization"] == "Bearer secret-of-the-house"


def test_a_wrong_key_is_named_by_its_variable():
    with served_engine("vllm-omni", key="secret-of-the-house") as engine:
        found = problem(engine, key=Token("another-secret"), key_name="ENGINE_KEY")
        assert (found.code, found.hint) == ("engine_key", "correct ENGINE_KEY")


def test_a_server_that_repeats_the_key_in_an_error_does_not_make_us_say_it(vllm):
    vllm.fault("echo")
    error = failed(vllm, image_of(), key=Token("secret-of-the-house"))
    assert "***" in error.failure.message
    assert "secret-of-the-house" not in error.failure.message


@pytest.mark.parametrize("url", ["http://192.0.2.7/v1", "http://gpu-1:8000/v1"])
def test_a_key_is_not_sent_in_plain_http_to_another_machine(url):
    async def main():
        async with open_image_server(engine_spec("vllm-omni"), url, Token("secret-of-the-house")):
            pass

    with pytest.raises(UsageError) as raised:
        asyncio.run(main())
    assert raised.value.code == "engine_key_exposed"


def test_no_proxy_is_used_for_this_machine(vllm, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert drawn(vllm, image_of())


# --- LoRA


def test_vllm_omni_gets_the_lora_of_each_image(vllm):
    vllm.files = {"/models/house": "warm"}
    style = lora()
    plain, styled, strong = drawn(vllm, image_of(), *(image_of(loras=[(style, one)]) for one in (0.5, 1.0)))
    assert len({plain, styled, strong}) == 3
    asked = vllm.asked[1]["lora"]
    assert (asked["path"], asked["scale"]) == ("/models/house", 0.5)
    assert asked["name"].startswith("house-")


def test_vllm_omni_loads_a_file_again_that_has_changed_under_its_path(vllm):
    vllm.files = {"/models/house": "warm"}
    [before] = drawn(vllm, image_of(loras=[(lora(content="warm"), 1.0)]))
    vllm.files = {"/models/house": "cold"}
    [after] = drawn(vllm, image_of(loras=[(lora(content="cold"), 1.0)]))
    assert before != after


def test_vllm_omni_tells_strengths_apart_that_differ_in_the_fourth_digit(vllm):
    vllm.files = {"/models/house": "warm"}
    one, other = drawn(vllm, *(image_of(loras=[(lora(), strength)]) for strength in (0.5, 0.5004)))
    assert one != other


def test_a_lora_that_is_missing_fails_its_image_alone(engine):
    error = failed(engine, image_of(loras=[(lora(), 1.0)]))
    assert (error.failure.code, error.failure.kind, error.is_replica) == ("lora_failed", "refused", False)
    assert "/models/house" in error.failure.message
    drawn(engine, image_of())


def test_two_loras_for_an_image_are_too_many_for_vllm_omni(vllm):
    error = failed(vllm, image_of(loras=[(lora(), 1.0), (lora("club", "cold", "/models/club"), 0.5)]))
    assert (error.failure.code, error.failure.kind, error.is_replica) == ("too_many_loras", "refused", False)
    assert vllm.asked == []


def test_sglang_says_when_a_lora_fits_nothing(sglang):
    sglang.files = {"/models/house": ""}
    error = failed(sglang, image_of(loras=[(lora(), 1.0)]))
    assert (error.failure.code, error.is_replica) == ("lora_failed", False)


def test_sglang_sets_and_unsets_loras_for_the_images_that_need_it(sglang):
    sglang.files = {"/models/house": "warm"}
    styled = image_of(loras=[(lora(), 0.8)])
    images = drawn(sglang, image_of(), styled, styled, image_of())
    assert images[0] == images[3] != images[1] == images[2]
    assert sglang.lora_calls == ["set", "unset"]


def test_sglang_with_a_lora_left_by_an_earlier_run_draws_without_it(sglang):
    [plain] = drawn(sglang, image_of())
    sglang.adapters, sglang.active = {"old": ("/models/old", "odd")}, (("old", 1.0),)
    assert drawn(sglang, image_of()) == [plain]


def test_sglang_loads_a_file_again_that_has_changed_under_its_path(sglang):
    sglang.files = {"/models/house": "warm"}
    [before] = drawn(sglang, image_of(loras=[(lora(content="warm"), 1.0)]))
    sglang.files = {"/models/house": "cold"}
    [after] = drawn(sglang, image_of(loras=[(lora(content="cold"), 1.0)]))
    assert before != after


def test_an_image_that_sglang_drew_after_a_restart_is_drawn_again_with_its_lora(sglang):
    sglang.files = {"/models/house": "warm"}
    styled = image_of(loras=[(lora(), 1.0)])
    sglang.fault("restart")
    images = drawn(sglang, styled, styled)
    assert images[0] == images[1]
    assert sglang.lora_calls == ["set", "set"]
    assert len(sglang.asked) == 3


def test_sglang_whose_loras_another_program_changes_all_the_time_is_a_failure(sglang):
    sglang.files = {"/models/house": "warm"}
    sglang.fault("restart", times=None)
    error = failed(sglang, image_of(loras=[(lora(), 1.0)]))
    assert (error.failure.code, error.failure.kind) == ("loras_changed", "transient")


def test_images_with_other_loras_wait_for_each_other_at_sglang_and_equal_ones_do_not(sglang):
    sglang.files = {"/models/house": "warm", "/models/club": "cold"}
    styles = [(), [(lora(), 1.0)], [(lora("club", "cold", "/models/club"), 0.5)]]
    wanted = [image_of(f"{number}", loras=styles[number % 3]) for number in range(9)]
    alone = drawn(sglang, *wanted)

    async def act(server):
        return await asyncio.gather(*(server.draw(one) for one in wanted))

    assert with_server(sglang, act, parallel=9) == alone

    sglang.most_drawing = 0
    sglang.fault("hold", times=None)

    async def together(server):
        tasks = [asyncio.create_task(server.draw(image_of(f"{n}", loras=styles[1]))) for n in range(3)]
        while sglang.drawing < 3:
            await asyncio.sleep(0.01)
        sglang.is_released = True
        return await asyncio.gather(*tasks)

    assert len(with_server(sglang, together, parallel=3)) == 3
    assert sglang.most_drawing == 3


def test_sglang_changes_no_lora_while_an_image_is_drawn(sglang):
    sglang.files = {"/models/house": "warm"}
    sglang.fault("hold", text="held")

    async def act(server):
        held = asyncio.create_task(server.draw(image_of("held")))
        while not sglang.drawing:
            await asyncio.sleep(0.01)
        others = [asyncio.create_task(server.draw(image_of("other", loras=[(lora(), 1.0)]))) for _ in range(2)]
        for _ in range(20):
            await server.call("GET", "/models")  # what could be sent by now has been answered
        assert sglang.lora_calls == []
        sglang.is_released = True
        await asyncio.gather(held, *others)
        assert sglang.lora_calls == ["set"]
        assert len(sglang.asked) == 3

    with_server(sglang, act, parallel=3)


# --- what is checked before anything is drawn


def test_a_server_that_is_as_described_is_good(engine):
    with_server(engine, lambda server: server.check())


def test_a_server_that_is_not_there_says_its_address():
    with served_engine("vllm-omni") as engine:
        pass
    found = problem(engine)
    assert found.code == "engine_unreachable"
    assert engine.url in found.message


def test_something_else_at_the_address_is_no_engine(engine):
    engine.url = engine.url.removesuffix("/v1")
    found = problem(engine)
    assert (found.code, found.hint) == ("engine_not_openai", "its address usually ends with /v1")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_another_model_is_named(dialect):
    with served_engine(dialect, model="acme/Other-1") as engine:
        found = problem(engine)
    assert found.code == "engine_model"
    assert f"serves acme/Other-1 and not {MODEL}" in found.message


def test_a_model_that_is_no_krea_2_is_told_by_sglang():
    with served_engine("sglang", pipeline="FluxPipeline") as engine:
        assert problem(engine).code == "engine_not_krea"


def test_other_weights_than_the_pipeline_file_says_are_told(vllm):
    assert problem(vllm, weights="raw").code == "engine_weights"


def test_sglang_is_refused_for_raw_because_its_time_shift_is_that_of_turbo(sglang):
    found = problem(sglang, weights="raw")
    assert found.code == "engine_weights"
    assert "time shift" in found.message


def test_sglang_is_refused_for_noise_of_the_processor_which_it_ignores(sglang):
    assert problem(sglang, noise="cpu").code == "engine_noise"


def test_another_precision_is_told_by_sglang(sglang):
    assert problem(sglang, dtype="float16").code == "engine_dtype"


def test_vllm_omni_is_told_folders_of_loras_and_a_single_file_is_refused(vllm):
    found = problem(vllm, loras=[lora(path="/models/house.safetensors")])
    assert found.code == "engine_lora_path"
    assert "/models/house.safetensors" in found.message
    style = lora(path="/models/house/adapter_model.safetensors")
    with_server(vllm, lambda server: server.check(), loras=[style])
    vllm.files = {"/models/house": "warm"}
    drawn(vllm, image_of(loras=[(style, 1.0)]))


@pytest.mark.parametrize(("dialect", "version"), [("vllm-omni", "0.29.1"), ("sglang", "0.5.22")])
def test_another_version_is_told(dialect, version):
    with served_engine(dialect, version=version) as engine:
        found = problem(engine)
    assert found.code == "engine_version"
    assert version in found.message
