#!/usr/bin/env bash
# One would guess: a model whose LoRA is disabled draws as without it, so `save_pretrained` saves that model, and
#   `from_pretrained` loads it, or refuses a file that does not fit.
# What happens: each layer that the LoRA touched is saved under another name (`to_q.base_layer.weight`), also if the
#   LoRA is disabled. Loading finds no `to_q.weight`, makes a new layer that is not the model's ("newly initialized" in
#   its log) and succeeds: the saved model draws something else. After `delete_adapters` it is the same. Only
#   `unload_lora()` before saving gives the model back.
# Versions: diffusers 0.42.1, peft 0.21.2, torch 2.13.0, CPython 3.11. Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 peft==0.21.2 transformers==5.24.0 \
  accelerate==1.15.0 2> /dev/null

cat > save.py << 'PYTHON'
import logging
import sys

import torch
from diffusers import Krea2Transformer2DModel

torch.manual_seed(0)
model = Krea2Transformer2DModel(
    num_layers=1, attention_head_dim=16, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
    timestep_embed_dim=32, text_hidden_dim=32, num_text_layers=2, text_num_attention_heads=2,
    text_num_key_value_heads=2, text_intermediate_size=32, num_layerwise_text_blocks=1, num_refiner_text_blocks=1,
    axes_dims_rope=(4, 6, 6),
)
place = "transformer.transformer_blocks.0.attn.to_q"
lora = {f"{place}.lora_A.weight": torch.randn(4, 64), f"{place}.lora_B.weight": torch.randn(64, 4)}
inputs = {
    "hidden_states": torch.randn(1, 16, 64), "encoder_hidden_states": torch.randn(1, 8, 2, 32),
    "timestep": torch.tensor([0.5]), "position_ids": torch.zeros(24, 3),
}


@torch.no_grad()
def draw(one, **options):
    return one(**inputs, **options).sample


def same(one, other):
    return torch.allclose(one, other, atol=1e-5)


def saved(name):
    model.save_pretrained(name)
    return draw(Krea2Transformer2DModel.from_pretrained(name))


logging.disable(logging.CRITICAL)
plain = draw(model)
model.load_lora_adapter(lora, adapter_name="style")
model.disable_lora()
print("with the LoRA disabled the model draws as before:", same(draw(model), plain))
disabled = same(saved("disabled"), plain)
print("… and saved and loaded:", disabled)
model.delete_adapters("style")
deleted = same(saved("deleted"), plain)
print("… with the LoRA deleted, saved and loaded:", deleted)
model.unload_lora()
unloaded = same(saved("unloaded"), plain)
print("… with the LoRA unloaded, saved and loaded:", unloaded)
sys.exit(0 if unloaded and not disabled and not deleted else 1)
PYTHON
venv/bin/python --version
venv/bin/pip list --disable-pip-version-check 2> /dev/null | grep -E '^(diffusers|peft|torch) '
venv/bin/python save.py 2> /dev/null || { echo "this has changed"; exit 1; }
