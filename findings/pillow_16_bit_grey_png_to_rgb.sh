#!/usr/bin/env bash
# One would guess: `Image.open("depth.png").convert("RGB")` scales a PNG with 16 bits of grey to 8 bits, as Pillow does
#   with a PNG of 16 bits in three channels.
# What happens: Pillow opens it in the mode "I;16", whose values go up to 65,535, and `convert` makes 255 of everything
#   above 255: a middle grey is white, as is nearly all of an ordinary depth map. There is no warning.
# Versions: Pillow 13.0.0, CPython 3.11. Seen on 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 2> /dev/null

cat > show.py << 'PYTHON'
import io
import struct
import sys
import zlib

from PIL import Image


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(colour_type, pixel):
    """A PNG of 8 x 8 pixels with 16 bits for each channel."""
    header = struct.pack(">IIBBBBB", 8, 8, 16, colour_type, 0, 0, 0)
    rows = zlib.compress((b"\0" + pixel * 8) * 8)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


grey = struct.pack(">H", 0x8000)
found = {}
for name, data in (("grey.png", png(0, grey)), ("colour.png", png(2, grey * 3))):
    with Image.open(io.BytesIO(data)) as image:
        found[name] = image.convert("RGB").getpixel((4, 4))
        print(f"{name}: opened as {image.mode!r}, stored 32,768 of 65,535, as RGB {found[name]}")
sys.exit(0 if found == {"grey.png": (255, 255, 255), "colour.png": (128, 128, 128)} else 1)
PYTHON
plain/bin/python -c 'import PIL; print("Pillow", PIL.__version__)'
plain/bin/python show.py || { echo "this has changed"; exit 1; }
