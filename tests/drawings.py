"""Engines and images for tests of what draws with open weights."""

from pathlib import Path

from engine_server import MODEL

from krea_pipe.core.dialects import DIALECTS
from krea_pipe.core.engine import Drawing, EngineIdentity, EngineSpec, Lora

VERSIONS = {"vllm-omni": "0.30.0", "sglang": "0.5.23"}


def engine_spec(
    dialect, *, urls=(), weights="turbo", parallel=1, seconds=30.0, key_name=None, loras=(), **identity
) -> EngineSpec:
    facts = DIALECTS[dialect]
    fields = {
        "name": dialect,
        "version": VERSIONS[dialect],
        "model": MODEL,
        "revision": "",
        "dtype": "bfloat16",
        "steps": 8,
        "guidance": 0.0,
        "negative_prompt": "",
        "noise": facts.noise[0],
        "padding": facts.padding,
    }
    engine = EngineIdentity(**{**fields, **identity})
    styles = {one.sha256: one for one in loras}
    options = {"parallel": parallel, "seconds": seconds, "key_name": key_name, "loras": styles}
    return EngineSpec("openai-images", engine, weights, dialect, urls=tuple(urls), **options)


def image_of(prompt="a lamp", *, size=(64, 48), seed=7, steps=8, guidance=0.0, loras=(), negative="") -> Drawing:
    return Drawing(prompt, *size, seed, steps, guidance, negative, tuple(loras))


def lora(name="house", content="warm", path="/models/house") -> Lora:
    """A LoRA whose digest comes from its content."""
    return Lora(name, Path(f"loras/{name}.safetensors"), f"{content.encode().hex():0<64}", path)
