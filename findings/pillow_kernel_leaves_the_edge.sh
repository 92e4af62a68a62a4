#!/usr/bin/env bash
# One would guess: `filter(ImageFilter.Kernel((3, 3), …))` applies the kernel to every pixel, with some rule for the
#   edge (repeated, mirrored or zero), as OpenCV, SciPy and scikit-image do. Of a flat grey image, a Laplacian is 0.
# What happens: the outermost pixels (two rows and columns for a 5 x 5 kernel) keep the values of the image. An edge
#   detector therefore draws a bright frame around a flat picture, and the variance of the Laplacian, a common measure
#   of sharpness, is above 100 for a picture without any detail; it grows with the light of the picture's edge.
# Versions: Pillow 13.0.0, CPython 3.11. Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 2> /dev/null

cat > edge.py << 'PYTHON'
import sys
from PIL import Image, ImageFilter, ImageStat

laplacian = ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), scale=1)
flat = Image.new("L", (512, 512), 200)
found = flat.filter(laplacian)
inner = found.crop((1, 1, 511, 511))
print("flat picture of 512 x 512, grey 200, after the Laplacian:")
print("  corner", found.getpixel((0, 0)), " edge", found.getpixel((256, 0)), " inside", found.getpixel((256, 256)))
variance, own = ImageStat.Stat(found).var[0], ImageStat.Stat(inner).var[0]
print(f"  variance with the edge {variance:.1f}, without it {own:.1f}")
kernel = ImageFilter.Kernel((5, 5), [0] * 12 + [0] + [0] * 12, scale=1)
frame = flat.filter(kernel).crop((0, 0, 4, 1)).tobytes()
print("  first row of a 5 x 5 kernel of zeros:", list(frame), " third row:", list(flat.filter(kernel).crop((0, 2, 4, 3)).tobytes()))
sys.exit(0 if found.getpixel((256, 0)) == 200 and variance > 100 and own == 0 else 1)
PYTHON
venv/bin/python --version
venv/bin/pip list --disable-pip-version-check 2> /dev/null | grep -i '^pillow '
venv/bin/python edge.py || { echo "this has changed"; exit 1; }
