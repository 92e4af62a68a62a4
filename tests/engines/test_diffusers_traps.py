"""What diffusers does on valid input: the rows of docs/explanation/engines.md. A row that has changed fails here."""

from contextlib import contextmanager
from pathlib import Path

import diffusers
import pytest
import tiny_krea
import torch
from diffusers import Krea2Pipeline

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "engines.md"
ADAPTER = "style"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_krea.save_model(tmp_path_factory.mktemp("traps") / "raw")


@pytest.fixture
def pipeline(folder):
    return load(folder, dtype=torch.float32)


@pytest.fixture
def style(tmp_path):
    return tiny_krea.save_lora(tmp_path / "house.safetensors")


def load(folder, **options):
    pipeline = Krea2Pipeline.from_pretrained(folder, **options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def seeded(seed=7):
    return torch.Generator().manual_seed(seed)


def draw(pipeline, **change):
    plain = {"prompt": "a lamp", "width": 64, "height": 64, "num_inference_steps": 2, "guidance_scale": 0.0}
    return pipeline(**{**plain, "generator": seeded(), **change}).images[0]


def drawn(pipeline, **change):
    return draw(pipeline, **change).tobytes()


@contextmanager
def counted(pipeline):
    """The number of passes through the transformer."""
    passes = []
    hook = pipeline.transformer.register_forward_hook(lambda *_: passes.append(1))
    yield passes
    hook.remove()


def test_the_page_names_the_version_that_is_tested():
    assert f"diffusers {diffusers.__version__}" in PAGE.read_text(encoding="utf-8")


def test_sizes_are_rounded_up(pipeline):
    assert draw(pipeline, width=70, height=90).size == (80, 96)


def test_a_long_prompt_is_cut(pipeline):
    assert drawn(pipeline, prompt="a" * 392) == drawn(pipeline, prompt="a" * 392 + "bcd")


def test_no_steps_are_a_division_by_zero(pipeline):
    with pytest.raises(ZeroDivisionError):
        draw(pipeline, num_inference_steps=0)


@pytest.mark.parametrize(("guidance", "passes"), [(0.0, 2), (1e-6, 4), (4.5, 4), (-1.0, 2)])
def test_guidance_above_0_doubles_the_work(pipeline, guidance, passes):
    with counted(pipeline) as found:
        draw(pipeline, guidance_scale=guidance)
    assert len(found) == passes


def test_a_negative_prompt_is_ignored_without_guidance(pipeline):
    assert drawn(pipeline, negative_prompt="people") == drawn(pipeline)
    assert drawn(pipeline, negative_prompt="people", guidance_scale=4.5) != drawn(pipeline, guidance_scale=4.5)


def test_a_generator_that_is_used_again_gives_another_picture(pipeline):
    generator = seeded()
    first = drawn(pipeline, generator=generator)
    assert first == drawn(pipeline)
    assert drawn(pipeline, generator=generator) != first


def test_several_images_of_one_generator_are_not_those_of_the_next_seeds(pipeline):
    several = pipeline("a lamp", width=64, height=64, num_inference_steps=2, guidance_scale=0.0, generator=seeded(),
                       num_images_per_prompt=2).images  # fmt: skip
    assert several[1].tobytes() not in (drawn(pipeline, generator=seeded(8)), drawn(pipeline))


@pytest.mark.filterwarnings("ignore:Mismatch dtype")
def test_the_type_at_loading_is_not_that_of_a_conversion(folder, pipeline):
    loaded = load(folder, dtype=torch.bfloat16)
    converted = load(folder, dtype=torch.float32).to(torch.bfloat16)
    assert loaded.transformer.final_layer.norm.weight.dtype == torch.float32
    assert converted.transformer.final_layer.norm.weight.dtype == torch.bfloat16
    assert len({drawn(loaded), drawn(converted), drawn(pipeline)}) == 3


def test_sigmas_are_shifted_once_more(pipeline):
    draw(pipeline, num_inference_steps=4)
    used = pipeline.scheduler.sigmas[:-1].tolist()
    draw(pipeline, sigmas=used)
    assert pipeline.scheduler.sigmas[:-1].tolist() != used


def test_an_interrupted_call_returns_the_unfinished_picture(pipeline):
    def interrupt(one, *_):
        one._interrupt = True
        return {}

    unfinished = drawn(pipeline, num_inference_steps=8, callback_on_step_end=interrupt)
    assert unfinished != drawn(pipeline, num_inference_steps=8)


def test_a_lora_without_the_prefix_does_nothing(pipeline, tmp_path):
    plain = drawn(pipeline)
    file = tiny_krea.save_lora(tmp_path / "bare.safetensors", place="transformer_blocks.0.attn.to_q")
    pipeline.load_lora_weights(str(file))
    assert drawn(pipeline) == plain
    assert pipeline.get_list_adapters() == {}


def test_a_lora_for_layers_that_are_not_there_is_an_error_that_names_none_of_them(pipeline, tmp_path):
    file = tiny_krea.save_lora(tmp_path / "far.safetensors", place="transformer.transformer_blocks.7.attn.to_q")
    with pytest.raises(ValueError, match="Target modules"):
        pipeline.load_lora_weights(str(file))


def test_the_scale_0_of_one_call_sets_the_adapter_to_1(pipeline, style):
    pipeline.load_lora_weights(str(style), adapter_name=ADAPTER)
    whole = drawn(pipeline)
    pipeline.set_adapters([ADAPTER], [0.5])
    half = drawn(pipeline)
    drawn(pipeline, attention_kwargs={"scale": 0})
    assert drawn(pipeline) == whole != half


def test_a_model_that_is_saved_with_a_lora_draws_something_else(pipeline, style, tmp_path):
    plain = drawn(pipeline)
    pipeline.load_lora_weights(str(style), adapter_name=ADAPTER)
    pipeline.disable_lora()
    assert drawn(pipeline) == plain
    pipeline.save_pretrained(tmp_path / "saved")
    assert drawn(load(tmp_path / "saved", dtype=torch.float32)) != plain


def test_the_alpha_is_lost_when_a_lora_comes_as_tensors(pipeline, tmp_path):
    from safetensors.torch import load_file

    metadata = '{"transformer.r": 4, "transformer.lora_alpha": 8, "transformer.target_modules": ["to_q"]}'
    file = tiny_krea.save_lora(tmp_path / "strong.safetensors", lora_adapter_metadata=metadata)
    pipeline.load_lora_weights(load_file(file), adapter_name=ADAPTER)
    assert pipeline.transformer.peft_config[ADAPTER].lora_alpha == 4
