"""A tiny Krea 2 with random weights, built in code and saved as a folder, and LoRA files that fit it or do not."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, Krea2Pipeline, Krea2Transformer2DModel
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer, Qwen3VLConfig, Qwen3VLModel

torch.set_num_threads(1)  # several threads for such small numbers only wait for each other

LAYERS = 3
PLACE = "transformer.transformer_blocks.0.attn.to_q"
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SCHEDULE = {"use_dynamic_shifting": True, "base_image_seq_len": 256, "max_image_seq_len": 6400}


def save_model(folder: Path, *, seed: int = 0, is_distilled: bool = False) -> Path:
    """Save the pipeline whose weights follow from a seed; a distilled one has the schedule of Turbo."""
    build_pipeline(seed=seed, is_distilled=is_distilled).save_pretrained(folder)
    return folder


def build_pipeline(*, seed: int = 0, is_distilled: bool = False) -> Krea2Pipeline:
    """The pipeline in memory, in float32 on the CPU."""
    torch.manual_seed(seed)
    return Krea2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**SCHEDULE, base_shift=0.5, max_shift=1.15),
        vae=AutoencoderKLQwenImage(base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        text_encoder=_build_text_encoder(),
        tokenizer=build_tokenizer(),
        transformer=Krea2Transformer2DModel(
            num_layers=LAYERS - 1,
            attention_head_dim=16,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=128,
            timestep_embed_dim=32,
            text_hidden_dim=32,
            num_text_layers=LAYERS,
            text_num_attention_heads=2,
            text_num_key_value_heads=2,
            text_intermediate_size=64,
            num_layerwise_text_blocks=1,
            num_refiner_text_blocks=1,
            axes_dims_rope=(4, 6, 6),
        ),
        text_encoder_select_layers=tuple(range(1, LAYERS + 1)),
        is_distilled=is_distilled,
    )


def _build_text_encoder() -> Qwen3VLModel:
    text = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 256 + len(SPECIAL),
        "max_position_embeddings": 1024,
        "rope_scaling": {"rope_type": "default", "mrope_section": [4, 2, 2], "mrope_interleaved": True},
    }
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 32,
        "deepstack_visual_indexes": [0],
        "num_position_embeddings": 16,
    }
    return Qwen3VLModel(Qwen3VLConfig(text_config=text, vision_config=vision)).eval()


def build_tokenizer() -> Qwen2Tokenizer:
    """One token for each byte."""
    vocabulary = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    return tokenizer


def save_lora(file: Path, *, place: str = PLACE, seed: int = 1, width: int = 64, **metadata: str) -> Path:
    """Save a LoRA of rank 4 for a layer, by default one of the tiny Krea, whose hidden size is 64."""
    random = torch.Generator().manual_seed(seed)
    sides = {"A": (4, width), "B": (64, 4)}
    tensors = {f"{place}.lora_{side}.weight": torch.randn(shape, generator=random) for side, shape in sides.items()}
    save_file(tensors, file, metadata=metadata or None)
    return file


def edit_json(file: Path, **values: object) -> None:
    """Change fields of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")
