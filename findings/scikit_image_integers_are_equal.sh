#!/usr/bin/env bash
# One would guess: a picture as int32 or int64, as a difference or a sum of pictures gives it, has the same values as the
#   picture as uint8, and is as far from another one.
# What happens: scikit-image takes the whole range of the type for the range of the picture. `rgb2lab` divides by
#   2,147,483,647 and more, so that red and blue have ΔE 0; `structural_similarity` without `data_range` finds them equal
#   (1.0, with a UserWarning). As uint8 their ΔE is 44, and their similarity 0.59.
# Versions: scikit-image 0.26.0, numpy 2.4.6, CPython 3.11. Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6 2> /dev/null

cat > show.py << 'PYTHON'
import sys
import warnings

import numpy
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

warnings.simplefilter("ignore")
found = {}
for kind in ("uint8", "int32", "int64"):
    red, blue = (numpy.full((32, 32, 3), colour, dtype=kind) for colour in ((200, 40, 40), (40, 40, 200)))
    distance = deltaE_ciede2000(rgb2lab(red), rgb2lab(blue)).mean()
    similarity = structural_similarity(red, blue, channel_axis=2)
    found[kind] = (round(float(distance)), round(float(similarity), 2))
    print(f"{kind}: ΔE {distance:.2f}, structural similarity {similarity:.2f}")
sys.exit(0 if found == {"uint8": (44, 0.59), "int32": (0, 1.0), "int64": (0, 1.0)} else 1)
PYTHON
plain/bin/python show.py || { echo "this has changed"; exit 1; }
