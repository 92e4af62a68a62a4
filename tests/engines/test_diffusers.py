"""The engine diffusers with a tiny Krea 2 on the CPU: what it draws, what it refuses, and what it survives."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_krea
from diffusers_engine import draw, drawing, lora_of, spec_of
from PIL import Image

from krea_pipe.api.diffusers_backend import DiffusersBackend
from krea_pipe.api.engine import DrawFailed
from krea_pipe.core.errors import KreaPipeError, StateError, UsageError

HERE = Path(__file__).parent
SOURCE = HERE.parents[1]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_krea.save_model(tmp_path_factory.mktemp("models") / "raw")


@pytest.fixture
def spec(model):
    return spec_of(model)


@pytest.fixture
def warnings():
    return []


@pytest.fixture(scope="session")
def kept(model):
    """An engine that has loaded the model; tests that would spoil it take another."""
    return DiffusersBackend(spec_of(model))


def failure_of(backend, **change):
    with pytest.raises(DrawFailed) as caught:
        draw(backend, **change)
    return caught.value.failure


def refusal_of(spec):
    with pytest.raises(KreaPipeError) as caught:
        asyncio.run(DiffusersBackend(spec).check())
    [problem] = caught.value.problems
    return type(caught.value), problem.code


def test_an_image_is_a_png_of_the_size_that_was_asked_for(kept):
    data = draw(kept, width=96, height=48)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size, image.mode, image.info) == ("PNG", (96, 48), "RGB", {})


def test_the_same_drawing_gives_the_same_bytes_whatever_was_drawn_before(kept, spec):
    first = draw(kept)
    assert draw(kept, seed=8) != first
    assert draw(kept, prompt="a boat") != first
    assert draw(kept, steps=3) != first
    assert draw(kept, guidance=4.5) != first
    assert draw(kept) == first == draw(DiffusersBackend(spec))


def test_it_draws_what_diffusers_draws(kept, model):
    import torch
    from diffusers import Krea2Pipeline

    pipeline = Krea2Pipeline.from_pretrained(model, dtype=torch.float32)
    generator = torch.Generator().manual_seed(7)
    [image] = pipeline(
        "a lamp", width=64, height=64, num_inference_steps=2, guidance_scale=0, generator=generator
    ).images
    assert Image.open(io.BytesIO(draw(kept))).tobytes() == image.tobytes()


def test_images_that_are_asked_for_at_once_are_those_of_one_after_the_other(kept):
    async def all_at_once():
        return await asyncio.gather(*(kept.draw(drawing(seed=seed)) for seed in range(4)))

    assert asyncio.run(all_at_once()) == [draw(kept, seed=seed) for seed in range(4)]


def test_a_model_is_loaded_for_the_first_image_and_not_by_the_check(tmp_path):
    spec = spec_of(tiny_krea.save_model(tmp_path / "model"))
    backend = DiffusersBackend(spec)
    asyncio.run(backend.check())
    (spec.folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"damaged")
    failure = failure_of(backend)
    assert failure.code == "engine_error"
    assert failure.message.startswith("cannot load the model: ")
    with pytest.raises(DrawFailed) as again:
        draw(backend)
    assert (again.value.failure, again.value.is_replica) == (failure, True)


def test_turbo_has_its_own_schedule(tmp_path, kept):
    turbo = tiny_krea.save_model(tmp_path / "turbo", is_distilled=True)
    spec = replace(spec_of(turbo), weights="turbo")
    assert draw(DiffusersBackend(spec)) != draw(kept)


def test_other_numbers_draw_other_pictures(model, kept):
    half = spec_of(model, dtype="bfloat16")
    assert draw(DiffusersBackend(half)) == draw(DiffusersBackend(half)) != draw(kept)


def test_a_prompt_that_is_cut_is_told_with_its_tokens(spec, warnings):
    backend = DiffusersBackend(spec, warnings.append)
    whole = draw(backend, prompt="a" * 392)
    assert warnings == []
    assert draw(backend, prompt="a" * 392 + "bcd") == whole
    [warning] = warnings
    assert warning.code == "prompt_cut"
    assert warning.message.startswith("a prompt has 395 tokens, of which the model reads 392: aaa")
    draw(backend, negative_prompt="a" * 393, guidance=1.0)
    assert warnings[1].message.startswith("a negative prompt has 393 tokens, of which the model reads 392: aaa")


def test_not_a_number_is_a_failure_and_no_black_picture(tmp_path):
    import torch

    pipeline = tiny_krea.build_pipeline()
    with torch.no_grad():
        pipeline.transformer.final_layer.linear.bias.fill_(float("nan"))
    pipeline.save_pretrained(tmp_path / "model")
    failure = failure_of(DiffusersBackend(spec_of(tmp_path / "model")))
    assert (failure.code, failure.message) == (
        "not_a_number",
        "the numbers of this engine overflowed, which would give a black picture; try `dtype: float32`",
    )


def test_too_little_memory_fails_one_image_and_the_rest_goes_on(kept, tmp_path):
    house = lora_of(tiny_krea.save_lora(tmp_path / "house.safetensors"))
    before = draw(kept), draw(kept, loras=((house, 1.0),))
    failure = failure_of(kept, width=1_600_000, height=1_600_000, loras=((house, 1.0),))
    assert failure.code == "out_of_memory"
    assert failure.message.startswith("there is not enough memory to draw 1600000 x 1600000 pixels: ")
    assert (draw(kept), draw(kept, loras=((house, 1.0),))) == before


def test_an_image_that_is_stopped_is_no_picture_and_spoils_none(spec):
    async def stop():
        began = asyncio.Event()
        backend = DiffusersBackend(spec, lambda _: began.set())
        whole = await backend.draw(drawing())
        task = asyncio.create_task(backend.draw(drawing(steps=1_000_000, prompt="a" * 400)))
        await began.wait()  # the prompt is cut, which is told when the image is begun
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await backend.draw(drawing()) == whole

    asyncio.run(stop())


def test_the_event_loop_goes_on_while_an_image_is_drawn(kept):
    async def count():
        task, turns = asyncio.create_task(kept.draw(drawing(steps=20))), 0
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(count()) > 10


def test_a_style_draws_and_leaves_nothing_behind(kept, tmp_path):
    house = lora_of(tiny_krea.save_lora(tmp_path / "house.safetensors"))
    plain, with_style = draw(kept), draw(kept, loras=((house, 1.0),))
    half = draw(kept, loras=((house, 0.5),))
    against = draw(kept, loras=((house, -1.0),))
    assert len({plain, with_style, half, against}) == 4
    assert draw(kept, loras=((house, 0.0),)) == plain
    # An adapter at 0.5 would be at 1.0 after one call with the scale 0.
    assert draw(kept, loras=((house, 0.5),)) == half
    assert draw(kept) == plain


def test_several_styles_are_one_picture_in_any_order_of_loading(kept, spec, tmp_path):
    house = lora_of(tiny_krea.save_lora(tmp_path / "house.safetensors"))
    noir = lora_of(tiny_krea.save_lora(tmp_path / "noir.safetensors", seed=2), "noir")
    both = ((house, 1.0), (noir, 0.5))
    alone, together = draw(kept, loras=((noir, 0.5),)), draw(kept, loras=both)
    assert alone != together != draw(kept, loras=((house, 1.0),))
    other = DiffusersBackend(spec)
    assert draw(other, loras=((noir, 0.5),)) == alone
    assert draw(other, loras=both) == together


def test_the_alpha_of_a_style_counts(kept, tmp_path):
    plain = tiny_krea.save_lora(tmp_path / "plain.safetensors")
    config = {"transformer.r": 4, "transformer.lora_alpha": 8, "transformer.target_modules": ["to_q"]}
    strong = tiny_krea.save_lora(tmp_path / "strong.safetensors", lora_adapter_metadata=json.dumps(config))
    assert draw(kept, loras=((lora_of(strong), 0.5),)) == draw(kept, loras=((lora_of(plain), 1.0),))


@pytest.mark.parametrize("prefix", ["diffusion_model.", "base_model.model."])
def test_a_style_of_another_trainer_draws_the_same(kept, tmp_path, prefix):
    own = lora_of(tiny_krea.save_lora(tmp_path / "own.safetensors"))
    file = tiny_krea.save_lora(tmp_path / "other.safetensors", place=f"{prefix}blocks.0.attn.wq")
    assert draw(kept, loras=((lora_of(file), 1.0),)) == draw(kept, loras=((own, 1.0),))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"place": "transformer_blocks.0.attn.to_q"}, "not_a_lora"),
        ({"place": "transformer.transformer_blocks.7.attn.to_q"}, "lora_of_another_base"),
        ({"width": 65}, "lora_of_another_base"),
        ({"place": "diffusion_model.double_blocks.0.img_attn.qkv"}, "lora_of_another_base"),
    ],
)
def test_a_style_of_another_base_fails_its_image_and_no_other(kept, tmp_path, change, code):
    plain = draw(kept)
    failure = failure_of(kept, loras=((lora_of(tiny_krea.save_lora(tmp_path / "flux.safetensors", **change)), 1.0),))
    assert failure.code == code
    assert "flux.safetensors" in failure.message
    assert draw(kept) == plain


def test_a_style_that_is_missing_or_changed_fails_its_image(kept, tmp_path):
    file = tiny_krea.save_lora(tmp_path / "house.safetensors", seed=11)
    house = lora_of(file)
    tiny_krea.save_lora(file, seed=12)
    assert failure_of(kept, loras=((house, 1.0),)).code == "lora_changed"
    file.write_bytes(b"\x80\x02}q\x00.")
    assert failure_of(kept, loras=((house, 1.0),)).code == "not_safetensors"
    file.unlink()
    assert failure_of(kept, loras=((house, 1.0),)).code == "no_lora"


def test_another_version_of_diffusers_is_refused(model):
    assert refusal_of(spec_of(model, version="0.43.0")) == (UsageError, "other_diffusers")


def test_another_device_is_refused(spec):
    assert refusal_of(replace(spec, device="cuda:99")) == (UsageError, "no_device")
    assert refusal_of(replace(spec, device="toaster")) == (UsageError, "no_device")
    assert refusal_of(replace(spec, identity=replace(spec.identity, noise="cuda"))) == (UsageError, "no_device")


def test_another_type_of_numbers_is_refused(model):
    assert refusal_of(spec_of(model, dtype="int8")) == (UsageError, "bad_dtype")


def test_other_weights_are_refused(spec):
    assert refusal_of(replace(spec, weights="turbo")) == (StateError, "other_weights")


def test_a_model_that_is_not_here_is_not_downloaded(spec, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for model in ("krea/Krea-2-Turbo", "no such model"):
        away = replace(spec, folder=None, identity=replace(spec.identity, model=model, revision=""))
        assert refusal_of(away) == (StateError, "no_model")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_the_hub_has_put_here_is_found(spec, monkeypatch, tmp_path, kept):
    snapshot = tmp_path / "models--krea--Krea-2-Raw" / "snapshots" / ("0" * 40)
    tiny_krea.save_model(snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    spec = replace(spec, folder=None, identity=replace(spec.identity, model="krea/Krea-2-Raw", revision="0" * 40))
    assert draw(DiffusersBackend(spec)) == draw(kept)


def test_a_model_of_another_class_is_refused(tmp_path, spec):
    folder = tiny_krea.save_model(tmp_path / "model")
    tiny_krea.edit_json(folder / "model_index.json", _class_name="FluxPipeline")
    assert refusal_of(replace(spec, folder=folder)) == (StateError, "not_krea_2")


def test_after_a_kill_the_same_bytes_are_drawn(kept, model, tmp_path):
    long = {"steps": 40, "seed": 3}
    program = "import sys; sys.path[:0] = sys.argv[1:3]; import draw_one; draw_one.main(*sys.argv[3:])"
    words = [sys.executable, "-c", program, str(SOURCE), str(HERE), str(model), str(tmp_path / "image.png")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "drawing\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "image.png").exists()
    subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE)
    assert (tmp_path / "image.png").read_bytes() == draw(kept, **long)
