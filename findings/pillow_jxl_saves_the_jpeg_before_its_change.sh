#!/usr/bin/env bash
# One would guess: `image.save("lamp.jxl")` saves the picture as it is, also if it was opened from a JPEG and painted over.
# What happens: pillow-jxl-plugin packs the JPEG file again from which the picture was opened, as it is on disk. What was
#   painted or pasted into it, or made smaller with `thumbnail`, is lost; a UserWarning speaks of "JPEG reconstruction".
#   With `lossless_jpeg=False`, or from a new picture such as `crop` gives it, the right one is saved.
# Versions: pillow-jxl-plugin 1.3.8, Pillow 13.0.0, CPython 3.11. Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check pillow-jxl-plugin==1.3.8 pillow==13.0.0 2> /dev/null

cat > show.py << 'PYTHON'
import sys
import warnings

import pillow_jxl  # noqa: F401 - registers itself
from PIL import Image

warnings.simplefilter("ignore")
Image.new("RGB", (64, 64), "red").save("red.jpg")
found = {}
for name, options in (("as by default", {}), ("lossless_jpeg=False", {"lossless_jpeg": False})):
    with Image.open("red.jpg") as image:
        image.paste("blue", (0, 0, 64, 64))
        image.thumbnail((16, 16))
        image.save("blue.jxl", **options)
    with Image.open("blue.jxl") as saved:
        red, _, blue = saved.convert("RGB").getpixel((8, 8))
        found[name] = ("blue" if blue > red else "red", saved.size)
        print(f"a JPEG of 64 x 64 made blue and 16 x 16, {name}: {found[name]}")
sys.exit(0 if list(found.values()) == [("red", (64, 64)), ("blue", (16, 16))] else 1)
PYTHON
plain/bin/python show.py || { echo "this has changed"; exit 1; }
