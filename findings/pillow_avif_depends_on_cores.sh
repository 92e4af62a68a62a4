#!/usr/bin/env bash
# One would guess: the same pixels and options give the same AVIF on every machine with the same Pillow wheel, as they do
#   for WebP, JPEG and PNG; and `quality=100, subsampling="4:4:4"` keeps the pixels.
# What happens: Pillow gives libavif a thread for each core that the process may use, and libaom divides the image
#   otherwise for one thread than for several: a machine with one core writes other bytes, unless `max_threads` is set. At
#   quality 100 channels are off by 2 or 3, because colours are still stored as YUV; there is no option for that.
# Versions: Pillow 13.0.0 (its wheel has libavif and libaom), CPython 3.11. Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 2> /dev/null

cat > show.py << 'PYTHON'
import hashlib
import io
import os
import sys

from PIL import Image, ImageChops

image = Image.merge("RGB", [Image.radial_gradient("L").resize((640, 640)).rotate(90 * turn) for turn in range(3)])
image = ImageChops.offset(image, 100, 30)


def saved(**options):
    buffer = io.BytesIO()
    image.save(buffer, "AVIF", **options)
    return buffer.getvalue()


def digest(data):
    return hashlib.sha256(data).hexdigest()[:12]


cores = sorted(os.sched_getaffinity(0))
found = {}
for count in (1, 2):
    os.sched_setaffinity(0, cores[:count])
    found[count] = digest(saved()), digest(saved(max_threads=1))
    print(f"{count} of {len(cores)} cores: {found[count][0]}, with max_threads=1: {found[count][1]}")
with Image.open(io.BytesIO(saved(quality=100, subsampling="4:4:4"))) as again:
    off = max(high for _, high in ImageChops.difference(image, again.convert("RGB")).getextrema())
print(f"quality 100 and 4:4:4: channels are off by up to {off}")
sys.exit(0 if found[1][0] != found[2][0] and found[1][1] == found[2][1] and off else 1)
PYTHON
plain/bin/python -c 'import PIL; from PIL import features; print("Pillow", PIL.__version__, "libavif", features.version("avif"))'
test "$(nproc)" -ge 2 || { echo "needs two cores"; exit 1; }
plain/bin/python show.py || { echo "this has changed"; exit 1; }
