#!/usr/bin/env bash
# Expected: `output_compression` of OpenAI's image API, from 0 to 100, means one thing for a PNG: in two servers with that
#   API, the same number gives files of about the same size, and a larger number never a file that is far larger.
# What happens: 100 is no compression in vLLM-Omni and the most in SGLang, and 0 the reverse. In SGLang, 75 alone is no
#   compression either, because it is also the default of the field.
# Versions: vllm-omni 0.30.0, sglang 0.5.23, Pillow 12.3.0, numpy 2.4.0, CPython 3.11. Seen on 2026-12-01.
#   The servers are not installed: the functions that encode are read from their wheels (47 MB).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check pillow==12.3.0 numpy==2.4.0 2> /dev/null
plain/bin/pip download --quiet --disable-pip-version-check --no-deps vllm-omni==0.30.0 sglang==0.5.23 \
  --only-binary=:all: --platform manylinux_2_34_x86_64 --python-version 3.11 2> /dev/null

cat > show.py << 'PYTHON'
import ast
import base64
import glob
import io
import os
import struct
import sys
import zipfile
import zlib

import numpy
import PIL.Image

KNOWN = {"np": numpy, "PIL": PIL, "Image": PIL.Image, "base64": base64, "io": io, "os": os, "struct": struct, "zlib": zlib}


def read(wheel, path, *wanted):
    made = dict(KNOWN)
    for node in ast.parse(zipfile.ZipFile(glob.glob(wheel)[0]).read(path)).body:
        name = getattr(node, "name", None) or getattr(getattr(node, "targets", [None])[0], "id", None)
        if name in wanted:
            exec(compile(ast.Module([node], []), path, "exec"), made)
    return made[wanted[-1]]


path = "vllm_omni/entrypoints/openai/image_api_utils.py"
omni = read("vllm_omni*", path, "prepare_image_for_output_format", "encode_image_base64_with_compression")
path = "sglang/multimodal_gen/runtime/entrypoints/utils.py"
sglang = read("sglang*", path, "_PNG_COLOR_TYPES", "_png_chunk", "_encode_png_stored", "_encode_image_frame")

image = PIL.Image.radial_gradient("L").convert("RGB")  # 256 x 256: 196,608 bytes of pixels
found = {}
for number in (0, 50, 74, 75, 76, 100):
    sizes = len(base64.b64decode(omni(image, "png", number))), len(sglang(numpy.asarray(image), "a.png", number))
    found[number] = tuple("plain" if size > 190_000 else "small" for size in sizes)
    print(f"output_compression {number:3}: vLLM-Omni {sizes[0]:7,} bytes, SGLang {sizes[1]:7,} bytes")
expected = {number: ("small", "small") for number in (50, 74, 76)}
expected |= {0: ("small", "plain"), 75: ("small", "plain"), 100: ("plain", "small")}
sys.exit(0 if found == expected else 1)
PYTHON
plain/bin/python show.py || { echo "this has changed"; exit 1; }
