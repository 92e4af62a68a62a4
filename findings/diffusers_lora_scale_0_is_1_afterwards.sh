#!/usr/bin/env bash
# One would guess: `attention_kwargs={"scale": 0}` switches a LoRA off for one call, and the next call without it draws
#   with the strength that `set_adapters` has set, as after a call with any other scale.
# What happens: after that call the LoRA has the strength 1.0, until `set_adapters` is called again. The scale is
#   multiplied in before a call and divided out afterwards; 0 cannot be divided out, and peft sets 1.0 in its place.
#   A run of images with strength 0.5, in which one has no LoRA, draws all later ones with the full strength.
# Versions: diffusers 0.42.1, peft 0.21.2, torch 2.13.0, CPython 3.11. Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 peft==0.21.2 transformers==5.24.0 \
  accelerate==1.15.0 2> /dev/null

cat > scale.py << 'PYTHON'
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


model.load_lora_adapter(lora, adapter_name="style")
whole = draw(model)
model.set_adapters(["style"], [0.5])
half = draw(model)
draw(model, attention_kwargs={"scale": 0.25})
after_quarter = draw(model)
draw(model, attention_kwargs={"scale": 0})
after_zero = draw(model)
print("set to 0.5; after a call with scale 0.25 the strength is still 0.5:", same(after_quarter, half))
print("after a call with scale 0 it is 0.5:", same(after_zero, half), " it is 1.0:", same(after_zero, whole))
sys.exit(0 if same(after_quarter, half) and same(after_zero, whole) and not same(whole, half) else 1)
PYTHON
venv/bin/python --version
venv/bin/pip list --disable-pip-version-check 2> /dev/null | grep -E '^(diffusers|peft|torch) '
venv/bin/python scale.py 2> /dev/null || { echo "this has changed"; exit 1; }
